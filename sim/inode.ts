/**
 * The content of one simulated file: what the operating system's cache shows, and what is on the platter.
 *
 * Pages of 4 KiB, absent ones all zero; a sector of 512 bytes is what a disk writes whole or not at all. A crash keeps of
 * each sector written since the last sync either the new or the old content.
 *
 * Invariants:
 * - what was written before a sync began is on the platter once that sync has ended well;
 * - a sync that fails drops what it was to write: the cache still shows it, no later sync writes it (fsyncgate).
 */
import type { SeededRandom } from './random.js';

const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;
const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;
const ALL_SECTORS = (1 << SECTORS_PER_PAGE) - 1;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

/** What a crash does to sectors that were not synced. */
export type CrashMode = 'keep' | 'lose' | 'tear';

/** Sectors on their way to the platter, with their content when the sync began. */
export interface PendingSync {
  readonly pages: Map<number, { readonly mask: number; readonly bytes: Buffer | undefined }>;
  readonly sizeBytes: number;
}

export class Inode {
  #sizeBytes = 0;
  #durableSizeBytes = 0;
  #cache: (Buffer | undefined)[] = [];
  #platter: (Buffer | undefined)[] = [];
  /** Page to mask of sectors written since the last sync began. */
  readonly #dirty = new Map<number, number>();
  readonly #syncing = new Set<PendingSync>();
  /** Pages that the last sync wrote: a bit flip there could not be told from a torn write. */
  #lastSynced = new Set<number>();

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(position: number, lengthBytes: number): Buffer {
    const length = Math.max(0, Math.min(lengthBytes, this.#sizeBytes - position));
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const at = position + done;
      const inPage = at % PAGE_BYTES;
      const take = Math.min(PAGE_BYTES - inPage, length - done);
      this.#cache[(at - inPage) / PAGE_BYTES]?.copy(bytes, done, inPage, inPage + take);
      done += take;
    }
    return bytes;
  }

  write(position: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    let done = 0;
    while (done < bytes.length) {
      const at = position + done;
      const inPage = at % PAGE_BYTES;
      const page = (at - inPage) / PAGE_BYTES;
      const take = Math.min(PAGE_BYTES - inPage, bytes.length - done);
      const part = bytes.subarray(done, done + take);
      let cached = this.#cache[page];
      if (cached === undefined && ZERO_PAGE.compare(part, 0, take, 0, take) !== 0) {
        cached = Buffer.alloc(PAGE_BYTES);
        this.#cache[page] = cached;
      }
      cached?.set(part, inPage);
      // An absent page stays absent under zeros and need not be written out: a hole reads the same.
      if (cached !== undefined) {
        const first = Math.floor(inPage / SECTOR_BYTES);
        const last = Math.floor((inPage + take - 1) / SECTOR_BYTES);
        const mask = ((2 << last) - 1) & ~((1 << first) - 1);
        this.#dirty.set(page, (this.#dirty.get(page) ?? 0) | mask);
      }
      done += take;
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, position + bytes.length);
  }

  /** Content that is whole on the platter before anyone can see it. */
  writeDurably(bytes: Uint8Array): void {
    this.write(0, bytes);
    for (const [page, mask] of this.#dirty) this.#writeOut(page, mask, this.#cache[page]);
    this.#dirty.clear();
    this.#durableSizeBytes = this.#sizeBytes;
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) {
      const inPage = sizeBytes % PAGE_BYTES;
      const page = (sizeBytes - inPage) / PAGE_BYTES;
      const cut = this.#cache[page];
      if (cut !== undefined) {
        cut.fill(0, inPage);
        this.#dirty.set(page, ALL_SECTORS);
      }
      for (let gone = page + 1; gone < this.#cache.length; gone++) {
        if (this.#cache[gone] === undefined) continue;
        this.#cache[gone] = undefined;
        this.#dirty.set(gone, ALL_SECTORS);
      }
    }
    this.#sizeBytes = sizeBytes;
  }

  /** A sync begins: what is dirty now is what it will make durable. */
  beginSync(): PendingSync {
    const pages: PendingSync['pages'] = new Map();
    for (const [page, mask] of this.#dirty) {
      const cached = this.#cache[page];
      pages.set(page, { mask, bytes: cached === undefined ? undefined : Buffer.from(cached) });
    }
    this.#dirty.clear();
    const pending = { pages, sizeBytes: this.#sizeBytes };
    this.#syncing.add(pending);
    return pending;
  }

  finishSync(pending: PendingSync): void {
    if (!this.#syncing.has(pending)) return;
    // A sync that ends covers those that began before it.
    for (const earlier of this.#syncing) {
      for (const [page, { mask, bytes }] of earlier.pages) this.#writeOut(page, mask, bytes);
      this.#durableSizeBytes = earlier.sizeBytes;
      this.#syncing.delete(earlier);
      if (earlier === pending) break;
    }
    this.#lastSynced = new Set(pending.pages.keys());
  }

  /** The sync failed: some sectors may have reached the platter, none will be tried again. */
  failSync(pending: PendingSync, random: SeededRandom): void {
    if (!this.#syncing.delete(pending)) return;
    for (const [page, { mask, bytes }] of pending.pages)
      this.#writeOut(page, mask & random.integer(ALL_SECTORS + 1), bytes);
  }

  /** The machine loses power: the cache is gone, the platter is what remains. */
  crash(mode: CrashMode, random: SeededRandom): void {
    // Syncs under way have promised nothing yet.
    for (const pending of this.#syncing) {
      for (const [page, { mask, bytes }] of pending.pages)
        this.#writeOut(page, mask & survivors(mode, random), bytes);
      if (mode !== 'lose') this.#durableSizeBytes = this.#sizeAfter(mode, pending.sizeBytes, random);
    }
    this.#syncing.clear();
    for (const [page, mask] of this.#dirty)
      this.#writeOut(page, mask & survivors(mode, random), this.#cache[page]);
    this.#dirty.clear();
    if (mode !== 'lose') this.#durableSizeBytes = this.#sizeAfter(mode, this.#sizeBytes, random);
    this.#sizeBytes = this.#durableSizeBytes;
    this.#cache = this.#platter.map((page) => (page === undefined ? undefined : Buffer.from(page)));
    this.truncate(this.#sizeBytes);
    for (let page = Math.ceil(this.#sizeBytes / PAGE_BYTES); page < this.#cache.length; page++)
      this.#cache[page] = undefined;
    this.#dirty.clear();
  }

  /** Flips one durable bit outside what the last sync wrote; false when there is nothing to flip. */
  flipBit(random: SeededRandom): { readonly position: number; readonly bit: number } | undefined {
    const pages: number[] = [];
    for (let page = 0; page < this.#platter.length; page++)
      if (this.#platter[page] !== undefined && !this.#lastSynced.has(page) && !this.#dirty.has(page))
        pages.push(page);
    if (pages.length === 0) return undefined;
    const position = random.pick(pages) * PAGE_BYTES + random.integer(PAGE_BYTES);
    if (position >= this.#durableSizeBytes) return undefined;
    const flip = { position, bit: random.integer(8) };
    this.flip(flip);
    return flip;
  }

  /** Flips one bit on the platter and in the cache; the same call again undoes it. */
  flip(at: { readonly position: number; readonly bit: number }): void {
    const page = Math.floor(at.position / PAGE_BYTES);
    for (const pages of [this.#platter, this.#cache]) {
      const bytes = pages[page];
      if (bytes !== undefined) bytes[at.position % PAGE_BYTES]! ^= 1 << at.bit;
    }
  }

  #sizeAfter(mode: CrashMode, newSizeBytes: number, random: SeededRandom): number {
    if (mode === 'keep' || newSizeBytes <= this.#durableSizeBytes) return newSizeBytes;
    // A growing file may have had any part of its growth recorded.
    return this.#durableSizeBytes + random.integer(newSizeBytes - this.#durableSizeBytes + 1);
  }

  #writeOut(page: number, mask: number, bytes: Buffer | undefined): void {
    if (mask === 0) return;
    let target = this.#platter[page];
    if (target === undefined) {
      if (bytes === undefined) return;
      target = Buffer.alloc(PAGE_BYTES);
      this.#platter[page] = target;
    }
    for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
      if ((mask & (1 << sector)) === 0) continue;
      const start = sector * SECTOR_BYTES;
      if (bytes === undefined) target.fill(0, start, start + SECTOR_BYTES);
      else bytes.copy(target, start, start, start + SECTOR_BYTES);
    }
  }
}

function survivors(mode: CrashMode, random: SeededRandom): number {
  if (mode === 'keep') return ALL_SECTORS;
  return mode === 'lose' ? 0 : random.integer(ALL_SECTORS + 1);
}
