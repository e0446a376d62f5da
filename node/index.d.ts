// SPDX-License-Identifier: Apache-2.0
/// <reference types="node" />

/** Version of this library. */
export const version: string

/** A message to send. */
export interface Message {
  /** Where to: 1 to 127 characters out of `A-Z a-z 0-9 _ - % |`. */
  topic: string
  /** The payload, at least one byte; a string is sent as UTF-8. Copied before the call returns. */
  body: Uint8Array | string
  /** What consumers filter by. */
  tag?: string | null
  /** What the message can be found by later. */
  keys?: string | readonly string[] | null
  /** Further properties; names that the protocol reserves are refused. */
  properties?: Readonly<Record<string, string>> | null
  /** 1 to 18 (`1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h`); 0 = at once. */
  delayLevel?: number | null
  /** A number of the application's own, carried as it is. */
  flag?: number | null
}

/** One queue of a topic on one broker. */
export interface Queue {
  topic: string
  brokerName: string
  /** Its number on that broker, from 0. */
  queueId: number
}

/** How a broker stored a message. All four mean that it is stored. */
export type SendStatus = 'SEND_OK' | 'FLUSH_DISK_TIMEOUT' | 'FLUSH_SLAVE_TIMEOUT' | 'SLAVE_NOT_AVAILABLE'

/** What became of a message that was sent. */
export interface SendResult {
  status: SendStatus
  /** The unique id that the client gave it; of a batch, the ids joined by commas. */
  messageId: string
  /** The id that names its place in the broker's log; of a batch, the ids joined by commas. */
  offsetMessageId: string
  topic: string
  /** The broker that stored it. */
  brokerName: string
  queueId: number
  /** Its offset in the queue; of a batch, the first one's. */
  queueOffset: number
  transactionId?: string
  /** The broker's region. */
  region?: string
}

/** A message that was received. */
export interface ReceivedMessage {
  /** Its topic; of a redelivered message, the original one. */
  topic: string
  /** The payload, decompressed; a copy of its own. */
  body: Buffer
  tag: string | undefined
  keys: string[]
  /** All properties, the protocol's own included. */
  properties: Record<string, string>
  /** The unique id that the sender gave it, else its offset id. */
  messageId: string
  /** The id that names its place in the broker's log. */
  offsetMessageId: string
  brokerName: string
  queueId: number
  queueOffset: number
  /** How often it has been redelivered to the group. */
  reconsumeTimes: number
  /** When the sender made it, in milliseconds since 1970. */
  bornTimestampMs: number
  /** When the broker stored it, in milliseconds since 1970. */
  storeTimestampMs: number
  /** Address of the sender. */
  bornHost: string
  /** Address of the broker. */
  storeHost: string
  /** The number that the sender's application set. */
  flag: number
  /** Its place in the broker's log. */
  physicalOffset: number
}

/** `success`: dealt with. `later`: the group gets it again after a while. */
export type Verdict = 'success' | 'later'

/** A received message that has to be completed once. It has the fields of its message. */
export interface Delivery extends Readonly<ReceivedMessage> {}
export class Delivery {
  private constructor()
  /** Number of this delivery, for `complete` and `completeBatch`. */
  readonly id: number
  /** The message as a plain object. */
  readonly message: ReceivedMessage
  /** Whether it has been completed. */
  readonly completed: boolean
  /** It has been dealt with. */
  ack(): void
  /** Deliver it again, to any member of the group. */
  later(): void
  toJSON(): { id: number } & ReceivedMessage
}

/** Options of a producer. */
export interface ProducerOptions {
  /** Addresses of the name servers, `host:port;host:port` or an array. Default: environment variable `NAMESRV_ADDR`. */
  nameServers?: string | readonly string[]
  /** Producer group. Default: `kerolox-producer`. */
  group?: string
  /** Deadline of a send, its retries included. Default: 3000. */
  sendTimeoutMs?: number
  /** How often a failed send is repeated, on another broker if there is one. Default: 2. */
  retryTimes?: number
  /** Repeat also when a message is stored but not flushed or copied in time. It is then stored twice. Default: false. */
  retryAnotherBrokerWhenNotStoreOk?: boolean
  /** Bodies of this size or more are compressed (zlib). Default: 4096. */
  compressOverBytes?: number
  /** Largest body that is sent, before compression. Default: 4194304. */
  maxMessageBytes?: number
  /** Queues asked for when a topic is created by its first message. Default: 4. */
  defaultTopicQueues?: number
  /** Part of the client id. Default: unique. */
  instanceName?: string
  /** Address of this client as shown to others. Default: found out. */
  clientIp?: string
}

/** Who gets a message: one member of the group, or every member. */
export type MessageModel = 'CLUSTERING' | 'BROADCASTING'

/** Where a group starts in a queue that it has no stored offset for. */
export type ConsumeFrom = 'LAST_OFFSET' | 'FIRST_OFFSET' | 'TIMESTAMP'

/** Options of a push consumer. */
export interface PushConsumerOptions {
  /** Topics and the tags wanted of each: `{ orders: 'created || paid', payments: '*' }`. */
  subscriptions: Readonly<Record<string, string>>
  /** Addresses of the name servers, `host:port;host:port` or an array. Default: environment variable `NAMESRV_ADDR`. */
  nameServers?: string | readonly string[]
  /** Consumer group; all its members have to subscribe to the same topics. */
  group: string
  /** Who gets a message. Default: `CLUSTERING`. */
  messageModel?: MessageModel
  /** Where a new group starts; a stored offset always wins. Default: `LAST_OFFSET`. */
  consumeFrom?: ConsumeFrom
  /** Where to start with `TIMESTAMP`: local time as `yyyyMMddHHmmss`, or milliseconds since 1970. Default: half an hour ago. */
  consumeTimestamp?: string | number
  /** Messages asked for in one pull, 1 to 1024. Default: 32. */
  pullBatchSize?: number
  /** Pause between two pulls of a queue. Default: 0. */
  pullIntervalMs?: number
  /** Messages of one queue held here, done or not, before pulling pauses. Default: 1000. */
  pullThresholdForQueue?: number
  /** Bytes of one queue held here before pulling pauses. Default: 100 MiB. */
  pullThresholdBytesForQueue?: number
  /** Distance between the first and the last message held of one queue before pulling pauses. Default: 2000. */
  consumeMaxSpan?: number
  /** Redeliveries before a message goes to the dead letter queue; -1 = the broker's 16. Default: -1. */
  maxReconsumeTimes?: number
  /** How long a queue that moves to another member is held until its deliveries are completed. Default: 3000. */
  handoverWaitMs?: number
  /** Guard queues that move between members by locks at the broker. Default: true. */
  lockQueues?: boolean
  /** How long `close` waits for deliveries to be completed. Default: 3000. */
  closeWaitMs?: number
  /** Period of storing the offsets. Default: 5000. */
  persistIntervalMs?: number
  /** Directory of the offset files (`BROADCASTING`). Default: `~/.rocketmq_offsets`. */
  offsetStoreDir?: string
  /** Part of the client id. Default: unique (`CLUSTERING`), or `DEFAULT` (`BROADCASTING`). */
  instanceName?: string
  /** Address of this client as shown to others. Default: found out. */
  clientIp?: string
}

/** Options of a pull consumer. */
export interface PullConsumerOptions {
  /** Addresses of the name servers, `host:port;host:port` or an array. Default: environment variable `NAMESRV_ADDR`. */
  nameServers?: string | readonly string[]
  /** Consumer group, under which offsets are stored. */
  group: string
  /** Where to start in a queue without a stored offset. Default: `LAST_OFFSET`. */
  consumeFrom?: ConsumeFrom
  /** Where to start with `TIMESTAMP`: local time as `yyyyMMddHHmmss`, or milliseconds since 1970. Default: half an hour ago. */
  consumeTimestamp?: string | number
  /** Messages asked for in one pull, 1 to 1024. Default: 32. */
  pullBatchSize?: number
  /** Messages of one queue read ahead. Default: 1000. */
  pullThresholdForQueue?: number
  /** Bytes of one queue read ahead. Default: 100 MiB. */
  pullThresholdBytesForQueue?: number
  /** Commit by itself what earlier polls returned: in `poll`, and in `close`. Default: true. */
  autoCommit?: boolean
  /** Period of that. Default: 5000. */
  autoCommitIntervalMs?: number
  /** Part of the client id. Default: unique. */
  instanceName?: string
  /** Address of this client as shown to others. Default: found out. */
  clientIp?: string
}

/** Options of an administration client. */
export interface AdminOptions {
  /** Addresses of the name servers, `host:port;host:port` or an array. Default: environment variable `NAMESRV_ADDR`. */
  nameServers?: string | readonly string[]
  /** Deadline of an operation. Default: 5000. */
  timeoutMs?: number
}

/** Sends messages. */
export class Producer {
  private constructor()
  static start(options: ProducerOptions): Promise<Producer>
  /** Sends a message to a queue of its topic, and again to another broker if that fails. */
  send(message: Message): Promise<SendResult>
  /** Sends a message to the given queue, once. */
  sendToQueue(message: Message, queue: Queue): Promise<SendResult>
  /** Sends a message without waiting for an answer; done when it is handed to the connection. */
  sendOneway(message: Message): Promise<void>
  /** Sends messages of one topic as one request. They are stored next to each other, all or none. */
  sendBatch(messages: readonly Message[]): Promise<SendResult>
  /** The queues that messages of the topic are sent to. */
  queues(topic: string): Promise<Queue[]>
  /** Ends the producer; sends that are outstanding are waited for. May be called twice. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** How `PushConsumer.run` works. */
export interface RunOptions {
  /** Listeners at work at once. Default: 20. */
  concurrency?: number
  /** Called when a listener has failed; its message comes again. Default: a process warning. */
  onError?: (error: unknown, delivery: Delivery) => void
}

/**
 * Receives the messages of its share of the group's queues. An open one keeps the process alive until `close`.
 *
 * Take messages by `for await`, by `run` or by `poll`.
 */
export class PushConsumer implements AsyncIterable<Delivery> {
  private constructor()
  static start(options: PushConsumerOptions): Promise<PushConsumer>
  /** Takes up to `max` (32) deliveries; waits up to `waitMs` (1000) for the first. Empty when none came in time. */
  poll(max?: number, waitMs?: number): Promise<Delivery[]>
  /** Says what became of a delivery. Throws `UNKNOWN_DELIVERY` when it has been completed before. */
  complete(delivery: Delivery | number, verdict?: Verdict): void
  /** Completes many deliveries at once. */
  completeBatch(verdicts: readonly (readonly [delivery: Delivery | number, verdict?: Verdict])[]): void
  /** The queues that this member has now. */
  assigned(): Queue[]
  /**
   * Hands every message to `listener` until the consumer is closed. A message is done when the listener has returned;
   * when it throws, the message comes again.
   */
  run(listener: (delivery: Delivery) => unknown, options?: RunOptions): Promise<void>
  /**
   * One delivery at a time, until the consumer is closed. Each is acknowledged when the next one is asked for, unless it
   * has been completed. Leaving the loop by `break`, `return` or an exception gives the current one back (`later`), unless
   * it has been completed: call `delivery.ack()` before a `break`.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Delivery, void, undefined>
  /**
   * Leaves the group: waits for outstanding deliveries for a while, stores the offsets, then lets the queues go.
   * May be called twice.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Reads queues of the application's choice, at offsets of its choice. */
export class PullConsumer {
  private constructor()
  /** Starts a consumer; it reads nothing until queues are assigned. */
  static start(options: PullConsumerOptions): Promise<PullConsumer>
  /** The queues of a topic. */
  queues(topic: string): Promise<Queue[]>
  /** Reads exactly these queues from now on; queues that stay keep their position. */
  assign(queues: readonly Queue[]): void
  /** Filters a topic by tags, `*` or `a || b`; call it before `assign`. */
  filter(topic: string, expression: string): void
  /** Continues a queue at this offset; what was read ahead is thrown away. */
  seek(queue: Queue, offset: number): Promise<void>
  /** Continues a queue at its first message. */
  seekToBegin(queue: Queue): Promise<void>
  /** Continues a queue at its end. */
  seekToEnd(queue: Queue): Promise<void>
  /** Takes up to `max` (32) messages; waits up to `waitMs` (1000) for the first. Empty when none came in time. */
  poll(max?: number, waitMs?: number): Promise<ReceivedMessage[]>
  /** Stores the position behind what has been polled, and waits until the brokers have it. */
  commit(): Promise<void>
  /** The stored position of a queue, if there is one. */
  committed(queue: Queue): Promise<number | undefined>
  /** Offset of the first message of a queue. */
  minOffset(queue: Queue): Promise<number>
  /** Offset that the next message of a queue will get. */
  maxOffset(queue: Queue): Promise<number>
  /** Offset of the first message stored at or after a time, in milliseconds since 1970. */
  offsetByTime(queue: Queue, timestampMs: number): Promise<number>
  /** Ends the consumer; commits first if `autoCommit` is on. May be called twice. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Creates, deletes and lists topics. */
export class Admin {
  private constructor()
  static start(options: AdminOptions): Promise<Admin>
  /**
   * Creates a topic of `queues` (8) queues, or changes it, and waits until it is routed. `on` names a broker or a
   * cluster; absent: every master that the name server knows.
   */
  createTopic(topic: string, queues?: number, on?: string | null): Promise<void>
  /** Deletes a topic from every broker and from the name servers. */
  deleteTopic(topic: string): Promise<void>
  /** Names of all topics that the name server knows, sorted. */
  topics(): Promise<string[]>
  /** Ends the client. May be called twice. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Names of the error codes. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_OPTION'
  | 'UNKNOWN_OPTION'
  | 'INVALID_TOPIC'
  | 'INVALID_GROUP'
  | 'MESSAGE_TOO_LARGE'
  | 'EMPTY_BODY'
  | 'INVALID_MESSAGE'
  | 'INVALID_BATCH'
  | 'CLOSED'
  | 'QUEUE_NOT_ASSIGNED'
  | 'DUPLICATE_GROUP'
  | 'UNKNOWN_DELIVERY'
  | 'INVALID_SUBSCRIPTION'
  | 'FORKED'
  | 'WOULD_DEADLOCK'
  | 'CANCELLED'
  | 'INVALID_QUEUE'
  | 'CONNECT_FAILED'
  | 'CONNECTION_LOST'
  | 'TIMEOUT'
  | 'NO_NAME_SERVER'
  | 'NAME_SERVER_UNREACHABLE'
  | 'NO_ROUTE'
  | 'BROKER_NOT_FOUND'
  | 'PROTOCOL'
  | 'BROKER_ERROR'
  | 'SYSTEM_ERROR'
  | 'REQUEST_NOT_SUPPORTED'
  | 'SERVICE_NOT_AVAILABLE'
  | 'NO_PERMISSION'
  | 'TOPIC_NOT_EXIST'
  | 'MESSAGE_ILLEGAL'
  | 'SUBSCRIPTION_NOT_EXIST'
  | 'SUBSCRIPTION_NOT_LATEST'
  | 'GROUP_NOT_EXIST'
  | 'INVALID_PARAMETER'
  | 'NOT_FOUND'
  | 'SUBSCRIPTION_PARSE_FAILED'
  | 'GO_AWAY'
  | 'BROKER_BUSY'
  | 'TOO_MANY_REQUESTS'
  | 'UNAUTHORIZED'
  | 'INTERNAL'
  | 'PANIC'
  | 'IO'
  | 'RUNTIME'

/** What every operation rejects with. */
export class KeroloxError extends Error {
  /** What went wrong. */
  code: ErrorCode
  /** Stable number of the code. */
  number: number
  /** Whether doing the same again can help. */
  retryable: boolean
  /** Where: not at all, after a pause, or at once on another broker. */
  retry: 'no' | 'again' | 'other-broker'
  /** The operation that failed. */
  operation: string
  /** What to do next. */
  hint: string
  /** The response code that the server gave, if one answered. */
  brokerCode: number | undefined
  /** What it was about: topic, broker, address. */
  context: Record<string, string>
}
/** The call itself is wrong: fix the program or its configuration. */
export class UsageError extends KeroloxError {}
/** A server could not be reached or did not answer in time. */
export class ConnectError extends KeroloxError {}
/** No answer came before the deadline. */
export class TimeoutError extends ConnectError {}
/** A server answered that it will not do it. */
export class BrokerError extends KeroloxError {}
/** Too much at once: slow down and try again. */
export class FlowError extends KeroloxError {}
/** Credentials are missing or do not suffice. */
export class AuthError extends KeroloxError {}
/** A defect or an unusable environment. */
export class InternalError extends KeroloxError {}
