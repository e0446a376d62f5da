# SPDX-License-Identifier: Apache-2.0
"""The blocking producer."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, Unpack, overload

from . import _lifecycle, _native
from ._arguments import Body, MessageDetails, message
from ._native import Message, Queue, SendResult
from ._options import ProducerOptions


class Producer:
    """Sends messages. Threads may share it.

    >>> with Producer(name_servers="127.0.0.1:9876", group="shop") as producer:
    ...     producer.send("orders", b"one teapot", tag="new", keys=["4711"])
    """

    def __init__(self, **options: Unpack[ProducerOptions]) -> None:
        self._native = _native.Producer.start(options)
        _lifecycle.opened(self)

    @overload
    def send(self, message: Message, /) -> SendResult: ...
    @overload
    def send(self, topic: str, body: Body, /, **details: Unpack[MessageDetails]) -> SendResult: ...
    def send(
        self, to: Message | str, body: Body | None = None, /, **details: Unpack[MessageDetails]
    ) -> SendResult:
        """Sends a message to a queue of its topic, and again to another broker if that fails.

        Returns when a broker has stored it; how is in `status`.
        """
        return self._native.send(message(to, body, **details))

    @overload
    def send_oneway(self, message: Message, /) -> None: ...
    @overload
    def send_oneway(self, topic: str, body: Body, /, **details: Unpack[MessageDetails]) -> None: ...
    def send_oneway(
        self, to: Message | str, body: Body | None = None, /, **details: Unpack[MessageDetails]
    ) -> None:
        """Hands a message to the connection. Nobody learns whether it has been stored."""
        self._native.send_oneway(message(to, body, **details))

    def send_to_queue(self, message: Message, queue: Queue) -> SendResult:
        """Sends a message to the given queue, once."""
        return self._native.send_to_queue(message, queue)

    def send_batch(self, messages: Iterable[Message]) -> SendResult:
        """Sends messages of one topic as one request. They are stored side by side, all or none."""
        return self._native.send_batch(list(messages))

    def queues(self, topic: str) -> list[Queue]:
        """The queues that messages of the topic are sent to."""
        return self._native.queues(topic)

    def close(self) -> None:
        """Waits for outstanding sends and ends the producer. May be called twice."""
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
