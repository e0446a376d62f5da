// SPDX-License-Identifier: Apache-2.0
// Prints what arrives at a topic until Ctrl-C, several messages at once.
//
//     node examples/consume.mjs TOPIC [TAGS]        (name server: NAMESRV_ADDR, default 127.0.0.1:9876)

import { PushConsumer } from 'kerolox'

const [topic, tags = '*'] = process.argv.slice(2)
if (!topic) {
  console.error('usage: node examples/consume.mjs TOPIC [TAGS]')
  process.exit(2)
}

const consumer = await PushConsumer.start({
  nameServers: process.env.NAMESRV_ADDR ?? '127.0.0.1:9876',
  group: 'kerolox-example',
  consumeFrom: 'FIRST_OFFSET',
  subscriptions: { [topic]: tags },
})
process.once('SIGINT', () => consumer.close())

await consumer.run(
  async (delivery) => {
    console.log(`${delivery.brokerName}/${delivery.queueId}@${delivery.queueOffset} ${delivery.tag ?? ''} ${delivery.body}`)
  },
  { concurrency: 8, onError: (error, delivery) => console.error(`${delivery.messageId} comes again: ${error}`) },
)
