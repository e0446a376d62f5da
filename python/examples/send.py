# SPDX-License-Identifier: Apache-2.0
"""Sends each line of a file, with many sends under way at once.

python examples/send.py 127.0.0.1:9876 lines README.md
"""

import argparse
import asyncio
import time
from pathlib import Path

import kerolox.aio

IN_FLIGHT = 1000


async def send_lines(name_servers: str, topic: str, lines: list[bytes]) -> None:
    async with kerolox.aio.Producer(name_servers=name_servers, group="send-lines") as producer:
        for start in range(0, len(lines), IN_FLIGHT):
            sends = [
                producer.send(topic, line, keys=[str(number)])
                for number, line in enumerate(lines[start : start + IN_FLIGHT], start)
            ]
            await asyncio.gather(*sends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_servers")
    parser.add_argument("topic")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    lines = [line for line in arguments.file.read_bytes().splitlines() if line]
    start = time.perf_counter()
    asyncio.run(send_lines(arguments.name_servers, arguments.topic, lines))
    seconds = time.perf_counter() - start
    print(f"sent {len(lines)} lines in {seconds:.2f} s, {len(lines) / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
