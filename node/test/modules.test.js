// SPDX-License-Identifier: Apache-2.0
'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { existsSync, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { test } = require('node:test')

const root = join(__dirname, '..')

test('import and require give the same classes', async () => {
  const required = require('kerolox')
  const imported = await import('kerolox')
  assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).filter((name) => name !== 'default').sort())
  for (const [name, value] of Object.entries(required)) assert.equal(imported[name], value, name)
  assert.equal(imported.default, required)
  const testing = await import('kerolox/testing')
  assert.equal(testing.Server, require('kerolox/testing').Server)
  assert.equal(required.version, require('kerolox/package.json').version)
})

test('classes and their methods are declared', async () => {
  const declarations = readFileSync(join(root, 'index.d.ts'), 'utf8')
  for (const [name, value] of Object.entries(require('kerolox'))) {
    if (typeof value !== 'function') continue
    const body = declarations.split(`export class ${name} `)[1]?.split('\n}\n')[0]
    assert.ok(body !== undefined, `class ${name}`)
    for (const method of Object.getOwnPropertyNames(value.prototype)) {
      if (method === 'constructor' || method === 'name' || /^[a-z]+(Id|Ms|Host)$/.test(method)) continue
      const isMessageField = name === 'Delivery' && declarations.includes(`\n  ${method}: `)
      assert.ok(isMessageField || body.includes(` ${method}(`) || body.includes(` ${method}:`), `${name}.${method}`)
    }
  }
})

test('the declarations hold what users rely on', (t) => {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  if (!existsSync(compiler)) return t.skip('SKIPPED types: typescript is not installed (npm ci)')
  execFileSync(process.execPath, [compiler, '--noEmit', '-p', __dirname], { cwd: root, stdio: 'inherit' })
})
