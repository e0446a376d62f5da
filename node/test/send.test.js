// SPDX-License-Identifier: Apache-2.0
'use strict'

const assert = require('node:assert/strict')
const { test } = require('node:test')

const { Admin, Producer, PullConsumer } = require('kerolox')
const { collect, unique, useServer } = require('./harness.js')

const server = useServer()

async function readAll(topic, count) {
  const consumer = await PullConsumer.start({ nameServers: server.nameServers, group: unique('reader') })
  try {
    const queues = await consumer.queues(topic)
    consumer.assign(queues)
    for (const queue of queues) await consumer.seekToBegin(queue)
    return await collect(() => consumer.poll(1000, 500), count)
  } finally {
    await consumer.close()
  }
}

async function withProducer(use, options = {}) {
  const producer = await Producer.start({ nameServers: server.nameServers, ...options })
  try {
    await use(producer)
  } finally {
    await producer.close()
  }
}

test('a message arrives with everything that was sent', async () => {
  const topic = unique('all')
  await withProducer(async (producer) => {
    const sent = await producer.send({
      topic,
      body: 'grüße',
      tag: 'blue',
      keys: ['k1', 'k2'],
      properties: { colour: 'red', size: 'größer' },
      flag: 7,
    })
    assert.equal(sent.status, 'SEND_OK')
    assert.equal(sent.topic, topic)
    assert.equal(sent.queueOffset, 0)
    assert.match(sent.messageId, /^[0-9A-F]{32}$/)

    const [message] = await readAll(topic, 1)
    assert.equal(message.body.toString(), 'grüße')
    assert.ok(Buffer.isBuffer(message.body))
    assert.equal(message.topic, topic)
    assert.equal(message.tag, 'blue')
    assert.deepEqual(message.keys, ['k1', 'k2'])
    assert.equal(message.properties.colour, 'red')
    assert.equal(message.properties.size, 'größer')
    assert.equal(message.flag, 7)
    assert.equal(message.messageId, sent.messageId)
    assert.equal(message.offsetMessageId, sent.offsetMessageId)
    assert.equal(message.brokerName, sent.brokerName)
    assert.equal(message.queueId, sent.queueId)
    assert.equal(message.queueOffset, 0)
    assert.equal(message.reconsumeTimes, 0)
    assert.ok(Math.abs(Date.now() - message.bornTimestampMs) < 60_000)
    assert.ok(message.storeTimestampMs >= message.bornTimestampMs - 1000)
    assert.match(message.bornHost, /:\d+$/)
  })
})

test('bodies are bytes, compressed on the way or not, and may change after the call', async () => {
  const topic = unique('bytes')
  const small = Buffer.from([0, 1, 2, 255])
  const large = Buffer.alloc(100_000, 'kerolox ')
  await withProducer(async (producer) => {
    const sending = producer.send({ topic, body: small })
    small.fill(9)
    await sending
    await producer.send({ topic, body: new Uint8Array([5, 6]) })
    await producer.send({ topic, body: large })
  })
  const bodies = (await readAll(topic, 3)).map((message) => message.body)
  bodies.sort((a, b) => a.length - b.length)
  assert.deepEqual(bodies, [Buffer.from([5, 6]), Buffer.from([0, 1, 2, 255]), large])
})

test('sendToQueue sends to that queue', async () => {
  const topic = unique('queue')
  await withProducer(async (producer) => {
    await producer.send({ topic, body: 'creates the topic' })
    const queues = await producer.queues(topic)
    assert.equal(queues.length, 4)
    const wanted = queues[2]
    assert.deepEqual(Object.keys(wanted), ['topic', 'brokerName', 'queueId'])
    for (let i = 0; i < 3; i += 1) {
      const sent = await producer.sendToQueue({ topic, body: `m${i}` }, wanted)
      assert.equal(sent.queueId, wanted.queueId)
      assert.equal(sent.brokerName, wanted.brokerName)
    }
    await assert.rejects(
      producer.sendToQueue({ topic, body: 'x' }, { ...wanted, queueId: 99 }),
      (error) => error.name !== 'Error' && typeof error.code === 'string',
    )
  })
})

test('a batch is stored side by side', async () => {
  const topic = unique('batch')
  await withProducer(async (producer) => {
    const messages = Array.from({ length: 50 }, (_, i) => ({ topic, body: `b${i}`, tag: `t${i % 2}` }))
    const sent = await producer.sendBatch(messages)
    assert.equal(sent.status, 'SEND_OK')
    assert.equal(sent.messageId.split(',').length, 50)
    const received = await readAll(topic, 50)
    assert.deepEqual(
      received.map((message) => message.body.toString()),
      messages.map((message) => message.body),
    )
    assert.deepEqual(
      received.map((message) => message.queueOffset),
      messages.map((_, i) => sent.queueOffset + i),
    )
    await assert.rejects(producer.sendBatch([]), { name: 'UsageError', code: 'INVALID_BATCH' })
    await assert.rejects(
      producer.sendBatch([
        { topic, body: 'a' },
        { topic: `${topic}-other`, body: 'b' },
      ]),
      { name: 'UsageError', code: 'INVALID_BATCH' },
    )
  })
})

test('one-way messages arrive', async () => {
  const topic = unique('oneway')
  await withProducer(async (producer) => {
    await producer.send({ topic, body: 'first' })
    for (let i = 0; i < 20; i += 1) assert.equal(await producer.sendOneway({ topic, body: `o${i}` }), undefined)
  })
  assert.equal((await readAll(topic, 21)).length, 21)
})

test('1,000 sends at once all arrive, once', async () => {
  const topic = unique('many')
  await withProducer(async (producer) => {
    await producer.send({ topic, body: 'warm' })
    const bodies = Array.from({ length: 1000 }, (_, i) => `m${i}`)
    const results = await Promise.all(bodies.map((body) => producer.send({ topic, body })))
    assert.equal(new Set(results.map((sent) => sent.messageId)).size, 1000)
    const received = (await readAll(topic, 1001)).map((message) => message.body.toString())
    assert.deepEqual(received.sort(), ['warm', ...bodies].sort())
  })
})

test('close waits for what is outstanding, may be repeated, and ends the producer', async () => {
  const topic = unique('close')
  const producer = await Producer.start({ nameServers: server.nameServers })
  await producer.send({ topic, body: 'warm' })
  const sending = Promise.all(Array.from({ length: 100 }, (_, i) => producer.send({ topic, body: `${i}` })))
  await Promise.all([producer.close(), producer.close()])
  assert.equal((await sending).length, 100)
  await producer.close()
  await assert.rejects(producer.send({ topic, body: 'x' }), { name: 'UsageError', code: 'CLOSED', number: 10 })
})

test('topics are created, listed and deleted', async () => {
  const topic = unique('admin')
  const admin = await Admin.start({ nameServers: server.nameServers })
  try {
    await admin.createTopic(topic, 6)
    assert.ok((await admin.topics()).includes(topic))
    await withProducer(async (producer) => assert.equal((await producer.queues(topic)).length, 6))
    await admin.deleteTopic(topic)
    assert.ok(!(await admin.topics()).includes(topic))
    await assert.rejects(admin.createTopic('no/slash'), { name: 'UsageError', code: 'INVALID_TOPIC' })
    await assert.rejects(admin.createTopic(topic, 0), { name: 'UsageError', code: 'INVALID_ARGUMENT' })
  } finally {
    await admin.close()
    await admin.close()
  }
})

test('a handle is disposed of by the protocol of `await using`', async () => {
  const producer = await Producer.start({ nameServers: server.nameServers })
  await producer[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]()
  await assert.rejects(producer.queues('any'), { code: 'CLOSED' })
})
