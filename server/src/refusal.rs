// SPDX-License-Identifier: Apache-2.0
//! Why a processor answers with an error: response code and remark in one place.

use kerolox_protocol::body::BodyError;
use kerolox_protocol::header::HeaderError;
use kerolox_protocol::{Command, ResponseCode};

use crate::config::ChangeError;
use crate::net::Outcome;

/// A request that is answered with an error code.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ResponseCode,
    remark: String,
}

impl Refusal {
    /// The remark should name the thing, its value and what is allowed.
    pub(crate) fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self {
            code,
            remark: remark.into(),
        }
    }

    /// The same under another code.
    pub(crate) fn with_code(self, code: ResponseCode) -> Self {
        Self { code, ..self }
    }

    /// The answer.
    pub(crate) fn into_reply(self) -> Command {
        Command::response(self.code).with_remark(self.remark)
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

/// Settings that can not be changed over the network.
pub(crate) fn refuse_change(error: ChangeError) -> Refusal {
    let code = match error.is_forbidden() {
        true => ResponseCode::NO_PERMISSION,
        false => ResponseCode::SYSTEM_ERROR,
    };
    Refusal::new(code, error.to_string())
}

/// A success without fields and body.
pub(crate) fn success() -> Command {
    Command::response(ResponseCode::SUCCESS)
}

/// Runs a processor that may end early with a refusal.
pub(crate) fn answer(process: impl FnOnce() -> Result<Command, Refusal>) -> Outcome {
    Outcome::Reply(match process() {
        Ok(reply) => reply,
        Err(refusal) => refusal.into_reply(),
    })
}
