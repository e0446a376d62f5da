# SPDX-License-Identifier: Apache-2.0
"""The asyncio clients."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from harness import Deadline

import kerolox
import kerolox.aio
from kerolox import Message


def test_a_thousand_sends_at_once(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with kerolox.aio.Producer(name_servers=name_servers, group=group) as producer:
            await producer.send(topic, b"first")
            start = time.perf_counter()
            results = await asyncio.gather(
                *[producer.send(topic, b"%d" % number, tag="a") for number in range(1000)]
            )
            print(f"1,000 by gather: {1000 / (time.perf_counter() - start):,.0f} a second")
        assert len({result.message_id for result in results}) == 1000

    asyncio.run(main())


def test_round_trip(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with (
            kerolox.aio.Producer(name_servers=name_servers, group=group) as producer,
            kerolox.aio.PushConsumer(
                name_servers=name_servers,
                group=group,
                subscriptions=[topic],
                consume_from="FIRST_OFFSET",
            ) as consumer,
        ):
            queues = await producer.queues(topic)
            await producer.send_batch([Message(topic, b"b%d" % number) for number in range(5)])
            await producer.send_oneway(topic, b"oneway")
            await producer.send_to_queue(Message(topic, b"queue"), queues[0])
            wanted = {b"b0", b"b1", b"b2", b"b3", b"b4", b"oneway", b"queue"}
            seen = []
            async for delivery in consumer:
                seen.append(delivery.body)
                if len(seen) == len(wanted):
                    break
            assert set(seen) == wanted
            assert delivery.completed, "break acknowledges"
            assert await consumer.poll(timeout=0) == []
            assert [delivery async for delivery in consumer.deliveries(idle=0.05)] == []
            assert {queue.topic for queue in consumer.assigned()} >= {topic}

    asyncio.run(main())


def test_pull_and_admin(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with (
            kerolox.aio.Admin(name_servers=name_servers, timeout_ms=20_000) as admin,
            kerolox.aio.Producer(name_servers=name_servers, group=group) as producer,
            kerolox.aio.PullConsumer(name_servers=name_servers, group=group) as consumer,
        ):
            other = f"{topic}-other"
            await admin.create_topic(other, 2)
            assert other in await admin.topics()
            queue = (await producer.send(other, b"1")).queue
            assert len(await consumer.queues(other)) == 2
            consumer.assign([queue])
            await consumer.seek_to_begin(queue)
            messages = await consumer.poll(timeout=30)
            assert [message.body for message in messages] == [b"1"]
            await consumer.commit()
            assert await consumer.committed(queue) == 1
            assert await consumer.min_offset(queue) == 0
            assert await consumer.max_offset(queue) == 1
            await consumer.seek(queue, 0)
            await consumer.seek_to_end(queue)
            assert await consumer.offset_by_time(queue, 0) == 0
            await admin.delete_topic(other)
            deadline = Deadline(30, "the topic is gone")
            while deadline.open() and other in await admin.topics():
                pass

    asyncio.run(main())


def test_a_cancelled_poll_loses_nothing(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with (
            kerolox.aio.Producer(name_servers=name_servers, group=group) as producer,
            kerolox.aio.PushConsumer(
                name_servers=name_servers,
                group=group,
                subscriptions=topic,
                consume_from="FIRST_OFFSET",
            ) as consumer,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(consumer.poll(timeout=60), 0.05)
            seen: list[bytes] = []
            cancelled = 0
            deadline = Deadline(60, "200 messages in spite of cancelled polls")
            sends = [producer.send(topic, b"%d" % number) for number in range(200)]
            while deadline.open() and len(seen) < 200:
                poll = consumer.poll(max=3, timeout=1)
                await asyncio.sleep(0)
                if not poll.done():
                    await asyncio.sleep(0.0005 * (cancelled % 5))
                if cancelled < 400 and poll.cancel():
                    cancelled += 1
                    continue
                deliveries = await poll
                seen += [delivery.body for delivery in deliveries]
                consumer.ack_all(deliveries)
            await asyncio.gather(*sends)
            assert len(set(seen)) == len(seen) == 200

    asyncio.run(main())


def test_a_cancelled_body_gets_the_message_again(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with (
            kerolox.aio.Producer(name_servers=name_servers, group=group) as producer,
            kerolox.aio.PushConsumer(
                name_servers=name_servers,
                group=group,
                subscriptions=topic,
                consume_from="FIRST_OFFSET",
            ) as consumer,
        ):
            await producer.send(topic, b"1")
            working: asyncio.Future[kerolox.Delivery] = asyncio.Future()

            async def work() -> None:
                async for delivery in consumer:
                    working.set_result(delivery)
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            first = await asyncio.wait_for(working, 30)
            assert not first.completed
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert first.completed, "put off at once, not when the garbage is collected"
            async for delivery in consumer.deliveries(idle=30):
                assert delivery.body == b"1"
                assert delivery.reconsume_times == 1
                break
            else:
                pytest.fail("it did not come again")

    asyncio.run(main())


def test_run(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with (
            kerolox.aio.Producer(name_servers=name_servers, group=group) as producer,
            kerolox.aio.PushConsumer(
                name_servers=name_servers,
                group=group,
                subscriptions=topic,
                consume_from="FIRST_OFFSET",
            ) as consumer,
        ):
            seen: list[bytes] = []
            done = asyncio.Event()

            async def listener(delivery: kerolox.Delivery) -> None:
                seen.append(delivery.body)
                if len(seen) == 10:
                    done.set()

            run = asyncio.create_task(consumer.run(listener, tasks=3))
            await asyncio.gather(*[producer.send(topic, b"%d" % number) for number in range(10)])
            await asyncio.wait_for(done.wait(), 30)
            await consumer.close()
            await asyncio.wait_for(run, 10)
            assert len(set(seen)) == 10

    asyncio.run(main())


def test_errors_arrive_in_the_future(group: str) -> None:
    async def main() -> None:
        async with kerolox.aio.Producer(name_servers="127.0.0.1:1", group=group) as producer:
            with pytest.raises(kerolox.ConnectError) as caught:
                await producer.send("topic", b"x")
            assert caught.value.name == "NAME_SERVER_UNREACHABLE"
            with pytest.raises(kerolox.UsageError):
                await producer.send("topic", b"")
        with pytest.raises(kerolox.UsageError) as closed:
            await producer.send("topic", b"x")
        assert closed.value.name == "CLOSED"
        await producer.close()
        with pytest.raises(kerolox.UsageError, match="not been started"):
            kerolox.aio.Producer(group=group).send("topic", b"x")
        with pytest.raises(kerolox.UsageError) as unknown:
            await kerolox.aio.Producer(grop="x").start()  # type: ignore[call-arg]
        assert "did you mean group?" in str(unknown.value)

    asyncio.run(main())


def test_every_loop_has_its_own_queue(name_servers: str, topic: str, group: str) -> None:
    async def main() -> None:
        async with kerolox.aio.Producer(name_servers=name_servers, group=group) as producer:
            await producer.send(topic, b"x")

    for _ in range(20):
        asyncio.run(main())
    gc.collect()
    from kerolox import _loop

    assert len(_loop._by_loop) == 1, "closed loops are forgotten"
