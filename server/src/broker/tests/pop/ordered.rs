// SPDX-License-Identifier: Apache-2.0
//! Ordered pops: a queue waits for its last batch.

use super::*;

fn ordered(attempt_id: Option<&'static str>) -> PopMessageRequestHeader<'static> {
    PopMessageRequestHeader {
        queue_id: 0,
        max_msg_nums: 2,
        order: Some(true),
        attempt_id,
        ..header()
    }
}

fn counts(reply: &Command) -> String {
    let header: PopMessageResponseHeader<'_> = reply.header().unwrap();
    assert_eq!(header.revive_queue_id, 999);
    header.order_count_info.unwrap().to_owned()
}

fn filled() -> Rig {
    let mut rig = rig();
    topic(&rig, "T", 1);
    for n in 0..4 {
        send_to(&mut rig, "T", 0, "", &format!("m{n}"));
    }
    rig
}

#[test]
fn a_queue_waits_for_its_batch_and_goes_on_in_order() {
    let mut rig = filled();
    let reply = rig.call(request(&ordered(Some("a"))));
    assert_eq!(counts(&reply), "0 0 0");
    let first = popped(reply);
    assert_eq!(texts(&first), ["m0", "m1"]);
    let blocked = rig.call(request(&ordered(Some("b"))));
    assert_eq!(blocked.response_code(), ResponseCode::POLLING_TIMEOUT);
    let rest = blocked
        .header::<PopMessageResponseHeader<'_>>()
        .unwrap()
        .rest_num;
    assert_eq!(rest, 0, "what is blocked does not count");
    let again = popped(rig.call(request(&ordered(Some("a")))));
    assert_eq!(
        texts(&again),
        ["m0", "m1"],
        "the same attempt may have it again"
    );

    // The second first: the group stays at the one that is open.
    succeeds(&mut rig, ack(&again[1]));
    assert_eq!(rig.broker.offsets.query("G", "T", 0), Some(0));
    succeeds(&mut rig, ack(&again[0]));
    assert_eq!(rig.broker.offsets.query("G", "T", 0), Some(2));
    succeeds(&mut rig, ack(&again[0]));
    let next = popped(rig.call(request(&ordered(Some("c")))));
    assert_eq!(texts(&next), ["m2", "m3"]);
    assert_eq!(rig.pull_all("rmq_sys_REVIVE_LOG_DefaultCluster").len(), 0);
}

#[test]
fn unacknowledged_messages_come_again_with_their_count() {
    let mut rig = filled();
    let first = popped(rig.call(request(&ordered(None))));
    succeeds(&mut rig, ack(&first[0]));
    wait(&rig, HIDDEN_MS - 100);
    let blocked = rig.call(request(&ordered(None)));
    assert_eq!(blocked.response_code(), ResponseCode::POLLING_TIMEOUT);
    wait(&rig, 100);
    let reply = rig.call(request(&ordered(None)));
    assert_eq!(counts(&reply), "0 qo0%1 1;0 0 0");
    let second = popped(reply);
    assert_eq!(texts(&second), ["m1", "m2"]);
    // A receipt of the earlier batch does nothing.
    succeeds(&mut rig, ack(&first[1]));
    assert_eq!(rig.broker.offsets.query("G", "T", 0), Some(1));
}

#[test]
fn a_changed_time_frees_the_queue_then() {
    let mut rig = filled();
    let first = popped(rig.call(request(&ordered(None))));
    succeeds(&mut rig, ack(&first[0]));
    wait(&rig, 1_000);
    let reply = succeeds(&mut rig, change(&first[1], 500));
    let changed: ChangeInvisibleTimeResponseHeader = reply.header().unwrap();
    assert_eq!(
        (changed.pop_time, changed.invisible_time),
        (START_MS, 1_500)
    );
    assert_eq!(changed.revive_queue_id, 999);
    let held = PopMessageRequestHeader {
        poll_time: 20_000,
        ..ordered(None)
    };
    assert!(rig.handle(vec![request(&held)]).is_empty());
    wait(&rig, 400);
    assert!(rig.later().is_empty());
    wait(&rig, 100);
    let woken = popped(rig.later().remove(0));
    assert_eq!(texts(&woken), ["m1", "m2"]);
}

#[test]
fn an_acknowledgement_wakes_the_next_pop() {
    let mut rig = filled();
    let first = popped(rig.call(request(&ordered(None))));
    for queue_id in [0, -1] {
        let held = PopMessageRequestHeader {
            poll_time: 20_000,
            queue_id,
            ..ordered(None)
        };
        assert!(rig.handle(vec![request(&held)]).is_empty());
    }
    succeeds(&mut rig, ack(&first[0]));
    assert!(rig.later().is_empty());
    succeeds(&mut rig, ack(&first[1]));
    let woken = rig.later();
    assert_eq!(woken.len(), 1, "the queue is blocked again");
    assert_eq!(texts(&popped(woken[0].clone())), ["m2", "m3"]);
}

#[test]
fn a_foreign_offset_is_refused_and_a_batch_acknowledges_several() {
    let mut rig = filled();
    let first = popped(rig.call(request(&ordered(None))));
    let mut foreign = first[0].clone();
    foreign.message.queue_offset = 3;
    let reply = rig.call(ack(&foreign));
    assert_eq!(reply.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    assert!(reply.remark.unwrap().contains("T@G@0"));
    let bits = BatchAck {
        bit_set: "Aw==".to_owned(),
        group: "G".to_owned(),
        invisible_time: HIDDEN_MS,
        pop_time: START_MS,
        retry: "0".to_owned(),
        revive_queue_id: 999,
        topic: "T".to_owned(),
        ..BatchAck::default()
    };
    let batch = BatchAckRequest {
        acks: vec![bits],
        broker_name: None,
    };
    let command = kerolox_protocol::command::request(RequestCode::BATCH_ACK_MESSAGE);
    succeeds(&mut rig, command.with_body(body::encode(&batch)));
    assert_eq!(rig.broker.offsets.query("G", "T", 0), Some(2));
}

#[test]
fn batches_survive_a_restart() {
    let mut rig = filled();
    let first = popped(rig.call(request(&ordered(None))));
    succeeds(&mut rig, ack(&first[0]));
    rig.broker.persist();
    let mut rig = open(config(), rig.disk.kill(), START_MS + 1_000);
    let blocked = rig.call(request(&ordered(None)));
    assert_eq!(blocked.response_code(), ResponseCode::POLLING_TIMEOUT);
    succeeds(&mut rig, ack(&first[1]));
    let next = popped(rig.call(request(&ordered(None))));
    assert_eq!(texts(&next), ["m2", "m3"]);
}
