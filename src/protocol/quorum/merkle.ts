/**
 * The Merkle tree over the token space of one bucket and group (Merkle 1987; wished for by paper 002), without the tree:
 * the leaves' digests are the slots', which the store keeps anyway, and all others are computed when they are asked for.
 *
 * A node of the tree is a range of tokens. Its level says how wide: the root spans all tokens, each level a sixteenth of the
 * one above, but the slots' own level a quarter of theirs, since 16384 is not a power of 16. Below the slots the tree goes on
 * down to single tokens, by walks over the records.
 *
 *   level      0    1    2    3    4     5    ...  12
 *   log2 width 48   44   40   36   34    30        2
 *                                  slot            token
 *
 * Invariants:
 * - digests of slots and below are the sums of their records' digests; above they are sums over the slots that hold something,
 *   so that two replicas that hold the same have the same digests, whatever else they know;
 * - above the slots a digest depends on the session's salt: two different states that look alike in one session do not in the
 *   next.
 */
import { mix32, SLOT_COUNT, TOKENS_PER_SLOT } from '../../base/slots.js';
import type { ReplicaContents } from './anti-entropy-types.js';

const WIDTH_BITS = [48, 44, 40, 36, 34, 30, 26, 22, 18, 14, 10, 6, 2] as const;

/** The level whose ranges are slots. */
export const SLOT_LEVEL = 4;
/** The level whose ranges are single tokens. */
export const TOKEN_LEVEL = WIDTH_BITS.length - 1;

/** Tokens that a range of this level spans. */
export function rangeWidth(level: number): number {
  return 2 ** WIDTH_BITS[level]!;
}

/** Ranges of this level: their indexes are below it. */
export function rangesAt(level: number): number {
  return 2 ** (48 - WIDTH_BITS[level]!);
}

/** Ranges of the next level in one of this. */
export function childrenOf(level: number): number {
  return 2 ** (WIDTH_BITS[level]! - WIDTH_BITS[level + 1]!);
}

/** Bytes that tell where in a range of this level a token lies, two zero bits left out. */
export function offsetBytes(level: number): number {
  return Math.ceil((WIDTH_BITS[level]! - 2) / 8);
}

/** Position of the first of the ascending slots that is not below `slot`. */
function lowerBound(slots: readonly number[], slot: number): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slots[middle]! < slot) low = middle + 1;
    else high = middle;
  }
  return low;
}

function holdsSlot(slots: readonly number[], slot: number): boolean {
  return slots[lowerBound(slots, slot)] === slot;
}

/** The digest of the slots from `fromSlot` to before `toSlot`. */
function digestOfSlots(
  contents: ReplicaContents,
  bucketId: number,
  slots: readonly number[],
  fromSlot: number,
  toSlot: number,
  salt: number,
): number {
  let sum = 0;
  for (let i = lowerBound(slots, fromSlot); i < slots.length; i++) {
    const slot = slots[i]!;
    if (slot >= toSlot) break;
    const digest = contents.digestOfSlot(bucketId, slot);
    if (digest !== 0) sum += mix32(mix32(digest ^ salt) + Math.imul(slot + 1, 0x9e3779b1));
  }
  return sum >>> 0;
}

/** The digest of all slots of a group in a bucket, 64 bits in two halves. */
export function rootDigest(
  contents: ReplicaContents,
  bucketId: number,
  slots: readonly number[],
  salt: number,
): { readonly low: number; readonly high: number } {
  return {
    low: digestOfSlots(contents, bucketId, slots, 0, SLOT_COUNT, salt),
    high: digestOfSlots(contents, bucketId, slots, 0, SLOT_COUNT, mix32(salt + 1)),
  };
}

/** Digests of the children of a range, and from the slots' level down the number of records in each. */
export interface ChildDigests {
  readonly digests: readonly number[];
  /** Empty when the children lie above the slots. */
  readonly counts: readonly number[];
}

export function childDigests(
  contents: ReplicaContents,
  bucketId: number,
  slots: readonly number[],
  level: number,
  index: number,
  salt: number,
): ChildDigests {
  const children = childrenOf(level);
  if (level + 1 > SLOT_LEVEL) return digestsBelowSlot(contents, bucketId, level, index, children);
  const digests: number[] = [];
  const counts: number[] = [];
  const slotsPerChild = rangeWidth(level + 1) / TOKENS_PER_SLOT;
  for (let child = 0; child < children; child++) {
    const fromSlot = (index * children + child) * slotsPerChild;
    if (level + 1 < SLOT_LEVEL) {
      digests.push(digestOfSlots(contents, bucketId, slots, fromSlot, fromSlot + slotsPerChild, salt));
    } else {
      const held = holdsSlot(slots, fromSlot);
      digests.push(held ? contents.digestOfSlot(bucketId, fromSlot) : 0);
      counts.push(held ? contents.keyCountInSlot(bucketId, fromSlot) : 0);
    }
  }
  return { digests, counts };
}

function digestsBelowSlot(
  contents: ReplicaContents,
  bucketId: number,
  level: number,
  index: number,
  children: number,
): ChildDigests {
  const digests = new Array<number>(children).fill(0);
  const counts = new Array<number>(children).fill(0);
  const width = rangeWidth(level);
  const childWidth = rangeWidth(level + 1);
  const fromToken = index * width;
  contents.scanVersions(bucketId, fromToken, fromToken + width, (token, _key, _version, _expiry, digest) => {
    const child = Math.floor((token - fromToken) / childWidth);
    digests[child] = (digests[child]! + digest) >>> 0;
    counts[child]!++;
    return true;
  });
  return { digests, counts };
}
