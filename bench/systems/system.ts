/**
 * A store under measurement: Quoin or one of its peers. A system is started afresh for each of its turns, so that no other
 * store shares the machine with it, and loaded by the client that suits it best.
 */

export interface Workload {
  readonly operation: 'set' | 'get';
  /** `routed`: clients know which node to ask (cluster mode). `plain`: all clients ask one node. */
  readonly mode: 'routed' | 'plain';
  readonly clients: number;
  readonly pipeline: number;
  readonly requests: number;
  readonly keys: number;
  readonly valueBytes: number;
}

export interface Sample {
  readonly ratePerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface RunningSystem {
  /** Runs one workload; undefined when the system has no such mode. */
  run(workload: Workload): Promise<Sample | undefined>;
  stop(): Promise<void>;
}

/** In the order in which they have their turns. */
export const SYSTEM_NAMES = [
  'quoin',
  'eventual-r1w1',
  'eventual-r2w2',
  'etcd',
  'redis-cluster',
  'redis-replicated',
  'bare',
] as const;

export type SystemName = (typeof SYSTEM_NAMES)[number];

export interface System {
  readonly name: SystemName;
  /** How it is set up, for the reader of the table. */
  readonly description: string;
  /** Debian packages that it needs. */
  readonly packages: readonly string[];
  /** Starts it on loopback with no data. */
  start(): Promise<RunningSystem>;
}
