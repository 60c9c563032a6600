/**
 * A node's records of all eventual buckets, over the engines: what the quorum core, anti-entropy and scans work on.
 *
 * Everything is synchronous and happens on the engines at once. It becomes durable from outside: what was merged is
 * journaled as it travelled, and a checkpoint writes the engines back together with `encodeHead`. After a crash the wiring
 * gives the head back, opens the buckets and replays the journal from the checkpoint on; both in any order with what
 * peers send meanwhile would do no harm, since merging is idempotent.
 *
 * A replay refuses what `merge` would, but for lack of memory. So it refuses some records of anti-entropy that were taken then
 * (live ones of absent keys in purged slots), which anti-entropy brings again. Taking what was refused then would be worse: a
 * record that a purged tombstone hid would live again.
 *
 * Invariant: `highestVersion` is at or above every version stored here and every one that this node has merged.
 */

import type { ReplicaContents } from '../../protocol/quorum/anti-entropy-types.js';
import { forEachMutation } from '../../protocol/quorum/codec.js';
import type {
  MergeResult,
  QuorumRecord,
  QuorumStore as QuorumStoreContract,
} from '../../protocol/quorum/types.js';
import type { KeySpace } from '../command.js';
import type { SlotSet } from '../slot-ranges.js';
import type { BucketDescription, EngineProvider } from '../types.js';
import type { BucketBounds } from './bucket-bounds.js';
import { decodeStoreHead, encodeStoreHead } from './head-codec.js';
import { QuorumKeySpace } from './quorum-key-space.js';
import { RepairContents } from './repair-contents.js';
import { type BucketHead, StoredBucket } from './stored-bucket.js';

export class QuorumStore implements QuorumStoreContract {
  readonly #engines: EngineProvider;
  readonly #stored = new Map<number, StoredBucket>();
  readonly #descriptions = new Map<number, BucketDescription>();
  readonly #bounded = new Map<number, BucketBounds>();
  /** Of buckets that were not opened since the restart. */
  readonly #restored = new Map<number, BucketHead>();
  #highestVersion = 0;
  /** The bucket asked for last: most calls come in runs. */
  #lastId = -1;
  #last: StoredBucket | undefined;
  /** The same records as anti-entropy sees them. */
  readonly contents: ReplicaContents;
  previousVersion = 0;
  previousLive = false;
  /** This node had lost its disk and has been filled again from the others: kept in the head (`protocol/quorum/filling.ts`). */
  filled = false;

  constructor(options: { readonly engines: EngineProvider }) {
    this.#engines = options.engines;
    this.contents = new RepairContents(this.#stored);
  }

  /** The open buckets. */
  get buckets(): ReadonlyMap<number, BucketDescription> {
    return this.#descriptions;
  }

  /** What keeps the open buckets with bounds within these, by bucket. */
  get bounded(): ReadonlyMap<number, BucketBounds> {
    return this.#bounded;
  }

  #noteBounds(id: number, bounds: BucketBounds | undefined): void {
    if (bounds === undefined) this.#bounded.delete(id);
    else this.#bounded.set(id, bounds);
  }

  /** Opens a bucket; one that is open takes the description as `updateBucket` does. */
  openBucket(description: BucketDescription): void {
    const { id } = description;
    if (this.#stored.has(id)) {
      this.updateBucket(description);
      return;
    }
    const bucket = new StoredBucket(description, this.#engines.open(description), this.#restored.get(id));
    this.#restored.delete(id);
    this.#stored.set(id, bucket);
    this.#descriptions.set(id, description);
    this.#noteBounds(id, bucket.bounds);
    this.#forgetLast();
    this.#highestVersion = Math.max(this.#highestVersion, bucket.highestVersion);
  }

  /** Takes a newer policy of an open bucket. What it says was flushed is removed at once, and refused from then on. */
  updateBucket(description: BucketDescription): void {
    const bucket = this.#stored.get(description.id);
    if (bucket === undefined) return;
    bucket.update(description);
    this.#descriptions.set(description.id, description);
    this.#noteBounds(description.id, bucket.bounds);
  }

  /** Forgets a bucket and its records. */
  dropBucket(bucketId: number): void {
    this.#restored.delete(bucketId);
    const bucket = this.#stored.get(bucketId);
    if (bucket === undefined) return;
    this.#stored.delete(bucketId);
    this.#descriptions.delete(bucketId);
    this.#bounded.delete(bucketId);
    this.#forgetLast();
    this.#engines.drop(bucket.description);
  }

  #forgetLast(): void {
    this.#lastId = -1;
    this.#last = undefined;
  }

  #bucket(bucketId: number): StoredBucket | undefined {
    if (bucketId !== this.#lastId) {
      this.#last = this.#stored.get(bucketId);
      this.#lastId = bucketId;
    }
    return this.#last;
  }

  /** What is stored, dead or alive. In a bucket with bounds it counts as used, and what was idle for too long is not found. */
  read(bucketId: number, key: Buffer): QuorumRecord | undefined {
    return this.#bucket(bucketId)?.read(key);
  }

  versionOf(bucketId: number, key: Buffer): number {
    return this.#bucket(bucketId)?.versionOf(key) ?? 0;
  }

  merge(
    bucketId: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult {
    if (version > this.#highestVersion) this.#highestVersion = version;
    const bucket = this.#bucket(bucketId);
    if (bucket === undefined) {
      this.previousVersion = 0;
      this.previousLive = false;
      return 'refused';
    }
    const result = bucket.merge(key, value, version, expiresAtMs, nowMs);
    const { previousVersion, previousExpiresAtMs, previousIdle } = bucket;
    this.previousVersion = previousVersion;
    this.previousLive =
      previousVersion !== 0 && !previousIdle && (previousExpiresAtMs === 0 || previousExpiresAtMs > nowMs);
    return result;
  }

  /** Merges a batch of mutations as the journal holds it. Malformed bytes throw `DecodeError`. */
  replay(batch: Buffer, nowMs: number): void {
    forEachMutation(batch, (bucketId, key, value, version, expiresAtMs) => {
      if (version > this.#highestVersion) this.#highestVersion = version;
      this.#bucket(bucketId)?.replay(key, value, version, expiresAtMs, nowMs);
    });
  }

  /** Removes a record that is not newer than `version` for good, as eviction does; false when there is none, or a deletion. */
  evict(bucketId: number, key: Buffer, version: number): boolean {
    return this.#bucket(bucketId)?.evict(key, version) ?? false;
  }

  /** The highest version that is stored here or was merged. */
  get highestVersion(): number {
    let highest = this.#highestVersion;
    for (const { highestVersion } of this.#restored.values()) highest = Math.max(highest, highestVersion);
    for (const { highestVersion } of this.#stored.values()) highest = Math.max(highest, highestVersion);
    return highest;
  }

  /** Digest of a slot, dead records included; 0 when it is empty. */
  digestOfSlot(bucketId: number, slot: number): number {
    return this.#bucket(bucketId)?.engine.digestOfSlot(slot) ?? 0;
  }

  /** Records of a bucket, dead ones included. */
  keyCount(bucketId: number): number {
    return this.#bucket(bucketId)?.engine.keyCount() ?? 0;
  }

  liveCountInSlot(bucketId: number, slot: number, nowMs: number): number {
    return this.#bucket(bucketId)?.liveCountInSlot(slot, nowMs) ?? 0;
  }

  /** The live keys of some slots of a bucket, to be read by commands that look at many keys. */
  keySpace(bucketId: number, slots: SlotSet, nowMs: number): KeySpace {
    return new QuorumKeySpace(this.#bucket(bucketId), slots, nowMs);
  }

  /** What a checkpoint must keep beside the engines, as of the same instant. */
  encodeHead(): Buffer {
    const buckets = new Map(this.#restored);
    for (const [id, bucket] of this.#stored) buckets.set(id, bucket.head());
    return encodeStoreHead({ highestVersion: this.highestVersion, filled: this.filled, buckets });
  }

  /** Gives back what `encodeHead` told, before any bucket is opened. Malformed bytes throw `DecodeError`. */
  restoreHead(bytes: Buffer): void {
    const head = decodeStoreHead(bytes);
    this.#highestVersion = Math.max(this.#highestVersion, head.highestVersion);
    this.filled = head.filled;
    for (const [id, bucket] of head.buckets) if (!this.#stored.has(id)) this.#restored.set(id, bucket);
  }
}
