// SPDX-License-Identifier: Apache-2.0
'use strict'

// Finds the compiled part: native/kerolox.<platform>-<arch>[-<abi>].node, or what KEROLOX_NATIVE names.

const path = require('node:path')
const { createError } = require('./errors.js')
const { createMessage } = require('./messages.js')

function abi() {
  if (process.platform === 'win32') return '-msvc'
  if (process.platform !== 'linux') return ''
  return process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl'
}

function load() {
  const name = `kerolox.${process.platform}-${process.arch}${abi()}.node`
  const file = process.env.KEROLOX_NATIVE || path.join(__dirname, 'native', name)
  try {
    return require(file)
  } catch (cause) {
    const advice = 'in a checkout, build bindings/node (cargo build -p kerolox-node) and copy the library there'
    throw new Error(`kerolox: can not load ${file}; ${advice}`, { cause })
  }
}

const native = load()
native.setup(createError, createMessage)

module.exports = native
