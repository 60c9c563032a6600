/**
 * A key space that holds exactly the record that a quorum read has found, so that commands which read one key answer with
 * their own `execute`. Nothing can be written.
 */
import { slotOf, tokenOf } from '../../base/slots.js';
import type { EngineRecord } from '../../engine/types.js';
import { isDead, type QuorumRecord } from '../../protocol/quorum/types.js';
import { ReadOnlyKeySpace } from './quorum-key-space.js';

export class SingleRecordKeySpace extends ReadOnlyKeySpace {
  readonly #key: Buffer;
  /** The live record. */
  readonly #record: EngineRecord | undefined;

  /** `record`: dead or alive; undefined: no replica has any. */
  constructor(key: Buffer, record: QuorumRecord | undefined, nowMs: number) {
    super();
    this.#key = key;
    this.#record = record === undefined || isDead(record, nowMs) ? undefined : record;
  }

  get(key: Buffer): EngineRecord | undefined {
    return key === this.#key || key.equals(this.#key) ? this.#record : undefined;
  }

  scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void {
    const token = tokenOf(this.#key);
    if (this.#record !== undefined && token >= fromToken && token < toToken)
      visitor(token, this.#key, this.#record);
  }

  keyCount(): number {
    return this.#record === undefined ? 0 : 1;
  }

  keyCountInSlot(slot: number): number {
    return slotOf(this.#key) === slot ? this.keyCount() : 0;
  }
}
