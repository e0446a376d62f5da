// SPDX-License-Identifier: Apache-2.0
'use strict'

// What the tests share: a server for each file, names of their own, and waiting for a condition with a deadline.

const { execFile } = require('node:child_process')
const { after, before } = require('node:test')

const { Server } = require('kerolox/testing')

const DEADLINE_MS = 20_000

/** Starts an embedded server before the tests of this file and stops it after them. */
function useServer() {
  const context = { nameServers: '', brokerAddr: '' }
  let server
  before(async () => {
    server = await Server.start()
    context.nameServers = server.nameServers
    context.brokerAddr = server.brokerAddr
  })
  after(async () => {
    await server?.stop()
  })
  return context
}

let last = 0

/** A name that no other test uses. */
function unique(prefix) {
  last += 1
  return `${prefix}-${process.pid}-${last}`
}

/** Asks `poll` for more until `count` items are there. */
async function collect(poll, count, deadlineMs = DEADLINE_MS) {
  const items = []
  const end = Date.now() + deadlineMs
  while (items.length < count) {
    if (Date.now() > end) throw new Error(`${items.length} of ${count} within ${deadlineMs} ms`)
    items.push(...(await poll()))
  }
  return items
}

/** Takes `count` deliveries and acknowledges them; gives their bodies as text. */
async function receive(consumer, count, deadlineMs) {
  const deliveries = await collect(() => consumer.poll(64, 500), count, deadlineMs)
  for (const delivery of deliveries) delivery.ack()
  return deliveries.map((delivery) => delivery.body.toString())
}

/** Runs a program with Node; it must end by itself. */
function runNode(source, environment = {}) {
  return new Promise((resolve) => {
    const options = {
      cwd: __dirname,
      timeout: DEADLINE_MS,
      env: { ...process.env, ...environment, NODE_OPTIONS: '' },
    }
    execFile(process.execPath, ['-e', source], options, (error, stdout, stderr) => {
      const status = error ? (error.code ?? error.signal) : 0
      resolve({ status, stdout, stderr })
    })
  })
}

module.exports = { collect, receive, runNode, unique, useServer }
