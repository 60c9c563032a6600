/**
 * The ledger (paper 003's word): applied writes that rest in memory until they are written back to a disk store.
 *
 * Two generations: writes go into the active one; a checkpoint freezes it and opens a new one, and once the frozen one
 * is durable it has done its duty. So there is no copy-on-write, and what is written back is the state of one instant.
 * The generation written back last may be kept as a cache (`clean`): what was written lately is what is read and
 * overwritten next, and looking there is cheaper than asking the disk engine.
 *
 * A generation holds the newest record of each key written in its time, tombstones for removed keys, and marks for
 * slots that were cleared: they hide everything older in that slot.
 *
 * Invariants:
 * - active hides frozen, frozen hides clean, clean equals the disk in every key it holds;
 * - a frozen or clean generation never changes.
 */
import { invariant } from '../base/errors.js';
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken, TOKEN_END } from '../base/slots.js';
import { RecordTable } from './memory/record-table.js';
import type { DiskWrite, TokenRange } from './types.js';

const NO_BYTES = Buffer.alloc(0);

export class LedgerGeneration {
  readonly table = new RecordTable();
  #everythingCleared = false;
  /** A byte for each slot, allocated with the first clear. */
  #clearedSlots: Uint8Array | undefined;

  get isEmpty(): boolean {
    return this.table.count === 0 && !this.#everythingCleared && this.#clearedSlots === undefined;
  }

  get memoryBytes(): number {
    return this.table.memoryBytes + (this.#clearedSlots?.length ?? 0);
  }

  /** True when nothing older than this generation is to be seen in the slot. */
  hidesSlot(slot: number): boolean {
    return this.#everythingCleared || (this.#clearedSlots !== undefined && this.#clearedSlots[slot] === 1);
  }

  putTombstone(token: number, key: Buffer): void {
    this.table.put(token, key, NO_BYTES, 0, 0, 0, true);
  }

  clearSlot(slot: number): void {
    this.table.removeSlot(slot);
    if (this.#everythingCleared) return;
    this.#clearedSlots ??= new Uint8Array(SLOT_COUNT);
    this.#clearedSlots[slot] = 1;
  }

  clear(): void {
    this.table.clear();
    this.#clearedSlots = undefined;
    this.#everythingCleared = true;
  }

  /** The cleared parts of the key space; slots side by side are one range. */
  clearedRanges(): TokenRange[] {
    if (this.#everythingCleared) return [{ fromToken: 0, toToken: TOKEN_END }];
    const ranges: TokenRange[] = [];
    if (this.#clearedSlots === undefined) return ranges;
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (this.#clearedSlots[slot] === 0) continue;
      const first = slot;
      while (slot + 1 < SLOT_COUNT && this.#clearedSlots[slot + 1] === 1) slot++;
      ranges.push({ fromToken: firstTokenOfSlot(first), toToken: firstTokenOfSlot(slot + 1) });
    }
    return ranges;
  }

  /** What is to be written, in token order. One object for each record, made when it is asked for. */
  *writes(): Generator<DiskWrite> {
    const table = this.table;
    for (const cursor = table.cursor(0); cursor.reference !== 0; cursor.next()) {
      const reference = cursor.reference;
      const token = cursor.token;
      const key = table.key(reference);
      if (table.isTombstone(reference)) {
        // In a cleared slot there is nothing left to remove.
        if (this.hidesSlot(slotOfToken(token))) continue;
        yield { token, key, value: undefined, version: 0, expiresAtMs: 0 };
      } else {
        const { value, version, expiresAtMs } = table.record(reference);
        yield { token, key, value, version, expiresAtMs, checksum: table.checksum(reference) };
      }
    }
  }
}

/** The generations of one bucket. */
export class Ledger {
  readonly #keepsClean: boolean;
  active = new LedgerGeneration();
  frozen: LedgerGeneration | undefined;
  clean: LedgerGeneration | undefined;

  /** `keepsClean`: keep what was written back last, for reading. */
  constructor(options: { readonly keepsClean: boolean }) {
    this.#keepsClean = options.keepsClean;
  }

  /** Bytes that are not durable in the disk store yet. */
  get unwrittenBytes(): number {
    return this.active.memoryBytes + (this.frozen?.memoryBytes ?? 0);
  }

  get memoryBytes(): number {
    return this.unwrittenBytes + (this.clean?.memoryBytes ?? 0);
  }

  /** Freezes what has been written so far; undefined when that is nothing. */
  freeze(): LedgerGeneration | undefined {
    invariant(this.frozen === undefined, 'one generation is written back at a time');
    if (this.active.isEmpty) return undefined;
    this.frozen = this.active;
    this.clean = undefined;
    this.active = new LedgerGeneration();
    return this.frozen;
  }

  /** The frozen generation is durable. */
  writtenBack(): void {
    if (this.#keepsClean) this.clean = this.frozen;
    this.frozen = undefined;
  }
}

/** What an engine hands over at a checkpoint; it must not change until `writtenBack`. */
export interface WriteBack {
  readonly cleared: readonly TokenRange[];
  readonly writes: Iterable<DiskWrite>;
  /** The engine's own notes, by names within its table's. `undefined` removes one. */
  readonly notes: ReadonlyMap<string, Buffer | undefined>;
}

/** An engine whose writes reach the disk store by checkpoints. */
export interface LedgeredEngine {
  /** True: what it lacks on disk is merged again from the journal after a crash, from the last checkpoint it took part in. */
  readonly isMerged?: boolean;
  ledgerBytes(): number;
  /** Freezes the ledger; undefined when there is nothing to write back. */
  freeze(): WriteBack | undefined;
  /** What `freeze` handed over is durable. */
  writtenBack(): void;
}
