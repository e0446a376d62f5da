# SPDX-License-Identifier: Apache-2.0
"""A member of the demo's group: prints number and checksum of every line it gets, until its standard input ends.

Usage: python consume.py NAME_SERVERS TOPIC GROUP
"""

import sys
import threading
import zlib

from kerolox import PushConsumer


def consume(name_servers: str, topic: str, group: str) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    options = {"name_servers": name_servers, "group": group, "consume_from": "FIRST_OFFSET"}
    known = -1
    with PushConsumer(subscriptions=topic, **options) as consumer:
        while not ended.is_set():
            queues = len(consumer.assigned())
            if queues != known:
                known = queues
                print(f"assigned {known}", flush=True)
            deliveries = consumer.poll(256, timeout=0.1)
            if deliveries:
                lines = (f"{d.property('line')}:{zlib.crc32(d.body):x}" for d in deliveries)
                print("lines", *lines, flush=True)
                consumer.ack_all(deliveries)


if __name__ == "__main__":
    consume(*sys.argv[1:])
