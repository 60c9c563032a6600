/**
 * A table of records in memory, ordered by (token, key): the ordered index over the record store. The memory engine
 * is one; every generation of a ledger is one too, with tombstones for keys removed from what lies below it.
 *
 * Invariant: a reference is valid until the next write to the table.
 */
import { invariant } from '../../base/errors.js';
import { slotOfToken, tokenOf } from '../../base/slots.js';
import { recordChecksum, recordDigest } from '../checksum.js';
import { mergeOrder } from '../merge-order.js';
import type { EngineMergeResult, EngineRecord } from '../types.js';
import { ACCESS_WORDS, AccessOrder } from './access-order.js';
import type { IndexCursor } from './index-cursor.js';
import { OrderedIndex } from './ordered-index.js';
import { RecordStore } from './record-store.js';

/** What an entry of the index takes, about: eight bytes at a load between a half and four fifths. */
const INDEX_ENTRY_BYTES = 14;

export class RecordTable {
  readonly #records: RecordStore;
  readonly #index: OrderedIndex;
  /** Who was used when, in a table that keeps it. */
  readonly order: AccessOrder | undefined;
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

  constructor(options: { readonly keepsOrder: boolean } = { keepsOrder: false }) {
    const { keepsOrder } = options;
    this.#records = new RecordStore({ ownWords: keepsOrder ? ACCESS_WORDS : 0, fine: keepsOrder });
    this.#index = new OrderedIndex(this.#records);
    this.order = keepsOrder ? new AccessOrder(this.#records) : undefined;
  }

  /** Entries, tombstones included. */
  get count(): number {
    return this.#index.count;
  }

  get memoryBytes(): number {
    return this.#records.memoryBytes + this.#index.memoryBytes + (this.order?.memoryBytes ?? 0);
  }

  /** Of it, what stands ready for new records. */
  get freeBytes(): number {
    return this.#records.freeBytes;
  }

  /** About what a record with so many bytes of key and value takes, its entry in the index included. */
  recordBytes(dataBytes: number): number {
    return this.#records.recordBytes(dataBytes) + INDEX_ENTRY_BYTES;
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
      this.order?.add(slotOfToken(token), reference);
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
    if (this.order !== undefined) this.#noteUse(this.order, slotOfToken(token), found, reference);
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
      this.order?.add(slotOfToken(token), reference);
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
    if (this.order !== undefined) this.#noteUse(this.order, slotOfToken(token), found, reference);
    return 'applied';
  }

  /** Removes an entry for good. True when there was one; then `replacedDigest` and `replacedBytes` tell of it. */
  remove(token: number, key: Uint8Array): boolean {
    const found = this.#index.seek(token, key);
    if (found === 0) return false;
    this.#noteReplaced(found);
    this.order?.remove(slotOfToken(token), found);
    this.#index.removeFound();
    this.#records.free(found);
    return true;
  }

  #noteUse(order: AccessOrder, slot: number, before: number, after: number): void {
    if (before !== after) order.moved(slot, before, after);
    order.touch(slot, after);
  }

  #noteReplaced(reference: number): void {
    this.replacedDigest = this.digest(reference);
    this.replacedBytes = this.dataBytes(reference);
    this.replacedTombstone = this.#records.isTombstone(reference);
  }

  removeSlot(slot: number): void {
    this.#index.removeSlot(slot, (reference) => {
      this.order?.remove(slot, reference);
      this.#records.free(reference);
    });
  }

  /**
   * Moves up to so many records out of sparse slabs, so that their memory is given back; returns how many were moved. Every
   * record's token must be its key's.
   */
  compact(maxRecords: number): number {
    return this.#records.compact(maxRecords, (from, to) => {
      const key = this.#records.key(to);
      const token = tokenOf(key);
      invariant(this.#index.seek(token, key) === from, 'a record is where its key says');
      this.#index.replaceFound(to);
      this.order?.moved(slotOfToken(token), from, to);
    });
  }

  clear(): void {
    this.#index.clear();
    this.#records.clear();
    this.order?.clear();
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
