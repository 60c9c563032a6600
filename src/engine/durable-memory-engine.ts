/**
 * The memory engine of a bucket that survives a restart: reads and writes work on memory alone; what is written also
 * goes into a ledger, which checkpoints write back to the same disk store that the disk engines use. So there is one
 * way of being durable for all engines. At open the table is loaded into memory.
 *
 * Invariant: memory = disk table as of the last checkpoint + frozen ledger + active ledger.
 */
import { TOKEN_END } from '../base/slots.js';
import { recordChecksum } from './checksum.js';
import { Ledger, type LedgeredEngine, type WriteBack } from './ledger.js';
import { MemoryEngine } from './memory/memory-engine.js';
import type {
  AccessTracker,
  DiskTable,
  Engine,
  EngineKind,
  EngineMergeResult,
  EngineRecord,
  RangeDigest,
  ScanVisitor,
  VersionVisitor,
} from './types.js';

export class DurableMemoryEngine implements Engine, LedgeredEngine {
  readonly kind: EngineKind = 'memory';
  readonly #memory = new MemoryEngine();
  readonly #ledger = new Ledger({ keepsClean: false });

  /** `load`: false when nothing in the table counts any more. */
  constructor(disk: DiskTable, options: { readonly load: boolean } = { load: true }) {
    if (!options.load) return;
    disk.scan(0, TOKEN_END, (token, key, { value, version, expiresAtMs }) => {
      this.#memory.put(token, key, value, version, expiresAtMs);
      return true;
    });
  }

  get access(): AccessTracker {
    return this.#memory.access;
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    return this.#memory.get(token, key);
  }

  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const checksum = recordChecksum(key, value);
    this.#memory.putChecked(token, key, value, version, expiresAtMs, checksum);
    this.#ledger.active.table.put(token, key, value, version, expiresAtMs, checksum);
  }

  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult {
    const result = this.#memory.merge(token, key, value, version, expiresAtMs);
    if (result === 'applied')
      this.#ledger.active.table.put(token, key, value, version, expiresAtMs, recordChecksum(key, value));
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
    this.#ledger.active.putTombstone(token, key);
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
    this.#ledger.active.clearSlot(slot);
  }

  clear(): void {
    this.#memory.clear();
    this.#ledger.active.clear();
  }

  memoryBytes(): number {
    return this.#memory.memoryBytes() + this.#ledger.memoryBytes;
  }

  dataBytes(): number {
    return this.#memory.dataBytes();
  }

  ledgerBytes(): number {
    return this.#ledger.unwrittenBytes;
  }

  freeze(): WriteBack | undefined {
    const frozen = this.#ledger.freeze();
    if (frozen === undefined) return undefined;
    return { cleared: frozen.clearedRanges(), writes: frozen.writes(), notes: new Map() };
  }

  writtenBack(): void {
    this.#ledger.writtenBack();
  }
}
