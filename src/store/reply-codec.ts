/**
 * Bytes of a reply, for forwarding between nodes and for snapshots of remembered replies: a tag, then what the tag demands.
 *
 *   0 null            4 bigint i64         8 simple string     12 double f64
 *   1 integer +varint 5 bytes              9 error code, text  13 verbatim string
 *   2 integer -varint 6 true               10 map, pairs       14 null array
 *   3 OK              7 false              11 set, members     15 array, members
 *
 * Counts and lengths are varints; text is UTF-8. Invariant: tags are append-only. Strings of simple replies and errors keep
 * whatever bytes a client put into them only as far as UTF-8 does.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import { ERRORS, type ErrorCode } from '../base/errors.js';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NULL_ARRAY,
  NullArray,
  OK,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './reply.js';

const TAG = {
  null: 0,
  integer: 1,
  negative: 2,
  ok: 3,
  bigint: 4,
  bytes: 5,
  true: 6,
  false: 7,
  simple: 8,
  error: 9,
  map: 10,
  set: 11,
  double: 12,
  verbatim: 13,
  nullArray: 14,
  array: 15,
} as const;

/** Deeper replies than any command makes are refused, so that no input can exhaust the stack. */
const MAX_DEPTH = 32;

/** Appends a reply. */
export function writeReply(writer: ByteWriter, reply: Reply): void {
  if (reply === OK) writer.u8(TAG.ok);
  else if (reply === null) writer.u8(TAG.null);
  else if (typeof reply === 'number') {
    writer.u8(reply < 0 ? TAG.negative : TAG.integer);
    writer.varint(Math.abs(reply));
  } else if (Buffer.isBuffer(reply)) {
    writer.u8(TAG.bytes);
    writer.bytes(reply);
  } else if (typeof reply === 'bigint') {
    const bits = BigInt.asUintN(64, reply);
    writer.u8(TAG.bigint);
    writer.u32(Number(bits & 0xffff_ffffn));
    writer.u32(Number(bits >> 32n));
  } else if (typeof reply === 'boolean') writer.u8(reply ? TAG.true : TAG.false);
  else if (reply instanceof SimpleString) {
    writer.u8(TAG.simple);
    writer.string(reply.text);
  } else if (reply instanceof ErrorReply) {
    writer.u8(TAG.error);
    writer.string(reply.code);
    writer.string(reply.text);
  } else if (reply instanceof MapReply) {
    writer.u8(TAG.map);
    writer.varint(reply.entries.length);
    for (const [key, value] of reply.entries) {
      writeReply(writer, key);
      writeReply(writer, value);
    }
  } else if (reply instanceof SetReply) writeMembers(writer, TAG.set, reply.members);
  else if (reply instanceof DoubleReply) {
    writer.u8(TAG.double);
    writer.f64(reply.value);
  } else if (reply instanceof VerbatimReply) {
    writer.u8(TAG.verbatim);
    writer.string(reply.text);
  } else if (reply instanceof NullArray) writer.u8(TAG.nullArray);
  else writeMembers(writer, TAG.array, reply);
}

function writeMembers(writer: ByteWriter, tag: number, members: readonly Reply[]): void {
  writer.u8(tag);
  writer.varint(members.length);
  for (const member of members) writeReply(writer, member);
}

/** Reads a reply; bulk strings are views of the input. */
export function readReply(reader: ByteReader, depth = 0): Reply {
  if (depth > MAX_DEPTH) throw new DecodeError('a reply is nested too deeply');
  const tag = reader.u8();
  switch (tag) {
    case TAG.null:
      return null;
    case TAG.integer:
      return reader.varint();
    case TAG.negative:
      return -reader.varint();
    case TAG.ok:
      return OK;
    case TAG.bigint: {
      const low = BigInt(reader.u32());
      return BigInt.asIntN(64, (BigInt(reader.u32()) << 32n) | low);
    }
    case TAG.bytes:
      return reader.bytes();
    case TAG.true:
      return true;
    case TAG.false:
      return false;
    case TAG.simple:
      return new SimpleString(reader.string());
    case TAG.error: {
      const code = reader.string();
      return new ErrorReply(isErrorCode(code) ? code : 'INTERNAL', reader.string());
    }
    case TAG.map: {
      const entries: [Reply, Reply][] = [];
      for (let left = readCount(reader); left > 0; left--)
        entries.push([readReply(reader, depth + 1), readReply(reader, depth + 1)]);
      return new MapReply(entries);
    }
    case TAG.set:
      return new SetReply(readMembers(reader, depth));
    case TAG.double:
      return new DoubleReply(reader.f64());
    case TAG.verbatim:
      return new VerbatimReply(reader.string());
    case TAG.nullArray:
      return NULL_ARRAY;
    case TAG.array:
      return readMembers(reader, depth);
    default:
      throw new DecodeError(`reply tag ${tag} is not known`);
  }
}

function readMembers(reader: ByteReader, depth: number): Reply[] {
  const members: Reply[] = [];
  for (let left = readCount(reader); left > 0; left--) members.push(readReply(reader, depth + 1));
  return members;
}

function readCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remainingBytes) throw new DecodeError('a count is larger than what follows');
  return count;
}

/** A code of a newer version is not known here; its text still says what happened. */
function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export function encodeReply(reply: Reply): Buffer {
  const writer = new ByteWriter(64);
  writeReply(writer, reply);
  return writer.take();
}

export function decodeReply(bytes: Buffer): Reply {
  const reader = new ByteReader(bytes);
  const reply = readReply(reader);
  reader.end();
  return reply;
}
