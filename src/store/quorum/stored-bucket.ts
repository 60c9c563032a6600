/**
 * The records of one eventual bucket on one node: its engine, and what is refused of what comes.
 *
 * Refused are: what was flushed (versions up to `flushedThrough`); writes of absent keys in a purged slot that are not
 * newer than the purge, since a tombstone that hid them may have gone with it; and what makes a bucket without eviction
 * grow past its bound of memory.
 *
 * Invariants:
 * - no record at or below `flushedThrough` is stored;
 * - `purgedThroughMs` of a slot and `flushedThrough` never go back;
 * - only a purge, which all replicas have agreed on, and a flush remove dead records.
 */
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken, TOKEN_END, tokenOf } from '../../base/slots.js';
import type { Engine } from '../../engine/types.js';
import type { RepairMergeResult } from '../../protocol/quorum/anti-entropy-types.js';
import { versionMs } from '../../protocol/quorum/clock.js';
import { isDead, type MergeResult, type QuorumRecord } from '../../protocol/quorum/types.js';
import type { BucketDescription } from '../types.js';
import { DeadRecords, deadSinceMs } from './dead-records.js';

/** What a checkpoint's note keeps of a bucket beside its records. */
export interface BucketHead {
  readonly flushedThrough: number;
  readonly highestVersion: number;
  /** Slots that have been purged, and through which time. */
  readonly purges: readonly (readonly [slot: number, throughMs: number])[];
}

export class StoredBucket {
  readonly engine: Engine;
  readonly #dead = new DeadRecords();
  #description: BucketDescription;
  #flushedThrough: number;
  #highestVersion: number;
  /** By slot; allocated with the first purge. */
  #purgedThroughMs: Float64Array | undefined;
  /** Memory past which nothing may grow; 0: no bound, or another rule keeps it. */
  #maxMemoryBytes = 0;
  /** Of the last merge: what was stored before it. */
  previousVersion = 0;
  previousExpiresAtMs = 0;

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
    const isBounded = retention !== undefined && retention.eviction === 'noeviction';
    this.#maxMemoryBytes = isBounded ? retention.maxMemoryBytes : 0;
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

  /** What is stored, dead or alive. */
  read(key: Buffer): QuorumRecord | undefined {
    return this.engine.get(tokenOf(key), key);
  }

  versionOf(key: Buffer): number {
    return this.engine.versionOf(tokenOf(key), key);
  }

  /** See `QuorumStore.merge` in the contract of the quorum core. */
  merge(key: Buffer, value: Buffer, version: number, expiresAtMs: number, nowMs: number): MergeResult {
    this.previousVersion = 0;
    this.previousExpiresAtMs = 0;
    if (version <= this.#flushedThrough) return 'refused';
    const token = tokenOf(key);
    if (this.#purgedThroughMs !== undefined) {
      const throughMs = this.#purgedThroughMs[slotOfToken(token)]!;
      if (versionMs(version) <= throughMs && this.engine.versionOf(token, key) === 0) return 'refused';
    }
    return this.#merge(token, key, value, version, expiresAtMs, nowMs);
  }

  /** See `ReplicaContents.mergeRepaired`. */
  mergeRepaired(
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): RepairMergeResult {
    this.previousVersion = 0;
    this.previousExpiresAtMs = 0;
    if (version <= this.#flushedThrough) return 'refused';
    const token = tokenOf(key);
    if (this.#purgedThroughMs !== undefined && isDead({ expiresAtMs }, nowMs)) {
      const throughMs = this.#purgedThroughMs[slotOfToken(token)]!;
      const isCovered = deadSinceMs(version, expiresAtMs) <= throughMs;
      if (isCovered && this.engine.versionOf(token, key) === 0) return 'purged';
    }
    return this.#merge(token, key, value, version, expiresAtMs, nowMs);
  }

  #merge(
    token: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    nowMs: number,
  ): MergeResult {
    const { engine } = this;
    if (
      this.#maxMemoryBytes > 0 &&
      !isDead({ expiresAtMs }, nowMs) &&
      this.#wouldGrowTooLarge(token, key, value, version)
    )
      return 'refused';
    const result = engine.merge(token, key, value, version, expiresAtMs);
    this.previousVersion = engine.previousVersion;
    this.previousExpiresAtMs = engine.previousExpiresAtMs;
    if (result !== 'applied') return result;
    if (version > this.#highestVersion) this.#highestVersion = version;
    if (expiresAtMs !== 0 || this.previousExpiresAtMs !== 0)
      this.#dead.written(slotOfToken(token), this.previousExpiresAtMs, version, expiresAtMs);
    return result;
  }

  #wouldGrowTooLarge(token: number, key: Buffer, value: Buffer, version: number): boolean {
    const { engine } = this;
    if ((engine.access?.memoryBytes() ?? engine.memoryBytes()) < this.#maxMemoryBytes) return false;
    const stored = engine.get(token, key);
    if (stored === undefined) return true;
    return version > stored.version && value.length > stored.value.length;
  }

  /**
   * Removes a live record for good, without a tombstone, when it is not newer than `version`: it was evicted here or on
   * another replica. A dead record stays, or what it hides could come back.
   */
  evict(key: Buffer, version: number, nowMs: number): boolean {
    const token = tokenOf(key);
    const stored = this.engine.get(token, key);
    if (stored === undefined || stored.version > version || isDead(stored, nowMs)) return false;
    this.#dead.removed(slotOfToken(token), stored.expiresAtMs);
    return this.engine.remove(token, key);
  }

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
