# SPDX-License-Identifier: Apache-2.0
"""Exceptions: one class per category, and `TimeoutError`, which is also the builtin one.

The attributes `code` and `name` identify the error and never change; the text may.
"""

from __future__ import annotations

import builtins
from typing import Any

__all__ = [
    "AuthError",
    "BrokerError",
    "ConnectError",
    "FlowError",
    "InternalError",
    "KeroloxError",
    "TimeoutError",
    "UsageError",
]


class KeroloxError(Exception):
    """Everything that Kerolox raises on its own account."""

    code: int
    """Stable number, for example 102."""
    name: str
    """Stable name, for example `TIMEOUT`."""
    retryable: bool
    """Whether doing the same again can help."""
    broker_code: int | None
    """The response code that the server gave, if one answered."""
    hint: str
    """What to do next."""
    operation: str
    """What was being done, for example `send`."""
    context: dict[str, str]
    """What it was about: `topic`, `broker`, `address`."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 900,
        name: str = "INTERNAL",
        retryable: bool = False,
        broker_code: int | None = None,
        hint: str = "",
        operation: str = "",
        context: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.name = name
        self.retryable = retryable
        self.broker_code = broker_code
        self.hint = hint
        self.operation = operation
        self.context = context or {}
        if hint:
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        # Travels between processes with its attributes and notes, which live in __dict__.
        return (type(self), self.args, self.__dict__.copy())


class UsageError(KeroloxError):
    """The call itself is wrong: fix the program or its configuration."""


class ConnectError(KeroloxError):
    """A server could not be reached or did not answer in time."""


class TimeoutError(ConnectError, builtins.TimeoutError):
    """No answer came before the deadline; the outcome is unknown."""


class BrokerError(KeroloxError):
    """A server answered that it will not do it."""


class FlowError(KeroloxError):
    """Too much at once: slow down and try again."""


class AuthError(KeroloxError):
    """Credentials are missing or do not suffice."""


class InternalError(KeroloxError):
    """A defect of this library, or an environment that it can not work in."""
