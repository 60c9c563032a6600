/**
 * Keys, bytes and digest of every slot of one bucket, kept incrementally.
 *
 * Slots are grouped in pages of 256 that are allocated when they are first written, so that a small bucket costs
 * little. A page is also the unit in which disk engines persist the statistics: see `encodePage`.
 *
 * Invariant: the totals equal the sums over the slots.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import { SLOT_COUNT } from '../base/slots.js';

const SLOTS_PER_PAGE = 256;
const PAGE_FORMAT = 1;

/** Number of pages. */
export const STATISTICS_PAGES = SLOT_COUNT / SLOTS_PER_PAGE;

interface Page {
  readonly keys: Uint32Array;
  readonly digests: Uint32Array;
  readonly bytes: Float64Array;
  /** Changed since the page was last encoded. */
  dirty: boolean;
}

/** What one page costs: two words of 32 bits and one of 64 for every slot. */
const PAGE_BYTES = SLOTS_PER_PAGE * 16;

export class SlotStatistics {
  readonly #pages: (Page | undefined)[] = new Array<Page | undefined>(STATISTICS_PAGES).fill(undefined);
  #keyCount = 0;
  #dataBytes = 0;
  #memoryBytes = 0;

  #page(slot: number): Page {
    const index = slot >>> 8;
    let page = this.#pages[index];
    if (page === undefined) {
      page = {
        keys: new Uint32Array(SLOTS_PER_PAGE),
        digests: new Uint32Array(SLOTS_PER_PAGE),
        bytes: new Float64Array(SLOTS_PER_PAGE),
        dirty: false,
      };
      this.#pages[index] = page;
      this.#memoryBytes += PAGE_BYTES;
    }
    return page;
  }

  /** Accounts for a change in a slot: keys more or fewer, digest and bytes added (or, negative, taken away). */
  add(slot: number, keys: number, digest: number, bytes: number): void {
    const page = this.#page(slot);
    const at = slot & 0xff;
    page.keys[at]! += keys;
    page.digests[at]! += digest;
    page.bytes[at]! += bytes;
    page.dirty = true;
    this.#keyCount += keys;
    this.#dataBytes += bytes;
  }

  clearSlot(slot: number): void {
    const page = this.#pages[slot >>> 8];
    if (page === undefined) return;
    const at = slot & 0xff;
    this.#keyCount -= page.keys[at]!;
    this.#dataBytes -= page.bytes[at]!;
    page.keys[at] = 0;
    page.digests[at] = 0;
    page.bytes[at] = 0;
    page.dirty = true;
  }

  clear(): void {
    for (const page of this.#pages) {
      if (page === undefined) continue;
      page.keys.fill(0);
      page.digests.fill(0);
      page.bytes.fill(0);
      page.dirty = true;
    }
    this.#keyCount = 0;
    this.#dataBytes = 0;
  }

  get keyCount(): number {
    return this.#keyCount;
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  keysInSlot(slot: number): number {
    return this.#pages[slot >>> 8]?.keys[slot & 0xff] ?? 0;
  }

  digestOfSlot(slot: number): number {
    return this.#pages[slot >>> 8]?.digests[slot & 0xff] ?? 0;
  }

  /** Visits the pages changed since they were last visited, encoded; `undefined` for a page that has become empty. */
  takeDirtyPages(visit: (page: number, bytes: Buffer | undefined) => void): void {
    for (let index = 0; index < STATISTICS_PAGES; index++) {
      const page = this.#pages[index];
      if (page === undefined || !page.dirty) continue;
      page.dirty = false;
      visit(index, encodePage(page));
    }
  }

  /** Takes a page as `takeDirtyPages` encoded it, at open. Malformed bytes throw `DecodeError` or `InvariantViolation`. */
  loadPage(index: number, bytes: Buffer): void {
    const reader = new ByteReader(bytes);
    invariant(reader.u8() === PAGE_FORMAT, 'slot statistics are of a known format');
    const page = this.#page(index * SLOTS_PER_PAGE);
    const entries = reader.varint();
    for (let i = 0; i < entries; i++) {
      const at = reader.u8();
      page.keys[at] = reader.u32();
      page.digests[at] = reader.u32();
      page.bytes[at] = reader.varint();
      this.#keyCount += page.keys[at];
      this.#dataBytes += page.bytes[at];
    }
    reader.end();
  }
}

/** Format byte, number of occupied slots, then for each: slot within the page, keys, digest, bytes. */
function encodePage(page: Page): Buffer | undefined {
  let occupied = 0;
  for (let at = 0; at < SLOTS_PER_PAGE; at++) if (page.keys[at]! > 0) occupied++;
  if (occupied === 0) return undefined;
  const writer = new ByteWriter(16 + occupied * 16);
  writer.u8(PAGE_FORMAT);
  writer.varint(occupied);
  for (let at = 0; at < SLOTS_PER_PAGE; at++) {
    if (page.keys[at] === 0) continue;
    writer.u8(at);
    writer.u32(page.keys[at]!);
    writer.u32(page.digests[at]!);
    writer.varint(page.bytes[at]!);
  }
  return writer.take();
}
