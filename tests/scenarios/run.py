# SPDX-License-Identifier: Apache-2.0
"""The scenarios of this folder through the Python client. README.md says what the commands mean.

Usage: python run.py FILE...    (servers: NAMESRV_ADDR, or an embedded one)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import kerolox
from kerolox.testing import Server

ARRIVAL_S = 30
QUIET_S = 0.3
PLAIN = {"tag": str, "keys": lambda value: value.split(",")}


class Failure(Exception):
    pass


def ensure(condition: object, reason: object) -> None:
    if not condition:
        raise Failure(str(reason))


class World:
    def __init__(self, name_servers: str) -> None:
        self.name_servers = name_servers
        self.suffix = f"-python{os.getpid()}"
        self.admin = kerolox.Admin(name_servers=name_servers)
        self.producer = kerolox.Producer(name_servers=name_servers)
        self.consumers: dict[str, Any] = {}
        self.queues: dict[str, list[kerolox.Queue]] = {}
        self.received: dict[str, list[kerolox.ReceivedMessage]] = {}

    def close(self) -> None:
        for client in [*self.consumers.values(), self.producer, self.admin]:
            client.close()

    def name(self, name: str) -> str:
        return name + self.suffix

    def message(self, topic: str, text: str, fields: dict[str, str]) -> kerolox.Message:
        properties = {k.removeprefix("prop."): v for k, v in fields.items() if k.startswith("prop.")}
        details = {k: PLAIN[k](v) for k, v in fields.items() if not k.startswith("prop.")}
        body = b"" if text == "-" else text.encode()
        return kerolox.Message(self.name(topic), body, properties=properties, **details)

    def run(self, verb: str, words: list[str], fields: dict[str, str]) -> None:
        command = getattr(self, "do_" + verb.replace("-", "_"), None)
        ensure(command, f"unknown command: {verb}")
        command(*words, **({"fields": fields} if fields else {}))

    def do_topic(self, topic: str, queues: str) -> None:
        self.admin.create_topic(self.name(topic), int(queues))

    def do_queues(self, topic: str, count: str) -> None:
        queues = self.producer.queues(self.name(topic))
        ensure(len(queues) == int(count), f"{len(queues)} queues")

    def do_send(self, topic: str, text: str, fields: dict[str, str] | None = None) -> None:
        sent = self.producer.send(self.message(topic, text, fields or {}))
        ensure(sent.status == kerolox.SendStatus.SEND_OK, sent.status)
        ensure(sent.message_id, "no message id")

    def do_send_to(
        self, topic: str, queue_id: str, text: str, fields: dict[str, str] | None = None
    ) -> None:
        queues = [q for q in self.producer.queues(self.name(topic)) if q.queue_id == int(queue_id)]
        ensure(queues, "no such queue")
        sent = self.producer.send_to_queue(self.message(topic, text, fields or {}), queues[0])
        ensure(sent.status == kerolox.SendStatus.SEND_OK, sent.status)
        ensure(sent.queue_id == int(queue_id), f"went to queue {sent.queue_id}")

    def do_send_fails(self, code: str, topic: str, text: str) -> None:
        try:
            sent = self.producer.send(self.message(topic, text, {}))
        except kerolox.KeroloxError as error:
            ensure(error.name == code, repr(error))
        else:
            raise Failure(f"was sent: {sent.message_id}")

    def do_oneway(self, topic: str, text: str, fields: dict[str, str] | None = None) -> None:
        self.producer.send_oneway(self.message(topic, text, fields or {}))

    def do_batch(self, topic: str, *bodies: str, fields: dict[str, str] | None = None) -> None:
        sent = self.producer.send_batch([self.message(topic, b, fields or {}) for b in bodies])
        ensure(sent.status == kerolox.SendStatus.SEND_OK, sent.status)

    def do_push(
        self,
        name: str,
        group: str,
        topic: str,
        expression: str,
        fields: dict[str, str] | None = None,
    ) -> None:
        options: Any = {"consume_from": "FIRST_OFFSET", **(fields or {})}
        options |= {"name_servers": self.name_servers, "group": self.name(group)}
        options |= {"offset_store_dir": os.environ.get("SCENARIO_DIR", "")}
        wanted = {self.name(topic): expression}
        self.consumers[name] = kerolox.PushConsumer(subscriptions=wanted, **options)
        self.received[name] = []

    def do_pull(
        self,
        name: str,
        group: str,
        topic: str,
        expression: str,
        fields: dict[str, str] | None = None,
    ) -> None:
        options: Any = {"consume_from": "FIRST_OFFSET", **(fields or {})}
        options |= {"name_servers": self.name_servers, "group": self.name(group)}
        consumer = self.consumers[name] = kerolox.PullConsumer(**options)
        self.queues[name] = consumer.queues(self.name(topic))
        self.received[name] = []
        consumer.filter(self.name(topic), expression)
        consumer.assign(self.queues[name])

    def do_assigned(self, name: str, count: str) -> None:
        deadline = time.monotonic() + ARRIVAL_S
        while (owned := len(self.consumers[name].assigned())) != int(count):
            ensure(time.monotonic() < deadline, f"owns {owned} queues")
            time.sleep(0.02)

    def poll(self, name: str, timeout: float) -> list[str]:
        consumer = self.consumers[name]
        got = consumer.poll(100, timeout)
        if isinstance(consumer, kerolox.PushConsumer):
            consumer.ack_all(got)
        self.received[name] += got
        return [message.body.decode() for message in got]

    def expect(self, names: list[str], bodies: tuple[str, ...]) -> None:
        got: dict[str, list[str]] = {name: [] for name in names}
        deadline = time.monotonic() + ARRIVAL_S
        while sum(map(len, got.values())) < len(bodies) and time.monotonic() < deadline:
            for name in names:
                got[name] += self.poll(name, 0.1)
        for name in names:
            got[name] += self.poll(name, QUIET_S)
        ensure(len(names) == 1 or all(got.values()), "one of them got nothing")
        arrived = sorted(sum(got.values(), []))
        ensure(arrived == sorted(bodies), f"got {arrived}")

    def do_expect(self, name: str, *bodies: str) -> None:
        self.expect([name], bodies)

    def do_expect_shared(self, left: str, right: str, *bodies: str) -> None:
        self.expect([left, right], bodies)

    def do_later(self, name: str, text: str) -> None:
        deadline = time.monotonic() + ARRIVAL_S
        while not (got := self.consumers[name].poll(1, 0.1)):
            ensure(time.monotonic() < deadline, f"{text} did not arrive")
        ensure(got[0].body.decode() == text, f"got {got[0].body!r}")
        got[0].later()

    def do_message(self, name: str, text: str, fields: dict[str, str] | None = None) -> None:
        found = [m for m in self.received[name] if m.body.decode() == text]
        ensure(found, "did not arrive")
        message = found[-1]
        for field, value in (fields or {}).items():
            if field.startswith("prop."):
                is_: object = message.property(field.removeprefix("prop."))
            elif field == "keys":
                is_ = ",".join(message.keys)
            elif field == "reconsumed":
                is_ = str(message.reconsume_times)
            else:
                is_ = getattr(message, field)
            ensure(is_ == value, f"{field} is {is_}")
        ensure(message.topic.endswith(self.suffix), f"topic is {message.topic}")
        ensure(message.message_id, "no message id")

    def do_commit(self, name: str) -> None:
        self.consumers[name].commit()

    def do_begin(self, name: str) -> None:
        for queue in self.queues[name]:
            self.consumers[name].seek_to_begin(queue)

    def do_end(self, name: str) -> None:
        for queue in self.queues[name]:
            self.consumers[name].seek_to_end(queue)

    def do_close(self, name: str) -> None:
        self.consumers.pop(name).close()


def run(path: Path, name_servers: str) -> str | None:
    """The reason why it failed."""
    world = World(name_servers)
    number = 0
    try:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            verb, *rest = line.split() or ["#"]
            if not verb.startswith("#"):
                fields = dict(word.split("=", 1) for word in rest if "=" in word)
                world.run(verb, [word for word in rest if "=" not in word], fields)
    except (Failure, kerolox.KeroloxError) as error:
        return f"line {number}: {error}"
    finally:
        world.close()
    return None


def main(paths: list[str]) -> int:
    server = None if "NAMESRV_ADDR" in os.environ else Server()
    name_servers = server.name_servers if server else os.environ["NAMESRV_ADDR"]
    failed = 0
    for path in map(Path, paths):
        reason = run(path, name_servers)
        failed += reason is not None
        print(f"not ok {path.name}: {reason}" if reason else f"ok {path.name}", flush=True)
    if server:
        server.stop()
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
