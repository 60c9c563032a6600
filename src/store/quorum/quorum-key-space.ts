/**
 * One eventual bucket as this node holds it, for commands that look at many keys (SCAN, KEYS, DBSIZE, RANDOMKEY, lists):
 * the live records of some slots, without the word of other replicas. Nothing can be written, and nothing counts as used. What
 * was idle for too long is not shown; counts have it until it is removed.
 */
import { invariant } from '../../base/errors.js';
import { slotOfToken, tokenOf } from '../../base/slots.js';
import type { EngineRecord } from '../../engine/types.js';
import type { KeySpace } from '../command.js';
import type { SlotSet } from '../slot-ranges.js';
import type { StoredBucket } from './stored-bucket.js';

/** Part of a key space that only reads. */
export abstract class ReadOnlyKeySpace implements KeySpace {
  readonly version = 0;

  abstract get(key: Buffer): EngineRecord | undefined;
  abstract scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void;
  abstract keyCount(): number;
  abstract keyCountInSlot(slot: number): number;

  put(): void {
    refuse();
  }

  remove(): boolean {
    return refuse();
  }

  setExpiry(): boolean {
    return refuse();
  }

  defaultExpiryMs(): number {
    return 0;
  }

  clear(): void {
    refuse();
  }
}

function refuse(): never {
  invariant(false, 'a command that reads does not write');
}

export class QuorumKeySpace extends ReadOnlyKeySpace {
  /** Undefined: a bucket that is not open, and so empty. */
  readonly #bucket: StoredBucket | undefined;
  readonly #slots: SlotSet;
  readonly #nowMs: number;

  constructor(bucket: StoredBucket | undefined, slots: SlotSet, nowMs: number) {
    super();
    this.#bucket = bucket;
    this.#slots = slots;
    this.#nowMs = nowMs;
  }

  get(key: Buffer): EngineRecord | undefined {
    if (!this.#slots.owns(slotOfToken(tokenOf(key)))) return undefined;
    return this.#bucket?.peek(key, this.#nowMs);
  }

  scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void {
    const bucket = this.#bucket;
    if (bucket === undefined) return;
    let goOn = true;
    this.#slots.forEachPart(fromToken, toToken, (start, end) => {
      bucket.engine.scan(start, end, (token, key, record) => {
        if (!bucket.isThere(token, key, record, this.#nowMs)) return true;
        goOn = visitor(token, key, record);
        return goOn;
      });
      return goOn;
    });
  }

  endOfRun(token: number): number {
    return this.#slots.endOfRun(token);
  }

  keyCount(): number {
    let count = 0;
    this.#slots.forEachSlot((slot) => {
      count += this.#bucket?.liveCountInSlot(slot, this.#nowMs) ?? 0;
    });
    return count;
  }

  keyCountInSlot(slot: number): number {
    return this.#slots.owns(slot) ? (this.#bucket?.liveCountInSlot(slot, this.#nowMs) ?? 0) : 0;
  }
}
