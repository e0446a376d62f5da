# SPDX-License-Identifier: Apache-2.0
"""Prints what arrives, until nothing has come for some seconds.

python examples/receive.py 127.0.0.1:9876 lines --idle 5
"""

import argparse

import kerolox


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_servers")
    parser.add_argument("topic")
    parser.add_argument("--group", default="receive-lines")
    parser.add_argument("--tags", default="*", help="for example: 'a || b'")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds")
    arguments = parser.parse_args()
    with kerolox.PushConsumer(
        name_servers=arguments.name_servers,
        group=arguments.group,
        subscriptions={arguments.topic: arguments.tags},
        consume_from="FIRST_OFFSET",
    ) as consumer:
        for delivery in consumer.deliveries(idle=arguments.idle):
            print(f"{delivery.queue_id}:{delivery.queue_offset}\t{delivery.body.decode()}")


if __name__ == "__main__":
    main()
