// SPDX-License-Identifier: Apache-2.0
'use strict'

const { invalidOption, settle } = require('./errors.js')
const { isObject, text, texts, wrong } = require('./arguments.js')
const { asyncDispose, guard, token } = require('./handles.js')
const native = require('./native.js')

const OPTIONS = ['dataDir', 'namesrvListen', 'brokerListen', 'brokerSettings']

// One that nobody holds any more still runs until it is stopped: its address may be all that a test has kept.
const running = new Set()

/** A name server and a broker inside this process, for tests. */
class Server {
  #native

  constructor(key, handle) {
    guard(key, 'Server')
    this.#native = handle
  }

  static async start(options = {}) {
    const operation = 'start server'
    if (!isObject(options)) throw wrong(operation, 'options', options, 'an object')
    const given = { brokerSettings: texts(operation, 'brokerSettings', options.brokerSettings) }
    for (const [name, value] of Object.entries(options)) {
      if (!OPTIONS.includes(name)) {
        const message = `there is no option '${name}', only ${OPTIONS.join(', ')}`
        throw invalidOption(operation, name, message, true)
      }
      if (value != null && name !== 'brokerSettings') given[name] = text(operation, name, value)
    }
    const server = new Server(token, await settle(native.TestServer.start(given)))
    running.add(server)
    return server
  }

  get nameServers() {
    return this.#native.nameServers
  }

  get brokerAddr() {
    return this.#native.brokerAddr
  }

  get dataDir() {
    return this.#native.dataDir
  }

  async stop() {
    running.delete(this)
    await settle(this.#native.stop())
  }

  async [asyncDispose]() {
    await this.stop()
  }
}

module.exports = { Server }
