# SPDX-License-Identifier: Apache-2.0
"""One queue of results per event loop, settled when its file descriptor is readable."""

from __future__ import annotations

import asyncio

from ._native import Completions

_by_loop: dict[asyncio.AbstractEventLoop, Completions] = {}


def completions() -> Completions:
    """The queue of the running loop."""
    loop = asyncio.get_running_loop()
    known = _by_loop.get(loop)
    if known is None:
        for closed in [known for known in list(_by_loop) if known.is_closed()]:
            _by_loop.pop(closed, None)
        known = Completions(loop)
        loop.add_reader(known.fileno(), known.drain)
        _by_loop[loop] = known
    return known
