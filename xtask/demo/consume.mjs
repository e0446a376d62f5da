// SPDX-License-Identifier: Apache-2.0
// A member of the demo's group: prints the number and checksum of every line it gets, until its standard input ends.
// Usage: node consume.mjs NAME_SERVERS TOPIC GROUP
import zlib from 'node:zlib'
import { PushConsumer } from '../../node/index.mjs'

const [nameServers, topic, group] = process.argv.slice(2)

// zlib.crc32 came with Node 20.15.
const crc32 = zlib.crc32 ?? ((bytes) => {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
})


const consumer = await PushConsumer.start({
  nameServers,
  group,
  consumeFrom: 'FIRST_OFFSET',
  subscriptions: { [topic]: '*' },
})

let running = true
process.stdin.on('end', () => (running = false)).resume()

let known = -1
while (running) {
  const { length } = consumer.assigned()
  if (length !== known) console.log(`assigned ${(known = length)}`)
  const deliveries = await consumer.poll(256, 100)
  if (deliveries.length === 0) continue
  const lines = deliveries.map(({ message }) => {
    return `${message.properties.line}:${crc32(message.body).toString(16)}`
  })
  console.log(`lines ${lines.join(' ')}`)
  consumer.completeBatch(deliveries.map((delivery) => [delivery, 'success']))
}
await consumer.close()
