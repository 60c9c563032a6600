/**
 * A bucket as an application holds it: the same handle over an embedded node (`quoin`) and over the network
 * (`quoin/client`). Keys are text (UTF-8) or bytes; values are bytes, text is encoded for you.
 *
 * Every method rejects with `QuoinError`: `code` is stable, `definite` says whether the operation certainly had no effect,
 * `retriable` whether trying again may help, `remedy` what to do. Writes are never done twice: retries inside are recognized; in
 * eventual buckets (`quorum` replication), which cannot recognize them, a write that may have happened is not tried again
 * and rejects with OUTCOME_UNKNOWN.
 * Bytes are taken when a method is called: what the caller does with its buffers afterwards does no harm.
 */
import { QuoinError } from '../base/errors.js';

export type Bytes = string | Uint8Array;

export interface Entry {
  readonly value: Buffer;
  /** Changes with every write of the key; for `compareAndSet`. */
  readonly version: number;
  readonly expiresAt: Date | undefined;
}

export interface ReadOptions {
  /**
   * Eventual buckets only: copies that must answer, from 1 to the bucket's n. Default: the bucket's r. Elsewhere it is refused
   * with WRONG_ARGUMENTS, since every read is linearizable there.
   */
  readonly r?: number;
}

export interface ExpiryOptions {
  /** Time to live in milliseconds, a whole number; 0: none. Default: the bucket's. */
  readonly ttlMs?: number;
}

export interface DeleteOptions {
  /**
   * Eventual buckets only: copies that must have the write, from 1 to the bucket's n. Default: the bucket's w. Elsewhere it is
   * refused with WRONG_ARGUMENTS, since a majority has every write there.
   */
  readonly w?: number;
}

export interface WriteOptions extends ExpiryOptions, DeleteOptions {}

export interface ScanOptions {
  /** Only keys that begin with this. Default: all. */
  readonly prefix?: Bytes;
  /** Keys fetched at a time, from 1 to 10000. Default: 1000. */
  readonly pageSize?: number;
}

export interface Bucket {
  readonly name: string;
  /** The value, or undefined when there is none. Linearizable in `raft` buckets. */
  get(key: Bytes, options?: ReadOptions): Promise<Buffer | undefined>;
  /** The value as text. */
  getText(key: Bytes, options?: ReadOptions): Promise<string | undefined>;
  /** The value with its version and expiry. */
  getEntry(key: Bytes, options?: ReadOptions): Promise<Entry | undefined>;
  /** Writes and returns the new version. */
  set(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number>;
  /** True when there was something to delete. */
  delete(key: Bytes, options?: DeleteOptions): Promise<boolean>;
  /**
   * Writes only when the key still has the expected version (`'absent'`: when there is no such key). Returns the new
   * version, or undefined when somebody else was faster. Eventual buckets refuse it with READ_MODIFY_WRITE.
   */
  compareAndSet(
    key: Bytes,
    expected: number | 'absent',
    value: Bytes,
    options?: ExpiryOptions,
  ): Promise<number | undefined>;
  /**
   * Keys as text, in no particular order. A key that is there throughout is seen at least once; one that comes or goes
   * meanwhile may or may not be. Bytes that are no UTF-8 become replacement characters: see `scanBytes`. In an
   * eventual bucket one copy answers for each part of the keys, so there is no r to choose.
   */
  scan(options?: ScanOptions): AsyncIterable<string>;
  /** The same as bytes, for keys that are no text. */
  scanBytes(options?: ScanOptions): AsyncIterable<Buffer>;
}

/** Text as UTF-8; bytes as a view of themselves. Throws WRONG_ARGUMENTS for anything else. */
export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8');
  // Not instanceof: bytes may come from another realm (a test runner's, a vm context's).
  if (!ArrayBuffer.isView(bytes))
    throw new QuoinError('WRONG_ARGUMENTS', `keys and values are text or bytes, not ${typeof bytes}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
