// SPDX-License-Identifier: Apache-2.0
'use strict'

const assert = require('node:assert/strict')
const net = require('node:net')
const { test } = require('node:test')

const kerolox = require('kerolox')
const { Server } = require('kerolox/testing')

const { ConnectError, KeroloxError, Producer, PullConsumer, PushConsumer, TimeoutError, UsageError } = kerolox

/** An address where nobody listens. */
async function closedAddress() {
  const server = net.createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}

/** An address where somebody listens and never answers. */
async function silentAddress(use) {
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`127.0.0.1:${server.address().port}`)
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
}

async function rejection(promise) {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail('it should have been rejected')
}

test('an unreachable name server is reported within the deadline', async () => {
  const producer = await Producer.start({ nameServers: await closedAddress(), sendTimeoutMs: 800 })
  const start = Date.now()
  const error = await rejection(producer.send({ topic: 'any', body: 'x' }))
  assert.ok(Date.now() - start < 1500)
  assert.ok(error instanceof ConnectError && error instanceof KeroloxError && error instanceof Error)
  assert.equal(error.code, 'NAME_SERVER_UNREACHABLE')
  assert.equal(error.number, 104)
  assert.equal(error.retryable, true)
  assert.equal(error.retry, 'again')
  assert.equal(error.operation, 'send')
  assert.equal(error.brokerCode, undefined)
  assert.equal(error.context.topic, 'any')
  assert.ok(error.hint.length > 0)
  await producer.close()
})

test('a server that does not answer is a time-out, within the deadline', async () => {
  await silentAddress(async (nameServers) => {
    const producer = await Producer.start({ nameServers, sendTimeoutMs: 500 })
    const start = Date.now()
    const error = await rejection(producer.send({ topic: 'any', body: 'x' }))
    assert.ok(Date.now() - start < 1500)
    assert.ok(error instanceof ConnectError, String(error))
    assert.ok(['TIMEOUT', 'NAME_SERVER_UNREACHABLE'].includes(error.code), String(error))
    if (error.code === 'TIMEOUT') assert.ok(error instanceof TimeoutError)
    await producer.close()
  })
})

test('an error tells where the call was made', async () => {
  const producer = await Producer.start({ nameServers: await closedAddress(), sendTimeoutMs: 500 })
  async function theCaller() {
    await producer.send({ topic: 'any', body: 'x' })
  }
  const error = await rejection(theCaller())
  assert.match(error.stack, /^ConnectError: send: /)
  assert.match(error.stack, /theCaller/)
  await producer.close()
})

test('options are checked by name and value', async () => {
  const cases = [
    [{ nameServer: 'a:1' }, 'UNKNOWN_OPTION', /'nameServer', did you mean nameServers\?/],
    [{ sendTimeout: 1 }, 'UNKNOWN_OPTION', /did you mean sendTimeoutMs\?/],
    [{ send_timeout_ms: 1 }, 'UNKNOWN_OPTION', /did you mean sendTimeoutMs\?/],
    [{ sendTimeoutMs: -1 }, 'INVALID_OPTION', /sendTimeoutMs/],
    [{ sendTimeoutMs: 0.5 }, 'INVALID_OPTION', /sendTimeoutMs/],
    [{ retryAnotherBrokerWhenNotStoreOk: 3 }, 'INVALID_OPTION', /retryAnotherBrokerWhenNotStoreOk/],
    [{ group: {} }, 'INVALID_OPTION', /group/],
    ['text', 'INVALID_ARGUMENT', /options/],
  ]
  for (const [options, code, message] of cases) {
    const error = await rejection(Producer.start(options))
    assert.ok(error instanceof UsageError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.doesNotMatch(error.hint, /_/)
  }
  const nameServers = '127.0.0.1:1'
  const consumer = { nameServers, group: 'g', subscriptions: { t: '*' } }
  for (const [options, message] of [
    [{ ...consumer, messageModel: 'EVERYBODY' }, /messageModel.*BROADCASTING/],
    [{ ...consumer, subscriptions: undefined }, /subscriptions/],
    [{ ...consumer, subscriptions: { t: 5 } }, /subscriptions\.t/],
    [{ ...consumer, subscriptions: { 'a/b': '*' } }, /a\/b/],
    [{ ...consumer, group: 'not allowed' }, /group/],
  ]) {
    const error = await rejection(PushConsumer.start(options))
    assert.ok(error instanceof UsageError, String(error))
    assert.match(error.message, message)
  }
  const error = await rejection(PullConsumer.start({ nameServers, subscriptions: '*' }))
  assert.equal(error.code, 'UNKNOWN_OPTION')
})

test('messages are checked before they are sent', async () => {
  const producer = await Producer.start({ nameServers: '127.0.0.1:1', maxMessageBytes: 1000 })
  const cases = [
    [{ topic: 't', body: Buffer.alloc(1001) }, 'MESSAGE_TOO_LARGE', /1001 bytes.*1000/],
    [{ topic: 't', body: '' }, 'EMPTY_BODY', /empty/],
    [{ topic: '../etc', body: 'x' }, 'INVALID_TOPIC', /\.\.\/etc/],
    [{ topic: 't', body: 5 }, 'INVALID_ARGUMENT', /message\.body is 5/],
    [{ topic: 't' }, 'INVALID_ARGUMENT', /message\.body is undefined/],
    [{ body: 'x' }, 'INVALID_ARGUMENT', /message\.topic is undefined/],
    [{ topic: 't', body: 'x', tags: 'a' }, 'INVALID_ARGUMENT', /no field 'tags'/],
    [{ topic: 't', body: 'x', keys: [1] }, 'INVALID_ARGUMENT', /message\.keys/],
    [{ topic: 't', body: 'x', properties: { a: 1 } }, 'INVALID_ARGUMENT', /message\.properties\.a is 1/],
    [{ topic: 't', body: 'x', flag: 2 ** 31 }, 'INVALID_ARGUMENT', /message\.flag/],
    [undefined, 'INVALID_ARGUMENT', /message is undefined/],
  ]
  for (const [message, code, pattern] of cases) {
    // A rejected promise, never a thrown error.
    const promise = producer.send(message)
    assert.ok(promise instanceof Promise)
    const error = await rejection(promise)
    assert.ok(error instanceof UsageError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, pattern)
    assert.equal(error.retryable, false)
  }
  assert.equal((await rejection(producer.sendBatch('x'))).code, 'INVALID_ARGUMENT')
  assert.equal((await rejection(producer.sendToQueue({ topic: 't', body: 'x' }, {}))).code, 'INVALID_ARGUMENT')
  assert.equal((await rejection(producer.queues(1))).code, 'INVALID_ARGUMENT')
  await producer.close()
})

test('handles come from start only', () => {
  for (const name of ['Admin', 'Producer', 'PullConsumer', 'PushConsumer']) {
    assert.throws(() => new kerolox[name](), /start/)
  }
  assert.throws(() => new kerolox.Delivery(), TypeError)
  assert.throws(() => new Server(), /start/)
})

test('a server that can not start says why', async () => {
  const silent = net.createServer()
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${silent.address().port}`
  const error = await rejection(Server.start({ namesrvListen: address }))
  assert.ok(error instanceof KeroloxError, String(error))
  assert.match(error.message, new RegExp(address))
  await new Promise((resolve) => silent.close(resolve))
  assert.equal((await rejection(Server.start({ port: 1 }))).code, 'UNKNOWN_OPTION')
  const settings = await rejection(Server.start({ brokerSettings: { brokerRole: 'BOSS' } }))
  assert.match(settings.message, /brokerRole/)
  assert.match(settings.message, /BOSS/)
})
