// SPDX-License-Identifier: Apache-2.0
'use strict'

const check = require('./arguments.js')
const { settle } = require('./errors.js')
const { asyncDispose, guard, token } = require('./handles.js')
const native = require('./native.js')

/** Creates, deletes and lists topics. */
class Admin {
  #native

  constructor(key, handle) {
    guard(key, 'Admin')
    this.#native = handle
  }

  static async start(options) {
    const flat = check.options('start admin', options)
    return new Admin(token, await settle(native.Admin.start(flat)))
  }

  async createTopic(topic, queues = 8, on = undefined) {
    const operation = 'createTopic'
    check.text(operation, 'topic', topic)
    check.integer(operation, 'queues', queues, 1, 0x7fff_ffff)
    if (on != null) check.text(operation, 'on', on)
    await settle(this.#native.createTopic(topic, queues, on ?? undefined))
  }

  async deleteTopic(topic) {
    await settle(this.#native.deleteTopic(check.text('deleteTopic', 'topic', topic)))
  }

  async topics() {
    return await settle(this.#native.topics())
  }

  async close() {
    await settle(this.#native.close())
  }

  async [asyncDispose]() {
    await this.close()
  }
}

module.exports = { Admin }
