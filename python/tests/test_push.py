# SPDX-License-Identifier: Apache-2.0
"""Push consumers: loops, polls, listeners, models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Deadline

import kerolox

Consume = Callable[..., kerolox.PushConsumer]


def fill(producer: kerolox.Producer, topic: str, count: int) -> set[bytes]:
    wanted = {b"%d" % number for number in range(count)}
    for body in sorted(wanted):
        producer.send(topic, body)
    return wanted


def test_the_loop_goes_on_where_the_group_left_off(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    wanted = fill(producer, topic, 40)
    seen: list[bytes] = []
    with consume() as first:
        for delivery in first:
            seen.append(delivery.body)
            if len(seen) == 15:
                break
    with consume() as second:
        for delivery in second:
            seen.append(delivery.body)
            if wanted <= set(seen):
                break
    assert len(seen) == len(wanted), "a clean leave duplicates nothing"


def test_the_verdict_of_a_loop(producer: kerolox.Producer, consume: Consume, topic: str) -> None:
    """A body that ends acknowledges, also by break; one that raises gets the message again."""
    again = {b"raised", b"later", b"listener"}
    for body in sorted({b"done", b"break", b"acked"} | again):
        producer.send(topic, body)
    consumer = consume()
    seen: list[bytes] = []

    def listener(delivery: kerolox.Delivery) -> None:
        if delivery.body == b"listener":
            raise ValueError(delivery.body)

    class BodyError(Exception):
        pass

    deadline = Deadline(60, "all messages, and three of them again")
    redelivered: set[bytes] = set()
    while deadline.open() and (len(seen) < 6 or redelivered != again):
        try:
            for delivery in consumer.deliveries(idle=0.2):
                if delivery.reconsume_times:
                    redelivered.add(delivery.body)
                    continue
                seen.append(delivery.body)
                match delivery.body:
                    case b"raised":
                        raise BodyError
                    case b"later":
                        delivery.later()
                    case b"acked":
                        delivery.ack()
                        assert delivery.completed
                    case b"break":
                        break
                    case b"listener":
                        assert not delivery.completed
                        try:
                            listener(delivery)
                        except ValueError:
                            delivery.later()
        except BodyError:
            pass
    assert len(seen) == 6
    assert redelivered == again


def test_polled_deliveries_are_completed_by_hand(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    wanted = fill(producer, topic, 30)
    consumer = consume()
    seen: list[bytes] = []
    deadline = Deadline(30, "30 messages")
    while deadline.open() and len(seen) < 30:
        deliveries = consumer.poll(max=7, timeout=1)
        assert len(deliveries) <= 7
        seen += [delivery.body for delivery in deliveries]
        consumer.ack_all(deliveries)
    assert set(seen) == wanted
    with pytest.raises(kerolox.UsageError) as caught:
        deliveries[0].ack()
    assert caught.value.name == "UNKNOWN_DELIVERY"
    assert consumer.poll(timeout=0) == []
    assert {queue.topic for queue in consumer.assigned()} >= {topic}


def test_tags_filter(producer: kerolox.Producer, consume: Consume, topic: str) -> None:
    for number in range(30):
        producer.send(topic, b"%d" % number, tag="abc"[number % 3])
    tags = [delivery.tag for delivery in consume("a || b").deliveries(idle=1)]
    assert sorted(map(str, tags)) == ["a"] * 10 + ["b"] * 10


def test_broadcasting_gives_everything_to_everyone(
    producer: kerolox.Producer, consume: Consume, topic: str, tmp_path: Path
) -> None:
    wanted = fill(producer, topic, 20)
    for name in ("one", "two"):
        consumer = consume(
            message_model="BROADCASTING", instance_name=name, offset_store_dir=str(tmp_path)
        )
        seen: list[bytes] = []
        for delivery in consumer.deliveries(idle=30):
            seen.append(delivery.body)
            if len(seen) == 20:
                break
        assert set(seen) == wanted
        assert consumer.poll(timeout=0.1) == []


def test_members_share_the_queues(producer: kerolox.Producer, consume: Consume, topic: str) -> None:
    one, two = consume(), consume()
    deadline = Deadline(30, "two queues each")
    while deadline.open():
        shares = [[q for q in c.assigned() if q.topic == topic] for c in (one, two)]
        if [len(share) for share in shares] == [2, 2]:
            break
        for consumer in (one, two):
            consumer.ack_all(consumer.poll(timeout=0.05))
    wanted = fill(producer, topic, 40)
    seen: list[bytes] = []
    while deadline.open() and len(seen) < 40:
        for consumer in (one, two):
            deliveries = consumer.poll(timeout=0.05)
            seen += [delivery.body for delivery in deliveries]
            consumer.ack_all(deliveries)
    assert set(seen) == wanted


def test_run_calls_the_listener_on_threads(
    producer: kerolox.Producer, consume: Consume, topic: str
) -> None:
    wanted = fill(producer, topic, 40)
    consumer = consume()
    seen: dict[bytes, str] = {}
    both = threading.Barrier(2, timeout=30)

    def listener(delivery: kerolox.Delivery) -> None:
        thread = threading.current_thread().name
        if thread not in seen.values():
            both.wait()
        seen[delivery.body] = thread
        if set(seen) == wanted:
            delivery.ack()
            consumer.close()

    consumer.run(listener, threads=2)
    assert set(seen) == wanted
    assert len(set(seen.values())) == 2


def test_close_ends_the_loop_of_another_thread(consume: Consume) -> None:
    consumer = consume()
    ended = threading.Event()

    def loop() -> None:
        for _ in consumer:
            pass
        ended.set()

    thread = threading.Thread(target=loop)
    thread.start()
    consumer.close()
    assert ended.wait(10)
    thread.join()
    with pytest.raises(kerolox.UsageError) as caught:
        consumer.poll()
    assert caught.value.name == "CLOSED"
