// SPDX-License-Identifier: Apache-2.0
//! What a pop gets: by an expression, and from where the group was reset to.

use super::*;

fn by_sql(expression: &str) -> PopMessageRequestHeader<'_> {
    PopMessageRequestHeader {
        exp_type: Some("SQL92"),
        exp: Some(expression),
        ..header()
    }
}

#[test]
fn expressions_choose_and_pass_over_the_rest() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for n in 0..6 {
        let properties = format!("n\u{1}{n}\u{2}");
        send_to(&mut rig, "T", 0, &properties, &format!("m{n}"));
    }
    let taken = popped(rig.call(request(&by_sql("n > 3"))));
    assert_eq!(texts(&taken), ["m4", "m5"]);
    let refused = rig.call(request(&by_sql("n >")));
    assert_eq!(
        refused.response_code(),
        ResponseCode::SUBSCRIPTION_PARSE_FAILED
    );
    // What did not match is not for this group any more.
    assert_eq!(texts(&pop(&mut rig)), [""; 0]);
}

#[test]
fn reset_group_pops_from_there_once() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for n in 0..5 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    for taken in pop(&mut rig) {
        succeeds(&mut rig, ack(&taken));
    }
    rig.broker.offsets.reset("G", "T", 0, 3);
    assert_eq!(texts(&pop(&mut rig)), ["m3", "m4"]);
    assert_eq!(texts(&pop(&mut rig)), [""; 0]);
}

#[test]
fn reset_frees_the_queue_of_an_ordered_group() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for n in 0..3 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    let ordered = PopMessageRequestHeader {
        order: Some(true),
        ..header()
    };
    assert_eq!(popped(rig.call(request(&ordered))).len(), 3);
    let blocked = rig.call(request(&ordered));
    assert_eq!(blocked.response_code(), ResponseCode::POLLING_TIMEOUT);
    rig.broker.offsets.reset("G", "T", 0, 1);
    let taken = popped(rig.call(request(&ordered)));
    assert_eq!(texts(&taken), ["m1", "m2"]);
}
