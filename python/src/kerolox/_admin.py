# SPDX-License-Identifier: Apache-2.0
"""The blocking administration client."""

from __future__ import annotations

from types import TracebackType
from typing import Self, Unpack

from . import _lifecycle, _native
from ._options import AdminOptions


class Admin:
    """Creates, deletes and lists topics."""

    def __init__(self, **options: Unpack[AdminOptions]) -> None:
        self._native = _native.Admin.start(options)
        _lifecycle.opened(self)

    def create_topic(self, topic: str, queues: int = 4, on: str | None = None) -> None:
        """Creates a topic, or changes it, and waits until it is routed.

        `on` names a broker or a cluster; None means every master that the name server knows.
        """
        self._native.create_topic(topic, queues, on)

    def delete_topic(self, topic: str) -> None:
        """Deletes a topic from every broker and from the name servers."""
        self._native.delete_topic(topic)

    def topics(self) -> list[str]:
        """Names of all topics that the name server knows, sorted."""
        return self._native.topics()

    def close(self) -> None:
        """Ends the client. May be called twice."""
        self._native.close()
        _lifecycle.closed(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
