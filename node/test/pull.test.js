// SPDX-License-Identifier: Apache-2.0
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')

const { Admin, Producer, PullConsumer } = require('kerolox')
const { collect, unique, useServer } = require('./harness.js')

const server = useServer()

/** A topic of one queue with `count` messages `m0`, `m1`, …, tagged `even` or `odd`. */
async function filled(count) {
  const topic = unique('pull')
  const admin = await Admin.start({ nameServers: server.nameServers })
  await admin.createTopic(topic, 1)
  await admin.close()
  const producer = await Producer.start({ nameServers: server.nameServers })
  for (let i = 0; i < count; i += 1) {
    await producer.send({ topic, body: `m${i}`, tag: i % 2 === 0 ? 'even' : 'odd' })
  }
  const [queue] = await producer.queues(topic)
  await producer.close()
  return { topic, queue }
}

function startConsumer(options = {}) {
  return PullConsumer.start({ nameServers: server.nameServers, group: unique('group'), ...options })
}

const text = (messages) => messages.map((message) => message.body.toString())

test('positions: seek, begin, end, and what the broker knows', async () => {
  const before = Date.now() - 60_000
  const { topic, queue } = await filled(10)
  const consumer = await startConsumer({ consumeFrom: 'FIRST_OFFSET' })
  assert.deepEqual(await consumer.queues(topic), [queue])
  assert.equal(await consumer.minOffset(queue), 0)
  assert.equal(await consumer.maxOffset(queue), 10)
  assert.equal(await consumer.offsetByTime(queue, before), 0)
  consumer.assign([queue])
  assert.equal(text(await collect(() => consumer.poll(10, 500), 10)).join(), 'm0,m1,m2,m3,m4,m5,m6,m7,m8,m9')
  await consumer.seek(queue, 7)
  assert.deepEqual(text(await collect(() => consumer.poll(3, 500), 3)), ['m7', 'm8', 'm9'])
  await consumer.seekToBegin(queue)
  assert.deepEqual(text(await collect(() => consumer.poll(1, 500), 1)), ['m0'])
  await consumer.seekToEnd(queue)
  assert.deepEqual(await consumer.poll(1, 100), [])
  await consumer.close()
})

test('what is committed is where the group goes on', async () => {
  const { queue } = await filled(6)
  const group = unique('group')
  const first = await startConsumer({ group, consumeFrom: 'FIRST_OFFSET', autoCommit: false })
  assert.equal(await first.committed(queue), undefined)
  first.assign([queue])
  assert.deepEqual(text(await collect(() => first.poll(4, 500), 4)), ['m0', 'm1', 'm2', 'm3'])
  await first.commit()
  assert.equal(await first.committed(queue), 4)
  await first.poll(1, 500)
  await first.close()

  const second = await startConsumer({ group })
  second.assign([queue])
  assert.deepEqual(text(await collect(() => second.poll(2, 500), 2)), ['m4', 'm5'])
  await second.close()

  const third = await startConsumer({ group })
  assert.equal(await third.committed(queue), 6, 'close commits by itself')
  await third.close()
})

test('a filter takes only its tags', async () => {
  const { topic, queue } = await filled(8)
  const consumer = await startConsumer({ consumeFrom: 'FIRST_OFFSET' })
  consumer.filter(topic, 'odd')
  consumer.assign([queue])
  assert.deepEqual(text(await collect(() => consumer.poll(10, 500), 4)), ['m1', 'm3', 'm5', 'm7'])
  await consumer.close()
})

test('a waiting poll is woken by a message', async () => {
  const { topic, queue } = await filled(1)
  const consumer = await startConsumer()
  consumer.assign([queue])
  await consumer.seek(queue, 1)
  const waiting = consumer.poll(1, 20_000)
  const producer = await Producer.start({ nameServers: server.nameServers })
  const start = Date.now()
  await producer.send({ topic, body: 'new' })
  assert.deepEqual(text(await waiting), ['new'])
  assert.ok(Date.now() - start < 5000)
  await producer.close()
  await consumer.close()
})

test('wrong uses are named', async () => {
  const { topic, queue } = await filled(1)
  const consumer = await startConsumer()
  await assert.rejects(consumer.seek(queue, 0), { name: 'UsageError', code: 'QUEUE_NOT_ASSIGNED' })
  await assert.rejects(consumer.seek(queue, 1.5), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  await assert.rejects(consumer.poll(0), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  await assert.rejects(consumer.poll(1, -1), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  assert.throws(() => consumer.assign(queue), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  assert.throws(() => consumer.assign([{ topic }]), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  assert.throws(() => consumer.filter(topic, '||'), { name: 'UsageError', code: 'INVALID_SUBSCRIPTION' })
  assert.throws(() => consumer.filter('a/b', 'tag'), { name: 'UsageError', code: 'INVALID_TOPIC' })
  await consumer.close()
  await assert.rejects(consumer.poll(), { name: 'UsageError', code: 'CLOSED' })
  assert.throws(() => consumer.assign([queue]), { name: 'UsageError', code: 'CLOSED' })
})
