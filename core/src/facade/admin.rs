// SPDX-License-Identifier: Apache-2.0
//! Administration as bindings see it.

use super::{AdminOptions, Call, Guarded, Result};
use crate::admin as inner;

/// Creates, deletes and lists topics.
#[derive(Clone)]
pub struct Admin(Guarded<inner::Admin>);

impl Admin {
    /// Starts an administration client.
    pub fn start(options: AdminOptions) -> Call<Self> {
        Call::spawn("start admin", async move {
            Ok(Self(Guarded::new(inner::Admin::start(options).await?)))
        })
    }

    /// Creates a topic, or changes it, and waits until it is routed. `on` names a broker or a cluster; `None` means
    /// every master that the name server knows.
    pub fn create_topic(
        &self,
        topic: impl Into<String>,
        queues: i32,
        on: Option<String>,
    ) -> Call<()> {
        let topic = topic.into();
        self.run("create_topic", move |admin| async move {
            admin.create_topic_on(&topic, queues, on.as_deref()).await
        })
    }

    /// Deletes a topic from every broker and from the name servers.
    pub fn delete_topic(&self, topic: impl Into<String>) -> Call<()> {
        let topic = topic.into();
        self.run("delete_topic", move |admin| async move {
            admin.delete_topic(&topic).await
        })
    }

    /// Names of all topics that the name server knows, sorted.
    pub fn topics(&self) -> Call<Vec<String>> {
        self.run(
            "topics",
            move |admin| async move { admin.topic_list().await },
        )
    }

    /// Ends the client. May be called twice.
    pub fn close(&self) -> Call<()> {
        match self.0.get("close") {
            Ok(admin) => {
                let admin = inner::Admin::clone(admin);
                Call::spawn("close", async move { admin.close().await })
            }
            Err(_forked) => Call::ready("close", Ok(())),
        }
    }

    fn run<T, F>(&self, operation: &'static str, start: impl FnOnce(inner::Admin) -> F) -> Call<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        match self.0.get(operation) {
            Ok(admin) => Call::spawn(operation, start(inner::Admin::clone(admin))),
            Err(error) => Call::ready(operation, Err(error)),
        }
    }
}
