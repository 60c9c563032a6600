/**
 * What a node is configured with, after parsing: every key has a value, durations are milliseconds, sizes are bytes.
 * The text form (YAML, `--set`) and its rules stand in `schema.ts`; `docs/configuration.md` explains each key.
 */
import { LIMITS } from '../../base/limits.js';
import type { NodeRole } from '../../cluster/map.js';
import type { BucketSpecification } from '../types.js';

/** `auto` measures the disk and chooses; the other two force the log's way of syncing. */
export type ConfiguredSyncStrategy = 'auto' | 'blocking' | 'background';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What a slash command does. */
export type SlackVerb = 'get' | 'put' | 'del';

/** Who may do what over Slack; each list may hold `*`, which stands for all. */
export interface SlackPermission {
  readonly users: readonly string[];
  readonly channels: readonly string[];
  /** Workspaces, or organizations of several workspaces. */
  readonly teams: readonly string[];
  readonly buckets: readonly string[];
  readonly allow: readonly SlackVerb[];
}

export interface SlackConfiguration {
  /** `host:port` of the door that Slack calls. */
  readonly listen: string;
  /** Undefined: from the environment. */
  readonly signingSecret: string | undefined;
  /** Undefined: from the environment; slash commands work without. */
  readonly botToken: string | undefined;
  /** Who sees the answers: the person who asked, or the whole channel. */
  readonly responseType: 'ephemeral' | 'in_channel';
  /** What no permission allows is refused. */
  readonly permissions: readonly SlackPermission[];
}

/** What the eventual buckets of a node have in common. */
export interface QuorumConfiguration {
  /** A read or write that has not its quorum by then fails. */
  readonly timeoutMs: number;
  /** A version further ahead of this node's clock is refused. */
  readonly maxClockDriftMs: number;
  /** Share of reads, 0 to 1, for which the replicas beyond r are looked at too. */
  readonly readRepairChance: number;
  /** A deleted key's tombstone is kept at least so long. */
  readonly tombstoneGraceMs: number;
  /** Hints older than this are dropped; at most `tombstoneGraceMs`. */
  readonly maxHintAgeMs: number;
  /** Hints kept for one node. */
  readonly maxHintBytes: number;
  /** Hints handed over, a second and node. */
  readonly hintBytesPerSecond: number;
  /** How often two replicas compare what they hold. */
  readonly repairIntervalMs: number;
  /** What anti-entropy may move, a second. */
  readonly repairBytesPerSecond: number;
}

export interface NodeConfiguration {
  readonly node: {
    readonly id: string;
    readonly dataDir: string;
    readonly roles: readonly NodeRole[];
    readonly zone: string;
    readonly weight: number;
  };
  /** `host:port` of each door, as bound. */
  readonly listen: { readonly resp: string; readonly http: string; readonly grpc: string };
  /** Host under which clients and peers reach this node; the ports are those of `listen`. */
  readonly advertise: string;
  readonly cluster: {
    readonly name: string;
    readonly topology: 'managed';
    /** gRPC addresses of all first nodes, this one included; empty = a single node. */
    readonly join: readonly string[];
    /** Copies of each group's data; a cluster of fewer nodes has as many as it has nodes. */
    readonly replicas: number;
    readonly placement: 'balanced';
    /** Answer linearizable reads under the leader's lease instead of a round to the followers. */
    readonly leaseReads: boolean;
    readonly electionTimeoutMs: number;
    readonly heartbeatIntervalMs: number;
  };
  readonly storage: {
    readonly sync: 'always';
    readonly checkpointIntervalMs: number;
    readonly syncStrategy: ConfiguredSyncStrategy;
  };
  readonly quorum: QuorumConfiguration;
  /** Created when the cluster forms. */
  readonly buckets: readonly BucketSpecification[];
  readonly limits: {
    readonly maxKeyBytes: number;
    readonly maxValueBytes: number;
    readonly maxConnections: number;
  };
  readonly log: { readonly level: LogLevel; readonly format: 'json' | 'text' };
  /** Undefined: no Slack door. */
  readonly slack?: SlackConfiguration | undefined;
}

/** The section `quorum` when a configuration says nothing about it. */
export const DEFAULT_QUORUM: QuorumConfiguration = {
  timeoutMs: 2000,
  maxClockDriftMs: 2000,
  readRepairChance: 0.1,
  tombstoneGraceMs: 3_600_000,
  maxHintAgeMs: 1_800_000,
  maxHintBytes: 256 * 1024 ** 2,
  hintBytesPerSecond: 16 * 1024 ** 2,
  repairIntervalMs: 10_000,
  repairBytesPerSecond: 16 * 1024 ** 2,
};

/**
 * The buckets that every cluster has from the start: `default`, and one of each replication, so that they can be compared
 * at once. A configuration may describe them otherwise. The order gives the indexes: `default` is what SELECT 0 means.
 */
export const FIRST_BUCKETS: readonly BucketSpecification[] = [
  { name: 'default', replication: 'raft', engine: 'lmdb', ttlMs: 0 },
  { name: 'raft', replication: 'raft', engine: 'lmdb', ttlMs: 0 },
  { name: 'quorum', replication: 'quorum', engine: 'lmdb', ttlMs: 0 },
];

/**
 * A single node on loopback that keeps its data in `.quoin/n1`. Callers replace what they need; the objects are new
 * for each call.
 */
export function defaultConfiguration(changes: Partial<NodeConfiguration> = {}): NodeConfiguration {
  return {
    node: { id: 'n1', dataDir: '.quoin/n1', roles: ['storage', 'coordinator'], zone: '', weight: 1 },
    listen: { resp: '127.0.0.1:7001', http: '127.0.0.1:8001', grpc: '127.0.0.1:9001' },
    advertise: '127.0.0.1',
    cluster: {
      name: 'quoin',
      topology: 'managed',
      join: [],
      replicas: 3,
      placement: 'balanced',
      leaseReads: false,
      electionTimeoutMs: 1000,
      heartbeatIntervalMs: 100,
    },
    storage: { sync: 'always', checkpointIntervalMs: 10_000, syncStrategy: 'auto' },
    quorum: DEFAULT_QUORUM,
    buckets: FIRST_BUCKETS,
    limits: {
      maxKeyBytes: LIMITS.maxKeyBytes,
      maxValueBytes: LIMITS.maxValueBytes,
      maxConnections: LIMITS.maxConnections,
    },
    log: { level: 'info', format: 'text' },
    ...changes,
  };
}
