# SPDX-License-Identifier: Apache-2.0
"""Kerolox: a client for Apache RocketMQ.

Blocking clients are here, asyncio ones in `kerolox.aio`, errors in `kerolox.errors`, and a name
server with a broker for tests in `kerolox.testing`.
"""

from . import errors
from ._admin import Admin
from ._consumer import PullConsumer, PushConsumer
from ._native import (
    Delivery,
    Message,
    Queue,
    ReceivedMessage,
    SendResult,
    SendStatus,
    __version__,
)
from ._producer import Producer
from .errors import (
    AuthError,
    BrokerError,
    ConnectError,
    FlowError,
    InternalError,
    KeroloxError,
    TimeoutError,
    UsageError,
)

__all__ = [
    "Admin",
    "AuthError",
    "BrokerError",
    "ConnectError",
    "Delivery",
    "FlowError",
    "InternalError",
    "KeroloxError",
    "Message",
    "Producer",
    "PullConsumer",
    "PushConsumer",
    "Queue",
    "ReceivedMessage",
    "SendResult",
    "SendStatus",
    "TimeoutError",
    "UsageError",
    "__version__",
    "errors",
]
