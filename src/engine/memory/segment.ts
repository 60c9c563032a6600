/**
 * One segment of the ordered index: entries of an aligned range of slots in one array, and how they are laid out.
 *
 * An entry is two 32-bit words: the top 32 bits of the token within the segment's range (the tag), and the record's
 * reference; reference 0 means empty.
 *
 * Invariants:
 * - entries stand in the order of (token, key); each at its home position or right of it, with no gap in between;
 * - the last position is always empty, so that every walk ends.
 */
import { invariant } from '../../base/errors.js';
import { SLOT_COUNT, TOKENS_PER_SLOT } from '../../base/slots.js';

/** Slots of one root segment: 2^7, because records keep nine low token bits (seven and the two below the hash). */
export const ROOT_DEPTH = 7;
export const ROOT_SLOTS = 1 << ROOT_DEPTH;
export const ROOT_COUNT = SLOT_COUNT / ROOT_SLOTS;
/** Number of different tags. */
export const TAG_SPAN = 2 ** 32;
/** token * SLOT_SCALE, rounded down, is its slot. */
export const SLOT_SCALE = 1 / TOKENS_PER_SLOT;

export const MIN_CAPACITY = 10;
/** Home positions of a grown segment: as many as keep the load below MAX_LOAD until it splits. */
const FULL_CAPACITY = 2560;
/** A segment is laid out for at most this load, so that it does not grow again at once. */
const LAYOUT_LOAD = 0.64;
/** Accounted for each segment beside its entries: the objects that hold it. */
const SEGMENT_OBJECT_BYTES = 400;

/** Entries of an aligned range of slots. */
export interface Segment {
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

/** The segments of one root range: a directory of 2^(ROOT_DEPTH - shift) places. */
export interface Root {
  shift: number;
  segments: Segment[];
}

export const EMPTY_TAGS = new Uint32Array(0);

/** Positions right of the last home position, for entries that overflow. */
function tailOf(capacity: number): number {
  return 8 + (capacity >>> 6);
}

/** Length of a grown segment's array, when nothing has overflowed far. */
export const FULL_ARRAY_LENGTH = (FULL_CAPACITY + tailOf(FULL_CAPACITY) + 1) * 2;

/** Capacities double up to that of a grown segment, which splits; those of a single slot go on in smaller steps. */
function capacityFor(count: number): number {
  if (count > FULL_CAPACITY * LAYOUT_LOAD) return Math.max(FULL_CAPACITY, Math.ceil(count / LAYOUT_LOAD));
  let capacity = MIN_CAPACITY;
  while (count > capacity * LAYOUT_LOAD) capacity *= 2;
  return capacity;
}

/** Bytes of memory that a segment takes. */
export function sizeOf(segment: Segment): number {
  return segment.entries.byteLength + SEGMENT_OBJECT_BYTES;
}

/** The entries of a segment, in order. */
export function gather(segment: Segment): { tags: Uint32Array; references: Uint32Array } {
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

/**
 * A segment of the entries [from, to) of sorted arrays. Capacity 0: by their number. `newArray` gives an array of zeros.
 */
export function layOut(
  newArray: (length: number) => Uint32Array,
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
  const entries = newArray((Math.max(capacity, end) + tail + 1) * 2);
  let next = 0;
  for (let i = from; i < to; i++) {
    const position = Math.max(next, (tags[i]! * homeScale) >>> 0);
    entries[position * 2] = tags[i]!;
    entries[position * 2 + 1] = references[i]!;
    next = position + 1;
  }
  return {
    firstSlot,
    depth,
    firstToken: firstSlot * TOKENS_PER_SLOT,
    tagScale: 2 ** -(depth + 2),
    entries,
    capacity,
    homeScale,
    count,
  };
}
