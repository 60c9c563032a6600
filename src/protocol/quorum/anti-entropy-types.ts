/**
 * The contract of anti-entropy (paper 000; Merkle trees as paper 002 wishes them; Dynamo, SOSP 2007, section 4.7): what it
 * must be told and shown, and what it wants done.
 *
 * `ReplicaContents` is what a node holds of all eventual buckets, in memory and synchronous. A replica's records of a slot
 * have a digest that depends on the set of (key, value, version, expiry) alone, dead records included.
 */
import type { Filling } from './filling.js';
import type { MergeResult, MutationBatch, NodeId, QuorumRecord } from './types.js';

/** An open eventual bucket, as far as its repair is concerned. */
export interface RepairedBucket {
  readonly bucketId: number;
  /** Its replicas are the first n members of a group. */
  readonly n: number;
  /** False: replicas are not compared, and nothing is purged. */
  readonly antiEntropy: boolean;
  /** Records up to this version were flushed. Two nodes compare a bucket only when they agree on it. */
  readonly flushedThrough: number;
}

/** `purged`: a dead record that this replica has purged already; its sender may do the same. */
export type RepairMergeResult = MergeResult | 'purged';

/** Return false to stop. */
export type VersionVisitor = (
  token: number,
  key: Buffer,
  version: number,
  expiresAtMs: number,
  /** What the record adds to the digest of its slot. */
  digest: number,
) => boolean;

/** Return false to stop. The record's buffers are the visitor's to keep. */
export type RecordVisitor = (token: number, key: Buffer, record: QuorumRecord) => boolean;

/** A node's records as anti-entropy sees them. A bucket that is gone is empty. */
export interface ReplicaContents {
  /** The open eventual buckets, by id. */
  buckets(): readonly RepairedBucket[];
  /** Kept incrementally: costs nothing to ask. 0 when the slot is empty. */
  digestOfSlot(bucketId: number, slot: number): number;
  /** Records in a slot, dead ones too; costs nothing to ask. */
  keyCountInSlot(bucketId: number, slot: number): number;
  /** Visits in token order without a look at the values. The key may be a view that does not outlive the call. */
  scanVersions(bucketId: number, fromToken: number, toToken: number, visitor: VersionVisitor): void;
  /** Visits whole records in token order. */
  scanRange(bucketId: number, fromToken: number, toToken: number, visitor: RecordVisitor): void;
  /**
   * Merges a record of another replica, as `QuorumStore.merge` does, but for records of absent keys in a slot that has been
   * purged: a dead one that the purge covers (`max(version's time, expiry) <= purgedThroughMs`) is `purged`, a live one is
   * taken. A live one can be missing here because it was evicted or lost; it cannot be older than a purged tombstone, for
   * every replica held that tombstone when it was purged.
   */
  mergeRepaired(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): RepairMergeResult;
  /** May the slot hold dead records? Costs nothing to ask; may say yes in doubt, but not for ever. */
  deadInSlot(bucketId: number, slot: number): boolean;
  /** Does the slot hold a record that `purge` with this time would drop? Scans the slot. */
  deadBefore(bucketId: number, slot: number, throughMs: number): boolean;
  /**
   * Drops the slot's dead records with `max(version's time, expiry) <= throughMs` and remembers the time, which never goes
   * back. With a digest: only while the slot's digest equals it. Returns how many were dropped; -1: the digest differs.
   */
  purge(bucketId: number, slot: number, digest: number | undefined, throughMs: number): number;
  /** The time through which the slot has been purged; 0: never. */
  purgedThroughMs(bucketId: number, slot: number): number;
}

/** A group of the cluster map that this node may be a replica in. */
export interface RepairGroup {
  readonly group: number;
  /** In order of preference. */
  readonly members: readonly NodeId[];
  /** Ascending. */
  readonly slots: readonly number[];
}

/** One encoded message (`anti-entropy-codec.ts`) to one peer. */
export interface OutgoingRepair {
  readonly to: NodeId;
  readonly body: Buffer;
}

/** What the core wants done, in this order. */
export interface AntiEntropyEffects {
  /** Merged into the contents already; to be appended to the journal. */
  readonly journal: readonly MutationBatch[];
  /** May go at once. */
  readonly messages: readonly OutgoingRepair[];
  /**
   * They say what this node holds for good: only once the journal, with everything that has been merged so far by
   * whomever, is synced. A tombstone is purged on their word.
   */
  readonly messagesAfterPersist: readonly OutgoingRepair[];
}

export interface AntiEntropyOptions {
  readonly self: NodeId;
  readonly contents: ReplicaContents;
  readonly random: () => number;
  /** Time between two comparisons of one pair of replicas, and between two looks for what can be purged. */
  readonly intervalMs: number;
  /** Bytes a second, sent and received, of the sessions that this node starts. */
  readonly maxBytesPerSecond: number;
  /** A session ends when a request has not been answered for so long. */
  readonly answerTimeoutMs: number;
  /** Dead records are kept for so long at least. More than the greatest age of hints and than any request may take. */
  readonly graceMs: number;
  /** A version further ahead of this node's wall clock is not taken. */
  readonly maxClockDriftMs: number;
  /**
   * Given where this node has lost its disk: told of every comparison. Until it is filled this node asks all other replicas itself,
   * soon, and in all buckets, also in those that are not compared otherwise.
   */
  readonly filling?: Filling | undefined;
}

/** Counters since the start, for metrics and tests. */
export interface AntiEntropyStatistics {
  /** Sessions begun by this node, those that ended early, and those that found nothing different. */
  readonly sessions: number;
  readonly abandoned: number;
  readonly equal: number;
  /** Requests sent in them. */
  readonly rounds: number;
  /** Encoded bytes of digests and lists of versions, sent and received in own sessions. */
  readonly bytesCompared: number;
  /** Encoded bytes of all messages, sent and received in own sessions, those above included. */
  readonly bytesMoved: number;
  /** Records sent and received in own sessions. */
  readonly keysMoved: number;
  /** Records of other replicas that this one took, in whosever session. */
  readonly keysMended: number;
  /** Dead records dropped for good. */
  readonly purged: number;
  /** Dead records received that had been purged here. */
  readonly refusedPurged: number;
}
