# SPDX-License-Identifier: Apache-2.0
"""Signals, forks and the end of the interpreter."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from harness import script

unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork are of Unix")


@unix
def test_an_interrupt_ends_a_blocking_poll(name_servers: str, topic: str, group: str) -> None:
    child = script(
        """
        import sys, kerolox
        servers, topic, group = sys.argv[1:]
        consumer = kerolox.PushConsumer(name_servers=servers, group=group, subscriptions=topic)
        try:
            print("ready", flush=True)
            consumer.poll(timeout=60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        consumer.close()
        """,
        name_servers,
        topic,
        group,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    start = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - start < 2
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")


@unix
def test_a_fork_leaves_the_parent_alone(name_servers: str, topic: str, group: str) -> None:
    child = script(
        """
        import multiprocessing, os, sys, warnings
        import kerolox
        warnings.simplefilter("ignore", DeprecationWarning)
        servers, topic, group = sys.argv[1:]
        producer = kerolox.Producer(name_servers=servers, group=group)
        consumer = kerolox.PushConsumer(name_servers=servers, group=group, subscriptions=topic)
        producer.send(topic, b"parent")

        def stale_and_fresh(number):
            for call in (lambda: producer.send(topic, b"stale"), lambda: consumer.poll()):
                try:
                    call()
                    return "no error"
                except kerolox.UsageError as error:
                    if error.name != "FORKED":
                        return error.name
            producer.close()
            consumer.close()
            with kerolox.Producer(name_servers=servers, group=group) as fresh:
                return fresh.send(topic, b"child").status.name

        child = os.fork()
        if child == 0:
            sys.exit(0 if stale_and_fresh(0) == "SEND_OK" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert set(pool.map(stale_and_fresh, range(4))) == {"SEND_OK"}
        print(producer.send(topic, b"parent again").status.name)
        """,
        name_servers,
        topic,
        group,
    )
    output, errors = child.communicate(timeout=60)
    assert (child.returncode, output, errors) == (0, "SEND_OK\n", "")


def test_the_interpreter_ends_with_calls_outstanding(
    name_servers: str, topic: str, group: str
) -> None:
    child = script(
        """
        import asyncio, sys, threading
        import kerolox, kerolox.aio
        servers, topic, group = sys.argv[1:]
        blocked = kerolox.PullConsumer(name_servers=servers, group=group)
        blocked.assign(blocked.queues(topic))

        def poll():
            try:
                blocked.poll(1, 600.0)
            except kerolox.UsageError as error:
                assert error.name == "CLOSED"

        threading.Thread(target=poll, daemon=True).start()
        kept = []

        async def main():
            producer = await kerolox.aio.Producer(name_servers=servers, group=group).start()
            consumer = await kerolox.aio.PushConsumer(
                name_servers=servers, group=group + "-push", subscriptions=topic
            ).start()
            kept.extend(producer.send(topic, b"%d" % n) for n in range(200))
            kept.extend(consumer.poll(1, 600.0) for _ in range(200))
            kept.extend([producer, consumer])

        asyncio.run(main())
        print("end", flush=True)
        """,
        name_servers,
        topic,
        group,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "end\n"
    start = time.monotonic()
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert time.monotonic() - start < 5


def test_open_clients_are_closed_within_two_seconds(
    name_servers: str, topic: str, group: str
) -> None:
    child = script(
        """
        import sys, time, kerolox
        servers, topic, group = sys.argv[1:]
        producer = kerolox.Producer(name_servers=servers, group=group)
        producer.send(topic, b"x")
        consumer = kerolox.PushConsumer(
            name_servers=servers, group=group, subscriptions=topic,
            consume_from="FIRST_OFFSET", close_wait_ms=60_000,
        )
        kept = consumer.poll(timeout=30)
        assert len(kept) == 1
        print("end", flush=True)
        """,
        name_servers,
        topic,
        group,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "end\n"
    start = time.monotonic()
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert time.monotonic() - start < 4
