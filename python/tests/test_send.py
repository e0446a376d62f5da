# SPDX-License-Identifier: Apache-2.0
"""Sending, and what arrives of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import kerolox
from kerolox import Message, SendStatus

Consume = Callable[..., kerolox.PushConsumer]


def bodies(consumer: kerolox.PushConsumer, count: int) -> list[bytes]:
    """That many messages, acknowledged."""
    got: list[bytes] = []
    for delivery in consumer.deliveries(idle=30):
        got.append(delivery.body)
        if len(got) == count:
            break
    return got


def test_everything_of_a_message_arrives(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    result = producer.send(
        topic, b"\x00body\xff", tag="a", keys=["k1", "k2"], properties={"x": "ü"}, flag=7
    )
    assert result.status == SendStatus.SEND_OK
    assert result.status.name == "SEND_OK"
    assert result.topic == topic
    assert result.queue in producer.queues(topic)
    delivery = next(iter(consume().deliveries(idle=30)))
    assert delivery.body == b"\x00body\xff"
    assert delivery.topic == topic
    assert delivery.tag == "a"
    assert delivery.keys == ["k1", "k2"]
    assert delivery.property("x") == "ü"
    assert delivery.properties["x"] == "ü"
    assert delivery.property("y") is None
    assert delivery.flag == 7
    assert delivery.message_id == result.message_id
    assert delivery.offset_message_id == result.offset_message_id
    assert delivery.queue == result.queue
    assert delivery.queue_offset == result.queue_offset
    assert delivery.reconsume_times == 0
    assert 0 <= delivery.store_timestamp_ms - delivery.born_timestamp_ms < 60_000
    assert ":" in delivery.born_host
    assert topic in repr(delivery)


def test_a_message_object_can_be_sent_twice(producer: kerolox.Producer, topic: str) -> None:
    message = Message(topic, bytearray(b"body"), tag="a", keys=("k",), properties={"x": "y"})
    assert producer.send(message).message_id != producer.send(message).message_id
    assert (message.topic, message.body, message.tag) == (topic, b"body", "a")
    assert (message.keys, message.properties) == (["k"], {"x": "y"})
    assert (message.flag, message.delay_level) == (0, 0)
    assert "tag=None" in repr(Message(topic, b"x"))


def test_a_batch_is_stored_side_by_side(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    result = producer.send_batch(Message(topic, b"%d" % number) for number in range(50))
    assert result.status == SendStatus.SEND_OK
    assert len(result.message_id.split(",")) == 50
    assert bodies(consume(), 50) == [b"%d" % number for number in range(50)]


def test_oneway_messages_arrive(producer: kerolox.Producer, consume: Consume, topic: str) -> None:
    for number in range(20):
        producer.send_oneway(topic, b"%d" % number, tag="a")
    assert sorted(bodies(consume(), 20)) == sorted(b"%d" % number for number in range(20))


def test_the_queue_can_be_chosen(producer: kerolox.Producer, topic: str) -> None:
    queues = producer.queues(topic)
    assert len(queues) == len(set(queues)) == 4
    for queue in sorted(queues):
        assert producer.send_to_queue(Message(topic, b"x"), queue).queue == queue


def test_large_bodies_are_compressed_on_the_way(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    body = memoryview(bytes(range(256)) * 4000)
    producer.send(topic, body)
    assert bodies(consume(), 1) == [body]


@pytest.mark.parametrize("body", ["text", 7, None])
def test_a_body_has_to_be_bytes(body: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        Message("topic", body)  # type: ignore[arg-type]


def test_ambiguous_calls_are_refused(producer: kerolox.Producer, topic: str) -> None:
    with pytest.raises(TypeError, match="needs a body"):
        producer.send(topic)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="into the Message"):
        producer.send(Message(topic, b"x"), tag="a")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        Message(topic, b"x", keys="abc")
