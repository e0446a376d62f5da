# SPDX-License-Identifier: Apache-2.0
"""Reads a topic again from its beginning, without a group's help, and counts.

python examples/replay.py 127.0.0.1:9876 lines
"""

import argparse

import kerolox


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name_servers")
    parser.add_argument("topic")
    arguments = parser.parse_args()
    with kerolox.PullConsumer(
        name_servers=arguments.name_servers, group="replay", auto_commit=False
    ) as consumer:
        queues = consumer.queues(arguments.topic)
        consumer.assign(queues)
        wanted = 0
        for queue in queues:
            consumer.seek_to_begin(queue)
            wanted += consumer.max_offset(queue) - consumer.min_offset(queue)
        count = size = 0
        while count < wanted:
            for message in consumer.poll(max=1000):
                count += 1
                size += len(message.body)
        print(f"{count} messages, {size} bytes")


if __name__ == "__main__":
    main()
