// SPDX-License-Identifier: Apache-2.0
import testing from './testing.js'

export const { Server } = testing
export default testing
