/**
 * How records and notes lie in LMDB.
 *
 * Key: the token (6 bytes, big-endian, so that LMDB's order is token order), then the key's bytes. LMDB bounds keys, so
 * of a key longer than 1900 bytes the first 1900 stand there, then its SHA-256; the whole key is in the value.
 *
 * Value (little-endian):
 *
 *     0       1          5        9         17          25                28
 *     +-------+----------+--------+---------+-----------+-----------------+------------------+-------+
 *     | format| checksum | digest | version | expiresAt | long key bytes  | long key or none | value |
 *     | u8 = 1| u32      | u32    | u64     | u64       | u24             |                  |       |
 *     +-------+----------+--------+---------+-----------+-----------------+------------------+-------+
 *
 * `checksum` is the CRC-32 of key and value, `digest` what the record adds to its slot's digest; it is computed from
 * checksum, key length, version and expiry and so guards the head: a summary needs no look at the value.
 *
 * A note is its CRC-32 (u32) and its bytes.
 */
import { createHash } from 'node:crypto';
import { QuoinError } from '../../base/errors.js';
import { checksumOf, recordChecksum, recordDigest } from '../checksum.js';
import type { DiskWrite, EngineRecord, RecordSummary } from '../types.js';

const TOKEN_BYTES = 6;
const MAX_PLAIN_KEY_BYTES = 1900;
const FORMAT = 1;
const VERSION_AT = 9;
const EXPIRY_AT = 17;
const LONG_KEY_AT = 25;
const HEAD_BYTES = 28;
const NOTE_HEAD_BYTES = 4;

/** The first LMDB key of a token: no key sorts before it. */
export function tokenKey(token: number): Buffer {
  const bytes = Buffer.allocUnsafe(TOKEN_BYTES);
  bytes.writeUIntBE(token, 0, TOKEN_BYTES);
  return bytes;
}

export function diskKey(token: number, key: Uint8Array): Buffer {
  if (key.length > MAX_PLAIN_KEY_BYTES) {
    const prefix = key.subarray(0, MAX_PLAIN_KEY_BYTES);
    return Buffer.concat([tokenKey(token), prefix, createHash('sha256').update(key).digest()]);
  }
  const bytes = Buffer.allocUnsafe(TOKEN_BYTES + key.length);
  bytes.writeUIntBE(token, 0, TOKEN_BYTES);
  bytes.set(key, TOKEN_BYTES);
  return bytes;
}

export function tokenOfDiskKey(bytes: Buffer): number {
  return bytes.readUIntBE(0, TOKEN_BYTES);
}

export function encodeRecord(write: DiskWrite, value: Buffer): Buffer {
  const { key, version, expiresAtMs } = write;
  const checksum = write.checksum ?? recordChecksum(key, value);
  const longKeyBytes = key.length > MAX_PLAIN_KEY_BYTES ? key.length : 0;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + longKeyBytes + value.length);
  bytes[0] = FORMAT;
  bytes.writeUInt32LE(checksum, 1);
  bytes.writeUInt32LE(recordDigest(checksum, key.length, version, expiresAtMs), 5);
  writeInteger(bytes, version, VERSION_AT);
  writeInteger(bytes, expiresAtMs, EXPIRY_AT);
  bytes.writeUIntLE(longKeyBytes, LONG_KEY_AT, 3);
  if (longKeyBytes > 0) bytes.set(key, HEAD_BYTES);
  bytes.set(value, HEAD_BYTES + longKeyBytes);
  return bytes;
}

export interface StoredRecord {
  readonly key: Buffer;
  readonly record: EngineRecord;
}

function damaged(table: string, lmdbKey: Buffer, what: string): QuoinError {
  const key = lmdbKey.subarray(TOKEN_BYTES, TOKEN_BYTES + 64).toString('latin1');
  return new QuoinError('VALUE_DAMAGED', `the value of key ${JSON.stringify(key)} in table ${table} ${what}`);
}

/** Decodes and verifies. `bytes` become the caller's: the value is a view of them. */
export function decodeRecord(table: string, lmdbKey: Buffer, bytes: Buffer): StoredRecord {
  const longKeyBytes = decodeHead(table, lmdbKey, bytes, bytes.length);
  const plain = longKeyBytes === 0;
  const key = plain ? lmdbKey.subarray(TOKEN_BYTES) : bytes.subarray(HEAD_BYTES, HEAD_BYTES + longKeyBytes);
  const value = bytes.subarray(HEAD_BYTES + longKeyBytes);
  if (recordChecksum(key, value) !== bytes.readUInt32LE(1))
    throw damaged(table, lmdbKey, 'fails its checksum');
  return {
    key,
    record: { value, version: readInteger(bytes, VERSION_AT), expiresAtMs: readInteger(bytes, EXPIRY_AT) },
  };
}

/** The summary in a record's head, verified. `sizeBytes`: of the whole stored value, of which `bytes` may show a part. */
export function decodeSummary(
  table: string,
  lmdbKey: Buffer,
  bytes: Buffer,
  sizeBytes: number,
): RecordSummary {
  const longKeyBytes = decodeHead(table, lmdbKey, bytes, sizeBytes);
  const plainKeyBytes = longKeyBytes > 0 ? 0 : lmdbKey.length - TOKEN_BYTES;
  return {
    digest: bytes.readUInt32LE(5),
    dataBytes: plainKeyBytes + sizeBytes - HEAD_BYTES,
    version: readInteger(bytes, VERSION_AT),
    expiresAtMs: readInteger(bytes, EXPIRY_AT),
    checksum: bytes.readUInt32LE(1),
  };
}

/** Key and summary of a whole stored record; the value is not looked at. */
export function decodeKeyAndSummary(
  table: string,
  lmdbKey: Buffer,
  bytes: Buffer,
): { readonly key: Buffer; readonly summary: RecordSummary } {
  const summary = decodeSummary(table, lmdbKey, bytes, bytes.length);
  const longKeyBytes = bytes.readUIntLE(LONG_KEY_AT, 3);
  const isPlain = longKeyBytes === 0;
  const key = isPlain ? lmdbKey.subarray(TOKEN_BYTES) : bytes.subarray(HEAD_BYTES, HEAD_BYTES + longKeyBytes);
  return { key, summary };
}

/** Verifies the head and returns the length of the long key; 0 when the key is plain. */
function decodeHead(table: string, lmdbKey: Buffer, bytes: Buffer, sizeBytes: number): number {
  if (sizeBytes < HEAD_BYTES) throw damaged(table, lmdbKey, 'is cut short');
  if (bytes[0] !== FORMAT) throw damaged(table, lmdbKey, 'has an unknown format');
  const longKeyBytes = bytes.readUIntLE(LONG_KEY_AT, 3);
  const keyBytes = longKeyBytes > 0 ? longKeyBytes : lmdbKey.length - TOKEN_BYTES;
  const isLong = lmdbKey.length > TOKEN_BYTES + MAX_PLAIN_KEY_BYTES;
  const digest = recordDigest(
    bytes.readUInt32LE(1),
    keyBytes,
    readInteger(bytes, VERSION_AT),
    readInteger(bytes, EXPIRY_AT),
  );
  if (
    isLong !== longKeyBytes > 0 ||
    longKeyBytes > sizeBytes - HEAD_BYTES ||
    digest !== bytes.readUInt32LE(5)
  )
    throw damaged(table, lmdbKey, 'fails the checksum of its head');
  return longKeyBytes;
}

/** A non-negative safe integer as 64 bits. */
function writeInteger(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function readInteger(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

export function encodeNote(bytes: Buffer): Buffer {
  const stored = Buffer.allocUnsafe(NOTE_HEAD_BYTES + bytes.length);
  stored.writeUInt32LE(checksumOf(bytes), 0);
  stored.set(bytes, NOTE_HEAD_BYTES);
  return stored;
}

export function decodeNote(name: string, stored: Buffer): Buffer {
  if (
    stored.length < NOTE_HEAD_BYTES ||
    checksumOf(stored.subarray(NOTE_HEAD_BYTES)) !== stored.readUInt32LE(0)
  )
    throw new QuoinError('CHECKPOINT_DAMAGED', `the durable note ${JSON.stringify(name)} fails its checksum`);
  return stored.subarray(NOTE_HEAD_BYTES);
}
