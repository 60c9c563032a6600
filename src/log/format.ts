/**
 * The bytes of the write-ahead log: segment header, batch header, record header. `docs/formats/log.md` draws them;
 * golden files pin them. All integers are little-endian.
 *
 * Invariants: the segment header keeps its layout in all later versions, so that any version can tell a newer log from a
 * damaged one; kinds are append-only, and a new kind is a new format version; no record and no batch is all zeros, so
 * zeros are the end.
 */
import { crc32 } from 'node:zlib';

/** 'QuoinLog' */
export const SEGMENT_MAGIC = Buffer.from('QuoinLog', 'latin1');
export const FORMAT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 40;

/** 'QnBt' */
export const BATCH_MARKER = Buffer.from('QnBt', 'latin1');
const BATCH_MARKER_NUMBER = BATCH_MARKER.readUInt32LE(0);
export const BATCH_HEADER_BYTES = 20;

/** Length and checksum. */
export const RECORD_PREFIX_BYTES = 8;
/** Prefix, group, kind. */
export const RECORD_HEADER_BYTES = 13;
/** Bytes of an entry's record before its payload: header, index, term. */
export const ENTRY_OVERHEAD_BYTES = RECORD_HEADER_BYTES + 16;

/** What a record says. Append-only. */
export const RecordKind = {
  entry: 1,
  hardState: 2,
  reset: 3,
  compaction: 4,
  removeGroup: 5,
} as const;

const TWO_32 = 2 ** 32;

export function writeU64(buffer: Buffer, position: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  buffer.writeUInt32LE(value - high * TWO_32, position);
  buffer.writeUInt32LE(high, position + 4);
}

export function readU64(buffer: Buffer, position: number): number {
  return buffer.readUInt32LE(position) + buffer.readUInt32LE(position + 4) * TWO_32;
}

/** CRC-32 of part of a buffer, going on from `seed`. */
export function checksum(buffer: Buffer, start: number, end: number, seed = 0): number {
  return crc32(buffer.subarray(start, end), seed);
}

export interface SegmentHeader {
  readonly version: number;
  readonly segment: number;
  /** Sequence of the first batch in this segment. */
  readonly firstSequence: number;
  readonly createdMs: number;
  /** The header's checksum; it salts the batch headers, so that no batch is taken for one of another segment. */
  readonly salt: number;
}

export function encodeSegmentHeader(segment: number, firstSequence: number, createdMs: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(header, 0);
  header.writeUInt32LE(FORMAT_VERSION, 8);
  header.writeUInt32LE(segment, 12);
  writeU64(header, 16, firstSequence);
  writeU64(header, 24, createdMs);
  header.writeUInt32LE(checksum(header, 0, 36), 36);
  return header;
}

/** Undefined when magic or checksum are wrong. Says nothing about whether the version is known. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES || SEGMENT_MAGIC.compare(bytes, 0, 8) !== 0) return undefined;
  const salt = bytes.readUInt32LE(36);
  if (salt !== checksum(bytes, 0, 36)) return undefined;
  return {
    version: bytes.readUInt32LE(8),
    segment: bytes.readUInt32LE(12),
    firstSequence: readU64(bytes, 16),
    createdMs: readU64(bytes, 24),
    salt,
  };
}

export interface BatchHeader {
  /** Bytes of records that follow. */
  readonly lengthBytes: number;
  readonly sequence: number;
}

export function writeBatchHeader(buffer: Buffer, lengthBytes: number, sequence: number, salt: number): void {
  buffer.writeUInt32LE(BATCH_MARKER_NUMBER, 0);
  buffer.writeUInt32LE(lengthBytes, 4);
  writeU64(buffer, 8, sequence);
  buffer.writeUInt32LE(checksum(buffer, 0, 16, salt), 16);
}

/** Undefined when there is no valid batch header of this segment at `position`. */
export function readBatchHeader(buffer: Buffer, position: number, salt: number): BatchHeader | undefined {
  if (position + BATCH_HEADER_BYTES > buffer.length) return undefined;
  if (buffer.readUInt32LE(position) !== BATCH_MARKER_NUMBER) return undefined;
  if (buffer.readUInt32LE(position + 16) !== checksum(buffer, position, position + 16, salt))
    return undefined;
  return { lengthBytes: buffer.readUInt32LE(position + 4), sequence: readU64(buffer, position + 8) };
}

/** End of the record at `position`, or -1 when it is not whole, in bounds and as its checksum says. */
export function recordEnd(buffer: Buffer, position: number, limit: number): number {
  if (position + RECORD_HEADER_BYTES > limit) return -1;
  const length = buffer.readUInt32LE(position);
  const start = position + RECORD_PREFIX_BYTES;
  if (length < RECORD_HEADER_BYTES - RECORD_PREFIX_BYTES || length > limit - start) return -1;
  const end = start + length;
  return buffer.readUInt32LE(position + 4) === checksum(buffer, start, end) ? end : -1;
}

const SEGMENT_NAME = /^[0-9]{10}\.log$/;

export function segmentName(segment: number): string {
  return `${String(segment).padStart(10, '0')}.log`;
}

/** The segment number in a file's name, or undefined when it is not a segment's name. */
export function segmentOfName(name: string): number | undefined {
  return SEGMENT_NAME.test(name) ? Number(name.slice(0, 10)) : undefined;
}
