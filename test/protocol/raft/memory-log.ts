/**
 * A log in memory with two sides: what is readable, and what would survive a crash. Between the two lie the writes that
 * no sync has covered yet.
 */
import type { HardState, LogEntry, LogReader } from '../../../src/protocol/raft/types.js';

interface LogImage {
  readonly compactedIndex: number;
  readonly compactedTerm: number;
  readonly entries: readonly LogEntry[];
  readonly hardState: HardState;
}

export class MemoryLog implements LogReader {
  #compactedIndex = 0;
  #compactedTerm = 0;
  #entries: LogEntry[] = [];
  #hardState: HardState = { term: 0, votedFor: '' };
  #durable: LogImage = this.#image();
  #syncsBegun = 0;
  #newestSync = 0;

  get hardState(): HardState {
    return this.#hardState;
  }

  get compactedTerm(): number {
    return this.#compactedTerm;
  }

  firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  lastIndex(): number {
    return this.#compactedIndex + this.#entries.length;
  }

  term(index: number): number {
    if (index === this.#compactedIndex) return this.#compactedTerm;
    return this.#entries[index - this.#compactedIndex - 1]?.term ?? -1;
  }

  entries(from: number, to: number, maxBytes: number): LogEntry[] {
    const taken: LogEntry[] = [];
    let sizeBytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.#entries[index - this.#compactedIndex - 1];
      if (entry === undefined) break;
      sizeBytes += entry.payload.length;
      if (taken.length > 0 && sizeBytes > maxBytes) break;
      taken.push(entry);
    }
    return taken;
  }

  append(entries: readonly LogEntry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (first.index <= this.#compactedIndex || first.index > this.lastIndex() + 1)
      throw new Error(`entry ${first.index} does not fit behind ${this.lastIndex()}`);
    this.#entries = [...this.#entries.slice(0, first.index - this.#compactedIndex - 1), ...entries];
  }

  saveHardState(state: HardState): void {
    this.#hardState = state;
  }

  compact(index: number): void {
    if (index <= this.#compactedIndex) return;
    const term = this.term(index);
    this.#entries = this.#entries.slice(index - this.#compactedIndex);
    this.#compactedIndex = index;
    this.#compactedTerm = term;
  }

  resetTo(index: number, term: number): void {
    this.#entries = [];
    this.#compactedIndex = index;
    this.#compactedTerm = term;
  }

  #image(): LogImage {
    return {
      compactedIndex: this.#compactedIndex,
      compactedTerm: this.#compactedTerm,
      entries: this.#entries,
      hardState: this.#hardState,
    };
  }

  /** What a sync that begins now will have made durable when it ends. */
  beginSync(): () => void {
    const image = this.#image();
    const sync = ++this.#syncsBegun;
    return () => {
      // One that began later may have ended earlier; it covered this one.
      if (sync < this.#newestSync) return;
      this.#newestSync = sync;
      this.#durable = image;
    };
  }

  /** Everything not synced is gone. */
  crash(): void {
    this.#compactedIndex = this.#durable.compactedIndex;
    this.#compactedTerm = this.#durable.compactedTerm;
    this.#entries = [...this.#durable.entries];
    this.#hardState = this.#durable.hardState;
  }
}
