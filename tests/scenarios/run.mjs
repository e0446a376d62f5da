// SPDX-License-Identifier: Apache-2.0
// The scenarios of this folder through the Node client. README.md says what the commands mean.
// Usage: node run.mjs FILE...    (servers: NAMESRV_ADDR, or an embedded one)
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Admin, KeroloxError, Producer, PullConsumer, PushConsumer } from '../../node/index.mjs'
import { Server } from '../../node/testing.mjs'

const ARRIVAL_MS = 30_000
const QUIET_MS = 300

class Failure extends Error {}

function ensure(condition, reason) {
  if (!condition) throw new Failure(reason)
}

function camelCase(name) {
  return name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())
}

class World {
  consumers = new Map()
  queues = new Map()
  received = new Map()
  suffix = `-node${process.pid}`

  static async start(nameServers) {
    const world = new World()
    world.nameServers = nameServers
    world.admin = await Admin.start({ nameServers })
    world.producer = await Producer.start({ nameServers })
    return world
  }

  async close() {
    for (const client of [...this.consumers.values(), this.producer, this.admin]) await client.close()
  }

  message(topic, text, fields) {
    const message = { topic: topic + this.suffix, body: text === '-' ? '' : text, properties: {} }
    for (const [field, value] of Object.entries(fields)) {
      if (field.startsWith('prop.')) message.properties[field.slice(5)] = value
      else message[field] = field === 'keys' ? value.split(',') : value
    }
    return message
  }

  member(name) {
    ensure(this.consumers.has(name), `no consumer ${name}`)
    return this.consumers.get(name)
  }

  options(group, fields) {
    const options = { consumeFrom: 'FIRST_OFFSET', nameServers: this.nameServers, group: group + this.suffix }
    for (const [name, value] of Object.entries(fields)) options[camelCase(name)] = value
    return options
  }

  async poll(name, waitMs) {
    const consumer = this.member(name)
    let got = await consumer.poll(100, waitMs)
    if (consumer instanceof PushConsumer) {
      consumer.completeBatch(got.map((delivery) => [delivery, 'success']))
      got = got.map((delivery) => delivery.message)
    }
    this.received.get(name).push(...got)
    return got.map((message) => message.body.toString())
  }

  async expect(names, bodies) {
    const got = names.map(() => [])
    const deadline = Date.now() + ARRIVAL_MS
    while (got.flat().length < bodies.length && Date.now() < deadline) {
      for (const [i, name] of names.entries()) got[i].push(...(await this.poll(name, 100)))
    }
    for (const [i, name] of names.entries()) got[i].push(...(await this.poll(name, QUIET_MS)))
    ensure(names.length === 1 || got.every((part) => part.length > 0), 'one of them got nothing')
    const arrived = got.flat().sort().join(' ')
    ensure(arrived === [...bodies].sort().join(' '), `got ${arrived}`)
  }
}

function checkSent(sent) {
  ensure(sent.status === 'SEND_OK', `answered ${sent.status}`)
  ensure(sent.messageId, 'no message id')
}

const commands = {
  topic: (w, [topic, queues]) => w.admin.createTopic(topic + w.suffix, Number(queues)),
  async queues(w, [topic, count]) {
    const { length } = await w.producer.queues(topic + w.suffix)
    ensure(length === Number(count), `${length} queues`)
  },
  async send(w, [topic, text], fields) {
    checkSent(await w.producer.send(w.message(topic, text, fields)))
  },
  async 'send-to'(w, [topic, queueId, text], fields) {
    const queues = await w.producer.queues(topic + w.suffix)
    const queue = queues.find((candidate) => candidate.queueId === Number(queueId))
    ensure(queue, 'no such queue')
    const sent = await w.producer.sendToQueue(w.message(topic, text, fields), queue)
    checkSent(sent)
    ensure(sent.queueId === queue.queueId, `went to queue ${sent.queueId}`)
  },
  async 'send-fails'(w, [code, topic, text], fields) {
    let sent
    try {
      sent = await w.producer.send(w.message(topic, text, fields))
    } catch (error) {
      ensure(error instanceof KeroloxError && error.code === code, String(error))
      return
    }
    throw new Failure(`was sent: ${sent.messageId}`)
  },
  oneway: (w, [topic, text], fields) => w.producer.sendOneway(w.message(topic, text, fields)),
  async batch(w, [topic, ...bodies], fields) {
    checkSent(await w.producer.sendBatch(bodies.map((text) => w.message(topic, text, fields))))
  },
  async push(w, [name, group, topic, expression], fields) {
    const offsetStoreDir = process.env.SCENARIO_DIR ?? ''
    const subscriptions = { [topic + w.suffix]: expression }
    w.consumers.set(name, await PushConsumer.start({ ...w.options(group, fields), offsetStoreDir, subscriptions }))
    w.received.set(name, [])
  },
  async pull(w, [name, group, topic, expression], fields) {
    const consumer = await PullConsumer.start(w.options(group, fields))
    w.consumers.set(name, consumer)
    w.received.set(name, [])
    w.queues.set(name, await consumer.queues(topic + w.suffix))
    consumer.filter(topic + w.suffix, expression)
    consumer.assign(w.queues.get(name))
  },
  async assigned(w, [name, count]) {
    const deadline = Date.now() + ARRIVAL_MS
    for (;;) {
      const { length } = w.member(name).assigned()
      if (length === Number(count)) return
      ensure(Date.now() < deadline, `owns ${length} queues`)
      await pause(20)
    }
  },
  expect: (w, [name, ...bodies]) => w.expect([name], bodies),
  'expect-shared': (w, [left, right, ...bodies]) => w.expect([left, right], bodies),
  async later(w, [name, text]) {
    const deadline = Date.now() + ARRIVAL_MS
    let got = []
    while (got.length === 0) {
      ensure(Date.now() < deadline, `${text} did not arrive`)
      got = await w.member(name).poll(1, 100)
    }
    ensure(got[0].body.toString() === text, `got ${got[0].body}`)
    got[0].later()
  },
  message(w, [name, text], fields) {
    const message = w.received.get(name).findLast((candidate) => candidate.body.toString() === text)
    ensure(message, 'did not arrive')
    for (const [field, value] of Object.entries(fields)) {
      let is = message[field]
      if (field.startsWith('prop.')) is = message.properties[field.slice(5)]
      else if (field === 'keys') is = message.keys.join(',')
      else if (field === 'reconsumed') is = String(message.reconsumeTimes)
      ensure(is === value, `${field} is ${is}`)
    }
    ensure(message.topic.endsWith(w.suffix), `topic is ${message.topic}`)
    ensure(message.messageId, 'no message id')
  },
  commit: (w, [name]) => w.member(name).commit(),
  async begin(w, [name]) {
    for (const queue of w.queues.get(name)) await w.member(name).seekToBegin(queue)
  },
  async end(w, [name]) {
    for (const queue of w.queues.get(name)) await w.member(name).seekToEnd(queue)
  },
  async close(w, [name]) {
    const consumer = w.member(name)
    w.consumers.delete(name)
    await consumer.close()
  },
}

/** The reason why it failed. */
async function run(file, nameServers) {
  const world = await World.start(nameServers)
  let number = 0
  try {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      number += 1
      const [verb, ...rest] = line.trim().split(/\s+/)
      if (!verb || verb.startsWith('#')) continue
      ensure(Object.hasOwn(commands, verb), `unknown command: ${verb}`)
      const fields = Object.fromEntries(
        rest.filter((word) => word.includes('=')).map((word) => word.split(/=(.*)/s, 2)),
      )
      await commands[verb](world, rest.filter((word) => !word.includes('=')), fields)
    }
    return undefined
  } catch (error) {
    if (!(error instanceof Failure || error instanceof KeroloxError)) throw error
    return `line ${number}: ${error.message}`
  } finally {
    await world.close()
  }
}

const files = process.argv.slice(2)
const server = process.env.NAMESRV_ADDR ? undefined : await Server.start()
let failed = files.length === 0
for (const file of files) {
  const reason = await run(file, process.env.NAMESRV_ADDR ?? server.nameServers)
  failed ||= reason !== undefined
  console.log(reason === undefined ? `ok ${basename(file)}` : `not ok ${basename(file)}: ${reason}`)
}
await server?.stop()
process.exitCode = failed ? 1 : 0
