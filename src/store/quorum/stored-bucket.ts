/**
 * The records of one eventual bucket on one node: its engine, and what is refused of what comes.
 *
 * Refused are: what was flushed (versions up to `flushedThrough`); writes of absent keys in a purged slot that are not
 * newer than the purge, since a tombstone that hid them may have gone with it; and what finds no room within the bucket's
 * bound of memory (`bucket-bounds.ts`).
 *
 * Invariants:
 * - no record at or below `flushedThrough` is stored;
 * - `purgedThroughMs` of a slot and `flushedThrough` never go back;
 * - only a purge, which all replicas have agreed on, and a flush remove the marks of deletions.
 */
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken, TOKEN_END, tokenOf } from '../../base/slots.js';
import type { Engine } from '../../engine/types.js';
import type { RepairMergeResult } from '../../protocol/quorum/anti-entropy-types.js';
import { versionMs } from '../../protocol/quorum/clock.js';
import { isDead, type MergeResult, type QuorumRecord } from '../../protocol/quorum/types.js';
import { isBounded } from '../retention.js';
import type { BucketDescription } from '../types.js';
import { BucketBounds } from './bucket-bounds.js';
import { DeadRecords, deadSinceMs } from './dead-records.js';

/** What a checkpoint's note keeps of a bucket beside its records. */
export interface BucketHead {
  readonly flushedThrough: number;
  readonly highestVersion: number;
  /** Slots that have been purged, and through which time. */
  readonly purges: readonly (readonly [slot: number, throughMs: number])[];
}

/** Was the record dead when it was written? Other records die by the clock, wherever they are. */
function isDeletion(version: number, expiresAtMs: number): boolean {
  return expiresAtMs !== 0 && expiresAtMs <= versionMs(version);
}

export class StoredBucket {
  readonly engine: Engine;
  readonly #dead = new DeadRecords();
  #description: BucketDescription;
  #flushedThrough: number;
  #highestVersion: number;
  /** By slot; allocated with the first purge. */
  #purgedThroughMs: Float64Array | undefined;
  #bounds: BucketBounds | undefined;
  /** Of the last merge: what was stored before it, and whether that had been idle for too long. */
  previousVersion = 0;
  previousExpiresAtMs = 0;
  previousIdle = false;

  constructor(description: BucketDescription, engine: Engine, head: BucketHead | undefined) {
    this.engine = engine;
    this.#description = description;
    this.#flushedThrough = head?.flushedThrough ?? 0;
    // Without a word of it anything may be stored.
    const unknown = engine.keyCount() === 0 ? 0 : Number.POSITIVE_INFINITY;
    this.#highestVersion = head?.highestVersion ?? unknown;
    for (const [slot, throughMs] of head?.purges ?? []) this.#notePurge(slot, throughMs);
    if (engine.kind === 'memory') this.#lookAtAll();
    else
      for (let slot = 0; slot < SLOT_COUNT; slot++)
        if (engine.keyCountInSlot(slot) > 0) this.#dead.forget(slot);
    this.#obey(description);
  }

  get description(): BucketDescription {
    return this.#description;
  }

  get flushedThrough(): number {
    return this.#flushedThrough;
  }

  /** The highest version ever stored here, as far as is known; 0: none. */
  get highestVersion(): number {
    return this.#highestVersion === Number.POSITIVE_INFINITY ? 0 : this.#highestVersion;
  }

  /** Records in memory may be newer than the note of the checkpoint: see `merged-memory-engine.ts`. */
  #lookAtAll(): void {
    let highest = this.#highestVersion === Number.POSITIVE_INFINITY ? 0 : this.#highestVersion;
    this.engine.scanVersions(0, TOKEN_END, (token, _key, version, expiresAtMs) => {
      if (version > highest) highest = version;
      this.#dead.written(slotOfToken(token), 0, version, expiresAtMs);
      return true;
    });
    this.#highestVersion = highest;
  }

  /** Takes a newer policy. */
  update(description: BucketDescription): void {
    this.#description = description;
    this.#obey(description);
  }

  #obey({ quorum, retention }: BucketDescription): void {
    if (retention === undefined || !isBounded(retention)) this.#bounds = undefined;
    else if (this.#bounds !== undefined) this.#bounds.obey(retention);
    else this.#bounds = BucketBounds.of({ engine: this.engine, policy: retention, remove: this.#giveUp });
    const through = quorum?.flushedThrough ?? 0;
    if (through <= this.#flushedThrough) return;
    this.#flushedThrough = through;
    this.#removeFlushed();
  }

  #removeFlushed(): void {
    const { engine } = this;
    if (this.#highestVersion <= this.#flushedThrough) {
      engine.clear();
      this.#dead.clear();
      return;
    }
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (engine.keyCountInSlot(slot) > 0) this.#removeFlushedOf(slot);
    }
  }

  #removeFlushedOf(slot: number): void {
    const { engine } = this;
    const flushed: { readonly token: number; readonly key: Buffer }[] = [];
    engine.scanVersions(firstTokenOfSlot(slot), firstTokenOfSlot(slot + 1), (token, key, version) => {
      if (version <= this.#flushedThrough) flushed.push({ token, key });
      return true;
    });
    if (flushed.length === engine.keyCountInSlot(slot)) {
      engine.clearSlot(slot);
      this.#dead.cleared(slot);
      return;
    }
    if (flushed.length === 0) return;
    for (const { token, key } of flushed) engine.remove(token, key);
    this.#dead.forget(slot);
  }

  /** What keeps the bucket within its bounds; undefined: it has none. */
  get bounds(): BucketBounds | undefined {
    return this.#bounds;
  }

  /** What is stored, dead or alive, for a reader: it is used now. A live record that was idle for too long is gone. */
  read(key: Buffer): QuorumRecord | undefined {
    const token = tokenOf(key);
    const record = this.engine.get(token, key);
    const bounds = this.#bounds;
    if (bounds === undefined || record === undefined || isDead(record, bounds.wallMs)) return record;
    return bounds.use(token, key) ? record : undefined;
  }

  /** A live record, for one who looks at many: it does not count as used. */
  peek(key: Buffer, nowMs: number): QuorumRecord | undefined {
    const token = tokenOf(key);
    const record = this.engine.get(token, key);
    return record !== undefined && this.isThere(token, key, record, nowMs) ? record : undefined;
  }

  /** May readers see this record, which is stored? */
  isThere(token: number, key: Buffer, record: QuorumRecord, nowMs: number): boolean {
    return !isDead(record, nowMs) && !(this.#bounds?.isIdle(token, key) ?? false);
  }

  versionOf(key: Buffer): number {
    return this.engine.versionOf(tokenOf(key), key);
  }

  /** See `QuorumStore.merge` in the contract of the quorum core. */
  merge(key: Buffer, value: Buffer, version: number, expiresAtMs: number, nowMs: number): MergeResult {
    return this.#mergeWithin(this.#bounds, key, value, version, expiresAtMs, nowMs);
  }

  /**
   * Merges what was merged before the restart. Bounds do not refuse it: what a checkpoint has written back may be newer than
   * the journal's beginning, so that there seems to be no room for what had its place, and was acknowledged.
   */
  replay(key: Buffer, value: Buffer, version: number, expiresAtMs: number, nowMs: number): MergeResult {
    return this.#mergeWithin(undefined, key, value, version, expiresAtMs, nowMs);
  }

  #mergeWithin(
    bounds: BucketBounds | undefined,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult {
    this.#forgetPrevious();
    if (version <= this.#flushedThrough) return 'refused';
    const token = tokenOf(key);
    if (this.#purgedThroughMs !== undefined) {
      const throughMs = this.#purgedThroughMs[slotOfToken(token)]!;
      if (versionMs(version) <= throughMs && this.engine.versionOf(token, key) === 0) return 'refused';
    }
    return this.#merge(bounds, token, key, value, version, expiresAtMs, nowMs);
  }

  /** See `ReplicaContents.mergeRepaired`. */
  mergeRepaired(
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): RepairMergeResult {
    this.#forgetPrevious();
    if (version <= this.#flushedThrough) return 'refused';
    const token = tokenOf(key);
    if (this.#purgedThroughMs !== undefined && isDead({ expiresAtMs }, nowMs)) {
      const throughMs = this.#purgedThroughMs[slotOfToken(token)]!;
      const isCovered = deadSinceMs(version, expiresAtMs) <= throughMs;
      if (isCovered && this.engine.versionOf(token, key) === 0) return 'purged';
    }
    const bounds = this.#bounds;
    if (
      bounds !== undefined &&
      !isDeletion(version, expiresAtMs) &&
      this.engine.versionOf(token, key) === 0 &&
      !bounds.admitsRepair(token, key, value.length, version)
    )
      return 'refused';
    return this.#merge(bounds, token, key, value, version, expiresAtMs, nowMs);
  }

  #forgetPrevious(): void {
    this.previousVersion = 0;
    this.previousExpiresAtMs = 0;
    this.previousIdle = false;
  }

  #merge(
    bounds: BucketBounds | undefined,
    token: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult {
    const { engine } = this;
    if (bounds !== undefined) {
      this.previousIdle = bounds.isIdle(token, key);
      if (!isDead({ expiresAtMs }, nowMs) && !bounds.admits(token, key, value.length, version))
        return 'refused';
    }
    const result = engine.merge(token, key, value, version, expiresAtMs);
    this.previousVersion = engine.previousVersion;
    this.previousExpiresAtMs = engine.previousExpiresAtMs;
    if (result !== 'applied') return result;
    if (version > this.#highestVersion) this.#highestVersion = version;
    if (expiresAtMs !== 0 || this.previousExpiresAtMs !== 0)
      this.#dead.written(slotOfToken(token), this.previousExpiresAtMs, version, expiresAtMs);
    return result;
  }

  /**
   * Removes a record for good, without a tombstone, when it is not newer than `version`: it was evicted here or on another
   * replica. The mark of a deletion stays, or what it hides could come back.
   */
  evict(key: Buffer, version: number): boolean {
    const stored = this.engine.get(tokenOf(key), key);
    if (stored === undefined || stored.version > version) return false;
    return this.#giveUp(key, stored.version, stored.expiresAtMs);
  }

  /** Removes what is stored, unless it is the mark of a deletion. */
  readonly #giveUp = (key: Buffer, version: number, expiresAtMs: number): boolean => {
    if (isDeletion(version, expiresAtMs)) return false;
    const token = tokenOf(key);
    this.#dead.removed(slotOfToken(token), expiresAtMs);
    return this.engine.remove(token, key);
  };

  /** Keys of a slot that are alive. Counts the slot anew when some may have expired since. */
  liveCountInSlot(slot: number, nowMs: number): number {
    if (this.#dead.isBehind(slot, nowMs)) this.#recount(slot, nowMs);
    return this.engine.keyCountInSlot(slot) - this.#dead.countInSlot(slot);
  }

  #recount(slot: number, nowMs: number): void {
    this.#dead.recount(slot, nowMs);
    this.engine.scanVersions(
      firstTokenOfSlot(slot),
      firstTokenOfSlot(slot + 1),
      (_token, _key, version, expiresAtMs) => {
        this.#dead.written(slot, 0, version, expiresAtMs);
        return true;
      },
    );
  }

  /** May the slot hold records that a purge would drop, now or later? */
  mayHoldDead(slot: number): boolean {
    return this.#dead.earliestMs(slot) !== Number.POSITIVE_INFINITY;
  }

  /** Does the slot hold a record that a purge through this time would drop? Scans the slot unless it is known not to. */
  holdsDeadThrough(slot: number, throughMs: number): boolean {
    if (this.#dead.earliestMs(slot) > throughMs) return false;
    this.#recount(slot, 0);
    return this.#dead.earliestMs(slot) <= throughMs;
  }

  /** See `ReplicaContents.purge`. */
  purge(slot: number, digest: number | undefined, throughMs: number): number {
    const { engine } = this;
    if (digest !== undefined && engine.digestOfSlot(slot) !== digest) return -1;
    this.#notePurge(slot, throughMs);
    if (this.#dead.earliestMs(slot) > throughMs) return 0;
    const dead: { readonly token: number; readonly key: Buffer }[] = [];
    engine.scanVersions(
      firstTokenOfSlot(slot),
      firstTokenOfSlot(slot + 1),
      (token, key, version, expiresAtMs) => {
        if (expiresAtMs !== 0 && deadSinceMs(version, expiresAtMs) <= throughMs) dead.push({ token, key });
        return true;
      },
    );
    for (const { token, key } of dead) engine.remove(token, key);
    this.#recount(slot, 0);
    return dead.length;
  }

  #notePurge(slot: number, throughMs: number): void {
    this.#purgedThroughMs ??= new Float64Array(SLOT_COUNT);
    if (throughMs > this.#purgedThroughMs[slot]!) this.#purgedThroughMs[slot] = throughMs;
  }

  /** 0: never. */
  purgedThroughMs(slot: number): number {
    return this.#purgedThroughMs?.[slot] ?? 0;
  }

  head(): BucketHead {
    const purges: [number, number][] = [];
    this.#purgedThroughMs?.forEach((throughMs, slot) => {
      if (throughMs > 0) purges.push([slot, throughMs]);
    });
    return { flushedThrough: this.#flushedThrough, highestVersion: this.highestVersion, purges };
  }
}
