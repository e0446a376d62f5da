// SPDX-License-Identifier: Apache-2.0
'use strict'

// What all handles have in common: they are made by `start`, and `await using` closes them.

const token = Symbol('kerolox handle')

/** Refuses `new Producer(…)` and the like from outside. */
function guard(key, name) {
  if (key !== token) throw new TypeError(`use ${name}.start(options)`)
}

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')

module.exports = { asyncDispose, guard, token }
