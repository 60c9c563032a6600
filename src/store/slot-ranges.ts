/**
 * The slots of one replica group as sorted, disjoint runs, and the questions that the state machine asks of them.
 */
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken, TOKEN_END } from '../base/slots.js';

/** Adjacent slots, both ends included. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

/** The runs of slots that `owners` (16384 group ids) gives to a group. */
export function slotRangesOf(owners: Uint16Array, group: number): SlotRange[] {
  const ranges: SlotRange[] = [];
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    if (owners[slot] !== group) continue;
    const first = slot;
    while (slot + 1 < SLOT_COUNT && owners[slot + 1] === group) slot++;
    ranges.push({ first, last: slot });
  }
  return ranges;
}

export class SlotSet {
  /** Sorted, disjoint and not adjacent. */
  readonly ranges: readonly SlotRange[];
  /** The slots one by one. */
  readonly members: ReadonlySet<number>;
  readonly #owned = new Uint8Array(SLOT_COUNT);

  constructor(ranges: readonly SlotRange[]) {
    for (const range of ranges) this.#owned.fill(1, range.first, range.last + 1);
    this.ranges = slotRangesOf(Uint16Array.from(this.#owned), 1);
    const members = new Set<number>();
    this.forEachSlot((slot) => members.add(slot));
    this.members = members;
  }

  owns(slot: number): boolean {
    return this.#owned[slot] === 1;
  }

  /** First token after the run that holds `token`; the token itself when it is in no run. */
  endOfRun(token: number): number {
    const slot = slotOfToken(token);
    for (const range of this.ranges)
      if (slot >= range.first && slot <= range.last) return firstTokenOfSlot(range.last + 1);
    return token;
  }

  /** The first owned token at or after `token`, or the end of the ring. */
  nextToken(token: number): number {
    const slot = slotOfToken(token);
    for (const range of this.ranges) {
      if (slot < range.first) return firstTokenOfSlot(range.first);
      if (slot <= range.last) return token;
    }
    return TOKEN_END;
  }

  /** Visits the parts of [fromToken, toToken) that are owned, in order, until the visitor returns false. */
  forEachPart(
    fromToken: number,
    toToken: number,
    visitor: (fromToken: number, toToken: number) => boolean,
  ): void {
    for (const range of this.ranges) {
      const start = Math.max(fromToken, firstTokenOfSlot(range.first));
      const end = Math.min(toToken, firstTokenOfSlot(range.last + 1));
      if (start < end && !visitor(start, end)) return;
    }
  }

  forEachSlot(visitor: (slot: number) => void): void {
    for (const range of this.ranges) for (let slot = range.first; slot <= range.last; slot++) visitor(slot);
  }
}
