/**
 * The buckets that one group's log has opened, as one node holds them: descriptions, keys in the group's slots, and keepers of the
 * bounds of those that have some. The engines are shared with the node's other groups, each with slots of its own.
 *
 * Invariants:
 * - what is described is open, and what is open is described;
 * - keys that a snapshot brings before the log has come to where it opens their bucket wait apart, out of commands' reach.
 */
import type { ExecutionContext, GroupControl } from './command.js';
import { BucketKeySpace } from './key-space.js';
import { isBounded, RetentionKeeper } from './retention.js';
import type { SlotSet } from './slot-ranges.js';
import type { BucketDescription, EngineProvider } from './types.js';

/** What commands of a bucket run in: one object, prepared anew for each. */
export interface CommandContext extends ExecutionContext {
  nowMs: number;
  seed: number;
}

export interface OpenBucket {
  readonly keyspace: BucketKeySpace;
  readonly context: CommandContext;
}

export interface OpenBucketsHost {
  readonly group: number;
  readonly slots: SlotSet;
  readonly engines: EngineProvider;
  readonly control: GroupControl;
  /** Does a snapshot of this slot reflect the present entry already? */
  readonly isReflected: (slot: number) => boolean;
}

export class OpenBuckets {
  readonly #host: OpenBucketsHost;
  readonly #open = new Map<number, OpenBucket>();
  readonly #descriptions = new Map<number, BucketDescription>();
  readonly #keepers = new Map<number, RetentionKeeper>();
  /** Buckets of which a snapshot brought keys before the log has come to where it opens them: not for commands yet. */
  readonly #installed = new Map<number, BucketKeySpace>();
  /** Uses of keys are stamped with it; 0: no time was told yet. */
  #useTimeMs = 0;

  constructor(host: OpenBucketsHost) {
    this.#host = host;
  }

  get descriptions(): ReadonlyMap<number, BucketDescription> {
    return this.#descriptions;
  }

  get keepers(): ReadonlyMap<number, RetentionKeeper> {
    return this.#keepers;
  }

  get count(): number {
    return this.#open.size;
  }

  get useTimeMs(): number {
    return this.#useTimeMs;
  }

  has(bucketId: number): boolean {
    return this.#open.has(bucketId);
  }

  get(bucketId: number): OpenBucket | undefined {
    return this.#open.get(bucketId);
  }

  entries(): IterableIterator<[number, OpenBucket]> {
    return this.#open.entries();
  }

  values(): IterableIterator<OpenBucket> {
    return this.#open.values();
  }

  noteUseTime(nowMs: number): void {
    this.#useTimeMs = nowMs;
    for (const { access } of this.#keepers.values()) access.timeMs = nowMs;
  }

  contextOf(keyspace: ExecutionContext['keyspace'], bucketId: number): CommandContext {
    return { keyspace, bucketId, control: this.#host.control, nowMs: 0, seed: 0 };
  }

  /** Opens a bucket with the keys that its engine holds, or changes its description. */
  open(bucket: BucketDescription): void {
    this.#descriptions.set(bucket.id, bucket);
    let open = this.#open.get(bucket.id);
    if (open === undefined) {
      const keyspace = this.#newKeySpace(bucket);
      open = { keyspace, context: this.contextOf(keyspace, bucket.id) };
      this.#open.set(bucket.id, open);
    }
    open.keyspace.bucket = bucket;
    this.#keepBounds(bucket, open.keyspace);
  }

  /** A bucket begins empty, but for slots that came with a snapshot taken after it was opened. */
  openFromLog(bucket: BucketDescription): void {
    const isNew = !this.#open.has(bucket.id);
    this.open(bucket);
    this.#installed.delete(bucket.id);
    if (isNew) this.#open.get(bucket.id)?.keyspace.clear();
  }

  drop(bucketId: number): boolean {
    const open = this.#open.get(bucketId);
    if (open === undefined) return false;
    // Other groups of this node share the engine, so only this group's slots go.
    open.keyspace.clear();
    this.#open.delete(bucketId);
    this.#descriptions.delete(bucketId);
    this.#keepers.delete(bucketId);
    return true;
  }

  /** Makes room for keys of a snapshot. */
  install(bucket: BucketDescription): void {
    if (this.#open.has(bucket.id) || this.#installed.has(bucket.id)) return;
    const keyspace = this.#newKeySpace(bucket);
    // What an earlier, broken off snapshot left there.
    keyspace.clear();
    this.#installed.set(bucket.id, keyspace);
  }

  /** Where keys of a snapshot go. */
  target(bucketId: number): BucketKeySpace | undefined {
    return this.#open.get(bucketId)?.keyspace ?? this.#installed.get(bucketId);
  }

  clearKeys(): void {
    for (const { keyspace } of this.#open.values()) keyspace.clear();
  }

  /** Drops all buckets and what waits for some. */
  dropAll(): void {
    for (const bucketId of [...this.#open.keys()]) this.drop(bucketId);
    for (const keyspace of this.#installed.values()) keyspace.clear();
    this.#installed.clear();
  }

  /** Forgets all buckets and leaves their keys where they are. */
  forgetAll(): void {
    this.#descriptions.clear();
    this.#open.clear();
    this.#installed.clear();
    this.#keepers.clear();
  }

  #newKeySpace(bucket: BucketDescription): BucketKeySpace {
    const { engines, slots, isReflected } = this.#host;
    return new BucketKeySpace(bucket, engines.open(bucket), slots, isReflected);
  }

  /** Gives a bucket the keeper of its bounds, changes it, or takes it away. */
  #keepBounds(bucket: BucketDescription, keyspace: BucketKeySpace): void {
    const policy = bucket.retention;
    if (!isBounded(policy)) {
      keyspace.keeper = undefined;
      this.#keepers.delete(bucket.id);
      return;
    }
    if (keyspace.keeper !== undefined) {
      keyspace.keeper.policy = policy;
      return;
    }
    const part = { order: this.#host.group, slots: this.#host.slots.members };
    const keeper = RetentionKeeper.of({ engine: keyspace.engine, policy, part });
    if (keeper === undefined) return;
    keyspace.keeper = keeper;
    if (this.#useTimeMs > 0) keeper.access.timeMs = this.#useTimeMs;
    this.#keepers.set(bucket.id, keeper);
  }
}
