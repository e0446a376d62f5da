# SPDX-License-Identifier: Apache-2.0
"""Sends the lines of a file, each with its number, and prints number and checksum of what a broker has stored.

Usage: python send.py NAME_SERVERS TOPIC FILE COUNT
"""

import asyncio
import itertools
import sys
import zlib
from collections.abc import Iterator

from kerolox import Message, SendStatus
from kerolox.aio import Producer

UNDER_WAY = 1000


def messages(topic: str, path: str, count: int) -> Iterator[tuple[int, bytes, Message]]:
    with open(path, "rb") as file:
        for number, line in enumerate(itertools.islice(file, count)):
            yield number, line, Message(topic, line, properties={"line": str(number)})


async def send(name_servers: str, topic: str, path: str, count: int) -> None:
    async with Producer(name_servers=name_servers, group="demo-writers") as producer:
        todo = messages(topic, path, count)
        # One round is on its way while the next one is made ready.
        waiting: list[tuple[int, bytes, asyncio.Future]] = []
        while True:
            batch = [(number, line, producer.send(message)) for number, line, message in itertools.islice(todo, UNDER_WAY)]
            for _, _, future in waiting:
                result = await future
                if result.status != SendStatus.SEND_OK:
                    raise SystemExit(f"a line was stored with {result.status.name}")
            if waiting:
                print("lines", *(f"{number}:{zlib.crc32(line):x}" for number, line, _ in waiting), flush=True)
            if not batch:
                return
            waiting = batch


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
