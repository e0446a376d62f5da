# SPDX-License-Identifier: Apache-2.0
"""A name server and a broker in the own process, on free ports, for tests.

>>> with Server() as server:
...     producer = kerolox.Producer(name_servers=server.name_servers, group="shop")

With pytest, take the fixture `kerolox_server`: one server for the whole run.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from . import _lifecycle, _native

__all__ = ["Server"]


class Server:
    """A running name server and broker.

    Give it a `data_dir` to keep the data after `stop`, and `broker_settings` under the reference's
    keys: `{"autoCreateTopicEnable": "false"}`.
    """

    def __init__(
        self,
        data_dir: str | PathLike[str] | None = None,
        *,
        namesrv_listen: str = "127.0.0.1:0",
        broker_listen: str = "127.0.0.1:0",
        broker_settings: Mapping[str, str] | None = None,
    ) -> None:
        settings = list((broker_settings or {}).items())
        self._native = _native.Server.start(data_dir, namesrv_listen, broker_listen, settings)
        _lifecycle.running.add(self)

    @property
    def name_servers(self) -> str:
        """What a client's option `name_servers` takes."""
        return self._native.namesrv_addr

    @property
    def namesrv_addr(self) -> str:
        """Address of the name server, `host:port`."""
        return self._native.namesrv_addr

    @property
    def broker_addr(self) -> str:
        """Address of the broker, `host:port`."""
        return self._native.broker_addr

    @property
    def data_dir(self) -> Path:
        """Where the broker keeps its files."""
        return self._native.data_dir

    def stop(self) -> None:
        """Stops both; a temporary data directory goes with them. May be called twice."""
        self._native.stop()
        _lifecycle.running.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
