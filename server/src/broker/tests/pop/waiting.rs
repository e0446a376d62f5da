// SPDX-License-Identifier: Apache-2.0
//! Pops and notifications that wait.

use super::*;

fn held(queue_id: i32) -> PopMessageRequestHeader<'static> {
    PopMessageRequestHeader {
        queue_id,
        poll_time: 15_000,
        invisible_time: 60_000,
        ..header()
    }
}

fn waiting(rig: &mut Rig, queue_id: i32) -> i32 {
    let header = PollingInfoRequestHeader {
        consumer_group: "G",
        topic: "T",
        queue_id,
        broker_name: None,
    };
    let reply = succeeds(rig, Command::request(RequestCode::POLLING_INFO, &header));
    reply
        .header::<PollingInfoResponseHeader>()
        .unwrap()
        .polling_num
}

#[test]
fn an_arrival_wakes_one_pop_for_any_queue_and_one_for_the_queue() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    for queue_id in [-1, -1, 0, 1] {
        assert!(rig.handle(vec![request(&held(queue_id))]).is_empty());
    }
    assert_eq!((waiting(&mut rig, -1), waiting(&mut rig, 1)), (2, 1));
    send_to(&mut rig, "T", 1, "", "first");
    let woken = rig.later();
    assert_eq!(woken.len(), 1);
    assert_eq!(texts(&popped(woken[0].clone())), ["first"]);
    assert_eq!(waiting(&mut rig, -1) + waiting(&mut rig, 1), 2);
    send_to(&mut rig, "T", 0, "", "second");
    send_to(&mut rig, "T", 1, "", "third");
    assert_eq!(rig.later().len(), 2);
    wait(&rig, 14_900);
    assert!(rig.later().is_empty());
    wait(&rig, 100);
    let expired = rig.later();
    assert_eq!(expired.len(), 1);
    assert_eq!(expired[0].response_code(), ResponseCode::POLLING_TIMEOUT);
    assert_eq!(expired[0].remark.as_deref(), Some("NO_MESSAGE_IN_QUEUE"));
}

#[test]
fn a_message_that_does_not_match_leaves_the_pop_where_it_is() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    let only_a = PopMessageRequestHeader {
        exp: Some("A || C"),
        ..held(-1)
    };
    assert!(rig.handle(vec![request(&only_a)]).is_empty());
    send_to(&mut rig, "T", 0, "TAGS\u{1}B\u{2}", "other");
    assert!(rig.later().is_empty());
    assert_eq!(
        rig.broker.offsets.query("G", "T", 0),
        Some(1),
        "it was looked at"
    );
    send_to(&mut rig, "T", 0, "TAGS\u{1}C\u{2}", "wanted");
    assert_eq!(texts(&popped(rig.later().remove(0))), ["wanted"]);
}

#[test]
fn more_than_one_pop_wants_wakes_the_next() {
    let mut rig = rig();
    topic(&rig, "T", 1);
    let one = PopMessageRequestHeader {
        max_msg_nums: 1,
        ..held(-1)
    };
    for _ in 0..3 {
        assert!(rig.handle(vec![request(&one)]).is_empty());
    }
    rig.handle(vec![send("T", "", "a"), send("T", "", "b")]);
    assert_eq!(rig.later().len(), 2);
}

#[test]
fn a_retry_wakes_a_pop() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    send_to(&mut rig, "T", 0, "", "again");
    assert_eq!(pop(&mut rig).len(), 1);
    assert!(rig.handle(vec![request(&held(1))]).is_empty());
    wait(&rig, HIDDEN_MS + 4_000);
    let woken = rig.later();
    assert_eq!(woken.len(), 1);
    assert_eq!(texts(&popped(woken[0].clone())), ["again"]);
}

#[test]
fn limits_and_time_outs_have_their_codes() {
    let mut small = config();
    small.pop_polling_size = 1;
    small.max_pop_polling_size = 3;
    let mut rig = open(small, SimDisk::new(), START_MS);
    topic(&rig, "T", 2);
    let code = |rig: &mut Rig, header: &PopMessageRequestHeader<'_>| {
        let replies = rig.handle(vec![request(header)]);
        let reply = replies.first()?;
        assert!(reply.header::<PopMessageResponseHeader<'_>>().is_ok());
        Some(reply.response_code())
    };
    // As the reference counts, one more than the limit waits.
    assert_eq!(code(&mut rig, &held(0)), None);
    assert_eq!(code(&mut rig, &held(0)), None);
    assert_eq!(code(&mut rig, &held(0)), Some(ResponseCode::POLLING_FULL));
    assert_eq!(code(&mut rig, &held(1)), None);
    assert_eq!(code(&mut rig, &held(-1)), Some(ResponseCode::POLLING_FULL));
    assert_eq!(
        code(&mut rig, &header()),
        Some(ResponseCode::POLLING_TIMEOUT)
    );
    let late = PopMessageRequestHeader {
        born_time: Some(START_MS - 15_501),
        ..held(-1)
    };
    assert_eq!(code(&mut rig, &late), Some(ResponseCode::POLLING_TIMEOUT));
    rig.session.close();
    rig.broker.closed(&rig.session);
    assert_eq!(rig.broker.pop.waiting("T", "G", 0), 0);
}

#[test]
fn a_notification_says_whether_there_is_something() {
    let mut rig = rig();
    topic(&rig, "T", 2);
    let notification = |queue_id, poll_time| {
        let header = NotificationRequestHeader {
            consumer_group: "G",
            topic: "T",
            queue_id,
            poll_time,
            ..NotificationRequestHeader::default()
        };
        Command::request(RequestCode::NOTIFICATION, &header)
    };
    let has = |reply: &Command| {
        assert_eq!(reply.response_code(), ResponseCode::SUCCESS);
        let header: NotificationResponseHeader = reply.header().unwrap();
        assert!(!header.polling_full);
        header.has_msg
    };
    assert!(!has(&rig.call(notification(-1, 0))));
    assert!(rig.handle(vec![notification(-1, 1_000)]).is_empty());
    assert!(rig.handle(vec![notification(0, 5_000)]).is_empty());
    wait(&rig, 1_000);
    assert!(!has(&rig.later().remove(0)), "its time is up");
    send_to(&mut rig, "T", 1, "", "elsewhere");
    assert!(rig.later().is_empty());
    send_to(&mut rig, "T", 0, "", "here");
    assert!(has(&rig.later().remove(0)));
    assert!(has(&rig.call(notification(-1, 1_000))));
    assert_eq!(pop(&mut rig).len(), 2);
    assert!(!has(&rig.call(notification(-1, 0))));
    wait(&rig, HIDDEN_MS + 4_000);
    assert!(has(&rig.call(notification(0, 0))), "a retry");
}

#[test]
fn under_sync_flush_a_pop_waits_for_the_flush_and_an_acknowledgement_too() {
    let mut sync = config();
    sync.flush_disk_type = crate::config::FlushDiskType::Sync;
    let mut rig = open(sync, SimDisk::new(), START_MS);
    topic(&rig, "T", 1);
    let flush = |rig: &Rig| {
        let report = rig.broker.store.flush_pass().unwrap();
        rig.broker.flushed(&report);
    };
    assert!(rig.handle(vec![request(&held(-1))]).is_empty());
    rig.handle(vec![send("T", "", "safe")]);
    assert!(rig.later().is_empty());
    flush(&rig);
    let replies = rig.later();
    assert_eq!(replies.len(), 2);
    let reply = replies
        .into_iter()
        .find(|reply| !reply.body.is_empty())
        .unwrap();
    let taken = popped(reply);
    assert!(rig.handle(vec![ack(&taken[0])]).is_empty());
    assert!(rig.later().is_empty());
    flush(&rig);
    assert_eq!(rig.later()[0].response_code(), ResponseCode::SUCCESS);
}
