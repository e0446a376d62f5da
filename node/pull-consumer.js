// SPDX-License-Identifier: Apache-2.0
'use strict'

const check = require('./arguments.js')
const { settle } = require('./errors.js')
const { asyncDispose, guard, token } = require('./handles.js')
const native = require('./native.js')

/** Reads queues of the application's choice, at offsets of its choice. */
class PullConsumer {
  #native

  constructor(key, handle) {
    guard(key, 'PullConsumer')
    this.#native = handle
  }

  static async start(options) {
    const flat = check.options('start pull consumer', options)
    return new PullConsumer(token, await settle(native.PullConsumer.start(flat)))
  }

  async queues(topic) {
    return await settle(this.#native.queues(check.text('queues', 'topic', topic)))
  }

  assign(queues) {
    this.#native.assign(check.queues('assign', queues))
  }

  filter(topic, expression) {
    check.text('filter', 'topic', topic)
    this.#native.filter(topic, check.text('filter', 'expression', expression))
  }

  async seek(queue, offset) {
    const checked = check.queue('seek', queue)
    await settle(this.#native.seek(checked, check.offset('seek', 'offset', offset)))
  }

  async seekToBegin(queue) {
    await settle(this.#native.seekToBegin(check.queue('seekToBegin', queue)))
  }

  async seekToEnd(queue) {
    await settle(this.#native.seekToEnd(check.queue('seekToEnd', queue)))
  }

  async poll(max = 32, waitMs = 1000) {
    return await settle(this.#native.poll(...check.limits(max, waitMs)))
  }

  async commit() {
    await settle(this.#native.commit())
  }

  async committed(queue) {
    return await settle(this.#native.committed(check.queue('committed', queue)))
  }

  async minOffset(queue) {
    return await settle(this.#native.minOffset(check.queue('minOffset', queue)))
  }

  async maxOffset(queue) {
    return await settle(this.#native.maxOffset(check.queue('maxOffset', queue)))
  }

  async offsetByTime(queue, timestampMs) {
    const checked = check.queue('offsetByTime', queue)
    const time = check.offset('offsetByTime', 'timestampMs', timestampMs)
    return await settle(this.#native.offsetByTime(checked, time))
  }

  async close() {
    await settle(this.#native.close())
  }

  async [asyncDispose]() {
    await this.close()
  }
}

module.exports = { PullConsumer }
