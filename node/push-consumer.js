// SPDX-License-Identifier: Apache-2.0
'use strict'

const { inspect } = require('node:util')

const check = require('./arguments.js')
const { invalidArgument, settle } = require('./errors.js')
const { asyncDispose, guard, token } = require('./handles.js')
const native = require('./native.js')

// How long one poll of a loop waits; the loop then asks again.
const LOOP_WAIT_MS = 5000

const FIELDS = [
  'topic',
  'body',
  'tag',
  'keys',
  'properties',
  'messageId',
  'offsetMessageId',
  'brokerName',
  'queueId',
  'queueOffset',
  'reconsumeTimes',
  'bornTimestampMs',
  'storeTimestampMs',
  'bornHost',
  'storeHost',
  'flag',
  'physicalOffset',
]

/** A received message that has to be completed once: `ack` when it has been dealt with, `later` to get it again. */
class Delivery {
  #native
  #id
  #message
  #isCompleted = false

  constructor(key, handle, id, message) {
    if (key !== token) throw new TypeError('deliveries come from a PushConsumer')
    this.#native = handle
    this.#id = id
    this.#message = message
  }

  get id() {
    return this.#id
  }

  get message() {
    return this.#message
  }

  get completed() {
    return this.#isCompleted
  }

  ack() {
    this.#complete(true)
  }

  later() {
    this.#complete(false)
  }

  toJSON() {
    return { id: this.#id, ...this.#message }
  }

  [inspect.custom](depth, options, inspectWith) {
    return `Delivery ${inspectWith(this.toJSON(), options)}`
  }

  #complete(success) {
    this.#native.complete(this.#id, success)
    this.#isCompleted = true
  }

  /** Notes that `PushConsumer.complete` or `completeBatch` has completed it. */
  static noteCompleted(delivery) {
    if (delivery instanceof Delivery) delivery.#isCompleted = true
  }
}

const { noteCompleted } = Delivery
delete Delivery.noteCompleted

for (const name of FIELDS) {
  Object.defineProperty(Delivery.prototype, name, {
    get() {
      return this.message[name]
    },
    configurable: true,
    enumerable: true,
  })
}

function deliveryId(operation, delivery) {
  if (delivery instanceof Delivery) return delivery.id
  return check.integer(operation, 'delivery', delivery, 0, Number.MAX_SAFE_INTEGER)
}

function isSuccess(operation, verdict) {
  if (verdict === 'success') return true
  if (verdict === 'later') return false
  throw check.wrong(operation, 'verdict', verdict, "'success' or 'later'")
}

/** Whether the consumer has been closed meanwhile: then loops end, and there is nothing left to complete. */
function ignoreClosed(error) {
  if (error?.code !== 'CLOSED') throw error
}

function completeUnlessDone(delivery, success) {
  if (delivery.completed) return
  try {
    if (success) delivery.ack()
    else delivery.later()
  } catch (error) {
    ignoreClosed(error)
  }
}

/** Receives the messages of its share of the group's queues. */
class PushConsumer {
  #native

  constructor(key, handle) {
    guard(key, 'PushConsumer')
    this.#native = handle
  }

  static async start(options) {
    const operation = 'start push consumer'
    const flat = check.options(operation, options, 'subscriptions')
    const subscriptions = check.subscriptions(operation, options?.subscriptions)
    return new PushConsumer(token, await settle(native.PushConsumer.start(flat, subscriptions)))
  }

  async poll(max = 32, waitMs = 1000) {
    const flat = await settle(this.#native.poll(...check.limits(max, waitMs)))
    const deliveries = []
    for (let i = 0; i + 1 < flat.length; i += 2) {
      deliveries.push(new Delivery(token, this.#native, flat[i], flat[i + 1]))
    }
    return deliveries
  }

  complete(delivery, verdict = 'success') {
    this.#native.complete(deliveryId('complete', delivery), isSuccess('complete', verdict))
    noteCompleted(delivery)
  }

  completeBatch(verdicts) {
    if (!Array.isArray(verdicts)) {
      throw check.wrong('completeBatch', 'verdicts', verdicts, 'an array of [delivery, verdict]')
    }
    const done = []
    const later = []
    for (const [delivery, verdict] of verdicts) {
      const ids = isSuccess('completeBatch', verdict ?? 'success') ? done : later
      ids.push(deliveryId('completeBatch', delivery))
    }
    this.#native.completeBatch(done, later)
    for (const [delivery] of verdicts) noteCompleted(delivery)
  }

  assigned() {
    return this.#native.assigned()
  }

  async run(listener, { concurrency = 20, onError } = {}) {
    if (typeof listener !== 'function') {
      throw invalidArgument('run', 'listener must be a function')
    }
    check.integer('run', 'concurrency', concurrency, 1, 100_000)
    let active = 0
    let notify = () => {}
    const handle = async (delivery) => {
      try {
        await listener(delivery)
        completeUnlessDone(delivery, true)
      } catch (error) {
        completeUnlessDone(delivery, false)
        if (onError) onError(error, delivery)
        else process.emitWarning(`a listener failed, its message comes again: ${error?.stack ?? error}`)
      }
    }
    const changed = () => new Promise((resolve) => (notify = resolve))
    let failure
    for (;;) {
      if (active >= concurrency) {
        await changed()
        continue
      }
      let deliveries
      try {
        deliveries = await this.poll(concurrency - active, LOOP_WAIT_MS)
      } catch (error) {
        if (error?.code !== 'CLOSED') failure = error
        break
      }
      for (const delivery of deliveries) {
        active += 1
        handle(delivery)
          .catch((error) => (failure ??= error))
          .finally(() => {
            active -= 1
            notify()
          })
      }
      if (failure) break
    }
    while (active > 0) await changed()
    if (failure) throw failure
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      let delivery
      try {
        // One at a time: what has been fetched but not been looked at could not go to another member.
        delivery = (await this.poll(1, LOOP_WAIT_MS))[0]
      } catch (error) {
        ignoreClosed(error)
        return
      }
      if (!delivery) continue
      let finished = false
      try {
        yield delivery
        finished = true
      } finally {
        completeUnlessDone(delivery, finished)
      }
    }
  }

  async close() {
    await settle(this.#native.close())
  }

  async [asyncDispose]() {
    await this.close()
  }
}

module.exports = { Delivery, PushConsumer }
