/**
 * Reads the log back: which batches are whole, where the log ends, and whether what is wrong is a torn tail or damage.
 *
 * The rule. Batch n + 1 is written only after batch n has been synced, and a new segment is begun only after all batches
 * of the one before have been. So only the last batch can be torn, in whatever order its sectors reached the disk, and it
 * has never been acknowledged: it is cut. Anything else that is wrong is damage: a bad batch in a closed segment, a bad
 * batch with a later one after it, a segment missing between others, entries missing that no mark says were dropped. Damage is
 * LOG_DAMAGED with file and offset, and then nothing has been changed on disk. That the newest segments are missing
 * is told from outside (`reach.ts`).
 *
 * "A later one after it" is found by the batch headers: they bear a sequence and are salted with their segment's own
 * header, so neither an older segment's bytes nor what a client stored can be taken for one. Stale bytes cannot either:
 * a torn tail is overwritten with zeros, and that is synced, before the log is used again; so after the last batch
 * there are zeros, or one torn batch, and never anything older.
 *
 * The last batch may have been read from a cache that never reached the disk (a process that died before its sync, or one
 * whose sync failed). It is written and synced once more before anyone is told of it.
 *
 * Limit: bit rot in the very last batch cannot be told from a torn write, and is cut likewise.
 */
import { QuoinError } from '../base/errors.js';
import type { Disk } from '../env/env.js';
import type { CacheUse } from './entry-table.js';
import {
  BATCH_HEADER_BYTES,
  BATCH_MARKER,
  decodeSegmentHeader,
  FORMAT_VERSION,
  readBatchHeader,
  recordEnd,
  SEGMENT_HEADER_BYTES,
  SEGMENT_MAGIC,
  type SegmentHeader,
  segmentName,
  segmentOfName,
} from './format.js';
import type { FindSegment, GroupState } from './group-state.js';
import type { LogReach } from './reach.js';
import { Replay } from './replay.js';
import { Segment } from './segment.js';

export interface Recovered {
  /** Oldest first; empty for a new log. */
  readonly segments: Segment[];
  readonly groups: Map<number, GroupState>;
  readonly nextSequence: number;
}

/** What `lost+found` and the like may be: no reason to call a fresh mount foreign. */
const HARMLESS_NAMES = new Set(['lost+found']);

const ZEROS = Buffer.alloc(64 * 1024);

function damaged(path: string, offset: number, reason: string): QuoinError {
  return new QuoinError('LOG_DAMAGED', `${path}: damaged at offset ${offset}: ${reason}`);
}

/** Position of the first byte from `start` on that is not zero, or -1. */
function firstNonZero(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, bytes.length);
    if (ZEROS.compare(bytes, at, end, 0, end - at) === 0) continue;
    for (let i = at; i < end; i++) if (bytes[i] !== 0) return i;
  }
  return -1;
}

/** True when the bytes can be what a crash left of a header: nothing, zeros, or ours as far as it goes. */
function isUnfinished(bytes: Buffer): boolean {
  const known = Math.min(bytes.length, SEGMENT_MAGIC.length);
  return firstNonZero(bytes, 0) === -1 || SEGMENT_MAGIC.compare(bytes, 0, known, 0, known) === 0;
}

interface FoundSegment {
  readonly number: number;
  readonly path: string;
  readonly header: SegmentHeader;
}

/** Finds the segments and reads their headers; the last may be unfinished. */
function findSegments(
  disk: Disk,
  directory: string,
): { found: FoundSegment[]; unfinished: string | undefined } {
  const names = disk.list(directory);
  const numbers = names.map(segmentOfName).filter((number) => number !== undefined);
  if (numbers.length === 0) {
    const foreign = names.find((name) => !HARMLESS_NAMES.has(name));
    if (foreign === undefined) return { found: [], unfinished: undefined };
    throw new QuoinError('FOREIGN_DIRECTORY', `${directory} holds '${foreign}' and no log of Quoin`);
  }
  const found: FoundSegment[] = [];
  const bad: { number: number; bytes: Buffer }[] = [];
  let recognized = 0;
  for (const number of numbers) {
    const path = `${directory}/${segmentName(number)}`;
    const bytes = readPart(disk, path, SEGMENT_HEADER_BYTES);
    if (SEGMENT_MAGIC.compare(bytes, 0, Math.min(8, bytes.length)) === 0) recognized++;
    const header = decodeSegmentHeader(bytes);
    if (header === undefined) bad.push({ number, bytes });
    else if (header.version > FORMAT_VERSION)
      throw new QuoinError(
        'LOG_TOO_NEW',
        `${path} has format version ${header.version}; this version knows ${FORMAT_VERSION}`,
      );
    else found.push({ number, path, header });
  }
  let unfinished: string | undefined;
  for (const { number, bytes } of bad) {
    const path = `${directory}/${segmentName(number)}`;
    const isLast = number === numbers[numbers.length - 1];
    if (isLast && isUnfinished(bytes) && firstNonZero(disk.read(path), SEGMENT_HEADER_BYTES) === -1) {
      unfinished = path;
      continue;
    }
    if (recognized === 0) throw new QuoinError('FOREIGN_DIRECTORY', `${path} is not a log of Quoin`);
    throw damaged(path, 0, 'the segment header fails its checksum');
  }
  for (let i = 0; i < found.length; i++) {
    const { number, path, header } = found[i]!;
    if (header.segment !== number)
      throw damaged(path, 12, `the header says that this is segment ${header.segment}`);
    const expected = found[0]!.number + i;
    if (number !== expected)
      throw damaged(`${directory}/${segmentName(expected)}`, 0, 'the segment is missing');
  }
  if (unfinished !== undefined) {
    // A segment is begun while the one before is there.
    const expected = (found[found.length - 1]?.number ?? 0) + 1;
    if (numbers[numbers.length - 1] !== expected)
      throw damaged(`${directory}/${segmentName(expected)}`, 0, 'the segment is missing');
  }
  return { found, unfinished };
}

function readPart(disk: Disk, path: string, lengthBytes: number): Buffer {
  const file = disk.open(path, { create: false });
  try {
    return file.readAt(0, lengthBytes);
  } finally {
    file.close();
  }
}

/** End of the batch at `position` when all its records are whole, else -1. */
function batchEnd(bytes: Buffer, position: number, lengthBytes: number): number {
  const end = position + BATCH_HEADER_BYTES + lengthBytes;
  if (end > bytes.length) return -1;
  for (let at = position + BATCH_HEADER_BYTES; at < end; ) {
    at = recordEnd(bytes, at, end);
    if (at === -1) return -1;
  }
  return end;
}

/** Position of a batch later than `sequence` at or after `start`, or -1. */
function laterBatch(bytes: Buffer, start: number, sequence: number, salt: number): number {
  for (let at = bytes.indexOf(BATCH_MARKER, start); at !== -1; at = bytes.indexOf(BATCH_MARKER, at + 1)) {
    const header = readBatchHeader(bytes, at, salt);
    if (header !== undefined && header.sequence > sequence) return at;
  }
  return -1;
}

interface Scan {
  /** Where the next batch goes. */
  tail: number;
  /** Start of the last whole batch, -1 when there is none. */
  lastBatch: number;
  nextSequence: number;
  torn: boolean;
}

/**
 * Replays one segment. `endSequence` is the sequence with which the next segment begins (0: unknown); `isLast` allows a torn
 * tail.
 */
function scanSegment(
  bytes: Buffer,
  segment: FoundSegment,
  replay: Replay,
  endSequence: number,
  isLast: boolean,
): Scan {
  const { path, number } = segment;
  const { salt } = segment.header;
  let sequence = segment.header.firstSequence;
  let position = SEGMENT_HEADER_BYTES;
  let lastBatch = -1;
  while (sequence !== endSequence) {
    const header = readBatchHeader(bytes, position, salt);
    const end = header?.sequence === sequence ? batchEnd(bytes, position, header.lengthBytes) : -1;
    if (header !== undefined && end !== -1) {
      for (let at = position + BATCH_HEADER_BYTES; at < end; ) {
        const next = at + 8 + bytes.readUInt32LE(at);
        const problem = replay.apply(number, bytes, at, next);
        if (problem !== undefined) throw damaged(path, at, problem);
        at = next;
      }
      lastBatch = position;
      position = end;
      sequence++;
      continue;
    }
    if (endSequence !== 0)
      throw damaged(
        path,
        position,
        `batch ${sequence} is bad, and the next segment begins with ${endSequence}`,
      );
    if (firstNonZero(bytes, position) === -1) break;
    if (!isLast) throw damaged(path, position, `batch ${sequence} is bad in a closed segment`);
    if (header !== undefined && header.sequence !== sequence)
      throw damaged(path, position, `batch ${header.sequence} stands where ${sequence} should`);
    // Where the batch's end is known, anything after it was written later; else a later batch must be searched for.
    const later =
      header === undefined
        ? laterBatch(bytes, position + 1, sequence, salt)
        : firstNonZero(bytes, position + BATCH_HEADER_BYTES + header.lengthBytes);
    if (later !== -1)
      throw damaged(path, position, `batch ${sequence} is bad, and a later one follows at offset ${later}`);
    return { tail: position, lastBatch, nextSequence: sequence, torn: true };
  }
  return { tail: position, lastBatch, nextSequence: sequence, torn: false };
}

/** Reads the log in `directory`, cuts a torn tail, and makes durable what it then tells. */
export function recover(
  disk: Disk,
  directory: string,
  use: CacheUse,
  find: FindSegment,
  reach: LogReach | undefined,
): Recovered {
  const { found, unfinished } = findSegments(disk, directory);
  reach?.check(directory, found[found.length - 1]?.number ?? 0);
  const replay = new Replay(use, find);
  const segments: Segment[] = [];
  let nextSequence = found[0]?.header.firstSequence ?? 1;
  let last: { segment: Segment; scan: Scan; bytes: Buffer } | undefined;
  for (let i = 0; i < found.length; i++) {
    const one = found[i]!;
    if (one.header.firstSequence !== nextSequence)
      throw damaged(
        one.path,
        16,
        `the segment begins with batch ${one.header.firstSequence}, not ${nextSequence}`,
      );
    const isLast = i === found.length - 1;
    const endSequence = found[i + 1]?.header.firstSequence ?? 0;
    const bytes = disk.read(one.path);
    const scan = scanSegment(bytes, one, replay, endSequence, isLast && unfinished === undefined);
    nextSequence = scan.nextSequence;
    const segment = new Segment(disk, directory, one.number, one.header.salt, scan.tail, bytes.length);
    segments.push(segment);
    if (isLast) last = { segment, scan, bytes };
  }
  const groups = replay.finish();
  if (typeof groups === 'string') throw damaged(found[0]?.path ?? directory, SEGMENT_HEADER_BYTES, groups);

  // Up to here nothing has been changed.
  if (unfinished !== undefined) {
    disk.remove(unfinished);
    disk.syncDirectory(directory);
  }
  if (last !== undefined) {
    const { segment, scan, bytes } = last;
    if (scan.torn) segment.zeroFrom(scan.tail);
    const inDoubt = scan.lastBatch === -1 ? 0 : scan.lastBatch;
    segment.file.writeAt(inDoubt, bytes.subarray(inDoubt, scan.tail));
    segment.file.syncBlocking();
  }
  return { segments, groups, nextSequence };
}
