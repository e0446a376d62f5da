// SPDX-License-Identifier: Apache-2.0
'use strict'

// What keeps the process alive and what does not, and ends with calls outstanding.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { Worker } = require('node:worker_threads')

const { Producer } = require('kerolox')
const { runNode, unique, useServer } = require('./harness.js')

const server = useServer()

const START = `
  const { Producer, PushConsumer, PullConsumer } = require('kerolox')
  const nameServers = process.env.NAME_SERVERS
  const startPush = () => PushConsumer.start({ nameServers, group: process.env.GROUP, subscriptions: { t: '*' } })
`

function run(source) {
  const program = `${START};(async () => { ${source} })()`
  return runNode(program, { NAME_SERVERS: server.nameServers, GROUP: unique('group') })
}

test('an idle producer does not keep the process alive', async () => {
  const ended = await run(`
    const producer = await Producer.start({ nameServers })
    await producer.send({ topic: 'idle', body: 'x' })
    console.log('done')
  `)
  assert.deepEqual(ended, { status: 0, stdout: 'done\n', stderr: '' })
})

test('an outstanding call does', async () => {
  const ended = await run(`
    const consumer = await PullConsumer.start({ nameServers, group: process.env.GROUP })
    consumer.poll(1, 300).then((messages) => console.log('polled', messages.length))
  `)
  assert.deepEqual(ended, { status: 0, stdout: 'polled 0\n', stderr: '' })
})

test('an open push consumer does, until it is closed', async () => {
  const ended = await run(`
    const consumer = await startPush()
    setTimeout(() => { console.log('alive'); consumer.close().then(() => console.log('closed')) }, 200).unref()
  `)
  assert.deepEqual(ended, { status: 0, stdout: 'alive\nclosed\n', stderr: '' })
})

test('process.exit works with calls outstanding', async () => {
  const ended = await run(`
    const producer = await Producer.start({ nameServers })
    const consumer = await startPush()
    consumer.poll(1, 60000)
    for (let i = 0; i < 200; i += 1) producer.send({ topic: 'exit', body: 'x' })
    console.log('exiting')
    process.exit(3)
  `)
  assert.deepEqual(ended, { status: 3, stdout: 'exiting\n', stderr: '' })
})

test('an uncaught rejection ends the process with our error', async () => {
  const ended = await run(`
    const producer = await Producer.start({ nameServers: '127.0.0.1:1', sendTimeoutMs: 300 })
    await producer.send({ topic: 'x', body: 'x' })
  `)
  assert.equal(ended.status, 1)
  assert.match(ended.stderr, /ConnectError: send: .*\n[^]*code: 'NAME_SERVER_UNREACHABLE'/)
})

function endOfWorker(source, { terminate = false } = {}) {
  const program = `const { parentPort } = require('node:worker_threads'); ${START}
    ;(async () => { ${source} })().catch((error) => parentPort.postMessage(String(error?.stack ?? error)))`
  const env = { ...process.env, NAME_SERVERS: server.nameServers, GROUP: unique('group') }
  const worker = new Worker(program, { eval: true, env })
  const messages = []
  return new Promise((resolve, reject) => {
    worker.on('message', (message) => {
      messages.push(message)
      if (terminate) worker.terminate()
    })
    worker.on('error', reject)
    worker.on('exit', (code) => resolve({ code, messages }))
  })
}

test('workers end with calls outstanding, and the main thread goes on', async () => {
  for (let i = 0; i < 3; i += 1) {
    const ended = await endOfWorker(`
      const producer = await Producer.start({ nameServers })
      const sent = await producer.send({ topic: 'worker', body: 'x' })
      const consumer = await startPush()
      consumer.poll(1, 60000)
      for (let i = 0; i < 50; i += 1) producer.send({ topic: 'worker', body: 'x' })
      parentPort.postMessage(sent.status)
      process.exit(0)
    `)
    assert.deepEqual(ended, { code: 0, messages: ['SEND_OK'] })
  }
  const terminated = await endOfWorker(
    `
      const consumer = await startPush()
      consumer.poll(1, 60000)
      parentPort.postMessage('waiting')
    `,
    { terminate: true },
  )
  assert.deepEqual(terminated.messages, ['waiting'])

  const producer = await Producer.start({ nameServers: server.nameServers })
  assert.equal((await producer.send({ topic: 'worker', body: 'x' })).status, 'SEND_OK')
  await producer.close()
})

test('a worker that is done ends by itself', async () => {
  const ended = await endOfWorker(`
    const producer = await Producer.start({ nameServers })
    parentPort.postMessage((await producer.send({ topic: 'worker', body: 'x' })).status)
    await producer.close()
  `)
  assert.deepEqual(ended, { code: 0, messages: ['SEND_OK'] })
})
