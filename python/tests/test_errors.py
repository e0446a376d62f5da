# SPDX-License-Identifier: Apache-2.0
"""Errors: classes, attributes, deadlines."""

from __future__ import annotations

import builtins
import pickle
import socket
import time
import traceback
from collections.abc import Callable

import pytest

import kerolox


def test_an_unreachable_name_server_is_named(group: str) -> None:
    start = time.monotonic()
    with kerolox.Producer(name_servers="127.0.0.1:1", group=group) as producer:
        with pytest.raises(kerolox.ConnectError) as caught:
            producer.send("topic", b"x")
    assert time.monotonic() - start < 5
    error = caught.value
    assert (error.code, error.name) == (104, "NAME_SERVER_UNREACHABLE")
    assert error.retryable
    assert error.broker_code is None
    assert "127.0.0.1:1" in str(error)
    assert error.context["name_servers"] == "127.0.0.1:1"
    assert error.operation == "send"
    assert f"hint: {error.hint}" in "".join(traceback.format_exception(error))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_silent_server_means_a_time_out_in_time(group: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with kerolox.Producer(name_servers=address, group=group, send_timeout_ms=500) as producer:
            start = time.monotonic()
            with pytest.raises(kerolox.ConnectError) as caught:
                producer.send("topic", b"x")
            assert time.monotonic() - start < 3
    assert caught.value.retryable


def test_time_out_is_the_builtin_one() -> None:
    error = kerolox.TimeoutError("send: no answer", code=102, name="TIMEOUT", retryable=True)
    assert isinstance(error, builtins.TimeoutError)
    assert isinstance(error, kerolox.ConnectError)
    assert str(error) == "send: no answer"
    assert pickle.loads(pickle.dumps(error)).code == 102


def test_no_route(name_servers: str, group: str) -> None:
    with kerolox.PullConsumer(name_servers=name_servers, group=group) as consumer:
        with pytest.raises(kerolox.ConnectError) as caught:
            consumer.queues("there-is-no-such-topic")
    assert caught.value.name == "NO_ROUTE"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda producer: producer.send("no blanks", b"x"), "INVALID_TOPIC"),
        (lambda producer: producer.send("topic", b""), "EMPTY_BODY"),
        (lambda producer: producer.send("topic", b"x" * 5_000_000), "MESSAGE_TOO_LARGE"),
        (lambda producer: producer.send_batch([]), "INVALID_BATCH"),
        (lambda producer: producer.send("topic", b"x", properties={"UNIQ_KEY": "x"}), None),
    ],
)
def test_usage_errors_need_no_server(
    call: Callable[[kerolox.Producer], object], name: str | None, group: str
) -> None:
    with kerolox.Producer(name_servers="127.0.0.1:1", group=group) as producer:
        with pytest.raises(kerolox.UsageError) as caught:
            call(producer)
    assert caught.value.name == (name or "INVALID_MESSAGE")
    assert not caught.value.retryable


def test_closed(name_servers: str, group: str) -> None:
    producer = kerolox.Producer(name_servers=name_servers, group=group)
    producer.close()
    producer.close()
    with pytest.raises(kerolox.UsageError) as caught:
        producer.send("topic", b"x")
    assert caught.value.name == "CLOSED"


def test_every_class_is_a_kerolox_error() -> None:
    for name in ("Usage", "Connect", "Broker", "Flow", "Auth", "Internal", "Timeout"):
        assert issubclass(getattr(kerolox, f"{name}Error"), kerolox.KeroloxError)
        assert getattr(kerolox, f"{name}Error") is getattr(kerolox.errors, f"{name}Error")
