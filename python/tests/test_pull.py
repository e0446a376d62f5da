# SPDX-License-Identifier: Apache-2.0
"""Pull consumers: positions and offsets."""

from __future__ import annotations

import time

import pytest
from harness import Deadline

import kerolox
from kerolox import Message


def read(consumer: kerolox.PullConsumer, count: int) -> list[kerolox.ReceivedMessage]:
    deadline = Deadline(30, f"{count} messages")
    messages: list[kerolox.ReceivedMessage] = []
    while deadline.open() and len(messages) < count:
        messages += consumer.poll(max=count - len(messages), timeout=1)
    return messages


def test_seek_poll_commit(
    producer: kerolox.Producer, name_servers: str, topic: str, group: str
) -> None:
    queue = producer.queues(topic)[1]
    before = int(time.time() * 1000)
    for number in range(20):
        producer.send_to_queue(Message(topic, b"%d" % number), queue)
    with kerolox.PullConsumer(name_servers=name_servers, group=group, auto_commit=False) as one:
        assert set(one.queues(topic)) == set(producer.queues(topic))
        one.assign([queue])
        one.seek_to_begin(queue)
        assert [message.body for message in read(one, 10)] == [b"%d" % n for n in range(10)]
        one.commit()
        assert one.committed(queue) == 10
        assert (one.min_offset(queue), one.max_offset(queue)) == (0, 20)
        assert one.offset_by_time(queue, before - 60_000) == 0
        one.seek(queue, 15)
        assert [message.queue_offset for message in read(one, 5)] == [15, 16, 17, 18, 19]
        one.seek_to_end(queue)
        assert one.poll(timeout=0.1) == []
    with kerolox.PullConsumer(name_servers=name_servers, group=group, auto_commit=False) as two:
        two.assign([queue])
        assert [message.queue_offset for message in read(two, 3)] == [10, 11, 12]


def test_auto_commit_keeps_the_position(
    producer: kerolox.Producer, name_servers: str, topic: str, group: str
) -> None:
    queue = producer.send(topic, b"0").queue
    for number in range(1, 6):
        producer.send_to_queue(Message(topic, b"%d" % number), queue)
    bodies = []
    for _ in range(2):
        with kerolox.PullConsumer(
            name_servers=name_servers, group=group, consume_from="FIRST_OFFSET"
        ) as consumer:
            consumer.assign([queue])
            bodies += [message.body for message in read(consumer, 3)]
    assert bodies == [b"%d" % number for number in range(6)]


def test_filter(producer: kerolox.Producer, name_servers: str, topic: str, group: str) -> None:
    for number in range(20):
        producer.send(topic, b"%d" % number, tag="ab"[number % 2])
    with kerolox.PullConsumer(name_servers=name_servers, group=group) as consumer:
        consumer.filter(topic, "b")
        queues = consumer.queues(topic)
        consumer.assign(queues)
        for queue in queues:
            consumer.seek_to_begin(queue)
        assert {message.tag for message in read(consumer, 10)} == {"b"}


def test_a_queue_has_to_be_assigned(name_servers: str, topic: str, group: str) -> None:
    with kerolox.PullConsumer(name_servers=name_servers, group=group) as consumer:
        with pytest.raises(kerolox.UsageError) as caught:
            consumer.seek(consumer.queues(topic)[0], 0)
        assert caught.value.name == "QUEUE_NOT_ASSIGNED"
