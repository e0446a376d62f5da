// SPDX-License-Identifier: Apache-2.0
use std::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(10);

#[test]
fn wait_returns_the_result() {
    let call = Call::spawn("test", async { Ok(7) });
    assert_eq!(call.wait(Some(LONG)).expect("in time").expect("ok"), 7);
}

#[test]
fn wait_answers_not_yet_after_its_timeout_and_can_be_repeated() {
    let (send, receive) = tokio::sync::oneshot::channel();
    let call = Call::spawn("test", async { Ok(receive.await.unwrap_or(0)) });
    assert!(call.wait(Some(Duration::from_millis(5))).is_none());
    send.send(8).expect("the call waits");
    assert_eq!(call.wait(Some(LONG)).expect("in time").expect("ok"), 8);
}

#[test]
fn the_result_is_taken_once() {
    let call = Call::ready("test", Ok(1));
    assert_eq!(call.wait(None).expect("there").expect("ok"), 1);
    let error = call.wait(None).expect("there").expect_err("taken");
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[test]
fn on_done_is_called_whether_early_or_late() {
    for early in [true, false] {
        let (go, gone) = tokio::sync::oneshot::channel();
        let call = Call::spawn("test", async { Ok(gone.await.unwrap_or(0)) });
        let (send, receive) = mpsc::channel();
        if early {
            call.on_done(move |result| send.send(result).expect("the test waits"));
            go.send(3).expect("the call waits");
        } else {
            go.send(3).expect("the call waits");
            while !call.is_done() {
                std::thread::yield_now();
            }
            call.on_done(move |result| send.send(result).expect("the test waits"));
        }
        assert_eq!(receive.recv_timeout(LONG).expect("called").expect("ok"), 3);
    }
}

#[test]
fn cancel_ends_with_cancelled_also_after_on_done() {
    let call = Call::<()>::spawn("test", std::future::pending());
    call.cancel();
    let error = call
        .wait(Some(LONG))
        .expect("in time")
        .expect_err("cancelled");
    assert_eq!(error.code(), ErrorCode::Cancelled);

    let call = Call::<()>::spawn("test", std::future::pending());
    let canceller = call.canceller();
    let (send, receive) = mpsc::channel();
    call.on_done(move |result| send.send(result).expect("the test waits"));
    canceller.cancel();
    let error = receive
        .recv_timeout(LONG)
        .expect("called")
        .expect_err("cancelled");
    assert_eq!(error.code(), ErrorCode::Cancelled);
}

#[test]
fn dropping_a_call_stops_its_task() {
    let (held, released) = mpsc::channel::<()>();
    let call = Call::<()>::spawn("test", async move {
        let _held = held;
        std::future::pending().await
    });
    drop(call);
    assert_eq!(
        released.recv_timeout(LONG),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn a_panic_is_reported_as_such() {
    let call = Call::<()>::spawn("test", async { panic!("on purpose") });
    let error = call
        .wait(Some(LONG))
        .expect("in time")
        .expect_err("panicked");
    assert_eq!(error.code(), ErrorCode::Panic);
}

#[test]
fn waiting_on_a_runtime_thread_is_refused() {
    let call = Call::spawn("outer", async {
        let inner = Call::<()>::spawn("inner", std::future::pending());
        Ok(inner
            .wait(Some(LONG))
            .expect("at once")
            .expect_err("refused")
            .code())
    });
    assert_eq!(
        call.wait(Some(LONG)).expect("in time").expect("ok"),
        ErrorCode::WouldDeadlock
    );
}
