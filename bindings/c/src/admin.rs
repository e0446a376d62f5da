// SPDX-License-Identifier: Apache-2.0
//! Topics: create, delete, list.

use std::ptr::null_mut;
use std::time::Duration;

use kerolox_client::facade::{Admin, AdminOptions};

use crate::completion::{block, finish};
use crate::convert::{self, klx_options_t, klx_str_t, klx_strings_t};
use crate::error::{entry, klx_error_t, klx_status_t};
use crate::ptr;

/// Administers a cluster. May be used by several threads at once. Free it with klx_admin_free.
pub struct klx_admin_t(Admin);

/// Starts an admin client with options of "AdminOptions", NULL for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_start(
    options: *const klx_options_t,
    timeout_ms: i64,
    admin: *mut *mut klx_admin_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("admin_start", err, {
        let out = ptr::out_object(admin, "admin")?;
        let mut wanted = AdminOptions::default();
        convert::apply(options, |name, value| wanted.set(name, value))?;
        let started = block("admin_start", timeout_ms, || Admin::start(wanted))?;
        out.give(klx_admin_t(started));
        Ok(())
    })
}

/// Creates or changes a topic on a broker or a cluster, on all masters if `on` is absent, and waits until it is routed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_create_topic(
    admin: *const klx_admin_t,
    topic: klx_str_t,
    queues: i32,
    on: klx_str_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("admin_create_topic", err, {
        let admin = &ptr::required(admin, "admin")?.0;
        let (topic, on) = (topic.text("topic")?, on.text("on")?);
        let on = (!on.is_empty()).then(|| on.to_owned());
        block("admin_create_topic", timeout_ms, || {
            admin.create_topic(topic, queues, on)
        })
    })
}

/// Deletes a topic from all brokers and name servers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_delete_topic(
    admin: *const klx_admin_t,
    topic: klx_str_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("admin_delete_topic", err, {
        let admin = &ptr::required(admin, "admin")?.0;
        let topic = topic.text("topic")?;
        block("admin_delete_topic", timeout_ms, || {
            admin.delete_topic(topic)
        })
    })
}

/// All topics of the cluster. Free the list with klx_strings_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_topics(
    admin: *const klx_admin_t,
    timeout_ms: i64,
    topics: *mut *mut klx_strings_t,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("admin_topics", err, {
        let out = ptr::out_object(topics, "topics")?;
        let admin = &ptr::required(admin, "admin")?.0;
        let found = block("admin_topics", timeout_ms, || admin.topics())?;
        out.give(klx_strings_t(found));
        Ok(())
    })
}

/// Ends the client. May be called twice. It still has to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_close(
    admin: *const klx_admin_t,
    timeout_ms: i64,
    err: *mut *mut klx_error_t,
) -> klx_status_t {
    entry!("admin_close", err, {
        let admin = &ptr::required(admin, "admin")?.0;
        block("admin_close", timeout_ms, || admin.close())
    })
}

/// Closes the client, waiting at most five seconds, and frees it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_admin_free(admin: *mut klx_admin_t) {
    let err = null_mut();
    let _ok = entry!("admin_free", err, {
        if let Some(admin) = ptr::take(admin) {
            finish(admin.0.close(), Duration::from_secs(5));
        }
        Ok(())
    });
}
