/**
 * How many dead records each slot of one bucket holds, and since when: so that counts show live keys alone, and that slots
 * with something to purge are known without a scan.
 *
 * A record dies by the clock alone, without a write. So a slot is counted through a time: `dead` is exact for it and is
 * kept exact by writes; once the next expiry has come the slot must be counted anew, by a scan of the slot, and only when
 * somebody asks. Slots are grouped in pages that are allocated with their first record that is deleted or expires.
 *
 * Invariants, for each slot:
 * - `dead` is the number of records with 0 < expiresAtMs <= countedThroughMs;
 * - no other record expires before `nextExpiryMs`;
 * - no record is dead for the purpose of a purge before `earliestMs`. Both may be too early, never too late.
 */
import { SLOT_COUNT } from '../../base/slots.js';
import { versionMs } from '../../protocol/quorum/clock.js';
import { DELETED_MS } from '../../protocol/quorum/types.js';

const SLOTS_PER_PAGE = 256;
/** Deleted keys are always counted. */
const COUNTED_AT_LEAST_MS = DELETED_MS;
const NOT_COUNTED_MS = -1;

class Page {
  readonly dead = new Uint32Array(SLOTS_PER_PAGE);
  readonly countedThroughMs = new Float64Array(SLOTS_PER_PAGE).fill(COUNTED_AT_LEAST_MS);
  readonly nextExpiryMs = new Float64Array(SLOTS_PER_PAGE).fill(Number.POSITIVE_INFINITY);
  readonly earliestMs = new Float64Array(SLOTS_PER_PAGE).fill(Number.POSITIVE_INFINITY);
}

/** From when on a purge may drop a record that expires: nobody may still be writing below it, nor reading it. */
export function deadSinceMs(version: number, expiresAtMs: number): number {
  return Math.max(versionMs(version), expiresAtMs);
}

export class DeadRecords {
  #pages: (Page | undefined)[] = [];

  #page(slot: number): Page {
    const index = slot >>> 8;
    let page = this.#pages[index];
    if (page === undefined) {
      if (this.#pages.length === 0) this.#pages = new Array<Page | undefined>(SLOT_COUNT / SLOTS_PER_PAGE);
      page = new Page();
      this.#pages[index] = page;
    }
    return page;
  }

  /** A record was written in the place of one with `previousExpiresAtMs` (0: of one that never expires, or of none). */
  written(slot: number, previousExpiresAtMs: number, version: number, expiresAtMs: number): void {
    if (previousExpiresAtMs === 0 && expiresAtMs === 0) return;
    const page = this.#page(slot);
    const at = slot & 0xff;
    const countedThroughMs = page.countedThroughMs[at]!;
    if (previousExpiresAtMs !== 0 && previousExpiresAtMs <= countedThroughMs) page.dead[at]!--;
    if (expiresAtMs === 0) return;
    if (expiresAtMs <= countedThroughMs) page.dead[at]!++;
    else if (expiresAtMs < page.nextExpiryMs[at]!) page.nextExpiryMs[at] = expiresAtMs;
    const since = deadSinceMs(version, expiresAtMs);
    if (since < page.earliestMs[at]!) page.earliestMs[at] = since;
  }

  /** A record has gone for good. */
  removed(slot: number, expiresAtMs: number): void {
    if (expiresAtMs === 0) return;
    const page = this.#page(slot);
    const at = slot & 0xff;
    if (expiresAtMs <= page.countedThroughMs[at]!) page.dead[at]!--;
  }

  /** The slot is empty. */
  cleared(slot: number): void {
    if (this.#pages[slot >>> 8] !== undefined) this.#begin(slot, COUNTED_AT_LEAST_MS);
  }

  /** All slots are empty. */
  clear(): void {
    this.#pages = [];
  }

  /** Nothing is known of the slot until it is counted. */
  forget(slot: number): void {
    const page = this.#page(slot);
    const at = slot & 0xff;
    page.dead[at] = 0;
    page.countedThroughMs[at] = NOT_COUNTED_MS;
    page.nextExpiryMs[at] = 0;
    page.earliestMs[at] = 0;
  }

  #begin(slot: number, countedThroughMs: number): void {
    const page = this.#page(slot);
    const at = slot & 0xff;
    page.dead[at] = 0;
    page.countedThroughMs[at] = countedThroughMs;
    page.nextExpiryMs[at] = Number.POSITIVE_INFINITY;
    page.earliestMs[at] = Number.POSITIVE_INFINITY;
  }

  /** Begins to count a slot anew, through a time that is not before the last one; the records follow by `written`. */
  recount(slot: number, nowMs: number): void {
    const countedThroughMs = this.#pages[slot >>> 8]?.countedThroughMs[slot & 0xff] ?? COUNTED_AT_LEAST_MS;
    this.#begin(slot, Math.max(countedThroughMs, nowMs, COUNTED_AT_LEAST_MS));
  }

  /** True when records may have died since the slot was counted. */
  isBehind(slot: number, nowMs: number): boolean {
    const page = this.#pages[slot >>> 8];
    return page !== undefined && page.nextExpiryMs[slot & 0xff]! <= nowMs;
  }

  countInSlot(slot: number): number {
    return this.#pages[slot >>> 8]?.dead[slot & 0xff] ?? 0;
  }

  /** No record of the slot may be purged before; infinite when none expires. */
  earliestMs(slot: number): number {
    return this.#pages[slot >>> 8]?.earliestMs[slot & 0xff] ?? Number.POSITIVE_INFINITY;
  }
}
