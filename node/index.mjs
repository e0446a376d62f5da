// SPDX-License-Identifier: Apache-2.0
// The same classes as `require('kerolox')` gives.
import kerolox from './index.js'

export const {
  Admin,
  AuthError,
  BrokerError,
  ConnectError,
  Delivery,
  FlowError,
  InternalError,
  KeroloxError,
  Producer,
  PullConsumer,
  PushConsumer,
  TimeoutError,
  UsageError,
  version,
} = kerolox
export default kerolox
