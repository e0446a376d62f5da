# SPDX-License-Identifier: Apache-2.0
"""Servers, names and clients for the tests.

The servers are embedded ones, or those that KEROLOX_OFFICIAL_NAMESRV names: then the same tests
check the client against the official broker.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator

import pytest

import kerolox

_numbers = itertools.count()
_run = f"{os.getpid()}-{time.time_ns()}"


@pytest.fixture(scope="session")
def name_servers(request: pytest.FixtureRequest) -> str:
    official = os.environ.get("KEROLOX_OFFICIAL_NAMESRV")
    if official:
        return official
    server: str = request.getfixturevalue("kerolox_server").name_servers
    return server


@pytest.fixture(scope="session")
def admin(name_servers: str) -> Iterator[kerolox.Admin]:
    with kerolox.Admin(name_servers=name_servers, timeout_ms=20_000) as admin:
        yield admin


@pytest.fixture
def topic(admin: kerolox.Admin) -> str:
    """A fresh topic with four queues."""
    name = f"python-{_run}-{next(_numbers)}"
    admin.create_topic(name, 4)
    return name


@pytest.fixture
def group() -> str:
    """A fresh group."""
    return f"python-group-{_run}-{next(_numbers)}"


@pytest.fixture
def producer(name_servers: str, group: str) -> Iterator[kerolox.Producer]:
    with kerolox.Producer(name_servers=name_servers, group=group) as producer:
        yield producer


@pytest.fixture
def consume(
    name_servers: str, topic: str, group: str
) -> Iterator[Callable[..., kerolox.PushConsumer]]:
    """Starts push consumers of the test's topic and group, from the first message on."""
    started: list[kerolox.PushConsumer] = []

    def start(expression: str = "*", **options: object) -> kerolox.PushConsumer:
        consumer = kerolox.PushConsumer(
            name_servers=name_servers,
            subscriptions={topic: expression},
            **{"group": group, "consume_from": "FIRST_OFFSET", **options},  # type: ignore[arg-type]
        )
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.close()
