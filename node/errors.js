// SPDX-License-Identifier: Apache-2.0
'use strict'

/** What every operation rejects with. */
class KeroloxError extends Error {
  constructor(message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = details.code ?? 'INTERNAL'
    this.number = details.number ?? 900
    this.retryable = details.retryable ?? false
    this.retry = details.retry ?? 'no'
    this.operation = details.operation ?? ''
    this.hint = details.hint ?? ''
    this.brokerCode = details.brokerCode
    this.context = details.context ?? {}
  }
}

class UsageError extends KeroloxError {}
class ConnectError extends KeroloxError {}
class TimeoutError extends ConnectError {}
class BrokerError extends KeroloxError {}
class FlowError extends KeroloxError {}
class AuthError extends KeroloxError {}
class InternalError extends KeroloxError {}

const classes = {
  KeroloxError,
  UsageError,
  ConnectError,
  TimeoutError,
  BrokerError,
  FlowError,
  AuthError,
  InternalError,
}

for (const [name, type] of Object.entries(classes)) {
  // On the prototype, so that `name` is no property of every error that is printed.
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true, writable: true })
}

/** Makes an error from what the native side knows about it. */
function createError({ class: name, message, context, ...details }) {
  const pairs = {}
  for (let i = 0; i + 1 < context.length; i += 2) pairs[context[i]] = context[i + 1]
  return new classes[name](message, { ...details, context: pairs })
}

/** An argument that is not what the operation takes. */
function invalidArgument(operation, message) {
  return new UsageError(`${operation}: ${message}`, {
    code: 'INVALID_ARGUMENT',
    number: 1,
    operation,
    hint: 'the message names the argument and what is allowed',
  })
}

/** An option that is not usable; `unknown` when there is none of that name. */
function invalidOption(operation, option, message, unknown = false) {
  return new UsageError(`${operation}: ${message}`, {
    code: unknown ? 'UNKNOWN_OPTION' : 'INVALID_OPTION',
    number: unknown ? 3 : 2,
    operation,
    hint: unknown
      ? 'option names are camelCase with units, for example sendTimeoutMs'
      : 'the message names the option and what is allowed',
    context: { option },
  })
}

/** Waits for a promise of the native side; its errors get the stack of the caller. */
async function settle(promise) {
  try {
    return await promise
  } catch (error) {
    // They are made when the result arrives, where there is no caller on the stack. Here the awaiting functions are.
    Error.captureStackTrace(error)
    throw error
  }
}

module.exports = { classes, createError, invalidArgument, invalidOption, settle }
