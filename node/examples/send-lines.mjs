// SPDX-License-Identifier: Apache-2.0
// Sends every line of standard input, up to 500 at once.
//
//     node examples/send-lines.mjs TOPIC < FILE     (name server: NAMESRV_ADDR, default 127.0.0.1:9876)

import { createInterface } from 'node:readline'

import { KeroloxError, Producer } from 'kerolox'

const [topic] = process.argv.slice(2)
if (!topic) {
  console.error('usage: node examples/send-lines.mjs TOPIC < FILE')
  process.exit(2)
}

const producer = await Producer.start({ nameServers: process.env.NAMESRV_ADDR ?? '127.0.0.1:9876' })
try {
  let sent = 0
  let window = []
  for await (const line of createInterface({ input: process.stdin })) {
    if (line) window.push(producer.send({ topic, body: line }))
    if (window.length === 500) {
      sent += (await Promise.all(window)).length
      window = []
    }
  }
  sent += (await Promise.all(window)).length
  console.log(`sent ${sent}`)
} catch (error) {
  if (!(error instanceof KeroloxError)) throw error
  console.error(`${error.message}\nhint: ${error.hint}`)
  process.exitCode = 1
} finally {
  await producer.close()
}
