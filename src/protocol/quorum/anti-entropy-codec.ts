/**
 * Messages of anti-entropy as bytes. Numbers are varints unless said otherwise.
 *
 *   roots           u8 1, id, group, u32 layout, u32 salt, count, for each: bucketId, flushedThrough, u32 low, u32 high
 *   compare         u8 2, id, group, u32 layout, u32 salt, count, for each: bucketId, u8 level, index, u32 for each child
 *   list            u8 3, id, count, for each: range, count, for each record: offset (as many bytes as the level needs),
 *                   version (u32 low, u16, u8); u32 digest
 *   want            u8 4, id, count, ranges
 *   push            u8 5, id, batch, notes
 *   purge-query     u8 6, id, bucketId, count, for each: slot - previous slot, u32 digest
 *   roots-answer    u8 17, id, u8 agreed (1) + filling (2) + skipped ones follow (4), positions, [positions]
 *   compare-answer  u8 18, id, count, for each: u8 1 counts follow | 2 none, u16 differing, [counts]
 *   records         u8 19, id, batch, count, for each: 0 whole | resume / 4 + 1, positions
 *   pushed          u8 20, id, notes
 *   purge-answer    u8 21, id, positions
 *   purge           u8 32, bucketId, throughMs, count, as in purge-query
 *
 *   range           bucketId, u8 level, index, skip / 4
 *   batch           count, length, mutations (`codec.ts`)
 *   notes           count, for each: bucketId, slot, throughMs
 *   positions       count, for each: position - previous position (the first one: itself)
 *
 * Kinds are append-only numbers. A message is all of its body. Batches are views of the input; they are checked whole, so that
 * walking them later never fails in the middle.
 */
import { ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';
import { SLOT_COUNT } from '../../base/slots.js';
import {
  type ComparedAnswer,
  type ComparedRange,
  type ListedRange,
  type PurgeNote,
  type RangeAnswer,
  type RangeName,
  type RepairMessage,
  type RootOfBucket,
  WHOLE,
} from './anti-entropy-messages.js';
import { forEachMutation } from './codec.js';
import { childrenOf, offsetBytes, rangesAt, rangeWidth, TOKEN_LEVEL } from './merkle.js';
import type { MutationBatch } from './types.js';

const ROOTS = 1;
const COMPARE = 2;
const LIST = 3;
const WANT = 4;
const PUSH = 5;
const PURGE_QUERY = 6;
const ROOTS_ANSWER = 17;
const COMPARE_ANSWER = 18;
const RECORDS = 19;
const PUSHED = 20;
const PURGE_ANSWER = 21;
const PURGE = 32;

/** Flags of an answer to roots. */
const AGREED = 1;
const FILLING = 2;
const SKIPPED = 4;

const WITH_COUNTS = 1;
const WITHOUT_COUNTS = 2;

const TWO_32 = 2 ** 32;
/** Versions are below 2^53: what is left of them above 32 bits. */
const VERSION_HIGH_END = 2 ** 21;

export function encodeRepairMessage(writer: ByteWriter, message: RepairMessage): void {
  switch (message.kind) {
    case 'roots':
      writer.u8(ROOTS);
      encodeLayout(writer, message);
      writer.varint(message.buckets.length);
      for (const bucket of message.buckets) {
        writer.varint(bucket.bucketId);
        writer.varint(bucket.flushedThrough);
        writer.u32(bucket.low);
        writer.u32(bucket.high);
      }
      return;
    case 'compare':
      writer.u8(COMPARE);
      encodeLayout(writer, message);
      writer.varint(message.ranges.length);
      for (const range of message.ranges) {
        writer.varint(range.bucketId);
        writer.u8(range.level);
        writer.varint(range.index);
        for (const digest of range.digests) writer.u32(digest);
      }
      return;
    case 'list':
      writer.u8(LIST);
      writer.varint(message.id);
      writer.varint(message.ranges.length);
      for (const range of message.ranges) encodeListed(writer, range);
      return;
    case 'want':
      writer.u8(WANT);
      writer.varint(message.id);
      writer.varint(message.ranges.length);
      for (const range of message.ranges) encodeRange(writer, range);
      return;
    case 'push':
      writer.u8(PUSH);
      writer.varint(message.id);
      encodeBatch(writer, message.batch);
      encodeNotes(writer, message.notes);
      return;
    case 'purge-query':
      writer.u8(PURGE_QUERY);
      writer.varint(message.id);
      writer.varint(message.bucketId);
      encodeSlots(writer, message.slots, message.digests);
      return;
    case 'roots-answer':
      writer.u8(ROOTS_ANSWER);
      writer.varint(message.id);
      writer.u8(
        (message.agreed ? AGREED : 0) |
          (message.filling ? FILLING : 0) |
          (message.skipped.length > 0 ? SKIPPED : 0),
      );
      encodePositions(writer, message.differing);
      if (message.skipped.length > 0) encodePositions(writer, message.skipped);
      return;
    case 'compare-answer':
      writer.u8(COMPARE_ANSWER);
      writer.varint(message.id);
      writer.varint(message.ranges.length);
      for (const answer of message.ranges) {
        writer.u8(answer.counts.length > 0 ? WITH_COUNTS : WITHOUT_COUNTS);
        writer.u16(answer.differing);
        for (const count of answer.counts) writer.varint(count);
      }
      return;
    case 'records':
      writer.u8(RECORDS);
      writer.varint(message.id);
      encodeBatch(writer, message.batch);
      writer.varint(message.ranges.length);
      for (const answer of message.ranges) {
        writer.varint(answer.resume === WHOLE ? 0 : answer.resume / 4 + 1);
        encodePositions(writer, answer.wanted);
      }
      return;
    case 'pushed':
      writer.u8(PUSHED);
      writer.varint(message.id);
      encodeNotes(writer, message.notes);
      return;
    case 'purge-answer':
      writer.u8(PURGE_ANSWER);
      writer.varint(message.id);
      encodePositions(writer, message.equal);
      return;
    case 'purge':
      writer.u8(PURGE);
      writer.varint(message.bucketId);
      writer.varint(message.throughMs);
      encodeSlots(writer, message.slots, message.digests);
      return;
  }
}

function encodeLayout(
  writer: ByteWriter,
  message: { readonly id: number; readonly group: number; readonly layout: number; readonly salt: number },
): void {
  writer.varint(message.id);
  writer.varint(message.group);
  writer.u32(message.layout);
  writer.u32(message.salt);
}

function encodeRange(writer: ByteWriter, range: RangeName): void {
  writer.varint(range.bucketId);
  writer.u8(range.level);
  writer.varint(range.index);
  writer.varint(range.skip / 4);
}

function encodeListed(writer: ByteWriter, listed: ListedRange): void {
  const { range, tokens, versions } = listed;
  encodeRange(writer, range);
  writer.varint(tokens.length);
  const fromToken = range.index * rangeWidth(range.level);
  const size = offsetBytes(range.level);
  for (let i = 0; i < tokens.length; i++) {
    let offset = (tokens[i]! - fromToken) / 4;
    for (let byte = 0; byte < size; byte++) {
      writer.u8(offset % 256);
      offset = Math.floor(offset / 256);
    }
    const version = versions[i]!;
    writer.u32(version >>> 0);
    const high = Math.floor(version / TWO_32);
    writer.u16(high & 0xffff);
    writer.u8(high >>> 16);
  }
  writer.u32(listed.digest);
}

function encodeBatch(writer: ByteWriter, batch: MutationBatch): void {
  writer.varint(batch.count);
  writer.bytes(batch.bytes);
}

function encodeNotes(writer: ByteWriter, notes: readonly PurgeNote[]): void {
  writer.varint(notes.length);
  for (const note of notes) {
    writer.varint(note.bucketId);
    writer.varint(note.slot);
    writer.varint(note.throughMs);
  }
}

function encodePositions(writer: ByteWriter, positions: readonly number[]): void {
  writer.varint(positions.length);
  let previous = 0;
  for (const position of positions) {
    writer.varint(position - previous);
    previous = position;
  }
}

function encodeSlots(writer: ByteWriter, slots: readonly number[], digests: readonly number[]): void {
  writer.varint(slots.length);
  let previous = 0;
  for (let i = 0; i < slots.length; i++) {
    writer.varint(slots[i]! - previous);
    previous = slots[i]!;
    writer.u32(digests[i]!);
  }
}

/** Decodes a whole body. Throws `DecodeError` on anything that `encodeRepairMessage` does not write. */
export function decodeRepairMessage(body: Buffer): RepairMessage {
  const reader = new ByteReader(body);
  const message = decodeBody(reader);
  reader.end();
  return message;
}

function decodeBody(reader: ByteReader): RepairMessage {
  const kind = reader.u8();
  switch (kind) {
    case ROOTS: {
      const layout = decodeLayout(reader);
      return { kind: 'roots', ...layout, buckets: decodeMany(reader, decodeRoot) };
    }
    case COMPARE: {
      const layout = decodeLayout(reader);
      return { kind: 'compare', ...layout, ranges: decodeMany(reader, decodeCompared) };
    }
    case LIST:
      return { kind: 'list', id: reader.varint(), ranges: decodeMany(reader, decodeListed) };
    case WANT:
      return { kind: 'want', id: reader.varint(), ranges: decodeMany(reader, decodeRange) };
    case PUSH: {
      const id = reader.varint();
      const batch = decodeBatch(reader);
      return { kind: 'push', id, batch, notes: decodeMany(reader, decodeNote) };
    }
    case PURGE_QUERY: {
      const id = reader.varint();
      const bucketId = reader.varint();
      return { kind: 'purge-query', id, bucketId, ...decodeSlots(reader) };
    }
    case ROOTS_ANSWER: {
      const id = reader.varint();
      const flags = reader.u8();
      if (flags > (AGREED | FILLING | SKIPPED)) throw new DecodeError('neither agreed nor not');
      const differing = decodePositions(reader);
      const skipped = (flags & SKIPPED) === 0 ? [] : decodePositions(reader);
      if ((flags & SKIPPED) !== 0 && skipped.length === 0) throw new DecodeError('nothing was skipped');
      const agreed = (flags & AGREED) !== 0;
      return { kind: 'roots-answer', id, agreed, filling: (flags & FILLING) !== 0, differing, skipped };
    }
    case COMPARE_ANSWER:
      return {
        kind: 'compare-answer',
        id: reader.varint(),
        ranges: decodeMany(reader, decodeComparedAnswer),
      };
    case RECORDS: {
      const id = reader.varint();
      const batch = decodeBatch(reader);
      return { kind: 'records', id, batch, ranges: decodeMany(reader, decodeRangeAnswer) };
    }
    case PUSHED:
      return { kind: 'pushed', id: reader.varint(), notes: decodeMany(reader, decodeNote) };
    case PURGE_ANSWER:
      return { kind: 'purge-answer', id: reader.varint(), equal: decodePositions(reader) };
    case PURGE: {
      const bucketId = reader.varint();
      const throughMs = reader.varint();
      return { kind: 'purge', bucketId, throughMs, ...decodeSlots(reader) };
    }
    default:
      throw new DecodeError(`no such message of anti-entropy: ${kind}`);
  }
}

/** Every item takes a byte at least, so a false count ends at the end of the body. */
function decodeMany<T>(reader: ByteReader, decodeOne: (reader: ByteReader) => T): T[] {
  const count = decodeCount(reader);
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(decodeOne(reader));
  return items;
}

function decodeCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remainingBytes) throw new DecodeError(`no room for ${count} items`);
  return count;
}

function decodeLayout(reader: ByteReader): { id: number; group: number; layout: number; salt: number } {
  const id = reader.varint();
  const group = reader.varint();
  const layout = reader.u32();
  return { id, group, layout, salt: reader.u32() };
}

function decodeRoot(reader: ByteReader): RootOfBucket {
  const bucketId = reader.varint();
  const flushedThrough = reader.varint();
  const low = reader.u32();
  return { bucketId, flushedThrough, low, high: reader.u32() };
}

function decodeName(
  reader: ByteReader,
  lastLevel: number,
): { bucketId: number; level: number; index: number } {
  const bucketId = reader.varint();
  const level = reader.u8();
  if (level > lastLevel) throw new DecodeError(`no such level: ${level}`);
  const index = reader.varint();
  if (index >= rangesAt(level)) throw new DecodeError(`no range ${index} at level ${level}`);
  return { bucketId, level, index };
}

function decodeRange(reader: ByteReader): RangeName {
  const name = decodeName(reader, TOKEN_LEVEL);
  const skip = reader.varint() * 4;
  if (skip >= rangeWidth(name.level)) throw new DecodeError('nothing of the range is meant');
  return { ...name, skip };
}

function decodeCompared(reader: ByteReader): ComparedRange {
  const name = decodeName(reader, TOKEN_LEVEL - 1);
  const digests: number[] = [];
  for (let child = childrenOf(name.level); child > 0; child--) digests.push(reader.u32());
  return { ...name, digests };
}

function decodeListed(reader: ByteReader): ListedRange {
  const range = decodeRange(reader);
  const count = decodeCount(reader);
  const fromToken = range.index * rangeWidth(range.level);
  const size = offsetBytes(range.level);
  const tokens: number[] = [];
  const versions: number[] = [];
  let previous = range.skip / 4;
  for (let i = 0; i < count; i++) {
    let offset = 0;
    for (let byte = 0, scale = 1; byte < size; byte++, scale *= 256) offset += reader.u8() * scale;
    if (offset < previous || offset * 4 >= rangeWidth(range.level))
      throw new DecodeError('tokens of a list ascend within its range');
    previous = offset;
    tokens.push(fromToken + offset * 4);
    const low = reader.u32();
    const middle = reader.u16();
    const high = reader.u8() * 65536 + middle;
    if (high >= VERSION_HIGH_END) throw new DecodeError('version too great');
    versions.push(high * TWO_32 + low);
  }
  return { range, tokens, versions, digest: reader.u32() };
}

function ignoreMutation(): void {}

function decodeBatch(reader: ByteReader): MutationBatch {
  const count = reader.varint();
  const bytes = reader.bytes();
  if (forEachMutation(bytes, ignoreMutation) !== count) throw new DecodeError('a batch of another count');
  return { count, bytes };
}

function decodeSlot(slot: number): number {
  if (slot >= SLOT_COUNT) throw new DecodeError(`no such slot: ${slot}`);
  return slot;
}

function decodeNote(reader: ByteReader): PurgeNote {
  const bucketId = reader.varint();
  const slot = decodeSlot(reader.varint());
  return { bucketId, slot, throughMs: reader.varint() };
}

function decodePositions(reader: ByteReader): number[] {
  const count = decodeCount(reader);
  const positions: number[] = [];
  let position = 0;
  for (let i = 0; i < count; i++) {
    const step = reader.varint();
    if (i > 0 && step === 0) throw new DecodeError('positions ascend');
    position += step;
    positions.push(position);
  }
  return positions;
}

function decodeSlots(reader: ByteReader): { slots: number[]; digests: number[] } {
  const count = decodeCount(reader);
  const slots: number[] = [];
  const digests: number[] = [];
  let slot = 0;
  for (let i = 0; i < count; i++) {
    const step = reader.varint();
    if (i > 0 && step === 0) throw new DecodeError('slots ascend');
    slot = decodeSlot(slot + step);
    slots.push(slot);
    digests.push(reader.u32());
  }
  return { slots, digests };
}

function decodeComparedAnswer(reader: ByteReader): ComparedAnswer {
  const head = reader.u8();
  if (head !== WITH_COUNTS && head !== WITHOUT_COUNTS) throw new DecodeError('counts or none');
  const differing = reader.u16();
  const counts: number[] = [];
  if (head === WITH_COUNTS)
    for (let bits = differing; bits !== 0; bits &= bits - 1) counts.push(reader.varint());
  return { differing, counts };
}

function decodeRangeAnswer(reader: ByteReader): RangeAnswer {
  const head = reader.varint();
  return { resume: head === 0 ? WHOLE : (head - 1) * 4, wanted: decodePositions(reader) };
}
