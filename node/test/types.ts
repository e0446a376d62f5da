// SPDX-License-Identifier: Apache-2.0
// Compiled, never run: `tsc --noEmit` checks that the declarations say what users rely on. The package refers to itself.

import {
  Admin,
  BrokerError,
  type Delivery,
  type ErrorCode,
  KeroloxError,
  Producer,
  PullConsumer,
  PushConsumer,
  type Queue,
  type ReceivedMessage,
  type SendResult,
  TimeoutError,
  UsageError,
  version,
} from 'kerolox'
import { Server } from 'kerolox/testing'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(_: Equal<A, B>): void {}

export async function uses(): Promise<void> {
  const server = await Server.start({ dataDir: '/srv/kerolox' })
  same<string, typeof server.nameServers>(true)
  same<string, typeof version>(true)

  await using producer = await Producer.start({ nameServers: [server.nameServers], sendTimeoutMs: 500 })
  const sent = await producer.send({ topic: 't', body: 'text', tag: 'a', keys: ['k'], properties: { p: 'v' } })
  same<SendResult, typeof sent>(true)
  same<number, typeof sent.queueOffset>(true)
  await producer.sendBatch([{ topic: 't', body: Buffer.from('x') }, { topic: 't', body: new Uint8Array(1) }])
  const queues: Queue[] = await producer.queues('t')
  for (const queue of queues) await producer.sendToQueue({ topic: 't', body: 'x', delayLevel: 1 }, queue)
  same<Promise<void>, ReturnType<typeof producer.sendOneway>>(true)

  // @ts-expect-error: a message has no field `tags`
  await producer.send({ topic: 't', body: 'x', tags: 'a' })
  // @ts-expect-error: the body is missing
  await producer.send({ topic: 't' })
  // @ts-expect-error: options are camelCase
  await Producer.start({ name_servers: 'a:1' })
  // @ts-expect-error: made by start
  new Producer()

  const push = await PushConsumer.start({
    group: 'g',
    subscriptions: { t: 'a || b' },
    consumeFrom: 'FIRST_OFFSET',
    messageModel: 'BROADCASTING',
  })
  for await (const delivery of push) {
    same<Delivery, typeof delivery>(true)
    same<Buffer, typeof delivery.body>(true)
    same<string | undefined, typeof delivery.tag>(true)
    delivery.later()
    break
  }
  const polled = await push.poll(10, 100)
  same<Delivery[], typeof polled>(true)
  push.completeBatch(polled.map((delivery) => [delivery, 'success'] as const))
  push.complete(1, 'later')
  // @ts-expect-error: no such verdict
  push.complete(1, 'never')
  await push.run(async (delivery) => delivery.message.topic, { concurrency: 2, onError: (error: unknown) => error })
  // @ts-expect-error: subscriptions are required
  await PushConsumer.start({ group: 'g' })

  const pull = await PullConsumer.start({ group: 'g' })
  pull.assign(await pull.queues('t'))
  const messages: ReceivedMessage[] = await pull.poll()
  for (const message of messages) same<Record<string, string>, typeof message.properties>(true)
  same<Promise<number | undefined>, ReturnType<typeof pull.committed>>(true)

  const admin = await Admin.start({ timeoutMs: 1000 })
  await admin.createTopic('t', 4, null)
  same<string[], Awaited<ReturnType<typeof admin.topics>>>(true)
}

export function handles(error: unknown): string {
  if (error instanceof TimeoutError) return error.hint
  if (error instanceof BrokerError) return String(error.brokerCode)
  if (error instanceof UsageError && error.code === 'UNKNOWN_OPTION') return error.message
  // @ts-expect-error: no such code
  if (error instanceof UsageError && error.code === 'NO_SUCH_CODE') return ''
  if (error instanceof KeroloxError) {
    same<ErrorCode, typeof error.code>(true)
    same<boolean, typeof error.retryable>(true)
  }
  return ''
}
