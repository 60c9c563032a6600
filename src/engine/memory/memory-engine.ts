/**
 * The memory engine: one bucket's records in a `RecordTable`, with counts and digests by slot. Nothing is durable;
 * `DurableMemoryEngine` adds that.
 */
import { slotOfToken } from '../../base/slots.js';
import { recordChecksum, recordDigest } from '../checksum.js';
import { SlotStatistics } from '../slot-statistics.js';
import type {
  Engine,
  EngineKind,
  EngineMergeResult,
  EngineRecord,
  RangeDigest,
  ScanVisitor,
  VersionVisitor,
} from '../types.js';
import { RecordTable } from './record-table.js';

export class MemoryEngine implements Engine {
  readonly kind: EngineKind = 'memory';
  readonly #table = new RecordTable();
  readonly #statistics = new SlotStatistics();

  get(token: number, key: Buffer): EngineRecord | undefined {
    const reference = this.#table.find(token, key);
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

  memoryBytes(): number {
    return this.#table.memoryBytes + this.#statistics.memoryBytes;
  }

  dataBytes(): number {
    return this.#statistics.dataBytes;
  }
}
