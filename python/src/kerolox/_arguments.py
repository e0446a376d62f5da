# SPDX-License-Identifier: Apache-2.0
"""What the blocking and the asyncio clients accept in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from ._native import Message

Body = bytes | bytearray | memoryview
Subscriptions = str | Sequence[str] | Mapping[str, str]


class MessageDetails(TypedDict, total=False):
    """What a message has besides topic and body."""

    tag: str | None
    """What consumers filter by."""
    keys: Sequence[str] | None
    """What the message can be found by later."""
    properties: Mapping[str, str] | None
    """Further properties."""
    flag: int
    """A number of the application's own."""
    delay_level: int
    """Delay level 1 to 18; 0 = at once."""


def message(to: Message | str, body: Body | None, **details: Unpack[MessageDetails]) -> Message:
    """The message of `send(message)` or `send(topic, body, tag=...)`."""
    if isinstance(to, str):
        if body is None:
            raise TypeError(
                "a topic needs a body: send(topic, body), or send(Message(topic, body))"
            )
        return Message(to, body, **details)
    if body is not None or details:
        raise TypeError("body, tag, keys and the like belong into the Message, not beside it")
    return to


def subscriptions(wanted: Subscriptions) -> list[tuple[str, str]]:
    """Pairs of topic and expression; a topic alone means all its messages."""
    if isinstance(wanted, str):
        return [(wanted, "*")]
    if isinstance(wanted, Mapping):
        return list(wanted.items())
    return [(topic, "*") for topic in wanted]


def milliseconds(seconds: float) -> int:
    """A time-out for the core; negative ones mean 0."""
    return max(0, round(seconds * 1000))
