// SPDX-License-Identifier: Apache-2.0
'use strict'

// Checks what users pass and brings it into the one form that the native side takes: every field present, lists of
// names and values flat.

const { invalidArgument, invalidOption } = require('./errors.js')

const MESSAGE_FIELDS = ['topic', 'body', 'tag', 'keys', 'properties', 'delayLevel', 'flag']
const MESSAGE_FIELD = new Set(MESSAGE_FIELDS)
const MAX_U32 = 0xffff_ffff

/** A value, short, for a message. */
function shown(value) {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'function' || (typeof value === 'object' && value !== null)) {
    return `of type ${value.constructor?.name ?? typeof value}`
  }
  return String(value)
}

function wrong(operation, name, value, allowed) {
  return invalidArgument(operation, `${name} is ${shown(value)}, allowed is ${allowed}`)
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function text(operation, name, value) {
  if (typeof value !== 'string') throw wrong(operation, name, value, 'a string')
  return value
}

function integer(operation, name, value, min, max) {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw wrong(operation, name, value, `a whole number from ${min} to ${max}`)
  }
  return value
}

function int32(operation, name, value) {
  return integer(operation, name, value, -0x8000_0000, 0x7fff_ffff)
}

function offset(operation, name, value) {
  return integer(operation, name, value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
}

/** How many at most, and how long to wait for the first. */
function limits(max, waitMs) {
  return [integer('poll', 'max', max, 1, MAX_U32), integer('poll', 'waitMs', waitMs, 0, MAX_U32)]
}

function body(operation, value) {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof Uint8Array) return value
  throw wrong(operation, 'message.body', value, 'a Buffer, a Uint8Array or a string')
}

function keys(operation, value) {
  if (value == null) return []
  if (typeof value === 'string') return [value]
  if (Array.isArray(value) && value.every((key) => typeof key === 'string')) return value
  throw wrong(operation, 'message.keys', value, 'a string or an array of strings')
}

/** An object of strings as `[name, value, …]`. */
function texts(operation, name, value) {
  if (value == null) return []
  if (!isObject(value)) throw wrong(operation, name, value, 'an object of strings')
  return Object.entries(value).flatMap(([key, item]) => [key, text(operation, `${name}.${key}`, item)])
}

/** A message to send. */
function message(operation, given) {
  if (!isObject(given)) throw wrong(operation, 'message', given, 'an object')
  for (const name in given) {
    if (!MESSAGE_FIELD.has(name)) {
      const known = MESSAGE_FIELDS.join(', ')
      throw invalidArgument(operation, `a message has no field '${name}'; its fields are ${known}`)
    }
  }
  return {
    topic: text(operation, 'message.topic', given.topic),
    body: body(operation, given.body),
    tag: given.tag == null ? undefined : text(operation, 'message.tag', given.tag),
    keys: keys(operation, given.keys),
    properties: texts(operation, 'message.properties', given.properties),
    delayLevel: int32(operation, 'message.delayLevel', given.delayLevel ?? 0),
    flag: int32(operation, 'message.flag', given.flag ?? 0),
  }
}

function messages(operation, given) {
  if (!Array.isArray(given)) throw wrong(operation, 'messages', given, 'an array of messages')
  return given.map((item) => message(operation, item))
}

/** A queue, as `queues` returns them. */
function queue(operation, given) {
  if (!isObject(given)) throw wrong(operation, 'queue', given, 'a queue as queues returns it')
  return {
    topic: text(operation, 'queue.topic', given.topic),
    brokerName: text(operation, 'queue.brokerName', given.brokerName),
    queueId: int32(operation, 'queue.queueId', given.queueId),
  }
}

function queues(operation, given) {
  if (!Array.isArray(given)) throw wrong(operation, 'queues', given, 'an array of queues')
  return given.map((item) => queue(operation, item))
}

/** Topics and tag expressions: `{orders: 'created || paid'}`. */
function subscriptions(operation, given) {
  if (!isObject(given)) {
    throw wrong(operation, 'subscriptions', given, "an object like {orders: 'created || paid'}")
  }
  return texts(operation, 'subscriptions', given)
}

function optionValue(operation, name, value) {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return String(value)
    default:
      // Several name servers.
      if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(';')
      throw invalidOption(
        operation,
        name,
        `${name} is ${shown(value)}, an option is a string, a number, a boolean or an array of strings`,
      )
  }
}

/** Options as `[name, name in the native table, value, …]`; the native table checks names and values. */
function options(operation, given, except) {
  if (given != null && !isObject(given)) throw wrong(operation, 'options', given, 'an object')
  const flat = []
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value == null || name === except) continue
    if (name.includes('_')) {
      const camel = name.replace(/_+(.)/g, (_, letter) => letter.toUpperCase())
      throw invalidOption(operation, name, `there is no option '${name}', did you mean ${camel}?`, true)
    }
    const native = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    flat.push(name, native, optionValue(operation, name, value))
  }
  return flat
}

module.exports = {
  integer,
  isObject,
  limits,
  message,
  messages,
  offset,
  options,
  queue,
  queues,
  subscriptions,
  text,
  texts,
  wrong,
}
