/**
 * The contract of the quorum cores: what they are told, what they need, what they want done (papers 000, 002 and 004;
 * Dynamo, SOSP 2007; Cassandra's names where Dynamo has none).
 *
 * Nothing here does I/O. Records of a bucket merge by version: the newest write wins, a delete is a write like any
 * other (a record without value that expired long ago), and what is expired hides what is older until it is purged.
 *
 * Invariants that all parts keep:
 * - merging is commutative, associative and idempotent, so replicas that have seen the same writes are equal, in
 *   whatever order and however often they saw them;
 * - no key gets a version twice: it is hybrid logical time and the node that gave it (`clock.ts`);
 * - a replica takes no record whose version lies further ahead of its own clock than the allowed drift.
 */
import type { NodeId } from '../raft/types.js';
import type { FillingState } from './filling.js';

export type { NodeId } from '../raft/types.js';

/** `expiresAtMs` of a deleted key: expired since the first millisecond of 1970. */
export const DELETED_MS = 1;

/** What a replica holds under a key, dead or alive. */
export interface QuorumRecord {
  readonly value: Buffer;
  /** Hybrid logical time and the node that gave it; see `clock.ts`. At most 2^53 - 1. */
  readonly version: number;
  /** Wall-clock milliseconds; 0: never; `DELETED_MS`: deleted. A record is dead from then on. */
  readonly expiresAtMs: number;
}

export interface Mutation extends QuorumRecord {
  readonly bucketId: number;
  readonly key: Buffer;
}

/** True when readers must not see the record any more; it still hides what is older. */
export function isDead(record: { readonly expiresAtMs: number }, nowMs: number): boolean {
  return record.expiresAtMs !== 0 && record.expiresAtMs <= nowMs;
}

/** What became of a merge. `older` and `equal`: nothing changed. */
export type MergeResult = 'applied' | 'equal' | 'older' | 'refused';

/**
 * A node's records of all quorum buckets, as the cores see them: in memory, synchronous. Implemented by
 * `src/store/quorum/quorum-store.ts`.
 */
export interface QuorumStore {
  /** What is stored, dead or alive. */
  read(bucketId: number, key: Buffer): QuorumRecord | undefined;
  /** The stored version of a key, 0 when there is none. */
  versionOf(bucketId: number, key: Buffer): number;
  /**
   * Puts the record when it is newer than what is stored (of equal versions the one with the greater checksum wins, so
   * that all replicas choose alike). `refused`: the bucket is gone, was flushed after this version, has no memory left, or
   * the key was purged after this version. After the call `previousVersion` and `previousLive` tell what was there. Of a
   * record refused because all versions up to some one were flushed or purged, `previousVersion` is that one (not below
   * `version`): the writer stamps it again above. Refused for good (no memory, no bucket): `previousVersion` is below `version`.
   */
  merge(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult;
  /** Of the last merge: the version that was stored before it, 0 when none. */
  readonly previousVersion: number;
  /** Of the last merge: was there a live record before it? */
  readonly previousLive: boolean;
}

/** The replicas of a slot in one bucket; one object for each distinct set, so that batches go by identity. */
export interface ReplicaSet {
  /** In order of preference, at least one. */
  readonly members: readonly NodeId[];
  /** True when this node is one of them. */
  readonly includesSelf: boolean;
  /** The other members. */
  readonly others: readonly NodeId[];
}

/** How a write ended. */
export type WriteOutcome =
  /** `w` replicas have it. `version`: what it got. `existed`: one of them had a live record before. */
  | { readonly ok: true; readonly version: number; readonly existed: boolean }
  | { readonly ok: false; readonly reason: QuorumFailure };

/**
 * `unreachable`: fewer than w (or r) replicas can be reached, nothing was done. `timeout`: too few answered in time; a
 * write may have happened. `refused`: replicas refused it (out of memory), nothing was acknowledged. `overloaded`: too much
 * under way, nothing was done. `clock`: this node's clock runs too far ahead of the others'.
 */
export type QuorumFailure = 'unreachable' | 'timeout' | 'refused' | 'overloaded' | 'clock';

export interface QuorumWrite {
  readonly bucketId: number;
  /** Key and value must not change until `written` is called. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly expiresAtMs: number;
  readonly replicas: ReplicaSet;
  /** Replicas that must have it before it is acknowledged, 1 to `replicas.members.length`. */
  readonly w: number;
  /** Acknowledged only by replicas that have synced it; without, by those that have it in memory. */
  readonly durable: boolean;
  /** Keep what an unreachable replica misses, to hand it over later. */
  readonly hinted: boolean;
  /** Called once, possibly from within `write`. */
  written(outcome: WriteOutcome): void;
}

/** This node's memory is all that the write waits for: it is answered before anything of it leaves. */
export function needsMemoryAlone({ w, durable, replicas }: QuorumWrite): boolean {
  return w === 1 && !durable && replicas.includesSelf;
}

export interface QuorumRead {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly replicas: ReplicaSet;
  /** Replicas that must have answered, 1 to `replicas.members.length`. */
  readonly r: number;
  /** Mend replicas that turn out stale. */
  readonly repair: boolean;
  /** Called once, possibly from within `read`. The newest record, dead ones too; undefined: no replica has any. */
  found(record: QuorumRecord | undefined): void;
  failed(reason: QuorumFailure): void;
}

/** Why a batch of mutations travels. */
export type MutationPurpose = 'write' | 'repair' | 'hint' | 'anti-entropy';

/**
 * Mutations encoded one after the other (`codec.ts`), as they travel, as they stand in the journal and as hints keep
 * them: encoded once, shared by all of these.
 */
export interface MutationBatch {
  readonly count: number;
  readonly bytes: Buffer;
}

export type QuorumMessage =
  | {
      readonly kind: 'mutate';
      /** Names the batch in the acknowledgement; grows with each message of one process to one peer. */
      readonly id: number;
      readonly purpose: MutationPurpose;
      /** Acknowledge once synced (true) or at once. */
      readonly durable: boolean;
      readonly batch: MutationBatch;
    }
  | {
      readonly kind: 'mutated';
      readonly id: number;
      /** Only what is worth telling, by position in the batch. All others were applied and replaced nothing live. */
      readonly notes: readonly MutationNote[];
    }
  | { readonly kind: 'read'; readonly id: number; readonly queries: readonly ReadQuery[] }
  | { readonly kind: 'records'; readonly id: number; readonly answers: readonly ReadAnswer[] };

export interface MutationNote {
  readonly position: number;
  /** `newer`: a newer record stood there (`version`). `lived`: a live record was replaced. `ahead`: its version is too far ahead. */
  readonly what: 'newer' | 'lived' | 'refused' | 'ahead';
  readonly version: number;
}

export interface ReadQuery {
  readonly bucketId: number;
  readonly key: Buffer;
  /** The asker holds this version: send the record only when it is newer. 0: it holds none; -1: send the version alone. */
  readonly knownVersion: number;
}

/**
 * `same`: the version that the asker holds. `version`: another one, the record not sent. `filling`: this replica has lost its disk
 * and is no answer to reads before it is filled (`filling.ts`).
 */
export type ReadAnswer =
  | { readonly what: 'none' }
  | { readonly what: 'same' }
  | { readonly what: 'version'; readonly version: number; readonly expiresAtMs: number }
  | { readonly what: 'record'; readonly record: QuorumRecord }
  | { readonly what: 'unknown-bucket' }
  | { readonly what: 'filling' };

export interface OutgoingQuorumMessage {
  readonly to: NodeId;
  readonly message: QuorumMessage;
}

/** What a core wants done, in this order. */
export interface QuorumEffects {
  /** Merged into the store already; to be appended to the journal. */
  readonly journal: readonly MutationBatch[];
  /** May go before the journal is synced. */
  readonly messages: readonly OutgoingQuorumMessage[];
  /** Only once the journal, with the batches above, is synced. */
  readonly messagesAfterPersist: readonly OutgoingQuorumMessage[];
  /** What peers missed: to be kept durably for them. */
  readonly hints: readonly { readonly target: NodeId; readonly batch: MutationBatch }[];
  /** Call `persisted(token)` once the journal, with the batches above, is synced; 0: no need. */
  readonly persistToken: number;
}

export interface QuorumTiming {
  /** A request that has not its quorum by then fails. */
  readonly timeoutMs: number;
  /** A version further ahead of this node's wall clock is refused. */
  readonly maxClockDriftMs: number;
  /** A further replica is asked when an answer is later than this share of the recent ones (0.99), and at least `minSpeculationMs`. */
  readonly speculationQuantile: number;
  readonly minSpeculationMs: number;
  /** Share of reads, 0 to 1, for which the replicas beyond r are looked at too, after the answer. */
  readonly readRepairChance: number;
}

export interface QuorumCoreOptions {
  readonly self: NodeId;
  /** This node's number in the cluster map, below 128: the tie-break of versions. */
  readonly ordinal: number;
  readonly store: QuorumStore;
  readonly random: () => number;
  readonly timing: QuorumTiming;
  /** Highest version known to have been given or stored; the clock goes on behind it. */
  readonly lastVersion: number;
  /** Given where this node has lost its disk: until it is filled its records answer no reads. */
  readonly filling?: FillingState | undefined;
  /** Bytes of writes under way (sent, not acknowledged by all) past which new ones are refused as `overloaded`. */
  readonly maxUnackedBytes: number;
}

/** Counters since the start, for metrics and tests. */
export interface QuorumStatistics {
  readonly writes: number;
  readonly reads: number;
  readonly localReads: number;
  readonly readRepairs: number;
  readonly speculativeReads: number;
  readonly restamped: number;
  readonly hinted: number;
  readonly timeouts: number;
  readonly unackedBytes: number;
  /** Recent answers of each peer: moving average and 99th percentile, in milliseconds. */
  readonly latencies: Readonly<Record<NodeId, { readonly meanMs: number; readonly p99Ms: number }>>;
}

/**
 * The core (`core.ts`): coordinates this node's reads and writes and serves those of others. `nowMs` is monotonic time,
 * `wallMs` the wall clock.
 */
export interface QuorumCoreContract {
  write(write: QuorumWrite, nowMs: number, wallMs: number): void;
  read(read: QuorumRead, nowMs: number, wallMs: number): void;
  step(from: NodeId, message: QuorumMessage, nowMs: number, wallMs: number): void;
  /** Time-outs, speculation. Called every 10 to 25 ms, and at `nextDeadlineMs`. */
  tick(nowMs: number, wallMs: number): void;
  /** When `tick` has something to do earlier than usual; Infinity: never. */
  nextDeadlineMs(): number;
  /** Can this peer be reached, as far as links and gossip tell? Unknown peers cannot. */
  setReachable(peer: NodeId, reachable: boolean): void;
  /** The link to this peer broke or it restarted: what it has not acknowledged may be lost. */
  peerReset(peer: NodeId): void;
  persisted(token: number): void;
  hasEffects(): boolean;
  takeEffects(): QuorumEffects;
  /** Fails everything under way. */
  stop(): void;
  statistics(): QuorumStatistics;
}
