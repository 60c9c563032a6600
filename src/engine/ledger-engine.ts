/**
 * An engine over a disk table: applied writes rest in a ledger in memory, reads look there first, and checkpoints write
 * the ledger back (see `engine-host.ts`).
 *
 * Counts, bytes and digests of the slots are kept incrementally over ledger and disk together; for that, a write looks
 * up what it replaces, which may read the head of a record on disk. They are persisted with each checkpoint, as they
 * stand at its instant, so that they agree with the table after a restart.
 *
 * Invariant: what a reader sees is active over frozen over disk, at every moment of a checkpoint: records that the disk
 * shows already are hidden by their equals in the frozen generation. The clean generation only spares the way to the
 * disk: a scan, which goes there anyway, leaves it alone.
 */
import { firstTokenOfSlot, slotOfToken } from '../base/slots.js';
import { recordChecksum, recordDigest } from './checksum.js';
import { Ledger, type LedgeredEngine, type LedgerGeneration, type WriteBack } from './ledger.js';
import { MergedCursor } from './merged-cursor.js';
import { SlotStatistics, STATISTICS_PAGES } from './slot-statistics.js';
import type { DiskTable, Engine, EngineKind, EngineRecord, ScanVisitor } from './types.js';

export class LedgerEngine implements Engine, LedgeredEngine {
  readonly kind: EngineKind;
  readonly #disk: DiskTable;
  readonly #ledger = new Ledger({ keepsClean: true });
  readonly #statistics = new SlotStatistics();
  // What the key being written holds so far, as `put` or `findBelow` found it.
  #presentDigest = 0;
  #presentBytes = 0;

  /** `note` reads the engine's own notes as the last checkpoint left them. */
  constructor(kind: EngineKind, disk: DiskTable, note: (name: string) => Buffer | undefined) {
    this.kind = kind;
    this.#disk = disk;
    for (let page = 0; page < STATISTICS_PAGES; page++) {
      const bytes = note(statisticsNote(page));
      if (bytes !== undefined) this.#statistics.loadPage(page, bytes);
    }
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    const slot = slotOfToken(token);
    const { active, frozen, clean } = this.#ledger;
    const inActive = active.table.find(token, key);
    if (inActive !== 0) return recordOf(active, inActive);
    if (active.hidesSlot(slot)) return undefined;
    if (frozen !== undefined) {
      const inFrozen = frozen.table.find(token, key);
      if (inFrozen !== 0) return recordOf(frozen, inFrozen);
      if (frozen.hidesSlot(slot)) return undefined;
    }
    if (clean !== undefined) {
      const inClean = clean.table.find(token, key);
      if (inClean !== 0) return recordOf(clean, inClean);
    }
    return this.#disk.get(token, key);
  }

  /** Looks below the active generation for the live record of a key, and notes its digest and bytes. */
  #findBelow(token: number, key: Buffer): boolean {
    const slot = slotOfToken(token);
    const { active, frozen, clean } = this.#ledger;
    // A slot without keys spares the way down.
    if (active.hidesSlot(slot) || this.#statistics.keysInSlot(slot) === 0) return false;
    if (frozen !== undefined) {
      const inFrozen = frozen.table.find(token, key);
      if (inFrozen !== 0) return this.#notePresent(frozen, inFrozen);
      if (frozen.hidesSlot(slot)) return false;
    }
    if (clean !== undefined) {
      const inClean = clean.table.find(token, key);
      if (inClean !== 0) return this.#notePresent(clean, inClean);
    }
    const summary = this.#disk.summary(token, key);
    if (summary === undefined) return false;
    this.#presentDigest = summary.digest;
    this.#presentBytes = summary.dataBytes;
    return true;
  }

  #notePresent(generation: LedgerGeneration, reference: number): boolean {
    const table = generation.table;
    if (table.isTombstone(reference)) return false;
    this.#presentDigest = table.digest(reference);
    this.#presentBytes = table.dataBytes(reference);
    return true;
  }

  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const { table } = this.#ledger.active;
    const checksum = recordChecksum(key, value);
    let present: boolean;
    if (table.put(token, key, value, version, expiresAtMs, checksum)) {
      present = !table.replacedTombstone;
      this.#presentDigest = table.replacedDigest;
      this.#presentBytes = table.replacedBytes;
    } else {
      present = this.#findBelow(token, key);
    }
    const digest = recordDigest(checksum, key.length, version, expiresAtMs);
    const bytes = key.length + value.length;
    const slot = slotOfToken(token);
    if (present) this.#statistics.add(slot, 0, digest - this.#presentDigest, bytes - this.#presentBytes);
    else this.#statistics.add(slot, 1, digest, bytes);
  }

  remove(token: number, key: Buffer): boolean {
    const { active } = this.#ledger;
    const inActive = active.table.find(token, key);
    const present = inActive === 0 ? this.#findBelow(token, key) : this.#notePresent(active, inActive);
    if (!present) return false;
    active.putTombstone(token, key);
    this.#statistics.add(slotOfToken(token), -1, -this.#presentDigest, -this.#presentBytes);
    return true;
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    const ledger = new MergedCursor(this.#ledger.active, this.#ledger.frozen, fromToken);
    let stopped = false;
    const visitLedger = (): void => {
      const record = ledger.record();
      if (record !== undefined && !visitor(ledger.token, ledger.key(), record)) stopped = true;
      ledger.next();
    };
    let from = fromToken;
    while (from < toToken && !stopped) {
      let goOnFrom = toToken;
      this.#disk.scan(from, toToken, (token, key, record) => {
        while (!stopped && ledger.isBefore(token, key)) visitLedger();
        if (stopped) return false;
        if (ledger.isAt(token, key)) {
          visitLedger();
          return !stopped;
        }
        const slot = slotOfToken(token);
        if (this.#hidesDisk(slot)) {
          // Nothing on disk counts in a cleared slot: go on behind it.
          goOnFrom = firstTokenOfSlot(slot + 1);
          return false;
        }
        if (visitor(token, key, record)) return true;
        stopped = true;
        return false;
      });
      from = goOnFrom;
    }
    while (!stopped && ledger.token < toToken) visitLedger();
  }

  #hidesDisk(slot: number): boolean {
    const { active, frozen } = this.#ledger;
    return active.hidesSlot(slot) || (frozen?.hidesSlot(slot) ?? false);
  }

  keyCount(): number {
    return this.#statistics.keyCount;
  }

  keyCountInSlot(slot: number): number {
    return this.#statistics.keysInSlot(slot);
  }

  digestOfSlot(slot: number): number {
    return this.#statistics.digestOfSlot(slot);
  }

  clearSlot(slot: number): void {
    this.#ledger.active.clearSlot(slot);
    this.#statistics.clearSlot(slot);
  }

  clear(): void {
    this.#ledger.active.clear();
    this.#statistics.clear();
  }

  memoryBytes(): number {
    return this.#ledger.memoryBytes + this.#statistics.memoryBytes;
  }

  dataBytes(): number {
    return this.#statistics.dataBytes;
  }

  ledgerBytes(): number {
    return this.#ledger.unwrittenBytes;
  }

  freeze(): WriteBack | undefined {
    const frozen = this.#ledger.freeze();
    if (frozen === undefined) return undefined;
    const notes = new Map<string, Buffer | undefined>();
    this.#statistics.takeDirtyPages((page, bytes) => notes.set(statisticsNote(page), bytes));
    return { cleared: frozen.clearedRanges(), writes: frozen.writes(), notes };
  }

  writtenBack(): void {
    this.#ledger.writtenBack();
  }
}

function recordOf(generation: LedgerGeneration, reference: number): EngineRecord | undefined {
  return generation.table.isTombstone(reference) ? undefined : generation.table.record(reference);
}

function statisticsNote(page: number): string {
  return `slots/${page}`;
}

/** Names of all notes that an engine may have written, for when its table goes. */
export function ledgerEngineNotes(): string[] {
  return Array.from({ length: STATISTICS_PAGES }, (_, page) => statisticsNote(page));
}
