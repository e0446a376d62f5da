# SPDX-License-Identifier: Apache-2.0
"""The blocking consumers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, Unpack

from . import _lifecycle, _native
from ._arguments import Subscriptions, milliseconds
from ._arguments import subscriptions as _pairs
from ._native import Delivery, Queue, ReceivedMessage
from ._options import PullConsumerOptions, PushConsumerOptions

_log = logging.getLogger("kerolox")


class PushConsumer:
    """Receives the messages of its share of the group's queues.

    >>> with PushConsumer(group="audit", subscriptions={"orders": "new || paid"}) as consumer:
    ...     for delivery in consumer:
    ...         print(delivery.body)

    The loop acknowledges each delivery when its body is done with it. A body that raises gets the
    message again later, in the group: broadcasting has no redelivery.
    """

    def __init__(
        self, *, subscriptions: Subscriptions, **options: Unpack[PushConsumerOptions]
    ) -> None:
        self._native = _native.PushConsumer.start(options, _pairs(subscriptions))
        _lifecycle.opened(self)

    def __iter__(self) -> Iterator[Delivery]:
        return self.deliveries()

    def deliveries(self, idle: float | None = None) -> Iterator[Delivery]:
        """Deliveries until the consumer is closed, or until none has come for `idle` seconds.

        Asking for the next one acknowledges the one before, unless `ack` or `later` has been called
        on it. Leaving the loop by `break` or `return` acknowledges too, leaving it by an exception
        means `later`.
        """
        return _native.Deliveries(self._native, None if idle is None else milliseconds(idle))

    def poll(self, max: int = 32, timeout: float = 1.0) -> list[Delivery]:
        """Takes up to `max` messages; waits up to `timeout` seconds for the first.

        Call `ack` or `later` once on each.
        """
        return self._native.poll(max, milliseconds(timeout))

    def ack_all(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledges many deliveries at once."""
        self._native.complete_batch([(delivery.id, True) for delivery in deliveries])

    def run(self, listener: Callable[[Delivery], object], threads: int = 1) -> None:
        """Calls `listener` for each delivery, on `threads` threads, until the consumer is closed.

        A listener that returns acknowledges. One that raises is logged, and the message comes again
        later. `close` waits for deliveries at work: a listener that calls it acknowledges its own
        delivery before.
        """
        workers = [
            threading.Thread(target=self._listen, args=(listener,), name=f"kerolox-run-{number}")
            for number in range(1, threads)
        ]
        for worker in workers:
            worker.start()
        try:
            self._listen(listener)
        finally:
            if workers:
                self.close()
            for worker in workers:
                worker.join()

    def _listen(self, listener: Callable[[Delivery], object]) -> None:
        for delivery in self:
            try:
                listener(delivery)
            except Exception:
                _log.exception("listener failed, the message comes again later: %r", delivery)
                if not delivery.completed:
                    delivery.later()

    def assigned(self) -> list[Queue]:
        """The queues that this member has now."""
        return self._native.assigned()

    def close(self) -> None:
        """Leaves the group, after deliveries at work have been completed. May be called twice."""
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


class PullConsumer:
    """Reads queues of the application's choice, at offsets of its choice.

    >>> with PullConsumer(group="replay", auto_commit=False) as consumer:
    ...     queues = consumer.queues("orders")
    ...     consumer.assign(queues)
    ...     for queue in queues:
    ...         consumer.seek_to_begin(queue)
    ...     messages = consumer.poll(max=1000)
    """

    def __init__(self, **options: Unpack[PullConsumerOptions]) -> None:
        self._native = _native.PullConsumer.start(options)
        _lifecycle.opened(self)

    def queues(self, topic: str) -> list[Queue]:
        """The queues of a topic."""
        return self._native.queues(topic)

    def assign(self, queues: Iterable[Queue]) -> None:
        """Reads exactly these queues from now on; queues that stay keep their position."""
        self._native.assign(list(queues))

    def filter(self, topic: str, expression: str) -> None:
        """Filters a topic by tags, `*` or `a || b`. Call it before `assign`."""
        self._native.filter(topic, expression)

    def seek(self, queue: Queue, offset: int) -> None:
        """Continues a queue at this offset."""
        self._native.seek(queue, offset)

    def seek_to_begin(self, queue: Queue) -> None:
        """Continues a queue at its first message."""
        self._native.seek_to_begin(queue)

    def seek_to_end(self, queue: Queue) -> None:
        """Continues a queue at its end."""
        self._native.seek_to_end(queue)

    def poll(self, max: int = 32, timeout: float = 1.0) -> list[ReceivedMessage]:
        """Takes up to `max` messages; waits up to `timeout` seconds for the first."""
        return self._native.poll(max, milliseconds(timeout))

    def commit(self) -> None:
        """Stores the position behind what has been polled."""
        self._native.commit()

    def committed(self, queue: Queue) -> int | None:
        """The stored position of a queue, if there is one."""
        return self._native.committed(queue)

    def min_offset(self, queue: Queue) -> int:
        """Offset of the first message of a queue."""
        return self._native.min_offset(queue)

    def max_offset(self, queue: Queue) -> int:
        """Offset that the next message of a queue will get."""
        return self._native.max_offset(queue)

    def offset_by_time(self, queue: Queue, timestamp_ms: int) -> int:
        """Offset of the first message stored at or after a time, in milliseconds since 1970."""
        return self._native.offset_by_time(queue, timestamp_ms)

    def close(self) -> None:
        """Ends the consumer; commits first if `auto_commit` is on. May be called twice."""
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
