/**
 * The embedding API for one node: its options, which are the keys of the configuration file, and its start.
 */
import { QuoinError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { checkConfiguration } from '../server/configuration/index.js';
import type { LogLevel, NodeConfiguration } from '../server/configuration/types.js';
import { EmbeddedNode } from './embedded-node.js';
import { freePorts } from './ports.js';

/** A bucket that is made when the cluster forms; the keys are those of `buckets` in the configuration file. */
export interface BucketOptions {
  readonly name: string;
  /** Default: `raft`. */
  readonly replication?: 'raft' | 'quorum';
  /** Default: `lmdb`. */
  readonly engine?: 'lmdb' | 'memory';
  /** Time to live of keys that are written without one, with its unit: `30m`. Default: none. */
  readonly ttl?: string;
  /** Copies of each key of a `quorum` bucket, and how many must answer a read and have a write. Default: 3, a majority. */
  readonly n?: number;
  readonly r?: number;
  readonly w?: number;
  readonly readRepair?: boolean;
  readonly hintedHandoff?: boolean;
  readonly antiEntropy?: boolean;
  /** Engine `memory` only: keys not used for so long go, with its unit. Default: never. */
  readonly maxIdle?: string;
  /** Engine `memory` only: bytes, or a size such as `1gb`, that the bucket may take on each node. Default: no bound. */
  readonly maxMemory?: number | string;
  /** What goes when `maxMemory` is reached. Default: `noeviction`, and writes are refused. */
  readonly eviction?: 'noeviction' | 'lru' | 'lfu';
}

/**
 * The keys, values and defaults of the configuration file (`docs/configuration.md`), and a logger. Durations have their
 * unit (`500ms`, `10s`), sizes may (`64kb`).
 */
export interface StartNodeOptions {
  readonly node?: {
    readonly id?: string;
    readonly dataDir?: string;
    /** Default: both. */
    readonly roles?: readonly ('storage' | 'coordinator')[];
    readonly zone?: string;
    readonly weight?: number;
  };
  /** `host:port`; port 0 takes a free one. */
  readonly listen?: { readonly resp?: string; readonly http?: string; readonly grpc?: string };
  readonly advertise?: string;
  readonly cluster?: {
    readonly name?: string;
    readonly join?: readonly string[];
    readonly replicas?: number;
    readonly leaseReads?: boolean;
    readonly electionTimeout?: string;
    readonly heartbeatInterval?: string;
  };
  readonly storage?: {
    readonly sync?: 'always';
    readonly syncStrategy?: 'auto' | 'blocking' | 'background';
    readonly checkpointInterval?: string;
  };
  readonly quorum?: {
    readonly timeout?: string;
    readonly maxClockDrift?: string;
    readonly readRepairChance?: number;
    readonly tombstoneGrace?: string;
    readonly maxHintAge?: string;
    readonly maxHintBytes?: number | string;
    readonly hintRate?: number | string;
    readonly repairInterval?: string;
    readonly repairRate?: number | string;
  };
  readonly buckets?: readonly BucketOptions[];
  readonly limits?: {
    readonly maxKeyBytes?: number | string;
    readonly maxValueBytes?: number | string;
    readonly maxConnections?: number;
  };
  /** `level`: the lines that reach `logger`. */
  readonly log?: { readonly level?: LogLevel };
  /** Gets the node's log lines; pino and its like fit. Default: nobody. */
  readonly logger?: Logger;
}

/** Checks options by the rules of the configuration file. Throws CONFIG_INVALID, naming each key that is wrong. */
export function configurationOf(options: StartNodeOptions, origin: string): NodeConfiguration {
  const { logger: _, ...keys } = options;
  let plain: unknown;
  try {
    // As it would be written in a file: members that are undefined are not there.
    plain = JSON.parse(JSON.stringify(keys));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new QuoinError('CONFIG_INVALID', `${origin}: the options are no plain data: ${reason}`, { cause });
  }
  return checkConfiguration(plain, origin);
}

/** Ports 0 become free ones before the start, because the other nodes and cluster clients are told of them. */
async function withPorts(configuration: NodeConfiguration): Promise<NodeConfiguration> {
  const { listen } = configuration;
  const ports = await freePorts(Object.values(listen).filter((address) => address.endsWith(':0')).length);
  const bound = (address: string): string =>
    address.endsWith(':0') ? `${address.slice(0, -1)}${ports.pop() ?? 0}` : address;
  return {
    ...configuration,
    listen: { resp: bound(listen.resp), http: bound(listen.http), grpc: bound(listen.grpc) },
  };
}

/**
 * Starts a node on a thread of its own. Resolves when its front doors are open; `node.ready()` waits for its cluster.
 * Rejects with `QuoinError` (CONFIG_INVALID, ADDRESS_IN_USE, DIRECTORY_IN_USE, ...); then nothing of it is left running.
 */
export async function startNode(options: StartNodeOptions = {}): Promise<EmbeddedNode> {
  const configuration = configurationOf(options, 'startNode');
  const node = new EmbeddedNode(await withPorts(configuration), { logger: options.logger });
  try {
    await node.started();
    return node;
  } catch (error) {
    await node.stop();
    throw error;
  }
}
