// SPDX-License-Identifier: Apache-2.0
//! Version numbers: ordinals of the reference's releases, a member of every header. Source: wire.md 1.5.

/// What this implementation sends: the protocol of release 5.5.0.
pub const CURRENT: i32 = V5_5_0;
/// Release 5.5.0.
pub const V5_5_0: i32 = 513;
/// Release 5.3.1; servers may answer GO_AWAY to newer peers only.
pub const V5_3_1: i32 = 475;
/// Release 5.0.0.
pub const V5_0_0: i32 = 413;
/// Release 4.9.4; routes are standard JSON from here on.
pub const V4_9_4: i32 = 401;
/// Release 4.1.0-SNAPSHOT; brokers filter by SQL from here on.
pub const V4_1_0_SNAPSHOT: i32 = 232;
/// Release 3.4.9; `maxReconsumeTimes` of a header counts from here on.
pub const V3_4_9: i32 = 121;
/// Release 3.1.8-SNAPSHOT; clients answer GET_CONSUMER_RUNNING_INFO and CONSUME_MESSAGE_DIRECTLY from here on.
pub const V3_1_8_SNAPSHOT: i32 = 62;
/// Release 3.0.11; REGISTER_BROKER has its present body from here on.
pub const V3_0_11: i32 = 37;
/// Release 3.0.7-SNAPSHOT; clients answer GET_CONSUMER_STATUS_FROM_CLIENT from here on.
pub const V3_0_7_SNAPSHOT: i32 = 28;

/// The text that the reference prints for a version, as far as its exact name is known here.
pub fn description(version: i32) -> String {
    let known = match version {
        V5_5_0 => "V5_5_0",
        V5_3_1 => "V5_3_1",
        V5_0_0 => "V5_0_0",
        V4_9_4 => "V4_9_4",
        409 => "V4_9_8",
        493 => "V5_4_0",
        479 => "V5_3_3",
        317 => "V4_5_2",
        V3_4_9 => "V3_4_9",
        V3_0_11 => "V3_0_11",
        _ => return format!("VERSION_{version}"),
    };
    known.to_owned()
}
