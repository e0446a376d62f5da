// SPDX-License-Identifier: Apache-2.0
'use strict'

/** Makes a received message; the native side calls it, with the properties as name, value, … at the end. */
function createMessage(
  topic,
  body,
  tag,
  keys,
  messageId,
  offsetMessageId,
  brokerName,
  queueId,
  queueOffset,
  reconsumeTimes,
  bornTimestampMs,
  storeTimestampMs,
  bornHost,
  storeHost,
  flag,
  physicalOffset,
  ...pairs
) {
  const properties = {}
  for (let i = 0; i + 1 < pairs.length; i += 2) properties[pairs[i]] = pairs[i + 1]
  return {
    topic,
    body,
    tag,
    keys,
    properties,
    messageId,
    offsetMessageId,
    brokerName,
    queueId,
    queueOffset,
    reconsumeTimes,
    bornTimestampMs,
    storeTimestampMs,
    bornHost,
    storeHost,
    flag,
    physicalOffset,
  }
}

module.exports = { createMessage }
