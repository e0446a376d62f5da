// SPDX-License-Identifier: Apache-2.0
'use strict'

const check = require('./arguments.js')
const { settle } = require('./errors.js')
const { asyncDispose, guard, token } = require('./handles.js')
const native = require('./native.js')

/** Sends messages. */
class Producer {
  #native

  constructor(key, handle) {
    guard(key, 'Producer')
    this.#native = handle
  }

  static async start(options) {
    const flat = check.options('start producer', options)
    return new Producer(token, await settle(native.Producer.start(flat)))
  }

  async send(message) {
    return await settle(this.#native.send(check.message('send', message)))
  }

  async sendToQueue(message, queue) {
    const checked = check.message('sendToQueue', message)
    return await settle(this.#native.sendToQueue(checked, check.queue('sendToQueue', queue)))
  }

  async sendOneway(message) {
    await settle(this.#native.sendOneway(check.message('sendOneway', message)))
  }

  async sendBatch(messages) {
    return await settle(this.#native.sendBatch(check.messages('sendBatch', messages)))
  }

  async queues(topic) {
    return await settle(this.#native.queues(check.text('queues', 'topic', topic)))
  }

  async close() {
    await settle(this.#native.close())
  }

  async [asyncDispose]() {
    await this.close()
  }
}

module.exports = { Producer }
