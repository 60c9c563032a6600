/**
 * A table of records in memory, ordered by (token, key): the ordered index over the record store. The memory engine
 * is one; every generation of a ledger is one too, with tombstones for keys removed from what lies below it.
 *
 * Invariant: a reference is valid until the next write to the table.
 */
import { recordChecksum, recordDigest } from '../checksum.js';
import { mergeOrder } from '../merge-order.js';
import type { EngineMergeResult, EngineRecord } from '../types.js';
import type { IndexCursor } from './index-cursor.js';
import { OrderedIndex } from './ordered-index.js';
import { RecordStore } from './record-store.js';

export class RecordTable {
  readonly #records = new RecordStore();
  readonly #index = new OrderedIndex(this.#records);
  /** What the record that the last `put`, `merge` or `remove` replaced had in it: digest and bytes, when there was one. */
  replacedDigest = 0;
  replacedBytes = 0;
  replacedTombstone = false;
  /** What the last `merge` found, if anything; version and expiry are 0 when there was nothing. */
  foundRecord = false;
  foundVersion = 0;
  foundExpiresAtMs = 0;
  /** What the last `merge` that was applied adds to the digest of its slot. */
  mergedDigest = 0;

  /** Entries, tombstones included. */
  get count(): number {
    return this.#index.count;
  }

  get memoryBytes(): number {
    return this.#records.memoryBytes + this.#index.memoryBytes;
  }

  /** The reference of a record or tombstone; 0 when there is neither. */
  find(token: number, key: Uint8Array): number {
    return this.#index.find(token, key);
  }

  isTombstone(reference: number): boolean {
    return this.#records.isTombstone(reference);
  }

  /** Inserts or replaces. True when there was an entry; then `replacedDigest` and `replacedBytes` tell of it. */
  put(
    token: number,
    key: Uint8Array,
    value: Uint8Array,
    version: number,
    expiresAtMs: number,
    checksum: number,
    tombstone = false,
  ): boolean {
    const found = this.#index.seek(token, key);
    if (found === 0) {
      const reference = this.#records.allocate(token, key, value, version, expiresAtMs, checksum, tombstone);
      this.#index.insertSought(token, key, reference);
      return false;
    }
    this.#noteReplaced(found);
    const reference = this.#records.replace(
      found,
      token,
      key,
      value,
      version,
      expiresAtMs,
      checksum,
      tombstone,
    );
    if (reference !== found) this.#index.replaceFound(reference);
    return true;
  }

  /**
   * Puts a record unless what is stored is as new (see `Engine.merge`), with one look into the index. For tables without
   * tombstones. When it is applied over a record (`foundRecord`), `replacedDigest` and `replacedBytes` tell what was there.
   */
  merge(
    token: number,
    key: Uint8Array,
    value: Uint8Array,
    version: number,
    expiresAtMs: number,
  ): EngineMergeResult {
    const found = this.#index.seek(token, key);
    if (found === 0) {
      this.foundRecord = false;
      this.foundVersion = 0;
      this.foundExpiresAtMs = 0;
      const checksum = recordChecksum(key, value);
      this.mergedDigest = recordDigest(checksum, key.length, version, expiresAtMs);
      const reference = this.#records.allocate(token, key, value, version, expiresAtMs, checksum, false);
      this.#index.insertSought(token, key, reference);
      return 'applied';
    }
    const records = this.#records;
    const foundVersion = records.version(found);
    const foundExpiresAtMs = records.expiresAtMs(found);
    this.foundRecord = true;
    this.foundVersion = foundVersion;
    this.foundExpiresAtMs = foundExpiresAtMs;
    if (version < foundVersion) return 'older';
    const checksum = recordChecksum(key, value);
    const foundChecksum = records.checksum(found);
    if (version === foundVersion) {
      const order = mergeOrder(expiresAtMs, checksum, foundExpiresAtMs, foundChecksum);
      if (order <= 0) return order === 0 ? 'equal' : 'older';
    }
    this.replacedDigest = recordDigest(foundChecksum, key.length, foundVersion, foundExpiresAtMs);
    this.replacedBytes = key.length + records.valueBytes(found);
    this.mergedDigest = recordDigest(checksum, key.length, version, expiresAtMs);
    const reference = records.replace(found, token, key, value, version, expiresAtMs, checksum, false);
    if (reference !== found) this.#index.replaceFound(reference);
    return 'applied';
  }

  /** Removes an entry for good. True when there was one; then `replacedDigest` and `replacedBytes` tell of it. */
  remove(token: number, key: Uint8Array): boolean {
    const found = this.#index.seek(token, key);
    if (found === 0) return false;
    this.#noteReplaced(found);
    this.#index.removeFound();
    this.#records.free(found);
    return true;
  }

  #noteReplaced(reference: number): void {
    this.replacedDigest = this.digest(reference);
    this.replacedBytes = this.dataBytes(reference);
    this.replacedTombstone = this.#records.isTombstone(reference);
  }

  removeSlot(slot: number): void {
    this.#index.removeSlot(slot, (reference) => this.#records.free(reference));
  }

  clear(): void {
    this.#index.clear();
    this.#records.clear();
  }

  digest(reference: number): number {
    const records = this.#records;
    return recordDigest(
      records.checksum(reference),
      records.keyBytes(reference),
      records.version(reference),
      records.expiresAtMs(reference),
    );
  }

  /** Bytes of key and value. */
  dataBytes(reference: number): number {
    return this.#records.keyBytes(reference) + this.#records.valueBytes(reference);
  }

  key(reference: number): Buffer {
    return this.#records.key(reference);
  }

  checksum(reference: number): number {
    return this.#records.checksum(reference);
  }

  version(reference: number): number {
    return this.#records.version(reference);
  }

  expiresAtMs(reference: number): number {
    return this.#records.expiresAtMs(reference);
  }

  compare(reference: number, token: number, key: Uint8Array): number {
    return this.#records.compare(reference, token, key);
  }

  record(reference: number): EngineRecord {
    const records = this.#records;
    return {
      value: records.value(reference),
      version: records.version(reference),
      expiresAtMs: records.expiresAtMs(reference),
    };
  }

  /** A cursor at the first entry of `fromToken` or later; valid until the next write. */
  cursor(fromToken: number): IndexCursor {
    return this.#index.cursor(fromToken);
  }
}
