// SPDX-License-Identifier: Apache-2.0

/** Where the servers listen and keep their files. */
export interface ServerOptions {
  /** Directory of the broker's files. Default: a fresh one, removed at `stop`. */
  dataDir?: string
  /** Address of the name server. Default: a free port of 127.0.0.1. */
  namesrvListen?: string
  /** Address of the broker. Default: a free port of 127.0.0.1. */
  brokerListen?: string
  /** Further settings of the broker under the reference's keys: `{ brokerName: 'broker-b' }`. */
  brokerSettings?: Readonly<Record<string, string>>
}

/** A name server and a broker inside this process, for tests. */
export class Server {
  private constructor()
  /** Starts both on free ports; a broker that is started is registered. */
  static start(options?: ServerOptions): Promise<Server>
  /** What clients take as `nameServers`. */
  readonly nameServers: string
  /** Address of the broker. */
  readonly brokerAddr: string
  /** Directory of the broker's files. */
  readonly dataDir: string
  /** Stops both. May be called twice. */
  stop(): Promise<void>
  /** Stops both, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}
