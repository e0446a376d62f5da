# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: the fixture `kerolox_server`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import Server


@pytest.fixture(scope="session")
def kerolox_server() -> Iterator[Server]:
    """A name server and a broker in this process, for all tests; use topics of your own."""
    from .testing import Server

    with Server() as server:
        yield server
