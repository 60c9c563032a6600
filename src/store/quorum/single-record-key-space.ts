/**
 * A key space that holds exactly the record that a quorum read has found, so that commands which read one key answer with
 * their own `execute`. Nothing can be written.
 *
 * One serves all reads, one after the other: commands run at once and keep nothing of it. It is the context that they run in, too.
 */
import { slotOf, tokenOf } from '../../base/slots.js';
import type { EngineRecord } from '../../engine/types.js';
import { isDead, type QuorumRecord } from '../../protocol/quorum/types.js';
import type { ExecutionContext } from '../command.js';
import { ReadOnlyKeySpace } from './quorum-key-space.js';

const NO_KEY = Buffer.alloc(0);

export class SingleRecordKeySpace extends ReadOnlyKeySpace implements ExecutionContext {
  readonly keyspace = this;
  nowMs = 0;
  #key: Buffer = NO_KEY;
  /** The live record. */
  #record: EngineRecord | undefined;

  /** `record`: dead or alive; undefined: no replica has any. */
  hold(key: Buffer, record: QuorumRecord | undefined, nowMs: number): void {
    this.nowMs = nowMs;
    this.#key = key;
    this.#record = record === undefined || isDead(record, nowMs) ? undefined : record;
  }

  /** Keeps nothing of the last read alive. */
  release(): void {
    this.#key = NO_KEY;
    this.#record = undefined;
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
