// SPDX-License-Identifier: Apache-2.0
// Everything in one process: starts a server, sends ten messages, receives them, stops.
//
//     node examples/round-trip.mjs

import { Producer, PushConsumer } from 'kerolox'
import { Server } from 'kerolox/testing'

const server = await Server.start()
const { nameServers } = server

const producer = await Producer.start({ nameServers })
for (let i = 0; i < 10; i += 1) {
  const sent = await producer.send({ topic: 'greetings', body: `hello ${i}`, tag: i % 2 ? 'odd' : 'even' })
  console.log(`sent ${sent.messageId} to queue ${sent.queueId} at ${sent.queueOffset}`)
}
await producer.close()

const consumer = await PushConsumer.start({
  nameServers,
  group: 'readers',
  consumeFrom: 'FIRST_OFFSET',
  subscriptions: { greetings: 'odd' },
})
let received = 0
for await (const delivery of consumer) {
  console.log(`received ${delivery.body} from queue ${delivery.queueId}`)
  received += 1
  if (received === 5) {
    // Leaving the loop gives the current message back unless it has been acknowledged.
    delivery.ack()
    break
  }
}
await consumer.close()
await server.stop()
