/**
 * Walks the entries of an ordered index in the order of (token, key), from a token on. Valid until the next write.
 */
import { SLOT_COUNT } from '../../base/slots.js';
import type { RecordStore } from './record-store.js';
import { ROOT_DEPTH, ROOT_SLOTS, type Root, type Segment, SLOT_SCALE } from './segment.js';

export class IndexCursor {
  readonly #roots: readonly (Root | undefined)[];
  readonly #records: RecordStore;
  #segment: Segment | undefined;
  #at = -2;
  #nextSlot: number;
  /** The present entry's reference; 0 past the end. */
  reference = 0;
  /** The present entry's token. */
  token = 0;

  constructor(roots: readonly (Root | undefined)[], records: RecordStore, fromToken: number) {
    this.#roots = roots;
    this.#records = records;
    this.#nextSlot = Math.min(SLOT_COUNT, Math.floor(Math.max(0, fromToken) * SLOT_SCALE));
    this.#enterNextSegment();
    const segment = this.#segment;
    if (segment !== undefined && fromToken > segment.firstToken) {
      const tag = ((fromToken - segment.firstToken) * segment.tagScale) >>> 0;
      // Entries at their home position or right of it: none before this one can be of the token or later.
      this.#at = (((tag * segment.homeScale) >>> 0) << 1) - 2;
    }
    this.next();
    while (this.reference !== 0 && this.token < fromToken) this.next();
  }

  #enterNextSegment(): void {
    while (this.#nextSlot < SLOT_COUNT) {
      const root = this.#roots[this.#nextSlot >>> ROOT_DEPTH];
      if (root === undefined) {
        this.#nextSlot = ((this.#nextSlot >>> ROOT_DEPTH) + 1) << ROOT_DEPTH;
        continue;
      }
      const segment = root.segments[(this.#nextSlot & (ROOT_SLOTS - 1)) >>> root.shift]!;
      this.#nextSlot = segment.firstSlot + (1 << segment.depth);
      this.#segment = segment;
      this.#at = -2;
      return;
    }
    this.#segment = undefined;
  }

  next(): void {
    while (this.#segment !== undefined) {
      const segment = this.#segment;
      const entries = segment.entries;
      for (let at = this.#at + 2; at < entries.length; at += 2) {
        const reference = entries[at + 1]!;
        if (reference === 0) continue;
        this.#at = at;
        this.reference = reference;
        const lowSpan = 1 << (segment.depth + 2);
        this.token =
          segment.firstToken + entries[at]! * lowSpan + (this.#records.tokenBits(reference) & (lowSpan - 1));
        return;
      }
      this.#enterNextSegment();
    }
    this.reference = 0;
    this.token = Number.POSITIVE_INFINITY;
  }
}
