# SPDX-License-Identifier: Apache-2.0
"""The keyword arguments of the clients. The tables of the core decide; a test compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

ConsumeFrom = Literal["LAST_OFFSET", "FIRST_OFFSET", "TIMESTAMP"]
MessageModel = Literal["CLUSTERING", "BROADCASTING"]


class ProducerOptions(TypedDict, total=False):
    """Options of a producer."""

    name_servers: str | Sequence[str]
    """Addresses of the name servers, `host:port;host:port` or a list. Default: `NAMESRV_ADDR`."""
    group: str
    """Producer group."""
    send_timeout_ms: int
    """Deadline of a send, its retries included."""
    retry_times: int
    """How often a failed send is repeated, on another broker if there is one."""
    retry_another_broker_when_not_store_ok: bool
    """Repeat also when a message is stored but not flushed or copied in time."""
    compress_over_bytes: int
    """Bodies of this size or more are compressed (zlib)."""
    max_message_bytes: int
    """Largest body that is sent, before compression."""
    default_topic_queues: int
    """Queues asked for when a topic is created by its first message."""
    instance_name: str
    """Part of the client id. Default: unique."""
    client_ip: str
    """Address of this client as shown to others. Default: found out."""


class PushConsumerOptions(TypedDict, total=False):
    """Options of a push consumer."""

    name_servers: str | Sequence[str]
    """Addresses of the name servers, `host:port;host:port` or a list. Default: `NAMESRV_ADDR`."""
    group: str
    """Consumer group; all its members have to subscribe to the same topics."""
    message_model: MessageModel
    """Who gets a message: CLUSTERING (one member) or BROADCASTING (every member)."""
    consume_from: ConsumeFrom
    """Where a new group starts. A stored offset always wins."""
    consume_timestamp: str
    """Where to start with TIMESTAMP: `yyyyMMddHHmmss`, or milliseconds since 1970."""
    pull_batch_size: int
    """Messages asked for in one pull, 1 to 1024."""
    pull_interval_ms: int
    """Pause between two pulls of a queue."""
    pull_threshold_for_queue: int
    """Messages of one queue held here, done or not, before pulling pauses."""
    pull_threshold_bytes_for_queue: int
    """Bytes of one queue held here before pulling pauses."""
    consume_max_span: int
    """Distance between the first and the last message held of one queue before pulling pauses."""
    max_reconsume_times: int
    """Redeliveries before a message goes to the dead letter queue; -1 = the broker's 16."""
    handover_wait_ms: int
    """How long a queue that moves to another member is held until its deliveries are completed."""
    lock_queues: bool
    """Guard queues by locks at the broker while they move between members."""
    close_wait_ms: int
    """How long close waits for deliveries to be completed."""
    persist_interval_ms: int
    """Period of storing the offsets."""
    offset_store_dir: str
    """Directory of the offset files (BROADCASTING). Default: `~/.rocketmq_offsets`."""
    instance_name: str
    """Part of the client id. Default: unique (CLUSTERING), or `DEFAULT` (BROADCASTING)."""
    client_ip: str
    """Address of this client as shown to others. Default: found out."""


class PullConsumerOptions(TypedDict, total=False):
    """Options of a pull consumer."""

    name_servers: str | Sequence[str]
    """Addresses of the name servers, `host:port;host:port` or a list. Default: `NAMESRV_ADDR`."""
    group: str
    """Consumer group, under which offsets are stored."""
    consume_from: ConsumeFrom
    """Where to start in a queue without a stored offset."""
    consume_timestamp: str
    """Where to start with TIMESTAMP: `yyyyMMddHHmmss`, or milliseconds since 1970."""
    pull_batch_size: int
    """Messages asked for in one pull, 1 to 1024."""
    pull_threshold_for_queue: int
    """Messages of one queue read ahead."""
    pull_threshold_bytes_for_queue: int
    """Bytes of one queue read ahead."""
    auto_commit: bool
    """Commit by itself what earlier polls returned: in poll, and in close."""
    auto_commit_interval_ms: int
    """Period of that."""
    instance_name: str
    """Part of the client id. Default: unique."""
    client_ip: str
    """Address of this client as shown to others. Default: found out."""


class AdminOptions(TypedDict, total=False):
    """Options of an administration client."""

    name_servers: str | Sequence[str]
    """Addresses of the name servers, `host:port;host:port` or a list. Default: `NAMESRV_ADDR`."""
    timeout_ms: int
    """Deadline of an operation."""
