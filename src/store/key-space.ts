/**
 * One bucket of one group as commands see it: the engine's records of the group's slots, with expiry applied.
 *
 * Expiry: a write goes by log time alone and removes what it meets expired, so that every replica does the same. A read
 * goes by the leader's clock; when it meets a key that has expired by that clock and not yet by the log, answering 'absent'
 * could be taken back by a later leader whose clock is behind. It then says so (`clockBehind`) and the replica first advances
 * the log's time.
 *
 * Idle time (a bucket with a `keeper`) is known to the leader alone: its reads count as uses there, a follower knows of the
 * writes. So a key goes by a command that the leader puts into the log, and a read of the leader that meets one which has
 * been idle for too long calls it absent (`idleMet`), but may say so only once the log does too.
 */
import { firstTokenOfSlot, slotOfToken, TOKEN_END, tokenOf } from '../base/slots.js';
import type { Engine, EngineRecord } from '../engine/types.js';
import type { KeySpace, KeyUse } from './command.js';
import type { RetentionKeeper } from './retention.js';
import type { SlotSet } from './slot-ranges.js';
import type { BucketDescription } from './types.js';

const NO_KEY = Buffer.alloc(0);
const EMPTY_TOKEN = tokenOf(NO_KEY);

/** What the keys that a command looks at are told of it. */
export interface UseOptions {
  /** Looking counts as using. */
  readonly counts: boolean;
  /** What has been idle for too long is absent. */
  readonly hidesIdle: boolean;
}

const UNNOTICED: UseOptions = { counts: false, hidesIdle: false };

export class BucketKeySpace implements KeySpace {
  bucket: BucketDescription;
  readonly engine: Engine;
  readonly #slots: SlotSet;
  /** True for slots that the present entry must not touch: a snapshot reflects it already. */
  readonly #isReflected: (slot: number) => boolean;

  version = 0;
  nowMs = 0;
  clockBehind = false;
  /** Of a bucket with bounds. */
  keeper: RetentionKeeper | undefined;
  /** Keys that the present read has met and that were idle for too long. */
  idleMet: { readonly key: Buffer; readonly version: number }[] = [];
  #use = UNNOTICED;
  #reading = false;
  #logTimeMs = 0;
  /** False once a whole walk has met no record that expires, and none was written since: nothing to search for. */
  #mayExpire = true;
  /** The walk of `findExpired`: how far it has come without a gap, and whether it met a record that expires. */
  #walkedTo = -1;
  #walkMetExpiry = false;
  /** The last key whose token was computed: a command asks for the same key several times. */
  #lastKey: Buffer = NO_KEY;
  #lastToken = EMPTY_TOKEN;

  constructor(
    bucket: BucketDescription,
    engine: Engine,
    slots: SlotSet,
    isReflected: (slot: number) => boolean,
  ) {
    this.bucket = bucket;
    this.engine = engine;
    this.#slots = slots;
    this.#isReflected = isReflected;
  }

  /** Makes ready for one command. */
  prepare(version: number, nowMs: number, logTimeMs: number, reading: boolean, use = UNNOTICED): void {
    this.version = version;
    this.nowMs = nowMs;
    this.#logTimeMs = logTimeMs;
    this.#reading = reading;
    this.#use = use;
    if (this.idleMet.length > 0) this.idleMet = [];
    this.clockBehind = false;
    // Keys are told by identity, and between two commands a buffer may have got other bytes.
    this.#lastKey = NO_KEY;
    this.#lastToken = EMPTY_TOKEN;
  }

  tokenOf(key: Buffer): number {
    if (key === this.#lastKey) return this.#lastToken;
    this.#lastToken = tokenOf(key);
    this.#lastKey = key;
    return this.#lastToken;
  }

  #isExpired(record: EngineRecord): boolean {
    return record.expiresAtMs !== 0 && record.expiresAtMs <= this.nowMs;
  }

  get(key: Buffer): EngineRecord | undefined {
    const token = this.tokenOf(key);
    const record = this.engine.get(token, key);
    if (record === undefined) return undefined;
    if (!this.#isExpired(record)) {
      if (this.keeper === undefined || !this.#isIdle(this.keeper, token, key, record)) return record;
      return undefined;
    }
    if (!this.#reading) this.engine.remove(token, key);
    else if (record.expiresAtMs > this.#logTimeMs) this.clockBehind = true;
    return undefined;
  }

  /** Has the record that was just found been idle for too long? If not it is used now. */
  #isIdle(keeper: RetentionKeeper, token: number, key: Buffer, record: EngineRecord): boolean {
    if (this.#use.hidesIdle && keeper.isIdleFor(keeper.access.idleMsOfFound())) {
      this.idleMet.push({ key, version: record.version });
      return true;
    }
    if (this.#use.counts) keeper.access.touchFound(token);
    return false;
  }

  put(key: Buffer, value: Buffer, expiresAtMs: number): void {
    this.install(key, value, this.version, expiresAtMs);
  }

  /** Writes with a version given from outside: a record of a snapshot. */
  install(key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    if (expiresAtMs !== 0) {
      this.#mayExpire = true;
      this.#walkMetExpiry = true;
    }
    this.engine.put(this.tokenOf(key), key, value, version, expiresAtMs);
  }

  remove(key: Buffer): boolean {
    if (this.get(key) === undefined) return false;
    return this.engine.remove(this.tokenOf(key), key);
  }

  setExpiry(key: Buffer, expiresAtMs: number): boolean {
    const record = this.get(key);
    if (record === undefined) return false;
    this.put(key, record.value, expiresAtMs);
    return true;
  }

  /** Removes a key that is expired by log time and still at this version. */
  removeExpired(key: Buffer, version: number): boolean {
    const token = this.tokenOf(key);
    if (!this.#mayWrite(slotOfToken(token))) return false;
    const record = this.engine.get(token, key);
    if (record === undefined || record.version !== version || !this.#isExpired(record)) return false;
    return this.engine.remove(token, key);
  }

  /** Removes a key that is still at this version, expired or not. */
  evict(key: Buffer, version: number): boolean {
    const token = this.tokenOf(key);
    if (!this.#mayWrite(slotOfToken(token)) || this.engine.versionOf(token, key) !== version) return false;
    return this.engine.remove(token, key);
  }

  #mayWrite(slot: number): boolean {
    return this.#slots.owns(slot) && !this.#isReflected(slot);
  }

  defaultExpiryMs(): number {
    return this.bucket.ttlMs === 0 ? 0 : this.nowMs + this.bucket.ttlMs;
  }

  scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void {
    let goOn = true;
    this.#slots.forEachPart(fromToken, toToken, (start, end) => {
      this.engine.scan(start, end, (token, key, record) => {
        if (this.#isExpired(record)) {
          if (record.expiresAtMs > this.#logTimeMs) this.clockBehind = true;
          return true;
        }
        if (this.#use.hidesIdle && this.keeper?.isIdle(token, key) === true) {
          this.idleMet.push({ key, version: record.version });
          return true;
        }
        goOn = visitor(token, key, record);
        return goOn;
      });
      return goOn;
    });
  }

  useOf(key: Buffer): KeyUse | undefined {
    const access = this.keeper?.access;
    if (access === undefined) return undefined;
    const token = this.tokenOf(key);
    const idleMs = access.idleMsOf(token, key);
    const frequency = access.frequencyOf(token, key);
    return idleMs === undefined || frequency === undefined ? undefined : { idleMs, frequency };
  }

  endOfRun(token: number): number {
    return this.#slots.endOfRun(token);
  }

  keyCount(): number {
    let count = 0;
    this.#slots.forEachSlot((slot) => {
      count += this.engine.keyCountInSlot(slot);
    });
    return count;
  }

  keyCountInSlot(slot: number): number {
    return this.#slots.owns(slot) ? this.engine.keyCountInSlot(slot) : 0;
  }

  clear(): void {
    this.#slots.forEachSlot((slot) => {
      if (!this.#isReflected(slot)) this.engine.clearSlot(slot);
    });
  }

  /**
   * Looks at up to `maxKeys` records between two tokens, whatever their expiry, and reports those expired at `nowMs`. Returns
   * the token to go on with. Keys of equal token are never parted.
   */
  findExpired(
    fromToken: number,
    toToken: number,
    maxKeys: number,
    nowMs: number,
    found: (bucketId: number, key: Buffer, version: number) => void,
  ): number {
    if (!this.#mayExpire) return toToken;
    if (fromToken === 0) {
      this.#walkedTo = 0;
      this.#walkMetExpiry = false;
    }
    const withoutGap = this.#walkedTo >= 0 && fromToken <= this.#slots.nextToken(this.#walkedTo);
    let next = toToken;
    let left = maxKeys;
    let lastToken = -1;
    this.#slots.forEachPart(fromToken, toToken, (start, end) => {
      let goOn = true;
      this.engine.scan(start, end, (token, key, record) => {
        if (left <= 0 && token !== lastToken) {
          next = token;
          goOn = false;
          return false;
        }
        lastToken = token;
        left--;
        if (record.expiresAtMs === 0) return true;
        this.#walkMetExpiry = true;
        if (record.expiresAtMs <= nowMs) found(this.bucket.id, key, record.version);
        return true;
      });
      return goOn;
    });
    this.#walkedTo = withoutGap ? Math.max(this.#walkedTo, next) : -1;
    if (this.#walkedTo >= TOKEN_END && !this.#walkMetExpiry) this.#mayExpire = false;
    return next;
  }

  /** Visits all records of a slot, expired ones too. */
  scanSlot(slot: number, visitor: (key: Buffer, record: EngineRecord) => void): void {
    this.engine.scan(firstTokenOfSlot(slot), firstTokenOfSlot(slot + 1), (_token, key, record) => {
      visitor(key, record);
      return true;
    });
  }
}

/** The keys of a bucket that is not open: none. What control commands run on. */
export const CLOSED_KEY_SPACE: KeySpace = {
  version: 0,
  get: () => undefined,
  put: () => undefined,
  remove: () => false,
  setExpiry: () => false,
  defaultExpiryMs: () => 0,
  scan: () => undefined,
  keyCount: () => 0,
  keyCountInSlot: () => 0,
  clear: () => undefined,
};
