// SPDX-License-Identifier: Apache-2.0
'use strict';

// Drives the JavaScript client ali-ons through its behaviours against any name server and prints one JSON line per
// behaviour: {"name", "ok", "ms", "detail"}. Exit code 1 if one failed.
// Arguments: name server address, prefix of topics and groups. The topics <prefix>_send, _many and _tags must exist: this
// client does not send to a topic without a route.

const assert = require('node:assert/strict');
const { Consumer, Message, Producer } = require('ali-ons');

const [namesrv, prefix] = process.argv.slice(2);
const DEADLINE_MS = 40_000;
const quiet = { info() {}, debug() {}, warn() {}, error: console.error };
// The client asks for an HTTP client even when the name server's address is given; it is never used then.
const httpclient = { request: async () => { throw new Error('no HTTP here'); } };
const options = {
  httpclient, logger: quiet, nameSrv: namesrv, accessKeyId: 'ak', accessKeySecret: 'sk',
};

const name = what => `${prefix}_${what}`;

function message(topic, tag, number) {
  const made = new Message(topic, tag, `message ${number} of ${topic} äöü €`);
  made.keys = [`k${number}`, 'all'];
  made.properties.number = String(number);
  made.properties.text = 'grüße aus dem süden';
  return made;
}

/** What came is what was sent: nothing lost, nothing twice, all of it equal. */
function assertSame(sent, got) {
  const missing = new Map(sent.map(m => [m.properties.number, m]));
  for (const g of got) {
    const number = g.properties.number;
    const s = missing.get(number);
    assert.ok(s, `message ${number} not expected or twice`);
    missing.delete(number);
    assert.equal(g.topic, s.topic);
    assert.equal(g.body.toString(), s.body.toString(), `body of ${number}`);
    assert.equal(g.tags, s.tags, `tag of ${number}`);
    assert.equal(g.properties.KEYS, s.properties.KEYS, `keys of ${number}`);
    assert.equal(g.properties.text, s.properties.text, `property of ${number}`);
    assert.equal(g.reconsumeTimes, 0);
    assert.ok(Math.abs(Date.now() - g.bornTimestamp) < 600_000, `born ${g.bornTimestamp}`);
    assert.ok(g.msgId, 'message id');
  }
  assert.deepEqual([...missing.keys()], [], 'messages that did not come');
}

async function until(what, condition) {
  const end = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what()}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

async function sendChecked(producer, sent) {
  const result = await producer.send(sent);
  assert.equal(result.sendStatus, 'SEND_OK');
  // This client calls the offset id of the answer the message id.
  assert.match(result.msgId, /^[0-9A-F]{32}$/);
  assert.ok(result.queueOffset >= 0);
  assert.equal(result.messageQueue.topic, sent.topic);
  return result;
}

async function consume(topic, group, expression, got) {
  const consumer = new Consumer({
    ...options, consumerGroup: name(group), consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET', parallelConsumeLimit: 4,
  });
  // A retry topic that no message ever went to has no route; the client reports that every time it looks.
  consumer.on('error', err => { if (!err.message.includes('%RETRY%')) console.error(err); });
  consumer.subscribe(topic, expression, async m => { got.push(m); });
  await consumer.ready();
  return consumer;
}

const behaviours = {
  async send_and_consume(producer) {
    const topic = name('send');
    const sent = [];
    const ids = new Set();
    for (let i = 0; i < 20; i++) {
      const m = message(topic, 'TagA', i);
      ids.add((await sendChecked(producer, m)).msgId);
      sent.push(m);
    }
    assert.equal(ids.size, 20, 'distinct message ids');
    const got = [];
    const consumer = await consume(topic, 'send', '*', got);
    await until(() => `${got.length} of 20`, () => got.length >= 20);
    await consumer.close();
    assertSame(sent, got);
    return '20 messages';
  },

  async send_concurrently(producer) {
    const topic = name('many');
    const sent = Array.from({ length: 200 }, (_, i) => message(topic, 'TagA', i));
    // The first makes the topic, the others go out together.
    await sendChecked(producer, sent[0]);
    await Promise.all(sent.slice(1).map(m => sendChecked(producer, m)));
    const got = [];
    const consumer = await consume(topic, 'many', '*', got);
    await until(() => `${got.length} of 200`, () => got.length >= 200);
    await consumer.close();
    assertSame(sent, got);
    return '200 messages';
  },

  async push_tag_filter(producer) {
    const topic = name('tags');
    const tags = ['TagA', 'TagB', 'TagC'];
    const wanted = [];
    const send = async (from, count) => {
      for (let i = from; i < from + count; i++) {
        const m = message(topic, tags[i % 3], i);
        await sendChecked(producer, m);
        if (i % 3 !== 1) wanted.push(m);
      }
    };
    await send(0, 30);
    const got = [];
    const consumer = await consume(topic, 'tags', 'TagA || TagC', got);
    // The other half comes while the consumer runs.
    await send(30, 30);
    await until(() => `${got.length} of ${wanted.length}`, () => got.length >= wanted.length);
    await consumer.close();
    assertSame(wanted, got);
    return `${got.length} of 60 messages`;
  },
};

async function main() {
  const producer = new Producer({ ...options, producerGroup: name('producers') });
  producer.on('error', err => console.error(err));
  await producer.ready();
  let ok = true;
  for (const [behaviour, run] of Object.entries(behaviours)) {
    const start = Date.now();
    let detail;
    let good = true;
    try {
      detail = await run(producer);
    } catch (err) {
      good = ok = false;
      detail = String(err.stack || err);
    }
    console.log(JSON.stringify({ name: behaviour, ok: good, ms: Date.now() - start, detail }));
  }
  await producer.close();
  // Timers of the client that linger must not decide when the program ends.
  process.exit(ok ? 0 : 1);
}

main().catch(err => {
  console.error(err);
  process.exit(1);
});
