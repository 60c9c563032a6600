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
import { mergeOrder } from './merge-order.js';
import { MergedCursor } from './merged-cursor.js';
import { SlotStatistics, STATISTICS_PAGES } from './slot-statistics.js';
import type {
  DiskTable,
  Engine,
  EngineKind,
  EngineMergeResult,
  EngineRecord,
  RangeDigest,
  RecordSummary,
  ScanVisitor,
  VersionVisitor,
} from './types.js';

export class LedgerEngine implements Engine, LedgeredEngine {
  readonly kind: EngineKind;
  readonly #disk: DiskTable;
  readonly #ledger = new Ledger({ keepsClean: true });
  readonly #statistics = new SlotStatistics();
  // What the key being written holds so far, as `put` or `findPresent` found it.
  #presentDigest = 0;
  #presentBytes = 0;
  #presentVersion = 0;
  #presentExpiresAtMs = 0;
  #presentChecksum = 0;
  // What the last merge found.
  previousVersion = 0;
  previousExpiresAtMs = 0;

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

  /** Looks everywhere for the record of a key, and notes what a merge and the statistics need to know of it. */
  #findPresent(token: number, key: Buffer): boolean {
    const { active } = this.#ledger;
    const inActive = active.table.find(token, key);
    return inActive === 0 ? this.#findBelow(token, key) : this.#notePresent(active, inActive);
  }

  /** The same below the active generation. */
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
    this.#presentVersion = summary.version;
    this.#presentExpiresAtMs = summary.expiresAtMs;
    this.#presentChecksum = summary.checksum;
    return true;
  }

  #notePresent(generation: LedgerGeneration, reference: number): boolean {
    const table = generation.table;
    if (table.isTombstone(reference)) return false;
    this.#presentDigest = table.digest(reference);
    this.#presentBytes = table.dataBytes(reference);
    this.#presentVersion = table.version(reference);
    this.#presentExpiresAtMs = table.expiresAtMs(reference);
    this.#presentChecksum = table.checksum(reference);
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
    this.#account(present, token, key, value, recordDigest(checksum, key.length, version, expiresAtMs));
  }

  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult {
    const present = this.#findPresent(token, key);
    this.previousVersion = present ? this.#presentVersion : 0;
    this.previousExpiresAtMs = present ? this.#presentExpiresAtMs : 0;
    if (present && version < this.#presentVersion) return 'older';
    const checksum = recordChecksum(key, value);
    if (present && version === this.#presentVersion) {
      const order = mergeOrder(expiresAtMs, checksum, this.#presentExpiresAtMs, this.#presentChecksum);
      if (order <= 0) return order === 0 ? 'equal' : 'older';
    }
    this.#ledger.active.table.put(token, key, value, version, expiresAtMs, checksum);
    this.#account(present, token, key, value, recordDigest(checksum, key.length, version, expiresAtMs));
    return 'applied';
  }

  versionOf(token: number, key: Buffer): number {
    return this.#findPresent(token, key) ? this.#presentVersion : 0;
  }

  /** Takes a record that was put into the statistics; `present`: in the place of what was noted. */
  #account(present: boolean, token: number, key: Buffer, value: Buffer, digest: number): void {
    const bytes = key.length + value.length;
    const slot = slotOfToken(token);
    if (present) this.#statistics.add(slot, 0, digest - this.#presentDigest, bytes - this.#presentBytes);
    else this.#statistics.add(slot, 1, digest, bytes);
  }

  remove(token: number, key: Buffer): boolean {
    if (!this.#findPresent(token, key)) return false;
    this.#ledger.active.putTombstone(token, key);
    this.#statistics.add(slotOfToken(token), -1, -this.#presentDigest, -this.#presentBytes);
    return true;
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    this.#walk(
      fromToken,
      toToken,
      (from, to, visit) => this.#disk.scan(from, to, visit),
      (ledger) => {
        const record = ledger.record();
        return record === undefined || visitor(ledger.token, ledger.key(), record);
      },
      visitor,
    );
  }

  scanVersions(fromToken: number, toToken: number, visitor: VersionVisitor): void {
    this.#walk<RecordSummary>(
      fromToken,
      toToken,
      (from, to, visit) => this.#disk.scanSummaries(from, to, visit),
      (ledger) =>
        ledger.isTombstone() ||
        visitor(ledger.token, ledger.key(), ledger.version(), ledger.expiresAtMs(), ledger.digest()),
      (token, key, summary) => visitor(token, key, summary.version, summary.expiresAtMs, summary.digest),
    );
  }

  digestOfRange(fromToken: number, toToken: number): RangeDigest {
    let sum = 0;
    let count = 0;
    this.scanVersions(fromToken, toToken, (_token, _key, _version, _expiresAtMs, digest) => {
      sum = (sum + digest) >>> 0;
      count++;
      return true;
    });
    return { digest: sum, count };
  }

  /** Walks ledger and disk as one, in order. Both visitors return false to stop. */
  #walk<Stored>(
    fromToken: number,
    toToken: number,
    scanDisk: (
      fromToken: number,
      toToken: number,
      visit: (token: number, key: Buffer, stored: Stored) => boolean,
    ) => void,
    visitLedger: (ledger: MergedCursor) => boolean,
    visitDisk: (token: number, key: Buffer, stored: Stored) => boolean,
  ): void {
    const ledger = new MergedCursor(this.#ledger.active, this.#ledger.frozen, fromToken);
    let stopped = false;
    const stepLedger = (): void => {
      if (!visitLedger(ledger)) stopped = true;
      ledger.next();
    };
    let from = fromToken;
    while (from < toToken && !stopped) {
      let goOnFrom = toToken;
      scanDisk(from, toToken, (token, key, stored) => {
        while (!stopped && ledger.isBefore(token, key)) stepLedger();
        if (stopped) return false;
        if (ledger.isAt(token, key)) {
          stepLedger();
          return !stopped;
        }
        const slot = slotOfToken(token);
        if (this.#hidesDisk(slot)) {
          // Nothing on disk counts in a cleared slot: go on behind it.
          goOnFrom = firstTokenOfSlot(slot + 1);
          return false;
        }
        if (visitDisk(token, key, stored)) return true;
        stopped = true;
        return false;
      });
      from = goOnFrom;
    }
    while (!stopped && ledger.token < toToken) stepLedger();
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
