/**
 * The memory engine of a bucket whose records merge by version (quorum buckets), and that survives a restart.
 *
 * Replaying the journal over such a bucket is idempotent: a record that is there already changes nothing. So a
 * checkpoint need not show one instant, and there is no ledger with copies of what was written: a bitmap remembers which
 * ranges of tokens were written to, and the checkpoint reads the live records of these ranges while it runs. A record that is
 * written after the checkpoint has begun may be on disk with it or not. Both are right: the journal from the beginning
 * of the checkpoint on is kept and merges it again, and its range is marked in the new bitmap as well.
 *
 * Keys that are removed for good (purged, evicted), which no version tells of, stand in a table of their own, off the heap,
 * and are removed from the disk unless they are there again by then; then the disk gets what is there.
 *
 * Invariants:
 * - for each key the disk shows, after a checkpoint, a state that the key had between the checkpoint's beginning and end;
 * - a key in memory that differs from the disk is in a marked range, of the bitmap in use or of the frozen one;
 * - a key on the disk and not in memory is among the removed ones, or in a cleared slot, of either generation.
 */

import { invariant } from '../base/errors.js';
import { slotOfToken, TOKEN_END } from '../base/slots.js';
import { DirtyRanges } from './dirty-ranges.js';
import { type LedgeredEngine, LedgerGeneration, type WriteBack } from './ledger.js';
import { MemoryEngine } from './memory/memory-engine.js';
import type {
  AccessTracker,
  DiskTable,
  DiskWrite,
  Engine,
  EngineKind,
  EngineMergeResult,
  EngineRecord,
  RangeDigest,
  ScanVisitor,
  VersionVisitor,
} from './types.js';

/** Records copied out at once for a checkpoint; no cursor lives on while others write. */
const GATHERED_RECORDS = 64;
const GATHERED_BYTES = 256 * 1024;
const NO_NOTES: ReadonlyMap<string, Buffer | undefined> = new Map();

/** What has changed between two checkpoints. */
interface Changes {
  readonly written: DirtyRanges;
  /** Tombstones of removed keys, and marks of cleared slots; no records. */
  readonly removed: LedgerGeneration;
}

export class MergedMemoryEngine implements Engine, LedgeredEngine {
  readonly kind: EngineKind = 'memory';
  readonly #memory = new MemoryEngine();
  #changes: Changes;
  #frozen: Changes | undefined;
  /** False until something of this bucket may be on the disk: then nothing needs to be removed there. */
  #isOnDisk: boolean;

  /** `load`: false when nothing in the table counts any more. */
  constructor(disk: DiskTable, options: { readonly load: boolean } = { load: true }) {
    if (options.load) {
      disk.scan(0, TOKEN_END, (token, key, { value, version, expiresAtMs }) => {
        this.#memory.put(token, key, value, version, expiresAtMs);
        return true;
      });
    }
    this.#isOnDisk = !options.load || this.#memory.keyCount() > 0;
    this.#changes = this.#newChanges();
  }

  #newChanges(): Changes {
    return { written: new DirtyRanges(this.#memory.keyCount()), removed: new LedgerGeneration() };
  }

  get isMerged(): boolean {
    return true;
  }

  get access(): AccessTracker {
    return this.#memory.access;
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    return this.#memory.get(token, key);
  }

  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    this.#memory.put(token, key, value, version, expiresAtMs);
    this.#changes.written.mark(token);
  }

  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult {
    const result = this.#memory.merge(token, key, value, version, expiresAtMs);
    if (result === 'applied') this.#changes.written.mark(token);
    return result;
  }

  get previousVersion(): number {
    return this.#memory.previousVersion;
  }

  get previousExpiresAtMs(): number {
    return this.#memory.previousExpiresAtMs;
  }

  versionOf(token: number, key: Buffer): number {
    return this.#memory.versionOf(token, key);
  }

  remove(token: number, key: Buffer): boolean {
    if (!this.#memory.remove(token, key)) return false;
    const { removed } = this.#changes;
    // In a slot cleared since the last checkpoint nothing is left on the disk.
    if (this.#isOnDisk && !removed.hidesSlot(slotOfToken(token))) removed.putTombstone(token, key);
    return true;
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    this.#memory.scan(fromToken, toToken, visitor);
  }

  scanVersions(fromToken: number, toToken: number, visitor: VersionVisitor): void {
    this.#memory.scanVersions(fromToken, toToken, visitor);
  }

  digestOfRange(fromToken: number, toToken: number): RangeDigest {
    return this.#memory.digestOfRange(fromToken, toToken);
  }

  keyCount(): number {
    return this.#memory.keyCount();
  }

  keyCountInSlot(slot: number): number {
    return this.#memory.keyCountInSlot(slot);
  }

  digestOfSlot(slot: number): number {
    return this.#memory.digestOfSlot(slot);
  }

  clearSlot(slot: number): void {
    this.#memory.clearSlot(slot);
    if (this.#isOnDisk) this.#changes.removed.clearSlot(slot);
  }

  clear(): void {
    this.#memory.clear();
    if (this.#isOnDisk) this.#changes.removed.clear();
  }

  memoryBytes(): number {
    return this.#memory.memoryBytes() + bytesOf(this.#changes) + bytesOf(this.#frozen);
  }

  dataBytes(): number {
    return this.#memory.dataBytes();
  }

  /** Removed keys alone: what was written is not held twice. */
  ledgerBytes(): number {
    return this.#changes.removed.memoryBytes + (this.#frozen?.removed.memoryBytes ?? 0);
  }

  freeze(): WriteBack | undefined {
    invariant(this.#frozen === undefined, 'one generation is written back at a time');
    const frozen = this.#changes;
    if (frozen.removed.isEmpty && frozen.written.isEmpty) return undefined;
    this.#frozen = frozen;
    this.#changes = this.#newChanges();
    this.#isOnDisk = true;
    return { cleared: frozen.removed.clearedRanges(), writes: this.#writes(frozen), notes: NO_NOTES };
  }

  writtenBack(): void {
    this.#frozen = undefined;
  }

  /** What is to be written, as it is when it is asked for. */
  *#writes(changes: Changes): Generator<DiskWrite> {
    for (const { fromToken, toToken } of changes.written.parts()) {
      let next = fromToken;
      while (next < toToken) {
        const gathered: DiskWrite[] = [];
        next = this.#memory.gatherWrites(next, toToken, GATHERED_RECORDS, GATHERED_BYTES, gathered);
        yield* gathered;
      }
    }
    const { table } = changes.removed;
    for (const cursor = table.cursor(0); cursor.reference !== 0; cursor.next()) {
      const { token } = cursor;
      const key = table.key(cursor.reference);
      const present = this.#memory.get(token, key);
      if (present === undefined) yield { token, key, value: undefined, version: 0, expiresAtMs: 0 };
      else yield { token, key, ...present };
    }
  }
}

function bytesOf(changes: Changes | undefined): number {
  return changes === undefined ? 0 : changes.written.memoryBytes + changes.removed.memoryBytes;
}
