// SPDX-License-Identifier: Apache-2.0
'use strict'

const assert = require('node:assert/strict')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { test } = require('node:test')

const { Delivery, Producer, PushConsumer } = require('kerolox')
const { collect, receive, unique, useServer } = require('./harness.js')

const server = useServer()

async function send(topic, bodies, fields = {}) {
  const producer = await Producer.start({ nameServers: server.nameServers })
  try {
    for (const body of bodies) await producer.send({ topic, body, ...fields })
  } finally {
    await producer.close()
  }
}

function startConsumer(topic, options = {}) {
  return PushConsumer.start({
    nameServers: server.nameServers,
    group: unique('group'),
    consumeFrom: 'FIRST_OFFSET',
    subscriptions: { [topic]: '*' },
    ...options,
  })
}

/** Numbers of the topic's queues that the consumer has; it also has queues of its group's retry topic. */
function queuesOf(consumer, topic) {
  return consumer
    .assigned()
    .filter((queue) => queue.topic === topic)
    .map((queue) => queue.queueId)
}

test('for await acknowledges as it goes on, and a new member starts behind', async () => {
  const topic = unique('loop')
  const group = unique('group')
  await send(topic, ['a', 'b', 'c'])
  const first = await startConsumer(topic, { group })
  const seen = []
  for await (const delivery of first) {
    assert.ok(delivery instanceof Delivery)
    assert.equal(delivery.completed, false)
    seen.push(delivery.body.toString())
    if (seen.length === 3) {
      delivery.ack()
      assert.equal(delivery.completed, true)
      break
    }
  }
  assert.deepEqual(seen.sort(), ['a', 'b', 'c'])
  await first.close()

  const second = await startConsumer(topic, { group })
  await send(topic, ['d'])
  assert.deepEqual(await receive(second, 1), ['d'])
  assert.deepEqual(await second.poll(10, 0), [])
  await second.close()
})

test('a delivery that is given back comes again', async () => {
  const topic = unique('later')
  const consumer = await startConsumer(topic)
  await send(topic, ['again'], { tag: 't', keys: 'k' })
  for await (const delivery of consumer) {
    assert.equal(delivery.reconsumeTimes, 0)
    break // Not acknowledged: leaving the loop gives it back.
  }
  const [delivery] = await collect(() => consumer.poll(1, 500), 1, 40_000)
  assert.equal(delivery.body.toString(), 'again')
  assert.equal(delivery.topic, topic)
  assert.equal(delivery.tag, 't')
  assert.equal(delivery.reconsumeTimes, 1)
  delivery.ack()
  await consumer.close()
})

test('a waiting poll is woken by a message and ended by close', async () => {
  const topic = unique('wake')
  await send(topic, ['first'])
  const consumer = await startConsumer(topic)
  assert.deepEqual(await receive(consumer, 1), ['first'])
  const waiting = consumer.poll(1, 20_000)
  const start = Date.now()
  await send(topic, ['second'])
  const [delivery] = await waiting
  assert.ok(Date.now() - start < 5000)
  assert.equal(delivery.body.toString(), 'second')
  delivery.ack()
  const ended = assert.rejects(consumer.poll(1, 20_000), { name: 'UsageError', code: 'CLOSED' })
  await consumer.close()
  await ended
  await consumer.close()
  for await (const _ of consumer) assert.fail('a closed consumer has nothing')
})

test('only the tags that are subscribed to arrive', async () => {
  const topic = unique('tags')
  const consumer = await startConsumer(topic, { subscriptions: { [topic]: 'TagA || TagB' } })
  for (const tag of ['TagA', 'TagB', 'TagC', 'TagA']) await send(topic, [tag], { tag })
  await send(topic, ['none'])
  await send(topic, ['last'], { tag: 'TagB' })
  const bodies = await receive(consumer, 4)
  assert.deepEqual(bodies.sort(), ['TagA', 'TagA', 'TagB', 'last'])
  assert.deepEqual(await consumer.poll(10, 200), [])
  await consumer.close()
})

test('two members share, each message goes to one of them', async () => {
  const topic = unique('share')
  const group = unique('group')
  await send(topic, ['warm'])
  const members = [await startConsumer(topic, { group }), await startConsumer(topic, { group })]
  // Rebalancing takes a moment: until both have a share.
  const end = Date.now() + 40_000
  const seen = [[], []]
  const listeners = members.map((member, i) => member.run((delivery) => seen[i].push(delivery.body.toString())))
  const shares = () => members.map((member) => queuesOf(member, topic).length)
  while (shares().some((share) => share !== 2)) {
    assert.ok(Date.now() < end, `shares: ${shares()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const bodies = Array.from({ length: 40 }, (_, i) => `m${i}`)
  await send(topic, bodies)
  while (seen.flat().length < 41) {
    assert.ok(Date.now() < end, `received ${seen.flat().length}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await Promise.all(members.map((member) => member.close()))
  await Promise.all(listeners)
  assert.deepEqual(seen.flat().sort(), ['warm', ...bodies].sort())
  assert.ok(seen.every((bodiesOfOne) => bodiesOfOne.length >= 20), 'both got their share')
})

test('broadcasting reaches every member, and progress is kept in the directory', async () => {
  const topic = unique('broadcast')
  const group = unique('group')
  const directories = [mkdtempSync(join(tmpdir(), 'kerolox-')), mkdtempSync(join(tmpdir(), 'kerolox-'))]
  const start = (i) =>
    startConsumer(topic, {
      group,
      messageModel: 'BROADCASTING',
      instanceName: `member-${i}`,
      offsetStoreDir: directories[i],
    })
  try {
    await send(topic, ['a', 'b', 'c'])
    const members = [await start(0), await start(1)]
    for (const member of members) assert.deepEqual((await receive(member, 3)).sort(), ['a', 'b', 'c'])
    await Promise.all(members.map((member) => member.close()))

    await send(topic, ['d'])
    const again = await start(0)
    assert.deepEqual(await receive(again, 1), ['d'])
    await again.close()
  } finally {
    for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  }
})

test('run works on several messages at once and gives back what a listener failed at', async () => {
  const topic = unique('run')
  const consumer = await startConsumer(topic)
  await send(topic, ['good-1', 'bad', 'good-2', 'good-3'])
  const seen = []
  const failures = []
  let active = 0
  let highest = 0
  let finish
  const finished = new Promise((resolve) => (finish = resolve))
  const running = consumer.run(
    async (delivery) => {
      active += 1
      highest = Math.max(highest, active)
      await new Promise((resolve) => setImmediate(resolve))
      active -= 1
      const body = delivery.body.toString()
      if (body === 'bad' && delivery.reconsumeTimes === 0) throw new Error('no')
      seen.push(`${body}/${delivery.reconsumeTimes}`)
      if (seen.length === 4) finish()
    },
    { concurrency: 2, onError: (error, delivery) => failures.push([error.message, delivery.body.toString()]) },
  )
  await finished
  await consumer.close()
  await running
  assert.deepEqual(seen.sort(), ['bad/1', 'good-1/0', 'good-2/0', 'good-3/0'])
  assert.deepEqual(failures, [['no', 'bad']])
  assert.ok(highest <= 2)
})

test('deliveries are completed by id, in batches, and only once', async () => {
  const topic = unique('complete')
  const consumer = await startConsumer(topic)
  await send(topic, ['a', 'b', 'c', 'd'])
  const deliveries = await collect(() => consumer.poll(4, 500), 4)
  const [a, b, c, d] = deliveries
  assert.equal(new Set(deliveries.map((delivery) => delivery.id)).size, 4)
  consumer.complete(a)
  assert.equal(a.completed, true)
  consumer.complete(b.id, 'success')
  consumer.completeBatch([[c], [d, 'success']])
  assert.throws(() => a.ack(), { name: 'UsageError', code: 'UNKNOWN_DELIVERY' })
  assert.throws(() => consumer.complete(b, 'never'), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  assert.throws(() => consumer.complete('x'), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  assert.deepEqual(queuesOf(consumer, topic).sort(), [0, 1, 2, 3])
  assert.equal(JSON.parse(JSON.stringify(d)).topic, topic)
  await consumer.close()
})
