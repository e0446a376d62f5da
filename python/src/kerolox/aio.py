# SPDX-License-Identifier: Apache-2.0
"""The asyncio clients: the methods of the blocking ones, which answer futures.

The futures need no task of their own: `asyncio.gather(*[producer.send(m) for m in messages])` has
all of them under way at once. Cancelling one cancels its call.

A client belongs to the event loop that it was started on.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar, Unpack, overload

from . import _lifecycle, _native
from ._arguments import Body, MessageDetails, Subscriptions, message, milliseconds
from ._arguments import subscriptions as _pairs
from ._loop import completions
from ._native import Completions, Delivery, Message, Queue, ReceivedMessage, SendResult
from ._options import AdminOptions, ProducerOptions, PullConsumerOptions, PushConsumerOptions
from .errors import UsageError

__all__ = ["Admin", "Producer", "PullConsumer", "PushConsumer"]

_log = logging.getLogger("kerolox")
_LOOP_POLL_S = 60.0

_Native = TypeVar(
    "_Native", _native.Producer, _native.PushConsumer, _native.PullConsumer, _native.Admin
)


class _Client(Generic[_Native]):
    """What all of them have in common: starting, closing, and where results arrive."""

    _native: _Native | None = None
    _into: Completions

    def _start(self) -> Future[_Native]:
        raise NotImplementedError

    async def start(self) -> Self:
        """Starts the client; `async with` does it too."""
        if self._native is None:
            self._into = completions()
            self._native = await self._start()
            _lifecycle.opened(self)
        return self

    async def close(self) -> None:
        """Ends the client, as the blocking one's `close`. May be called twice."""
        if self._native is not None:
            await self._native.close(self._into)
            _lifecycle.closed(self)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _started(self) -> _Native:
        if self._native is None:
            raise UsageError(
                "the client has not been started",
                code=10,
                name="CLOSED",
                hint="use it in `async with`, or await its start() first",
            )
        return self._native


class Producer(_Client[_native.Producer]):
    """Sends messages.

    >>> async with Producer(name_servers="127.0.0.1:9876", group="shop") as producer:
    ...     await producer.send("orders", b"one teapot", tag="new", keys=["4711"])
    """

    def __init__(self, **options: Unpack[ProducerOptions]) -> None:
        self._options = options

    def _start(self) -> Future[_native.Producer]:
        return _native.Producer.start(self._options, self._into)

    @overload
    def send(self, message: Message, /) -> Future[SendResult]: ...
    @overload
    def send(
        self, topic: str, body: Body, /, **details: Unpack[MessageDetails]
    ) -> Future[SendResult]: ...
    def send(
        self, to: Message | str, body: Body | None = None, /, **details: Unpack[MessageDetails]
    ) -> Future[SendResult]:
        """Sends a message to a queue of its topic, and again to another broker if that fails."""
        return self._started().send(message(to, body, **details), self._into)

    @overload
    def send_oneway(self, message: Message, /) -> Future[None]: ...
    @overload
    def send_oneway(
        self, topic: str, body: Body, /, **details: Unpack[MessageDetails]
    ) -> Future[None]: ...
    def send_oneway(
        self, to: Message | str, body: Body | None = None, /, **details: Unpack[MessageDetails]
    ) -> Future[None]:
        """Hands a message to the connection. Nobody learns whether it has been stored."""
        return self._started().send_oneway(message(to, body, **details), self._into)

    def send_to_queue(self, message: Message, queue: Queue) -> Future[SendResult]:
        """Sends a message to the given queue, once."""
        return self._started().send_to_queue(message, queue, self._into)

    def send_batch(self, messages: Iterable[Message]) -> Future[SendResult]:
        """Sends messages of one topic as one request. They are stored side by side, all or none."""
        return self._started().send_batch(list(messages), self._into)

    def queues(self, topic: str) -> Future[list[Queue]]:
        """The queues that messages of the topic are sent to."""
        return self._started().queues(topic, self._into)


class PushConsumer(_Client[_native.PushConsumer]):
    """Receives the messages of its share of the group's queues.

    >>> async with PushConsumer(group="audit", subscriptions={"orders": "*"}) as consumer:
    ...     async for delivery in consumer:
    ...         print(delivery.body)

    The loop acknowledges each delivery when its body is done with it. A body that raises, or is
    cancelled, gets the message again later, in the group: broadcasting has no redelivery.
    """

    def __init__(
        self, *, subscriptions: Subscriptions, **options: Unpack[PushConsumerOptions]
    ) -> None:
        self._options = options
        self._subscriptions = _pairs(subscriptions)

    def _start(self) -> Future[_native.PushConsumer]:
        return _native.PushConsumer.start(self._options, self._subscriptions, self._into)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self.deliveries()

    def deliveries(self, idle: float | None = None) -> AsyncIterator[Delivery]:
        """Deliveries until the consumer is closed, or until none has come for `idle` seconds.

        Asking for the next one acknowledges the one before, unless `ack` or `later` has been called
        on it. Leaving the loop by `break` or `return` acknowledges too, leaving it by an exception
        means `later`.
        """
        return _Deliveries(self, self._started(), idle)

    def poll(self, max: int = 32, timeout: float = 1.0) -> Future[list[Delivery]]:
        """Takes up to `max` messages; waits up to `timeout` seconds for the first.

        Call `ack` or `later` once on each.
        """
        return self._started().poll(max, milliseconds(timeout), self._into)

    def ack_all(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledges many deliveries at once."""
        verdicts = [(delivery.id, True) for delivery in deliveries]
        self._started().complete_batch(verdicts)

    async def run(self, listener: Callable[[Delivery], Awaitable[object]], tasks: int = 1) -> None:
        """Awaits `listener` for each delivery, in `tasks` tasks, until the consumer is closed.

        A listener that returns acknowledges. One that raises is logged, and the message comes again
        later.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(self._listen(listener))

    async def _listen(self, listener: Callable[[Delivery], Awaitable[object]]) -> None:
        async for delivery in self:
            try:
                await listener(delivery)
            except Exception:
                _log.exception("listener failed, the message comes again later: %r", delivery)
                if not delivery.completed:
                    delivery.later()

    def assigned(self) -> list[Queue]:
        """The queues that this member has now."""
        return self._started().assigned()


class _Deliveries:
    """The loop of `async for`; the native object acknowledges, here is only the waiting."""

    __slots__ = ("_consumer", "_held", "_idle")

    def __init__(
        self, consumer: PushConsumer, native: _native.PushConsumer, idle: float | None
    ) -> None:
        self._consumer = consumer
        self._held = _native.Deliveries(native)
        self._idle = idle

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        self._held.hold()
        left = self._idle
        while left is None or left > 0:
            wait = _LOOP_POLL_S if left is None else min(left, _LOOP_POLL_S)
            try:
                deliveries = await self._consumer.poll(1, wait)
            except UsageError as error:
                if error.name == "CLOSED":
                    break
                raise
            if deliveries:
                self._held.hold(deliveries[0])
                return deliveries[0]
            if left is not None:
                left -= wait
        raise StopAsyncIteration


class PullConsumer(_Client[_native.PullConsumer]):
    """Reads queues of the application's choice, at offsets of its choice."""

    def __init__(self, **options: Unpack[PullConsumerOptions]) -> None:
        self._options = options

    def _start(self) -> Future[_native.PullConsumer]:
        return _native.PullConsumer.start(self._options, self._into)

    def queues(self, topic: str) -> Future[list[Queue]]:
        """The queues of a topic."""
        return self._started().queues(topic, self._into)

    def assign(self, queues: Iterable[Queue]) -> None:
        """Reads exactly these queues from now on; queues that stay keep their position."""
        self._started().assign(list(queues))

    def filter(self, topic: str, expression: str) -> None:
        """Filters a topic by tags, `*` or `a || b`. Call it before `assign`."""
        self._started().filter(topic, expression)

    def seek(self, queue: Queue, offset: int) -> Future[None]:
        """Continues a queue at this offset."""
        return self._started().seek(queue, offset, self._into)

    def seek_to_begin(self, queue: Queue) -> Future[None]:
        """Continues a queue at its first message."""
        return self._started().seek_to_begin(queue, self._into)

    def seek_to_end(self, queue: Queue) -> Future[None]:
        """Continues a queue at its end."""
        return self._started().seek_to_end(queue, self._into)

    def poll(self, max: int = 32, timeout: float = 1.0) -> Future[list[ReceivedMessage]]:
        """Takes up to `max` messages; waits up to `timeout` seconds for the first."""
        return self._started().poll(max, milliseconds(timeout), self._into)

    def commit(self) -> Future[None]:
        """Stores the position behind what has been polled."""
        return self._started().commit(self._into)

    def committed(self, queue: Queue) -> Future[int | None]:
        """The stored position of a queue, if there is one."""
        return self._started().committed(queue, self._into)

    def min_offset(self, queue: Queue) -> Future[int]:
        """Offset of the first message of a queue."""
        return self._started().min_offset(queue, self._into)

    def max_offset(self, queue: Queue) -> Future[int]:
        """Offset that the next message of a queue will get."""
        return self._started().max_offset(queue, self._into)

    def offset_by_time(self, queue: Queue, timestamp_ms: int) -> Future[int]:
        """Offset of the first message stored at or after a time, in milliseconds since 1970."""
        return self._started().offset_by_time(queue, timestamp_ms, self._into)


class Admin(_Client[_native.Admin]):
    """Creates, deletes and lists topics."""

    def __init__(self, **options: Unpack[AdminOptions]) -> None:
        self._options = options

    def _start(self) -> Future[_native.Admin]:
        return _native.Admin.start(self._options, self._into)

    def create_topic(self, topic: str, queues: int = 4, on: str | None = None) -> Future[None]:
        """Creates a topic, or changes it, and waits until it is routed.

        `on` names a broker or a cluster; None means every master that the name server knows.
        """
        return self._started().create_topic(topic, queues, on, self._into)

    def delete_topic(self, topic: str) -> Future[None]:
        """Deletes a topic from every broker and from the name servers."""
        return self._started().delete_topic(topic, self._into)

    def topics(self) -> Future[list[str]]:
        """Names of all topics that the name server knows, sorted."""
        return self._started().topics(self._into)
