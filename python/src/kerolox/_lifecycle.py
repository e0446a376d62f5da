# SPDX-License-Identifier: Apache-2.0
"""What is still open when the interpreter exits: clients are closed, within two seconds in all,
and then servers are stopped."""

from __future__ import annotations

import atexit
import weakref
from typing import TYPE_CHECKING, Protocol

from . import _native

if TYPE_CHECKING:
    from .testing import Server

_CLOSE_WAIT_MS = 2000

_Handle = _native.Producer | _native.PushConsumer | _native.PullConsumer | _native.Admin


class _Client(Protocol):
    @property
    def _native(self) -> _Handle | None: ...


_open: weakref.WeakSet[_Client] = weakref.WeakSet()
running: weakref.WeakSet[Server] = weakref.WeakSet()


def opened(client: _Client) -> None:
    """Remembers a client that has been started."""
    _open.add(client)


def closed(client: _Client) -> None:
    """Forgets a client that has been closed."""
    _open.discard(client)


@atexit.register
def _close_all() -> None:
    handles = [client._native for client in _open if client._native is not None]
    if handles:
        _native.close_all(handles, _CLOSE_WAIT_MS)
    for server in list(running):
        server.stop()
