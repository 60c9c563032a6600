/**
 * Checksums of stored records, and what one record adds to its slot's digest.
 *
 * - The checksum is CRC-32 (IEEE) over key and then value. It is computed once, when the record enters an engine, and
 *   travels with the record to the disk, so that a bit flipped anywhere on the way is noticed.
 * - The digest of a slot is the sum, modulo 2^32, of its records' `recordDigest`: independent of order, and undone by
 *   subtraction when a record goes. It depends on key, value, version and expiry and on nothing else.
 *
 * Invariant: both are part of the disk format and of what replicas compare; neither may ever change.
 */
import { crc32 } from 'node:zlib';
import { mix32 } from '../base/slots.js';

/** Below this many bytes a loop beats the call into native code. */
const NATIVE_FROM_BYTES = 160;

const TABLES = [0, 1, 2, 3].map(() => new Int32Array(256)) as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  TABLES[0][byte] = crc;
}
for (let table = 1; table < 4; table++) {
  for (let byte = 0; byte < 256; byte++) {
    const previous = TABLES[table - 1]![byte]!;
    TABLES[table]![byte] = (previous >>> 8) ^ TABLES[0][previous & 0xff]!;
  }
}
const [TABLE_0, TABLE_1, TABLE_2, TABLE_3] = TABLES;

/** CRC-32 of `bytes`, going on from `seed` (the checksum of what came before). Four bytes a step (slicing by four). */
export function checksumOf(bytes: Uint8Array, seed = 0): number {
  const length = bytes.length;
  if (length >= NATIVE_FROM_BYTES) return crc32(bytes, seed);
  let crc = ~seed;
  const blocks = length & ~3;
  let i = 0;
  for (; i < blocks; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      TABLE_3[crc & 0xff]! ^
      TABLE_2[(crc >>> 8) & 0xff]! ^
      TABLE_1[(crc >>> 16) & 0xff]! ^
      TABLE_0[crc >>> 24]!;
  }
  for (; i < length; i++) crc = (crc >>> 8) ^ TABLE_0[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

/** The checksum of a record: over its key, then its value. */
export function recordChecksum(key: Uint8Array, value: Uint8Array): number {
  return checksumOf(value, checksumOf(key));
}

const HIGH_WORD = 2 ** -32;

/** What one record adds to the digest of its slot. The key's length tells where the key ends in the checksum's input. */
export function recordDigest(
  checksum: number,
  keyBytes: number,
  version: number,
  expiresAtMs: number,
): number {
  let hash = mix32(checksum ^ Math.imul(keyBytes + 1, 0x9e3779b1));
  hash = mix32(hash ^ (version >>> 0));
  hash = mix32((hash + Math.floor(version * HIGH_WORD)) | 0);
  hash = mix32(hash ^ (expiresAtMs >>> 0));
  return mix32((hash + Math.floor(expiresAtMs * HIGH_WORD)) | 0);
}
