/**
 * An ordered hash table from (token, key) to record references, without a JavaScript object for each key.
 *
 * Idea: linear probing in which a key's home position grows with its token and every run of entries is kept sorted
 * (after Amble and Knuth, "Ordered hash tables", 1974, and Celis, "Robin Hood hashing", 1986). A look-up is a hash
 * look-up, and a scan from a token is a walk through the array. There is no wrap-around: entries that overflow the
 * last home position go on into a tail.
 *
 * Tokens are spread over segments, each an array of its own for an aligned range of 2^depth slots (as in Fagin et al.,
 * "Extendible hashing", 1979, with slots as the hash prefix). A segment that has grown large, or whose keys crowd in a
 * few of its slots, splits in two; a segment of a single slot grows in steps. So every pause is short, and the hash
 * within a slot being uniform, even all keys falling into one slot leave the probing short.
 *
 * The token's bits below an entry's tag are in the record; the invariants of a segment are told in `segment.ts`.
 */
import { TOKENS_PER_SLOT } from '../../base/slots.js';
import { IndexCursor } from './index-cursor.js';
import type { RecordStore } from './record-store.js';
import {
  EMPTY_TAGS,
  FULL_ARRAY_LENGTH,
  gather,
  layOut,
  MIN_CAPACITY,
  ROOT_COUNT,
  ROOT_DEPTH,
  ROOT_SLOTS,
  type Root,
  type Segment,
  SLOT_SCALE,
  sizeOf,
  TAG_SPAN,
} from './segment.js';

/** A segment of more than one slot splits beyond this. */
const SPLIT_ENTRIES = 2048;
/** An insertion that would move more entries than this splits or regrows the segment. */
const MAX_SHIFT = 256;
const MAX_LOAD = 0.8;
/** A segment emptier than this is laid out anew, smaller. */
const MIN_LOAD = 0.25;
/** Arrays of grown segments kept for the next split, instead of being left to the collector. */
const MAX_SPARE_ARRAYS = 4;
/** What keeps an entry from being inserted: see `insertAt`. */
type Obstacle = 'none' | 'large' | 'full' | 'crowded' | 'tail';

export class OrderedIndex {
  readonly #records: RecordStore;
  #roots: (Root | undefined)[] = new Array<Root | undefined>(ROOT_COUNT).fill(undefined);
  #count = 0;
  #memoryBytes = 0;
  readonly #spareArrays: Uint32Array[] = [];
  // Where the last seek ended: a found entry, or the place for a new one.
  #segment: Segment | undefined;
  #position = 0;

  constructor(records: RecordStore) {
    this.#records = records;
  }

  get count(): number {
    return this.#count;
  }

  get memoryBytes(): number {
    return this.#memoryBytes + this.#spareArrays.length * FULL_ARRAY_LENGTH * 4;
  }

  #segmentOf(token: number): Segment | undefined {
    const slot = (token * SLOT_SCALE) | 0;
    const root = this.#roots[slot >>> ROOT_DEPTH];
    return root === undefined ? undefined : root.segments[(slot & (ROOT_SLOTS - 1)) >>> root.shift];
  }

  /** The reference stored for a token and key; 0 when there is none. */
  find(token: number, key: Uint8Array): number {
    const segment = this.#segmentOf(token);
    if (segment === undefined) return 0;
    const entries = segment.entries;
    const tag = ((token - segment.firstToken) * segment.tagScale) >>> 0;
    let at = ((tag * segment.homeScale) >>> 0) << 1;
    for (;;) {
      const reference = entries[at + 1]!;
      if (reference === 0) return 0;
      const entryTag = entries[at]!;
      if (entryTag >= tag) {
        if (entryTag > tag) return 0;
        const order = this.#records.compare(reference, token, key);
        if (order === 0) return reference;
        if (order > 0) return 0;
      }
      at += 2;
    }
  }

  /**
   * Finds a token and key and remembers the place for the call of `replaceFound`, `removeFound` or `insertSought` that
   * follows. Returns the reference; 0 when there is none.
   */
  seek(token: number, key: Uint8Array): number {
    const segment = this.#segmentOf(token);
    this.#segment = segment;
    if (segment === undefined) return 0;
    const entries = segment.entries;
    const tag = ((token - segment.firstToken) * segment.tagScale) >>> 0;
    let at = ((tag * segment.homeScale) >>> 0) << 1;
    for (;;) {
      const reference = entries[at + 1]!;
      const entryTag = entries[at]!;
      if (reference === 0 || entryTag > tag) break;
      if (entryTag === tag) {
        const order = this.#records.compare(reference, token, key);
        if (order === 0) {
          this.#position = at >>> 1;
          return reference;
        }
        if (order > 0) break;
      }
      at += 2;
    }
    this.#position = at >>> 1;
    return 0;
  }

  /** Puts another reference into the entry that `seek` found. */
  replaceFound(reference: number): void {
    this.#segment!.entries[this.#position * 2 + 1] = reference;
  }

  /** Inserts a reference where `seek` looked in vain, with the token and key given to it. */
  insertSought(token: number, key: Uint8Array, reference: number): void {
    let segment = this.#segment ?? this.#newRoot(token);
    for (;;) {
      const obstacle = this.#insertAt(segment, this.#position, token, reference);
      if (obstacle === 'none') break;
      this.#makeRoom(segment, obstacle);
      this.seek(token, key);
      segment = this.#segment!;
    }
    segment.count++;
    this.#count++;
  }

  #newRoot(token: number): Segment {
    const slot = (token * SLOT_SCALE) | 0;
    const rootIndex = slot >>> ROOT_DEPTH;
    const segment = this.#layOut(
      rootIndex * ROOT_SLOTS,
      ROOT_DEPTH,
      MIN_CAPACITY,
      EMPTY_TAGS,
      EMPTY_TAGS,
      0,
      0,
    );
    this.#roots[rootIndex] = { shift: ROOT_DEPTH, segments: [segment] };
    this.#segment = segment;
    const tag = ((token - segment.firstToken) * segment.tagScale) >>> 0;
    this.#position = (tag * segment.homeScale) >>> 0;
    return segment;
  }

  /** Moves the rest of the run right by one and writes the entry, or says what stands in the way. */
  #insertAt(segment: Segment, position: number, token: number, reference: number): Obstacle {
    if (segment.depth > 0 && segment.count >= SPLIT_ENTRIES) return 'large';
    if (segment.count >= segment.capacity * MAX_LOAD) return 'full';
    const entries = segment.entries;
    const at = position * 2;
    let gap = at;
    while (entries[gap + 1] !== 0) gap += 2;
    // The last position stays empty.
    if (gap + 2 >= entries.length) return 'tail';
    if (gap - at > MAX_SHIFT * 2) {
      if (segment.depth > 0) return 'large';
      // Keys of almost equal hash cannot be spread further: then moving many is the lesser evil.
      if (segment.count * 4 > segment.capacity) return 'crowded';
    }
    if (gap > at) entries.copyWithin(at + 2, at, gap);
    entries[at] = ((token - segment.firstToken) * segment.tagScale) >>> 0;
    entries[at + 1] = reference;
    return 'none';
  }

  /** Removes the entry that `seek` found, by moving what follows it back (Robin Hood's backward shift). */
  removeFound(): void {
    const segment = this.#segment!;
    const entries = segment.entries;
    const homeScale = segment.homeScale;
    let hole = this.#position;
    const first = hole;
    while (entries[hole * 2 + 3] !== 0 && (entries[hole * 2 + 2]! * homeScale) >>> 0 <= hole) hole++;
    if (hole > first) entries.copyWithin(first * 2, first * 2 + 2, hole * 2 + 2);
    entries[hole * 2 + 1] = 0;
    segment.count--;
    this.#count--;
    if (segment.capacity > MIN_CAPACITY && segment.count < segment.capacity * MIN_LOAD)
      this.#rebuild(segment);
  }

  #makeRoom(segment: Segment, obstacle: Obstacle): void {
    if (obstacle === 'large') this.#split(segment);
    else if (obstacle === 'full') this.#rebuild(segment);
    else this.#rebuild(segment, obstacle === 'crowded' ? segment.capacity * 2 : segment.capacity);
  }

  #split(segment: Segment): void {
    const { tags, references } = gather(segment);
    const depth = segment.depth - 1;
    const count = segment.count;
    // The upper half begins where the tag's top bit is set. Half the range: every tag gains one bit from below.
    let middle = 0;
    while (middle < count && tags[middle]! < 0x80000000) middle++;
    for (let i = 0; i < count; i++) {
      const bit = (this.#records.tokenBits(references[i]!) >>> (depth + 2)) & 1;
      tags[i] = (tags[i]! << 1) | bit;
    }
    const lower = this.#layOut(segment.firstSlot, depth, 0, tags, references, 0, middle);
    const upper = this.#layOut(segment.firstSlot + (1 << depth), depth, 0, tags, references, middle, count);
    this.#memoryBytes -= sizeOf(segment);
    this.#reuseArray(segment.entries);
    const root = this.#roots[segment.firstSlot >>> ROOT_DEPTH]!;
    if (root.shift > depth) {
      root.segments = root.segments.flatMap((place) => [place, place]);
      root.shift--;
    }
    for (let i = 0; i < root.segments.length; i++) {
      if (root.segments[i] !== segment) continue;
      const slot = (segment.firstSlot & ~(ROOT_SLOTS - 1)) + (i << root.shift);
      root.segments[i] = slot < upper.firstSlot ? lower : upper;
    }
    this.#segment = undefined;
  }

  #rebuild(segment: Segment, capacity = 0): void {
    const { tags, references } = gather(segment);
    this.#adopt(
      segment,
      this.#layOut(segment.firstSlot, segment.depth, capacity, tags, references, 0, segment.count),
    );
  }

  /** Gives a segment the entries of a fresh layout of the same range. */
  #adopt(segment: Segment, fresh: Segment): void {
    this.#memoryBytes -= sizeOf(segment);
    this.#reuseArray(segment.entries);
    segment.entries = fresh.entries;
    segment.capacity = fresh.capacity;
    segment.homeScale = fresh.homeScale;
    segment.count = fresh.count;
  }

  #layOut(
    firstSlot: number,
    depth: number,
    capacity: number,
    tags: Uint32Array,
    references: Uint32Array,
    from: number,
    to: number,
  ): Segment {
    const segment = layOut(this.#newArray, firstSlot, depth, capacity, tags, references, from, to);
    this.#memoryBytes += sizeOf(segment);
    return segment;
  }

  readonly #newArray = (length: number): Uint32Array => {
    const spares = this.#spareArrays;
    if (spares.length > 0 && spares[0]!.length === length) {
      const spare = spares.pop()!;
      spare.fill(0);
      return spare;
    }
    return new Uint32Array(length);
  };

  /** Takes back the array of a segment that has been laid out anew: most have one size, and memory stays unbroken. */
  #reuseArray(entries: Uint32Array): void {
    const spares = this.#spareArrays;
    if (entries.length === FULL_ARRAY_LENGTH && spares.length < MAX_SPARE_ARRAYS) spares.push(entries);
  }

  /** Removes every entry of a slot; the references are handed over, in order. */
  removeSlot(slot: number, removed: (reference: number) => void): void {
    const segment = this.#segmentOf(slot * TOKENS_PER_SLOT);
    if (segment === undefined || segment.count === 0) return;
    const slotTags = TAG_SPAN / (1 << segment.depth);
    const firstTag = (slot - segment.firstSlot) * slotTags;
    const { tags, references } = gather(segment);
    let kept = 0;
    for (let i = 0; i < segment.count; i++) {
      const tag = tags[i]!;
      if (tag >= firstTag && tag < firstTag + slotTags) {
        removed(references[i]!);
        continue;
      }
      tags[kept] = tag;
      references[kept] = references[i]!;
      kept++;
    }
    if (kept === segment.count) return;
    this.#count -= segment.count - kept;
    this.#adopt(segment, this.#layOut(segment.firstSlot, segment.depth, 0, tags, references, 0, kept));
  }

  clear(): void {
    this.#roots = new Array<Root | undefined>(ROOT_COUNT).fill(undefined);
    this.#count = 0;
    this.#memoryBytes = 0;
    this.#spareArrays.length = 0;
    this.#segment = undefined;
  }

  /** A cursor at the first entry of `fromToken` or later. Valid until the next write. */
  cursor(fromToken: number): IndexCursor {
    return new IndexCursor(this.#roots, this.#records, fromToken);
  }
}
