/**
 * The memory engine: one bucket's records in a `RecordTable`, with counts and digests by slot. Nothing is durable;
 * `DurableMemoryEngine` adds that.
 */
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken } from '../../base/slots.js';
import { recordChecksum, recordDigest } from '../checksum.js';
import { SlotStatistics } from '../slot-statistics.js';
import type {
  AccessTracker,
  DiskWrite,
  Engine,
  EngineKind,
  EngineMergeResult,
  EngineRecord,
  RangeDigest,
  ScanVisitor,
  VersionVisitor,
} from '../types.js';
import { MemoryAccess } from './memory-access.js';
import { RecordTable } from './record-table.js';

export class MemoryEngine implements Engine {
  readonly kind: EngineKind = 'memory';
  #table = new RecordTable();
  readonly #statistics = new SlotStatistics();
  /** What the last `get` found; valid until the next write. */
  #found = 0;
  readonly access: AccessTracker;

  constructor() {
    this.access = new MemoryAccess({
      table: () => this.#table,
      found: () => this.#found,
      memoryBytes: () => this.memoryBytes(),
      keepOrder: () => this.#keepOrder(),
    });
  }

  get(token: number, key: Buffer): EngineRecord | undefined {
    const reference = this.#table.find(token, key);
    this.#found = reference;
    return reference === 0 ? undefined : this.#table.record(reference);
  }

  put(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    this.putChecked(token, key, value, version, expiresAtMs, recordChecksum(key, value));
  }

  /** `put` for a caller that has the record's checksum already. */
  putChecked(
    token: number,
    key: Buffer,
    value: Buffer,
    version: number,
    expiresAtMs: number,
    checksum: number,
  ): void {
    const table = this.#table;
    let digest = recordDigest(checksum, key.length, version, expiresAtMs);
    let bytes = key.length + value.length;
    let keys = 1;
    if (table.put(token, key, value, version, expiresAtMs, checksum)) {
      digest -= table.replacedDigest;
      bytes -= table.replacedBytes;
      keys = 0;
    }
    this.#statistics.add(slotOfToken(token), keys, digest, bytes);
  }

  merge(token: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): EngineMergeResult {
    const table = this.#table;
    const result = table.merge(token, key, value, version, expiresAtMs);
    if (result !== 'applied') return result;
    const digest = table.mergedDigest;
    const bytes = key.length + value.length;
    const slot = slotOfToken(token);
    if (table.foundRecord)
      this.#statistics.add(slot, 0, digest - table.replacedDigest, bytes - table.replacedBytes);
    else this.#statistics.add(slot, 1, digest, bytes);
    return result;
  }

  get previousVersion(): number {
    return this.#table.foundVersion;
  }

  get previousExpiresAtMs(): number {
    return this.#table.foundExpiresAtMs;
  }

  versionOf(token: number, key: Buffer): number {
    const reference = this.#table.find(token, key);
    return reference === 0 ? 0 : this.#table.version(reference);
  }

  remove(token: number, key: Buffer): boolean {
    const table = this.#table;
    if (!table.remove(token, key)) return false;
    this.#statistics.add(slotOfToken(token), -1, -table.replacedDigest, -table.replacedBytes);
    return true;
  }

  scan(fromToken: number, toToken: number, visitor: ScanVisitor): void {
    const table = this.#table;
    const cursor = table.cursor(fromToken);
    for (; cursor.reference !== 0 && cursor.token < toToken; cursor.next()) {
      if (!visitor(cursor.token, table.key(cursor.reference), table.record(cursor.reference))) return;
    }
  }

  scanVersions(fromToken: number, toToken: number, visitor: VersionVisitor): void {
    const table = this.#table;
    const cursor = table.cursor(fromToken);
    for (; cursor.reference !== 0 && cursor.token < toToken; cursor.next()) {
      const { token, reference } = cursor;
      const version = table.version(reference);
      const expiresAtMs = table.expiresAtMs(reference);
      if (!visitor(token, table.key(reference), version, expiresAtMs, table.digest(reference))) return;
    }
  }

  digestOfRange(fromToken: number, toToken: number): RangeDigest {
    const table = this.#table;
    const cursor = table.cursor(fromToken);
    let digest = 0;
    let count = 0;
    for (; cursor.reference !== 0 && cursor.token < toToken; cursor.next()) {
      digest = (digest + table.digest(cursor.reference)) >>> 0;
      count++;
    }
    return { digest, count };
  }

  /**
   * Copies records from `fromToken` on into a list of writes, about so many and so large, but never parts keys of equal
   * token. Returns the token to go on with.
   */
  gatherWrites(
    fromToken: number,
    toToken: number,
    maxRecords: number,
    maxBytes: number,
    into: DiskWrite[],
  ): number {
    const table = this.#table;
    const cursor = table.cursor(fromToken);
    let bytes = 0;
    let lastToken = -1;
    for (; cursor.reference !== 0 && cursor.token < toToken; cursor.next()) {
      const { token, reference } = cursor;
      if ((into.length >= maxRecords || bytes >= maxBytes) && token !== lastToken) return token;
      lastToken = token;
      const { value, version, expiresAtMs } = table.record(reference);
      const key = table.key(reference);
      bytes += key.length + value.length;
      into.push({ token, key, value, version, expiresAtMs, checksum: table.checksum(reference) });
    }
    return toToken;
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
    if (this.#statistics.keysInSlot(slot) === 0) return;
    this.#table.removeSlot(slot);
    this.#statistics.clearSlot(slot);
  }

  clear(): void {
    this.#table.clear();
    this.#statistics.clear();
  }

  /** Moves all records into a table that keeps the order of use, slot by slot, so that little is there twice. */
  #keepOrder(): void {
    const old = this.#table;
    const fresh = new RecordTable({ keepsOrder: true });
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (this.#statistics.keysInSlot(slot) === 0) continue;
      const end = firstTokenOfSlot(slot + 1);
      const cursor = old.cursor(firstTokenOfSlot(slot));
      for (; cursor.reference !== 0 && cursor.token < end; cursor.next()) {
        const { token, reference } = cursor;
        const { value, version, expiresAtMs } = old.record(reference);
        fresh.put(token, old.key(reference), value, version, expiresAtMs, old.checksum(reference));
      }
      old.removeSlot(slot);
    }
    this.#table = fresh;
    this.#found = 0;
  }

  memoryBytes(): number {
    return this.#table.memoryBytes + this.#statistics.memoryBytes;
  }

  dataBytes(): number {
    return this.#statistics.dataBytes;
  }
}
