// SPDX-License-Identifier: Apache-2.0
//! Administration.

use kerolox::facade::{self, AdminOptions};
use napi::Env;
use napi_derive::napi;

use crate::completion::{promise, promise_with};
use crate::convert::{JsValue, set_options};

/// Creates, deletes and lists topics.
#[napi]
pub struct Admin(facade::Admin);

#[napi]
impl Admin {
    #[napi]
    pub fn start(env: Env, options: Vec<String>) -> napi::Result<JsValue> {
        let mut table = AdminOptions::default();
        let read = set_options("start admin", options, |name, value| table.set(name, value));
        let call = read.map(|()| facade::Admin::start(table));
        promise_with(&env, call, |_, js, admin| js.value(Self(admin)))
    }

    /// `on` names a broker or a cluster; absent: every master.
    #[napi]
    pub fn create_topic(
        &self,
        env: Env,
        topic: String,
        queues: i32,
        on: Option<String>,
    ) -> napi::Result<JsValue> {
        promise(&env, self.0.create_topic(topic, queues, on))
    }

    #[napi]
    pub fn delete_topic(&self, env: Env, topic: String) -> napi::Result<JsValue> {
        promise(&env, self.0.delete_topic(topic))
    }

    #[napi]
    pub fn topics(&self, env: Env) -> napi::Result<JsValue> {
        promise(&env, self.0.topics())
    }

    #[napi]
    pub fn close(&self, env: Env) -> napi::Result<JsValue> {
        promise(&env, self.0.close())
    }
}
