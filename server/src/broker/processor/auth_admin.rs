// SPDX-License-Identifier: Apache-2.0
//! Users and policies while no place to keep them is configured (server.md 2.4, wire.md 7.4).

use kerolox_protocol::header::stats::UserRequestHeader;
use kerolox_protocol::{RequestCode, ResponseCode};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer};

/// AUTH_* requests: refused, as by the reference without `authenticationMetadataProvider`.
pub(crate) fn without_provider(_broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let code = request.command.request_code();
        let names_a_user = matches!(
            code,
            RequestCode::AUTH_CREATE_USER
                | RequestCode::AUTH_UPDATE_USER
                | RequestCode::AUTH_GET_USER
        );
        let user: UserRequestHeader<'_> = request.command.header()?;
        if names_a_user && user.username.is_none_or(|name| name.trim().is_empty()) {
            let remark = "The username is blank";
            return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
        }
        let remark = format!(
            "{}: users and policies are not kept, authenticationMetadataProvider is not configured on this broker",
            code.name().unwrap_or("request")
        );
        Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
    })
}
