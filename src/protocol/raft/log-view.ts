/**
 * The log as the core sees it: the stable log plus the tail that has not been handed out yet.
 *
 * Invariants: the tail follows the stable part without a gap; while it is empty the stable log ends at `lastIndex`;
 * arrays given out are never changed afterwards. A tail that starts at or below the stable log's end replaces it from
 * there on, and until it is taken the stable log's replaced part is never looked at.
 */
import { invariant } from '../../base/errors.js';
import type { LogEntry, LogReader } from './types.js';

export class LogView {
  readonly #log: LogReader;
  #tail: LogEntry[] = [];
  #tailFirst: number;
  #lastIndex: number;
  #slice: LogEntry[] = [];
  #sliceFirst = -1;
  #sliceEnd = -1;
  #sliceLimitBytes = 0;

  constructor(log: LogReader) {
    this.#log = log;
    this.#lastIndex = log.lastIndex();
    this.#tailFirst = this.#lastIndex + 1;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.term(this.#lastIndex);
  }

  get hasTail(): boolean {
    return this.#tail.length > 0;
  }

  /** First index that can still be read. */
  firstIndex(): number {
    return this.#log.firstIndex();
  }

  /** Term of an entry; -1 when it was dropped or is not there yet. */
  term(index: number): number {
    if (index > this.#lastIndex) return -1;
    if (index >= this.#tailFirst) return this.#tail[index - this.#tailFirst]!.term;
    return this.#log.term(index);
  }

  /** Entries [from, to), fewer when they would exceed `maxBytes` of payload, never fewer than one. */
  entries(from: number, to: number, maxBytes: number): readonly LogEntry[] {
    const tailFirst = this.#tailFirst;
    if (from >= tailFirst) return this.#tailSlice(from, to, maxBytes);
    const stable = this.#log.entries(from, Math.min(to, tailFirst), maxBytes);
    invariant(stable.length > 0 && stable[0]!.index === from, 'entries handed out are readable in the log');
    if (to <= tailFirst || from + stable.length !== tailFirst) return stable;
    const joined = stable.slice();
    let room = maxBytes;
    for (const entry of stable) room -= entry.payload.length;
    for (let index = tailFirst; index < to; index++) {
      const entry = this.#tail[index - tailFirst]!;
      room -= entry.payload.length;
      if (room < 0) break;
      joined.push(entry);
    }
    return joined;
  }

  /** Every follower that has kept up gets the same part of the tail: it is cut once. */
  #tailSlice(from: number, to: number, maxBytes: number): readonly LogEntry[] {
    if (this.#sliceFirst === from && this.#sliceEnd === to && this.#sliceLimitBytes === maxBytes)
      return this.#slice;
    const start = from - this.#tailFirst;
    const limit = to - this.#tailFirst;
    let end = start;
    let sizeBytes = 0;
    while (end < limit) {
      sizeBytes += this.#tail[end]!.payload.length;
      if (sizeBytes > maxBytes && end > start) break;
      end++;
    }
    this.#slice = this.#tail.slice(start, end);
    this.#sliceFirst = from;
    this.#sliceEnd = to;
    this.#sliceLimitBytes = maxBytes;
    return this.#slice;
  }

  append(entry: LogEntry): void {
    invariant(entry.index === this.#lastIndex + 1, 'the log has no gaps');
    this.#tail.push(entry);
    this.#lastIndex = entry.index;
  }

  /** Appends `entries[start...]`; what stood at or after the first one's index is cut off. */
  replaceFrom(entries: readonly LogEntry[], start: number): void {
    const first = entries[start]!.index;
    invariant(first <= this.#lastIndex + 1, 'the log has no gaps');
    if (first <= this.#lastIndex) {
      if (first >= this.#tailFirst) this.#tail.length = first - this.#tailFirst;
      else {
        this.#tail = [];
        this.#tailFirst = first;
      }
      this.#lastIndex = first - 1;
      this.#sliceFirst = -1;
    }
    for (let i = start; i < entries.length; i++) this.append(entries[i]!);
  }

  /** Hands out the tail; from the next call on it must be readable in the stable log. */
  takeTail(): readonly LogEntry[] {
    const taken = this.#tail;
    this.#tail = [];
    this.#tailFirst = this.#lastIndex + 1;
    this.#sliceFirst = -1;
    this.#slice = [];
    return taken;
  }

  /** The stable log was started anew: forget the tail. */
  reload(): void {
    this.#tail = [];
    this.#lastIndex = this.#log.lastIndex();
    this.#tailFirst = this.#lastIndex + 1;
    this.#sliceFirst = -1;
    this.#slice = [];
  }

  /**
   * The greatest index at or below `index` whose term is at most `term` (thesis 5.3's conflict search, by halving:
   * terms never fall along the log). Where the log has been dropped, the last index before it.
   */
  findByTerm(index: number, term: number): number {
    let low = this.firstIndex() - 1;
    let high = Math.min(index, this.#lastIndex);
    if (high <= low) return Math.max(0, high);
    while (low < high) {
      const middle = low + Math.ceil((high - low) / 2);
      if (this.term(middle) <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
