// SPDX-License-Identifier: Apache-2.0
// Sends, pushes and pulls through servers that are running elsewhere: KEROLOX_OFFICIAL_NAMESRV names their name server.
// The interop suite sets it to the reference's. The topic is created by its first message.

import assert from 'node:assert/strict'

import { Producer, PullConsumer, PushConsumer } from '../index.mjs'

const DEADLINE_MS = 60_000
const COUNT = 100

const nameServers = process.env.KEROLOX_OFFICIAL_NAMESRV
if (!nameServers) {
  console.log('SKIPPED node against the official servers: KEROLOX_OFFICIAL_NAMESRV is not set')
  process.exit(0)
}

async function collect(poll, count) {
  const items = []
  const end = Date.now() + DEADLINE_MS
  while (items.length < count) {
    assert.ok(Date.now() < end, `${items.length} of ${count} within ${DEADLINE_MS} ms`)
    items.push(...(await poll()))
  }
  return items
}

const name = `kerolox-node-${process.pid}-${Date.now()}`
const producer = await Producer.start({ nameServers, sendTimeoutMs: 10_000 })
const sent = new Map()
const send = async (body, tag) => {
  const result = await producer.send({ topic: name, body, tag, keys: 'key', properties: { colour: 'blue' } })
  assert.equal(result.status, 'SEND_OK')
  sent.set(result.messageId, body)
}
await send('first', 'TagA')
const bodies = Array.from({ length: COUNT - 1 }, (_, i) => (i % 10 === 0 ? `${i} `.repeat(3000) : `message ${i}`))
await Promise.all(bodies.map((body, i) => send(body, i % 2 === 0 ? 'TagA' : 'TagB')))
const batch = await producer.sendBatch(['b0', 'b1', 'b2'].map((body) => ({ topic: name, body, tag: 'TagC' })))
assert.equal(batch.status, 'SEND_OK')
await producer.sendOneway({ topic: name, body: 'one way', tag: 'TagC' })
const total = COUNT + 4
console.log(`sent ${total} to ${name}`)

const consumer = await PushConsumer.start({
  nameServers,
  group: `${name}-push`,
  consumeFrom: 'FIRST_OFFSET',
  subscriptions: { [name]: 'TagA || TagB' },
})
let pushed = 0
const watchdog = setTimeout(() => {
  console.error(`pushed ${pushed} of ${COUNT} within ${DEADLINE_MS} ms`)
  process.exit(1)
}, DEADLINE_MS)
for await (const delivery of consumer) {
  assert.equal(delivery.body.toString(), sent.get(delivery.messageId))
  assert.equal(delivery.properties.colour, 'blue')
  assert.deepEqual(delivery.keys, ['key'])
  pushed += 1
  if (pushed === COUNT) {
    delivery.ack()
    break
  }
}
clearTimeout(watchdog)
assert.deepEqual(await consumer.poll(10, 500), [], 'nothing twice, no other tag')
await consumer.close()
console.log(`pushed ${pushed} by tags`)

const puller = await PullConsumer.start({ nameServers, group: `${name}-pull`, autoCommit: false })
const queues = await puller.queues(name)
puller.assign(queues)
for (const queue of queues) await puller.seekToBegin(queue)
const pulled = await collect(() => puller.poll(64, 1000), total)
assert.equal(pulled.length, total)
await puller.commit()
let committed = 0
for (const queue of queues) committed += (await puller.committed(queue)) ?? 0
assert.equal(committed, total)
await puller.close()
await producer.close()
console.log(`pulled ${pulled.length}, committed ${committed}`)
console.log('node against the official servers: ok')
