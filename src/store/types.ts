/**
 * The contract between a replica and the key-value state machine of its group.
 *
 * Invariants:
 * - `apply` is deterministic: equal state and equal entries give equal state, replies and digests on every node;
 * - a (session, sequence) is executed at most once, however often it stands in the log; a repeat gets the first reply;
 * - versions within a group grow: index * 4096 + position of the command in its entry.
 */
import type { Engine, EngineKind } from '../engine/types.js';
import type { CommandDefinition } from './command.js';
import type { Reply } from './reply.js';
import type { RetentionKeeper } from './retention.js';

export type Replication = 'raft' | 'mencius' | 'quorum' | 'primary';

/** What goes when a bucket has reached its `maxMemoryBytes`: nothing (writes are refused), the longest unused, the least often used. */
export type EvictionPolicy = 'noeviction' | 'lru' | 'lfu';

/** How long and how much a bucket keeps, beyond the time to live of its keys (paper 004, "Auto Clean-Up"). */
export interface RetentionPolicy {
  /** A key neither read nor written for so long goes; 0 = never. */
  readonly maxIdleMs: number;
  /** Memory that the bucket may take on each node; 0 = no bound. */
  readonly maxMemoryBytes: number;
  readonly eviction: EvictionPolicy;
}

/** How an eventual bucket replicates (papers 000, 002, 004). */
export interface QuorumPolicy {
  /** Replicas of each key: the first n members of its group. */
  readonly n: number;
  /** Replicas that must answer a read, and have a write, unless the request says otherwise; at most n. */
  readonly r: number;
  readonly w: number;
  readonly readRepair: boolean;
  readonly hintedHandoff: boolean;
  readonly antiEntropy: boolean;
  /** Records up to this version were flushed and are gone; 0: none were. */
  readonly flushedThrough: number;
}

/** A bucket's policy as the cluster map carries it. */
export interface BucketDescription {
  /** Never reused. 0 is `default`. */
  readonly id: number;
  readonly name: string;
  readonly replication: Replication;
  readonly engine: EngineKind;
  /** Time to live given to keys that are written without one; 0 = none. */
  readonly ttlMs: number;
  /** Absent: without bounds. */
  readonly retention?: RetentionPolicy;
  /** Present exactly when `replication` is `quorum`. */
  readonly quorum?: QuorumPolicy;
}

/** Who sent a command, and as its how-manieth, so that a repeat is recognized. */
export interface SessionStamp {
  /** 16 lower-case hex digits. */
  readonly session: string;
  readonly sequence: number;
  /** Every sequence below this one has been answered and will not be repeated. */
  readonly acknowledgedBelow: number;
}

/**
 * A read met a key that is expired by the leader's clock but not yet by the log's, or one that has been idle for too long
 * (`idleMet`): advance the log's time, remove what was idle, then read again, all through the log.
 */
export const CLOCK_BEHIND: unique symbol = Symbol('clock behind');

/** Opens engines for buckets; one per node. The groups of a node share a bucket's engine, each with slots of its own. */
export interface EngineProvider {
  open(bucket: BucketDescription): Engine;
  drop(bucket: BucketDescription): void;
}

/** The state of one replica group on one node. */
export interface GroupStateMachine {
  readonly group: number;
  /** The slots that this group holds. */
  readonly slots: ReadonlySet<number>;
  /** The time of the last applied entry (milliseconds since 1970), never decreasing. */
  readonly logTimeMs: number;
  /** Buckets opened in this group's log, by id. */
  readonly buckets: ReadonlyMap<number, BucketDescription>;
  /**
   * Applies one committed entry. Returns one reply for each of its commands, in order, when `collectReplies`; an empty
   * payload (a leader's no-op) applies nothing.
   */
  apply(index: number, payload: Buffer, collectReplies: boolean): Reply[];
  /** Executes a read against the state as applied, with the leader's clock. */
  read(
    definition: CommandDefinition,
    bucketId: number,
    args: readonly Buffer[],
    nowMs: number,
  ): Reply | typeof CLOCK_BEHIND;
  /** Of the open buckets that have bounds and an engine that can keep them, by id. */
  readonly retention: ReadonlyMap<number, RetentionKeeper>;
  /**
   * Tells the time (monotonic) that uses of keys from here on are stamped with, and since when this node leads the group (-1:
   * it does not). Needed where there are keepers, once per batch. Reads count as uses where the node leads; idle keys are
   * hidden once it has led for as long as they may be idle, because before it did not see who was read.
   */
  noteUseTime(nowMs: number, leadsSinceMs: number): void;
  /** What the last `read` met that was idle for too long; then it gave `CLOCK_BEHIND`. */
  readonly idleMet: readonly { readonly key: Buffer; readonly version: number }[];
  /**
   * Live search for expired keys, at most `maxKeys` looked at; returns the cursor to go on with. What it finds the
   * leader removes through the log (`quoin.expire`, with `expiryArguments` of the batch codec).
   */
  findExpired(
    fromToken: number,
    maxKeys: number,
    nowMs: number,
    found: (bucketId: number, key: Buffer, version: number) => void,
  ): number;

  /** Group-level state (log time, buckets, sessions) for a durable note or a snapshot's head. */
  encodeHead(): Buffer;
  restoreHead(bytes: Buffer): void;
  /** Visits every (bucket, key, record) of a slot, for a snapshot. */
  scanSlot(
    slot: number,
    visitor: (bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number) => void,
  ): void;
  /**
   * A bucket of which a snapshot has records; the log may open it only after the head was taken. Commands do not see it
   * before the log does.
   */
  installBucket(bucket: BucketDescription): void;
  /** Puts one record of a snapshot. */
  installRecord(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void;
  /** Commands on this slot are skipped up to `index`: a snapshot already reflects them. */
  setSlotReflects(slot: number, index: number): void;
  /** What sessions remember of commands on this slot, for a snapshot of the slot. */
  encodeSlotSessions(slot: number): Buffer;
  installSlotSessions(bytes: Buffer): void;
  /** Drops all keys of the group's slots, its buckets and sessions. */
  reset(): void;
  /** Digest over a slot of all buckets, to compare replicas that have applied the same index. */
  digestOfSlot(slot: number): number;
}
