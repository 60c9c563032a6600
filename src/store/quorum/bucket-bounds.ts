/**
 * Keeps one eventual bucket on one node within its bounds: keys that were not used for too long go, and so do the coldest when
 * memory is short (paper 004, "Auto Clean-Up"). Each replica decides for its own copy; what it has done it tells the others
 * (`takeNews`), so that they do not bring back what has gone, and know of uses that only one of them has seen.
 *
 * What goes leaves no tombstone. The mark of a deletion never goes this way, or what it hides on other replicas would live
 * again; it waits for the purge. A record that has expired by its time to live may go: whoever still has it has it
 * with its expiry, so it can come back only as expired. Otherwise sessions that ended would fill the bucket until the purge.
 * As with every eviction an older value may come back, from a replica that missed both the newer one and its removal.
 *
 * Memory. Room is made before a live record is merged, so the bound holds at every moment and not only between turns. What
 * finds no room is refused, as it is without eviction. Tombstones are always taken.
 *
 * Idle time. A read is a use on the replica that serves it, and on no other. So a replica tells the others of the first use in
 * each period, a sixteenth of the greatest idle time (rounded down to a power of two) on its own clock. What another replica has seen
 * is known here a period late at the most, and a key is gone after 17/16 of its time: never early, at most a sixteenth late. The
 * same news keep alike who is cold: there a period is a sixteenth of the time for which the longest unused key has not been used.
 *
 * A removal that another replica tells of is obeyed, unless the key is in use here (in this period or the last): then its word was
 * late, and repair brings the record back to it. So removal wins over records that repair has brought, which look used though nobody
 * has used them, and two replicas cannot give a key back and forth: a refusal needs a use within an eighth of the idle
 * time, and the next removal comes a whole idle time later.
 *
 * Repair must not fight eviction. A record of an absent key that repair brings is refused when it was removed here just now,
 * and when memory is short, unless another replica has told of its use. Of one that finds no room the sender is told: it
 * gives it up too when it is short of memory itself and the key among its colder half. So replicas that are full of different
 * keys become equal instead of sending them on every round.
 *
 * Invariants:
 * - a key is neither hidden nor removed for idleness before it was unused here for 17/16 of the bucket's idle time;
 * - dead records are neither hidden nor counted as used by reads: a reader must learn that they are dead;
 * - news are bounded; losing them is harmless.
 *
 * Departures from paper 004: idle time is not the concern of one server; and removal is spread over turns.
 */
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import { tokenOf } from '../../base/slots.js';
import type { Engine } from '../../engine/types.js';
import { isBounded, type RemoveKey, RetentionKeeper } from '../retention.js';
import type { RetentionPolicy } from '../types.js';
import { RecentKeys } from './recent-keys.js';

/** Uses are told once in this share of a key's life without use. */
const PERIODS_PER_LIFE = 16;
/** For the least often used, how often counts: it is told every few seconds at the latest. */
const MAX_LFU_PERIOD_MS = 4096;
/** Below so many uses since it was written nobody can be said to use a key often. A new key's count is 5. */
const OFTEN_USED = 7;
/** Removal goes so far below the line, as a share of the bound and in bytes, that not every write needs one of its own. */
const MARGIN = 1 / 1024;
const MAX_MARGIN_BYTES = 64 * 1024;
/** Keys looked at for the room of one write: some more than needed when all are as small as can be, but with an end. */
const LEAST_LOOKS = 64;
const LEAST_RECORD_BYTES = 48;
const MAX_LOOKS = 65_536;
/** Memory that stands unused is looked for each time that this share of the bound was written, */
const TIDY_SHARE = 1 / 256;
/** and so many records are moved together for it. */
const TIDY_RECORDS = 1024;
/** Keys that one turn removes beyond those that writes need. */
const KEYS_PER_TURN = 1024;

/** Longer than anything that a comparison of replicas read before a removal is under way. */
const REMOVAL_REMEMBERED_MS = 10_000;
/** Some rounds of repair. */
const USE_REMEMBERED_MS = 60_000;
/** With less than this share of its bound taken a replica has no reason to give up what others have no room for. */
const SHORT_OF_MEMORY = 0.75;

/** Why another replica should give a key up: it was idle there, it was evicted, or its repair found no room. */
export type RemovalReason = 'idle' | 'evicted' | 'no-room';

/** What bounds have done since the start, and what they bound. */
export interface BoundsStatistics {
  /** Memory that counts against `maxMemory`, as allocated. */
  readonly memoryBytes: number;
  /** Keys removed by this node's own decision, and on another's word. */
  readonly removed: number;
  readonly obeyed: number;
}

/** Is told what the other replicas should know. */
export interface NewsVisitor {
  removed(reason: RemovalReason, key: Buffer, version: number): void;
  used(key: Buffer, frequency: number): void;
}

interface Removal {
  readonly reason: RemovalReason;
  readonly key: Buffer;
  readonly version: number;
}

export interface BucketBoundsOptions {
  readonly engine: Engine;
  readonly policy: RetentionPolicy;
  /** Removes a record, unless it is the mark of a deletion. */
  readonly remove: RemoveKey;
}

export class BucketBounds {
  readonly #keeper: RetentionKeeper;
  readonly #engine: Engine;
  readonly #remove: RemoveKey;
  readonly #recent = new RecentKeys(REMOVAL_REMEMBERED_MS);
  /** Keys that are not here and that another replica has told of the use of. */
  readonly #wanted = new RecentKeys(USE_REMEMBERED_MS);
  #maxIdleMs = 0;
  /** Uses are told once in each; 0: they are not told. */
  #periodMs = 0;
  /** How long the longest unused key has not been used. */
  #oldestIdleMs = 0;
  /** Written since memory was last looked through. */
  #untidiedBytes = 0;
  #removed = 0;
  #obeyed = 0;
  #removals: Removal[] = [];
  #uses: Buffer[] = [];
  /** The wall clock as of the last `noteTime`. */
  wallMs = 0;

  /** Undefined when nothing is bounded, or the engine cannot tell who was used when. */
  static of(options: BucketBoundsOptions): BucketBounds | undefined {
    if (!isBounded(options.policy)) return undefined;
    const keeper = RetentionKeeper.of(options);
    return keeper === undefined ? undefined : new BucketBounds(keeper, options);
  }

  private constructor(keeper: RetentionKeeper, { engine, policy, remove }: BucketBoundsOptions) {
    this.#keeper = keeper;
    this.#engine = engine;
    this.#remove = remove;
    this.obey(policy);
  }

  /** Takes a newer policy, which still bounds something. */
  obey(policy: RetentionPolicy): void {
    invariant(isBounded(policy), 'a policy without bounds needs no keeper');
    const { maxIdleMs } = policy;
    this.#maxIdleMs = maxIdleMs;
    this.#keeper.policy = { ...policy, maxIdleMs: maxIdleMs + Math.ceil(maxIdleMs / PERIODS_PER_LIFE) };
    this.#choosePeriod();
  }

  /** The clocks that what follows goes by. Needed before anything that uses keys; once in a turn is enough. */
  noteTime(nowMs: number, wallMs: number): void {
    this.#keeper.access.timeMs = nowMs;
    this.wallMs = wallMs;
  }

  // Reads

  /** A live record that `Engine.get` has just found is read: it counts as used now. False: it was idle for too long. */
  use(token: number, key: Buffer): boolean {
    const { access } = this.#keeper;
    const idleMs = access.idleMsOfFound();
    if (this.#keeper.isIdleFor(idleMs)) return false;
    access.touchFound(token);
    const period = this.#periodMs;
    if (period > 0 && idleMs > access.timeMs % period && this.#uses.length < LIMITS.maxRetentionNews)
      // The request's own bytes need not outlive its answer.
      this.#uses.push(Buffer.from(key));
    return true;
  }

  /** Has this key been idle for too long? */
  isIdle(token: number, key: Buffer): boolean {
    return this.#keeper.isIdle(token, key);
  }

  // Merges

  /** May a live record of so many bytes be merged? Makes room for it where keys may be evicted. */
  admits(token: number, key: Buffer, valueBytes: number, version: number): boolean {
    const keeper = this.#keeper;
    const { maxMemoryBytes } = keeper.policy;
    if (maxMemoryBytes === 0) return true;
    const growthBytes = keeper.access.recordBytes(key.length + valueBytes);
    this.#untidiedBytes += growthBytes;
    if (this.#untidiedBytes >= maxMemoryBytes * TIDY_SHARE) {
      this.#untidiedBytes = 0;
      keeper.tidy(TIDY_RECORDS);
    }
    if (keeper.excessBytes() + growthBytes <= 0) return true;
    // What is not newer changes nothing, and must not take the place of what is there.
    if (this.#engine.versionOf(token, key) >= version) return true;
    if (keeper.evicts && this.#makeRoom(growthBytes)) return true;
    if (!keeper.exceedsWith(growthBytes)) return true;
    const stored = this.#engine.get(token, key);
    return stored !== undefined && valueBytes <= stored.value.length;
  }

  /** May repair put a record where there is none? */
  admitsRepair(token: number, key: Buffer, valueBytes: number, version: number): boolean {
    const keeper = this.#keeper;
    const { access } = keeper;
    if (this.#recent.has(token, version, access.timeMs)) return false;
    if (keeper.policy.maxMemoryBytes === 0) return true;
    const growthBytes = access.recordBytes(key.length + valueBytes);
    if (!keeper.evicts) return !keeper.exceedsWith(growthBytes);
    if (keeper.excessBytes() + growthBytes <= 0) return true;
    if (this.#wanted.has(token, version, access.timeMs)) return true;
    this.#tellRemoved('no-room', key, version);
    return false;
  }

  /** Evicts until so much has room below the line, or as much was freed: after a bound was lowered others must not wait. */
  #makeRoom(growthBytes: number): boolean {
    const keeper = this.#keeper;
    const { maxMemoryBytes } = keeper.policy;
    if (growthBytes > maxMemoryBytes) return false;
    const neededBytes = growthBytes + Math.min(MAX_MARGIN_BYTES, maxMemoryBytes * MARGIN);
    const looks = Math.min(MAX_LOOKS, LEAST_LOOKS + Math.ceil(neededBytes / LEAST_RECORD_BYTES));
    const usedBytes = keeper.usedBytes();
    keeper.evict(neededBytes, looks, this.#noteEvicted);
    return keeper.excessBytes() + growthBytes <= 0 || usedBytes - keeper.usedBytes() >= growthBytes;
  }

  readonly #noteEvicted = (key: Buffer, version: number): void => this.#noteRemoved('evicted', key, version);
  readonly #noteIdle = (key: Buffer, version: number): void => this.#noteRemoved('idle', key, version);

  #noteRemoved(reason: RemovalReason, key: Buffer, version: number): void {
    this.#removed++;
    this.#recent.note(tokenOf(key), version, this.#keeper.access.timeMs);
    this.#tellRemoved(reason, key, version);
  }

  #tellRemoved(reason: RemovalReason, key: Buffer, version: number): void {
    if (this.#removals.length < LIMITS.maxRetentionNews) this.#removals.push({ reason, key, version });
  }

  // Upkeep

  /** Between turns: removes what was idle for too long. */
  tick(): void {
    this.#choosePeriod();
    this.#keeper.removeIdle(KEYS_PER_TURN, this.#noteIdle);
  }

  /** At the end of a turn: goes on with what is above the bound. True when the next turn should, too. */
  settle(): boolean {
    const keeper = this.#keeper;
    let goesOn = false;
    if (keeper.evicts && keeper.overBound()) {
      const keysBefore = keeper.keyCount;
      keeper.evict(0, KEYS_PER_TURN, this.#noteEvicted);
      // Where only tombstones were met the next tick looks further.
      goesOn = keeper.overBound() && keeper.keyCount < keysBefore;
    }
    keeper.tidy(TIDY_RECORDS);
    return goesOn;
  }

  #choosePeriod(): void {
    const { access, evicts, policy } = this.#keeper;
    let lifeMs = this.#maxIdleMs > 0 ? this.#maxIdleMs : Number.POSITIVE_INFINITY;
    if (evicts) {
      this.#oldestIdleMs = 0;
      access.findIdle(0, 0, 1, this.#noteOldest);
      lifeMs = Math.min(lifeMs, this.#oldestIdleMs);
      if (policy.eviction === 'lfu') lifeMs = Math.min(lifeMs, MAX_LFU_PERIOD_MS * PERIODS_PER_LIFE);
    }
    if (lifeMs === Number.POSITIVE_INFINITY) this.#periodMs = 0;
    // Powers of two: when the period changes, the first use in a new one was told, or follows one in it that was.
    else this.#periodMs = 2 ** Math.floor(Math.log2(Math.max(1, lifeMs / PERIODS_PER_LIFE)));
  }

  readonly #noteOldest = (_key: Buffer, _version: number, _expiresAtMs: number, idleMs: number): boolean => {
    this.#oldestIdleMs = idleMs;
    return false;
  };

  // Other replicas

  get hasNews(): boolean {
    return this.#removals.length > 0 || this.#uses.length > 0;
  }

  /** Tells what happened since the last call. */
  takeNews(visitor: NewsVisitor): void {
    const removals = this.#removals;
    const uses = this.#uses;
    this.#removals = [];
    this.#uses = [];
    for (const { reason, key, version } of removals) visitor.removed(reason, key, version);
    for (const key of uses) {
      const frequency = this.#keeper.access.frequencyOf(tokenOf(key), key);
      if (frequency !== undefined) visitor.used(key, frequency);
    }
  }

  /** Another replica has given a key up, or has refused it; gives it up here too, or not. */
  removedElsewhere(reason: RemovalReason, key: Buffer, version: number): void {
    const { access } = this.#keeper;
    const token = tokenOf(key);
    const idleMs = access.idleMsOf(token, key);
    if (idleMs === undefined) {
      // Repair may be about to bring it.
      if (reason !== 'no-room') this.#recent.note(token, version, access.timeMs);
      return;
    }
    if (this.#mayStay(reason, token, key, idleMs)) return;
    const stored = this.#engine.get(token, key);
    if (stored === undefined || stored.version > version) return;
    if (!this.#remove(key, stored.version, stored.expiresAtMs)) return;
    this.#obeyed++;
    this.#recent.note(token, version, access.timeMs);
  }

  #mayStay(reason: RemovalReason, token: number, key: Buffer, idleMs: number): boolean {
    const { access, policy } = this.#keeper;
    if (reason === 'no-room') {
      const isShort = this.#keeper.usedBytes() > policy.maxMemoryBytes * SHORT_OF_MEMORY;
      return !isShort || idleMs * 2 < this.#oldestIdleMs;
    }
    if (idleMs >= 2 * this.#periodMs) return false;
    // The least often used go however recently they came.
    if (reason === 'idle' || policy.eviction !== 'lfu') return true;
    return (access.frequencyOf(token, key) ?? 0) >= OFTEN_USED;
  }

  statistics(): BoundsStatistics {
    const memoryBytes = this.#keeper.access.memoryBytes();
    return { memoryBytes, removed: this.#removed, obeyed: this.#obeyed };
  }

  /** Another replica has served a read of this key. */
  usedElsewhere(key: Buffer, frequency: number): void {
    const { access } = this.#keeper;
    const token = tokenOf(key);
    if (access.touch(token, key, frequency)) return;
    this.#wanted.note(token, Number.MAX_SAFE_INTEGER, access.timeMs);
  }
}
