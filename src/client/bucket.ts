/**
 * A bucket as an application holds it: the same handle over an embedded node (`quoin`) and over the network
 * (`quoin/client`). Keys are text (UTF-8) or bytes; values are bytes, text is encoded for you.
 *
 * Every method rejects with `QuoinError`: `code` is stable, `definite` says whether the operation certainly had no effect,
 * `retriable` whether trying again may help, `remedy` what to do. Writes are exactly-once: retries inside are recognized.
 */

export type Bytes = string | Uint8Array;

export interface Entry {
  readonly value: Buffer;
  /** Changes with every write of the key; for `compareAndSet`. */
  readonly version: number;
  readonly expiresAt: Date | undefined;
}

export interface WriteOptions {
  /** Time to live in milliseconds; 0: none. Default: the bucket's. */
  readonly ttlMs?: number;
}

export interface ScanOptions {
  /** Only keys that begin with this. Default: all. */
  readonly prefix?: string;
  /** Keys fetched at a time. Default: 1000. */
  readonly pageSize?: number;
}

export interface Bucket {
  readonly name: string;
  /** The value, or undefined when there is none. Linearizable in `raft` buckets. */
  get(key: Bytes): Promise<Buffer | undefined>;
  /** The value as text. */
  getText(key: Bytes): Promise<string | undefined>;
  /** The value with its version and expiry. */
  getEntry(key: Bytes): Promise<Entry | undefined>;
  /** Writes and returns the new version. */
  set(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number>;
  /** True when there was something to delete. */
  delete(key: Bytes): Promise<boolean>;
  /**
   * Writes only when the key still has the expected version (`'absent'`: when there is no such key). Returns the new
   * version, or undefined when somebody else was faster.
   */
  compareAndSet(
    key: Bytes,
    expected: number | 'absent',
    value: Bytes,
    options?: WriteOptions,
  ): Promise<number | undefined>;
  /**
   * Keys in no particular order. A key that is there throughout is seen at least once; one that comes or goes meanwhile
   * may or may not be.
   */
  scan(options?: ScanOptions): AsyncIterable<string>;
}

export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
