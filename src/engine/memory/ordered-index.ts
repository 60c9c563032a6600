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
 * An entry is two 32-bit words: the top 32 bits of the token within the segment's range (the tag), and the reference;
 * reference 0 means empty. The token's bits below the tag are in the record.
 *
 * Invariants of a segment:
 * - entries stand in the order of (token, key); each at its home position or right of it, with no gap in between;
 * - the last position is always empty, so that every walk ends.
 */
import { invariant } from '../../base/errors.js';
import { SLOT_COUNT, TOKENS_PER_SLOT } from '../../base/slots.js';
import type { RecordStore } from './record-store.js';

/** Slots of one root segment: 2^7, because records keep nine low token bits (seven and the two below the hash). */
const ROOT_DEPTH = 7;
const ROOT_SLOTS = 1 << ROOT_DEPTH;
const ROOT_COUNT = SLOT_COUNT / ROOT_SLOTS;
/** A segment of more than one slot splits beyond this. */
const SPLIT_ENTRIES = 2048;
/** An insertion that would move more entries than this splits or regrows the segment. */
const MAX_SHIFT = 256;
const MIN_CAPACITY = 10;
/** Home positions of a grown segment: as many as keep the load below MAX_LOAD until it splits. */
const FULL_CAPACITY = 2560;
const MAX_LOAD = 0.8;
/** A segment emptier than this is laid out anew, smaller. */
const MIN_LOAD = 0.25;
/** A segment is laid out for at most this load, so that it does not grow again at once. */
const LAYOUT_LOAD = 0.64;
/** Arrays of grown segments kept for the next split, instead of being left to the collector. */
const MAX_SPARE_ARRAYS = 4;
/** Accounted for each segment beside its entries: the objects that hold it. */
const SEGMENT_OBJECT_BYTES = 400;

const TAG_SPAN = 2 ** 32;
const SLOT_SCALE = 1 / TOKENS_PER_SLOT;

/** Entries of an aligned range of slots. */
interface Segment {
  readonly firstSlot: number;
  /** The range is 2^depth slots. */
  readonly depth: number;
  readonly firstToken: number;
  /** token offset * tagScale = tag. */
  readonly tagScale: number;
  /** Tag, reference, tag, reference, ... */
  entries: Uint32Array;
  /** Home positions; there are some more positions than these. */
  capacity: number;
  /** tag * homeScale = home position. */
  homeScale: number;
  count: number;
}

/** What keeps an entry from being inserted: see `insertAt`. */
type Obstacle = 'none' | 'large' | 'full' | 'crowded' | 'tail';

/** The segments of one root range: a directory of 2^(ROOT_DEPTH - shift) places. */
interface Root {
  shift: number;
  segments: Segment[];
}

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
    return this.#memoryBytes;
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

  /** A segment of entries [from, to) of sorted arrays. Capacity 0: by their number. */
  #layOut(
    firstSlot: number,
    depth: number,
    wantedCapacity: number,
    tags: Uint32Array,
    references: Uint32Array,
    from: number,
    to: number,
  ): Segment {
    const count = to - from;
    const capacity = wantedCapacity > 0 ? wantedCapacity : capacityFor(count);
    const homeScale = capacity / TAG_SPAN;
    let end = 0;
    for (let i = from; i < to; i++) end = Math.max(end, (tags[i]! * homeScale) >>> 0) + 1;
    const tail = tailOf(capacity) + (Math.max(0, end - capacity) >>> 2);
    const entries = this.#newArray((Math.max(capacity, end) + tail + 1) * 2);
    let next = 0;
    for (let i = from; i < to; i++) {
      const position = Math.max(next, (tags[i]! * homeScale) >>> 0);
      entries[position * 2] = tags[i]!;
      entries[position * 2 + 1] = references[i]!;
      next = position + 1;
    }
    const segment: Segment = {
      firstSlot,
      depth,
      firstToken: firstSlot * TOKENS_PER_SLOT,
      tagScale: 2 ** -(depth + 2),
      entries,
      capacity,
      homeScale,
      count,
    };
    this.#memoryBytes += sizeOf(segment);
    return segment;
  }

  #newArray(length: number): Uint32Array {
    const spares = this.#spareArrays;
    if (spares.length > 0 && spares[0]!.length === length) {
      const spare = spares.pop()!;
      spare.fill(0);
      return spare;
    }
    return new Uint32Array(length);
  }

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
    this.#segment = undefined;
  }

  /** A cursor at the first entry of `fromToken` or later. Valid until the next write. */
  cursor(fromToken: number): IndexCursor {
    return new IndexCursor(this.#roots, this.#records, fromToken);
  }
}

/** Walks entries in the order of (token, key). */
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

const EMPTY_TAGS = new Uint32Array(0);

/** Positions right of the last home position, for entries that overflow. */
function tailOf(capacity: number): number {
  return 8 + (capacity >>> 6);
}

const FULL_ARRAY_LENGTH = (FULL_CAPACITY + tailOf(FULL_CAPACITY) + 1) * 2;

/** Capacities double up to that of a grown segment, which splits; those of a single slot go on in smaller steps. */
function capacityFor(count: number): number {
  if (count > FULL_CAPACITY * LAYOUT_LOAD) return Math.max(FULL_CAPACITY, Math.ceil(count / LAYOUT_LOAD));
  let capacity = MIN_CAPACITY;
  while (count > capacity * LAYOUT_LOAD) capacity *= 2;
  return capacity;
}

function sizeOf(segment: Segment): number {
  return segment.entries.byteLength + SEGMENT_OBJECT_BYTES;
}

/** The entries of a segment, in order. */
function gather(segment: Segment): { tags: Uint32Array; references: Uint32Array } {
  const tags = new Uint32Array(segment.count);
  const references = new Uint32Array(segment.count);
  const entries = segment.entries;
  let count = 0;
  for (let at = 0; at < entries.length; at += 2) {
    if (entries[at + 1] === 0) continue;
    tags[count] = entries[at]!;
    references[count] = entries[at + 1]!;
    count++;
  }
  invariant(count === segment.count, 'a segment holds as many entries as it counts');
  return { tags, references };
}
