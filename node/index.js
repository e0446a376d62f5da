// SPDX-License-Identifier: Apache-2.0
'use strict'

const { Admin } = require('./admin.js')
const { classes } = require('./errors.js')
const native = require('./native.js')
const { Producer } = require('./producer.js')
const { PullConsumer } = require('./pull-consumer.js')
const { Delivery, PushConsumer } = require('./push-consumer.js')

module.exports = {
  Admin,
  Delivery,
  Producer,
  PullConsumer,
  PushConsumer,
  ...classes,
  version: native.version(),
}
