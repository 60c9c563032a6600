/**
 * Mutations and messages of the quorum cores as bytes. Numbers are varints unless said otherwise.
 *
 *   version   7 bytes: u32 low, u24 high
 *   expiry    two bits of the head byte before it (0 never, 1 deleted, 2 given), then the milliseconds when given
 *
 *   mutation  u8 head (expiry), version, [expiry], bucketId, key (length and bytes), value (length and bytes)
 *   batch     mutations one after the other: as they travel, as the journal and hints keep them
 *
 *   mutate    u8 1 | purpose << 4 | 0x40 when durable; id, count, batch (length and bytes)
 *   mutated   u8 2; id, count, for each note: (position - previous position) * 4 + kind, the version when `newer`
 *   read      u8 3; id, count, for each query: u8 (0 nothing held, 1 version alone, 2 held), [version], bucketId, key
 *   records   u8 4; id, count, for each answer: u8 kind | expiry << 4, then version, [expiry], [value] as the kind has them
 *
 * Numbers of kinds and purposes are append-only. A message does not say where it ends beyond what its fields say: whoever frames
 * messages checks that. What is decoded are views of the input. Decoding checks a batch whole, so that walking it later never
 * fails in the middle.
 */
import { ByteReader, ByteWriter, DecodeError } from '../../base/bytes.js';
import {
  DELETED_MS,
  type MutationBatch,
  type MutationNote,
  type MutationPurpose,
  type QuorumMessage,
  type ReadAnswer,
  type ReadQuery,
} from './types.js';

const TWO_32 = 2 ** 32;
/** Versions are below 2^53: what is left of them above 32 bits. */
const HIGH_END = 2 ** 21;

const EXPIRY_NEVER = 0;
const EXPIRY_DELETED = 1;
const EXPIRY_GIVEN = 2;

function expiryKind(expiresAtMs: number): number {
  if (expiresAtMs === 0) return EXPIRY_NEVER;
  return expiresAtMs === DELETED_MS ? EXPIRY_DELETED : EXPIRY_GIVEN;
}

function readExpiry(reader: ByteReader, kind: number): number {
  if (kind === EXPIRY_NEVER) return 0;
  if (kind === EXPIRY_DELETED) return DELETED_MS;
  if (kind !== EXPIRY_GIVEN) throw new DecodeError(`no such kind of expiry: ${kind}`);
  return reader.varint();
}

function writeVersion(writer: ByteWriter, version: number): void {
  writer.u32(version >>> 0);
  const high = Math.floor(version / TWO_32);
  writer.u16(high & 0xffff);
  writer.u8(high >>> 16);
}

function readVersion(reader: ByteReader): number {
  const low = reader.u32();
  const middle = reader.u16();
  const high = reader.u8() * 65536 + middle;
  if (high >= HIGH_END) throw new DecodeError('version too great');
  return high * TWO_32 + low;
}

/** Encodes mutations one after the other; one encoder makes one batch at a time. */
export class MutationEncoder {
  readonly #writer = new ByteWriter();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#writer.lengthBytes;
  }

  /** Begins a batch; what was added and not taken is forgotten. */
  begin(): void {
    this.#writer.reset();
    this.#count = 0;
  }

  add(bucketId: number, key: Buffer, value: Buffer, version: number, expiresAtMs: number): void {
    const writer = this.#writer;
    const expiry = expiryKind(expiresAtMs);
    writer.u8(expiry);
    writeVersion(writer, version);
    if (expiry === EXPIRY_GIVEN) writer.varint(expiresAtMs);
    writer.varint(bucketId);
    writer.bytes(key);
    writer.bytes(value);
    this.#count++;
  }

  /** Hands over the batch and begins anew. */
  take(): MutationBatch {
    const batch = { count: this.#count, bytes: this.#writer.take() };
    this.#count = 0;
    return batch;
  }
}

/** Keys and values are views of the batch. */
export type MutationVisitor = (
  bucketId: number,
  key: Buffer,
  value: Buffer,
  version: number,
  expiresAtMs: number,
  position: number,
) => void;

/** Visits the mutations of a batch in order and returns how many there are. Throws `DecodeError` on what is no batch. */
export function forEachMutation(bytes: Buffer, visitor: MutationVisitor): number {
  const reader = new ByteReader(bytes);
  let position = 0;
  while (reader.remainingBytes > 0) {
    const expiry = reader.u8();
    const version = readVersion(reader);
    const expiresAtMs = readExpiry(reader, expiry);
    const bucketId = reader.varint();
    const key = reader.bytes();
    visitor(bucketId, key, reader.bytes(), version, expiresAtMs, position);
    position++;
  }
  return position;
}

/** Walks a batch without making views of it. */
function countMutations(bytes: Buffer): number {
  const reader = new ByteReader(bytes);
  let count = 0;
  while (reader.remainingBytes > 0) {
    const expiry = reader.u8();
    readVersion(reader);
    readExpiry(reader, expiry);
    reader.varint();
    reader.skip(reader.varint());
    reader.skip(reader.varint());
    count++;
  }
  return count;
}

const MUTATE = 1;
const MUTATED = 2;
const READ = 3;
const RECORDS = 4;

const KIND_MASK = 0x0f;
const DURABLE = 0x40;

const PURPOSES: readonly MutationPurpose[] = ['write', 'repair', 'hint', 'anti-entropy'];
const NOTES: readonly MutationNote['what'][] = ['newer', 'lived', 'refused', 'ahead'];
const NEWER = 0;
const LIVED = 1;

const HOLDS_NOTHING = 0;
const VERSION_ALONE = 1;
const HOLDS = 2;

const ANSWER_NONE = 0;
const ANSWER_SAME = 1;
const ANSWER_VERSION = 2;
const ANSWER_RECORD = 3;
const ANSWER_UNKNOWN_BUCKET = 4;
const ANSWER_FILLING = 5;

/** Most writes replace something live, so these notes are shared: telling them costs no object for each. */
const LIVED_NOTES: MutationNote[] = [];
const MAX_SHARED_NOTES = 4096;

/** The note that a live record was replaced. */
export function livedNote(position: number): MutationNote {
  if (position >= MAX_SHARED_NOTES) return { position, what: 'lived', version: 0 };
  for (let next = LIVED_NOTES.length; next <= position; next++)
    LIVED_NOTES.push({ position: next, what: 'lived', version: 0 });
  return LIVED_NOTES[position]!;
}

const NONE: ReadAnswer = { what: 'none' };
const SAME: ReadAnswer = { what: 'same' };
const UNKNOWN_BUCKET: ReadAnswer = { what: 'unknown-bucket' };
const FILLING: ReadAnswer = { what: 'filling' };

export function encodeQuorumMessage(writer: ByteWriter, message: QuorumMessage): void {
  switch (message.kind) {
    case 'mutate':
      writer.u8(MUTATE | (PURPOSES.indexOf(message.purpose) << 4) | (message.durable ? DURABLE : 0));
      writer.varint(message.id);
      writer.varint(message.batch.count);
      writer.bytes(message.batch.bytes);
      return;
    case 'mutated':
      writer.u8(MUTATED);
      writer.varint(message.id);
      encodeNotes(writer, message.notes);
      return;
    case 'read':
      writer.u8(READ);
      writer.varint(message.id);
      writer.varint(message.queries.length);
      for (const query of message.queries) encodeQuery(writer, query);
      return;
    case 'records':
      writer.u8(RECORDS);
      writer.varint(message.id);
      writer.varint(message.answers.length);
      for (const answer of message.answers) encodeAnswer(writer, answer);
      return;
  }
}

/** Notes go by ascending position, at most one for each. */
function encodeNotes(writer: ByteWriter, notes: readonly MutationNote[]): void {
  writer.varint(notes.length);
  let previous = 0;
  for (const note of notes) {
    const kind = NOTES.indexOf(note.what);
    writer.varint((note.position - previous) * 4 + kind);
    if (kind === NEWER) writeVersion(writer, note.version);
    previous = note.position;
  }
}

function encodeQuery(writer: ByteWriter, query: ReadQuery): void {
  if (query.knownVersion > 0) {
    writer.u8(HOLDS);
    writeVersion(writer, query.knownVersion);
  } else writer.u8(query.knownVersion === 0 ? HOLDS_NOTHING : VERSION_ALONE);
  writer.varint(query.bucketId);
  writer.bytes(query.key);
}

function encodeAnswer(writer: ByteWriter, answer: ReadAnswer): void {
  switch (answer.what) {
    case 'none':
      writer.u8(ANSWER_NONE);
      return;
    case 'same':
      writer.u8(ANSWER_SAME);
      return;
    case 'unknown-bucket':
      writer.u8(ANSWER_UNKNOWN_BUCKET);
      return;
    case 'filling':
      writer.u8(ANSWER_FILLING);
      return;
    case 'version':
      encodeAnswerHead(writer, ANSWER_VERSION, answer.version, answer.expiresAtMs);
      return;
    case 'record':
      encodeAnswerHead(writer, ANSWER_RECORD, answer.record.version, answer.record.expiresAtMs);
      writer.bytes(answer.record.value);
      return;
  }
}

function encodeAnswerHead(writer: ByteWriter, kind: number, version: number, expiresAtMs: number): void {
  const expiry = expiryKind(expiresAtMs);
  writer.u8(kind | (expiry << 4));
  writeVersion(writer, version);
  if (expiry === EXPIRY_GIVEN) writer.varint(expiresAtMs);
}

/** Throws `DecodeError` on anything that `encodeQuorumMessage` does not write. */
export function decodeQuorumMessage(reader: ByteReader): QuorumMessage {
  const head = reader.u8();
  const kind = head & KIND_MASK;
  if (kind !== MUTATE && head !== kind) throw new DecodeError(`no such quorum message: ${head}`);
  const id = reader.varint();
  const count = reader.varint();
  switch (kind) {
    case MUTATE: {
      if (head > (DURABLE | 0x3f)) throw new DecodeError(`no such quorum message: ${head}`);
      const bytes = reader.bytes();
      if (countMutations(bytes) !== count) throw new DecodeError('a batch of another count');
      return {
        kind: 'mutate',
        id,
        purpose: PURPOSES[(head >>> 4) & 3]!,
        durable: (head & DURABLE) !== 0,
        batch: { count, bytes },
      };
    }
    case MUTATED:
      return { kind: 'mutated', id, notes: decodeNotes(reader, count) };
    case READ: {
      const queries: ReadQuery[] = [];
      for (let i = 0; i < count; i++) queries.push(decodeQuery(reader));
      return { kind: 'read', id, queries };
    }
    case RECORDS: {
      const answers: ReadAnswer[] = [];
      for (let i = 0; i < count; i++) answers.push(decodeAnswer(reader));
      return { kind: 'records', id, answers };
    }
    default:
      throw new DecodeError(`no such quorum message: ${head}`);
  }
}

function decodeNotes(reader: ByteReader, count: number): MutationNote[] {
  const notes: MutationNote[] = [];
  let position = 0;
  for (let i = 0; i < count; i++) {
    const head = reader.varint();
    const kind = head % 4;
    const step = Math.floor(head / 4);
    if (i > 0 && step === 0) throw new DecodeError('two notes on one position');
    position += step;
    if (kind === LIVED) notes.push(livedNote(position));
    else {
      const version = kind === NEWER ? readVersion(reader) : 0;
      notes.push({ position, what: NOTES[kind]!, version });
    }
  }
  return notes;
}

function decodeQuery(reader: ByteReader): ReadQuery {
  const holds = reader.u8();
  if (holds > HOLDS) throw new DecodeError(`no such query: ${holds}`);
  let knownVersion = holds === VERSION_ALONE ? -1 : 0;
  if (holds === HOLDS) {
    knownVersion = readVersion(reader);
    if (knownVersion === 0) throw new DecodeError('a version of nothing');
  }
  const bucketId = reader.varint();
  return { bucketId, key: reader.bytes(), knownVersion };
}

function decodeAnswer(reader: ByteReader): ReadAnswer {
  const head = reader.u8();
  switch (head) {
    case ANSWER_NONE:
      return NONE;
    case ANSWER_SAME:
      return SAME;
    case ANSWER_UNKNOWN_BUCKET:
      return UNKNOWN_BUCKET;
    case ANSWER_FILLING:
      return FILLING;
  }
  const kind = head & KIND_MASK;
  if (kind !== ANSWER_VERSION && kind !== ANSWER_RECORD) throw new DecodeError(`no such answer: ${head}`);
  const version = readVersion(reader);
  const expiresAtMs = readExpiry(reader, head >>> 4);
  if (kind === ANSWER_VERSION) return { what: 'version', version, expiresAtMs };
  return { what: 'record', record: { value: reader.bytes(), version, expiresAtMs } };
}
