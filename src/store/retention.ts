/**
 * Keeps one bucket within its bounds on one node: how long a key may lie unused, how much memory the bucket may take, and who
 * goes when it is full (paper 004, "Auto Clean-Up"). Linearizable buckets ask it what to remove through the log
 * (`src/replica/retention-upkeep.ts`); eventual buckets let it remove by itself.
 *
 * What is counted against `maxMemoryBytes`: all that the engine has allocated for records, index and statistics, unused parts
 * of slabs included; not the ledger, which holds what is not written back yet and has a bound of its own.
 *
 * How the bound is held. Removing a record leaves a hole in its slab, which only records of that size can use. So 'used' is
 * what is allocated less the holes that moving records together would give back (`tidy` does), and removal goes by 'used':
 * it stops once enough is removed, not when the last slab is given back. Which holes cannot be given back is learned when
 * there is nothing left to move.
 *
 * Invariants:
 * - nothing is removed while used memory is below the line, a little under the bound;
 * - the mark of a deleted key is not removed from eventual buckets: it still hides what is older on other replicas.
 *
 * Departure: Redis counts nothing of its replicas' lag; here room for what is under way is the caller's to ask for.
 */
import { invariant } from '../base/errors.js';
import { tokenOf } from '../base/slots.js';
import { type AccessTracker, type AccessVisitor, DELETED_EXPIRY_MS, type Engine } from '../engine/types.js';
import type { RetentionPolicy } from './types.js';

/** Removal holds used memory below this share of the bound, */
const LINE = 0.97;
/** and records are moved together when what is allocated is above this share. */
const TIDY_LINE = 0.98;
/** Keys looked at between two looks at the memory, when an eventual bucket removes by itself. */
const KEYS_PER_LOOK = 32;

/** Does the policy ask for anything? */
export function isBounded(policy: RetentionPolicy | undefined): policy is RetentionPolicy {
  return policy !== undefined && (policy.maxIdleMs > 0 || policy.maxMemoryBytes > 0);
}

/** An engine that tells who was used when. */
type TrackedEngine = Engine & { readonly access: AccessTracker };

function isTracked(engine: Engine): engine is TrackedEngine {
  return engine.access !== undefined;
}

export interface RetentionKeeperOptions {
  readonly engine: Engine;
  readonly policy: RetentionPolicy;
  /** These slots alone, in an order of their own with this number (above 0); absent: all slots of the engine. */
  readonly part?: { readonly order: number; readonly slots: Iterable<number> };
  /**
   * How `evict` and `removeIdle` remove a key, for an owner who keeps account of its keys; false when it must stay. Absent:
   * from the engine, but for the marks of deleted keys.
   */
  readonly remove?: RemoveKey;
}

export type RemoveKey = (key: Buffer, version: number, expiresAtMs: number) => boolean;

/** What `evict` and `removeIdle` have removed. */
export type RemovedVisitor = (key: Buffer, version: number) => void;

export class RetentionKeeper {
  /** May change at any time. */
  policy: RetentionPolicy;
  readonly access: AccessTracker;
  readonly #engine: TrackedEngine;
  readonly #order: number;
  readonly #remove: RemoveKey;
  /** Unused bytes that moving records together cannot give back, as last learned. */
  #fixedFreeBytes = 0;

  /** Undefined for an engine that cannot tell who was used when. The engine begins to keep that now. */
  static of(options: RetentionKeeperOptions): RetentionKeeper | undefined {
    const { engine, policy, part, remove } = options;
    if (!isTracked(engine)) return undefined;
    engine.access.track();
    if (part !== undefined) engine.access.separate(part.order, part.slots);
    return new RetentionKeeper(
      engine,
      policy,
      part?.order ?? 0,
      remove ??
        ((key, _version, expiresAtMs) =>
          expiresAtMs !== DELETED_EXPIRY_MS && engine.remove(tokenOf(key), key)),
    );
  }

  private constructor(engine: TrackedEngine, policy: RetentionPolicy, order: number, remove: RemoveKey) {
    this.#engine = engine;
    this.access = engine.access;
    this.policy = policy;
    this.#order = order;
    this.#remove = remove;
  }

  /** Keys that this keeper looks after. */
  get keyCount(): number {
    return this.access.countOf(this.#order);
  }

  /** Their share of the bucket's keys on this node. */
  get share(): number {
    const { count } = this.access;
    return count === 0 ? 0 : this.keyCount / count;
  }

  /** Does it remove keys when memory is short? */
  get evicts(): boolean {
    return this.policy.maxMemoryBytes > 0 && this.policy.eviction !== 'noeviction';
  }

  /** Bytes taken, but for those that `tidy` would give back. */
  usedBytes(): number {
    const free = this.access.freeBytes();
    // What was learned holds for these holes: when they are filled there are fewer.
    if (free < this.#fixedFreeBytes) this.#fixedFreeBytes = free;
    return this.access.memoryBytes() - (free - this.#fixedFreeBytes);
  }

  /** How far used memory is above the line at which removal begins; negative: so much room is left. */
  excessBytes(): number {
    return this.usedBytes() - this.policy.maxMemoryBytes * LINE;
  }

  /** True when something must go, or be refused. */
  overBound(): boolean {
    return this.policy.maxMemoryBytes > 0 && this.excessBytes() > 0;
  }

  /** True when `growthBytes` more would take the bucket past its bound. */
  exceedsWith(growthBytes: number): boolean {
    const { maxMemoryBytes } = this.policy;
    return maxMemoryBytes > 0 && this.usedBytes() + growthBytes > maxMemoryBytes;
  }

  /** Gives memory back that stands unused where it is too much, by moving up to so many records. Cheap when there is none. */
  tidy(maxRecords: number): void {
    const { maxMemoryBytes } = this.policy;
    if (maxMemoryBytes === 0 || this.access.memoryBytes() <= maxMemoryBytes * TIDY_LINE) return;
    const free = this.access.freeBytes();
    if (free <= this.#fixedFreeBytes) return;
    if (this.access.compact(maxRecords) === 0) this.#fixedFreeBytes = free;
  }

  /** Is a key that was not used for `idleMs` gone? */
  isIdleFor(idleMs: number): boolean {
    const { maxIdleMs } = this.policy;
    return maxIdleMs > 0 && idleMs >= maxIdleMs;
  }

  /** Has this key not been used for too long? */
  isIdle(token: number, key: Buffer): boolean {
    if (this.policy.maxIdleMs === 0) return false;
    const idleMs = this.access.idleMsOf(token, key);
    return idleMs !== undefined && this.isIdleFor(idleMs);
  }

  /** The version that a key has, 0 when there is none. */
  versionOf(token: number, key: Buffer): number {
    return this.#engine.versionOf(token, key);
  }

  /** Keys that have not been used for too long, the longest first. */
  findIdle(maxKeys: number, visitor: AccessVisitor): void {
    if (this.policy.maxIdleMs > 0) this.access.findIdle(this.#order, this.policy.maxIdleMs, maxKeys, visitor);
  }

  /** Keys to give up, the coldest first; see `AccessTracker.coldest`. */
  coldest(maxKeys: number, restart: boolean, visitor: AccessVisitor): void {
    const { eviction } = this.policy;
    invariant(eviction !== 'noeviction', 'a bucket without eviction gives nothing up');
    this.access.coldest(this.#order, eviction, maxKeys, restart, visitor);
  }

  // Eventual buckets

  /**
   * Removes the coldest keys until `neededBytes` more have room, or `maxKeys` were looked at; returns false when there is not
   * enough room then.
   */
  evict(neededBytes: number, maxKeys: number, removed: RemovedVisitor): boolean {
    if (this.policy.maxMemoryBytes === 0) return true;
    let left = this.evicts ? maxKeys : 0;
    while (left > 0 && this.excessBytes() + neededBytes > 0) {
      const found = this.#gather((visitor) => this.coldest(Math.min(left, KEYS_PER_LOOK), true, visitor));
      if (found.length === 0) break;
      left -= found.length;
      for (const candidate of found) {
        if (this.excessBytes() + neededBytes <= 0) break;
        this.#removeUnlessKept(candidate, removed);
      }
    }
    return !this.exceedsWith(neededBytes);
  }

  /** Removes up to so many keys that were not used for too long. */
  removeIdle(maxKeys: number, removed: RemovedVisitor): void {
    const found = this.#gather((visitor) => this.findIdle(maxKeys, visitor));
    for (const candidate of found) this.#removeUnlessKept(candidate, removed);
  }

  #gather(search: (visitor: AccessVisitor) => void): Candidate[] {
    const found: Candidate[] = [];
    search((key, version, expiresAtMs) => {
      found.push({ key, version, expiresAtMs });
      return true;
    });
    return found;
  }

  #removeUnlessKept({ key, version, expiresAtMs }: Candidate, removed: RemovedVisitor): void {
    if (this.#remove(key, version, expiresAtMs)) removed(key, version);
    // What stays until it is purged must not stand in the way of the next search.
    else this.access.touch(tokenOf(key), key);
  }
}

interface Candidate {
  readonly key: Buffer;
  readonly version: number;
  readonly expiresAtMs: number;
}
