/**
 * Membership messages as bytes. Numbers are varints unless said otherwise; `text` is a varint length and UTF-8.
 *
 *   message   u8 kind (1 ping, 2 ping-request, 3 ack, 4 nack), sequence, incarnation of the sender,
 *             ping-request alone: target text; count, update *; count, load *
 *   update    u8 state (0 alive, 1 suspect, 2 dead), member text, incarnation; suspect alone: accuser text
 *   load      member text, version, loopLagMs, requestsPerSecond, memoryBytes, readP99Ms in hundredths, epoch
 *
 * A message ends where its fields end; whoever frames messages checks that. Kinds and states are append-only numbers.
 */
import { type ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';
import { HUNDREDTHS, MAX_FIGURE } from './load-digest.js';
import { MAX_INCARNATION } from './members.js';
import type { MemberLoad, MemberState, MemberUpdate, NodeId, SwimMessage } from './types.js';

const KINDS = { ping: 1, 'ping-request': 2, ack: 3, nack: 4 } as const;
const STATES: readonly MemberState[] = ['alive', 'suspect', 'dead'];
/** A state, a member of one letter and an incarnation. */
const MIN_UPDATE_BYTES = 4;
/** A member of one letter and six numbers. */
const MIN_LOAD_BYTES = 8;

export function encodeSwimMessage(writer: ByteWriter, message: SwimMessage): void {
  writer.u8(KINDS[message.kind]);
  writer.varint(message.sequence);
  writer.varint(message.incarnation);
  if (message.kind === 'ping-request') writer.string(message.target);
  writer.varint(message.updates.length);
  for (const { member, state, incarnation, accuser } of message.updates) {
    writer.u8(STATES.indexOf(state));
    writer.string(member);
    writer.varint(incarnation);
    if (state === 'suspect') writer.string(accuser);
  }
  writer.varint(message.loads.length);
  for (const { member, version, digest } of message.loads) {
    writer.string(member);
    writer.varint(version);
    writer.varint(digest.loopLagMs);
    writer.varint(digest.requestsPerSecond);
    writer.varint(digest.memoryBytes);
    writer.varint(Math.round(digest.readP99Ms * HUNDREDTHS));
    writer.varint(digest.epoch);
  }
}

/** Throws `DecodeError` on anything that `encodeSwimMessage` does not write. */
export function decodeSwimMessage(reader: ByteReader): SwimMessage {
  const kind = reader.u8();
  const sequence = reader.varint();
  const incarnation = decodeIncarnation(reader);
  switch (kind) {
    case KINDS['ping-request']: {
      const target = decodeId(reader);
      return { kind: 'ping-request', sequence, incarnation, target, ...decodeCarried(reader) };
    }
    case KINDS.ping:
      return { kind: 'ping', sequence, incarnation, ...decodeCarried(reader) };
    case KINDS.ack:
      return { kind: 'ack', sequence, incarnation, ...decodeCarried(reader) };
    case KINDS.nack:
      return { kind: 'nack', sequence, incarnation, ...decodeCarried(reader) };
    default:
      throw new DecodeError(`no membership message has kind ${kind}`);
  }
}

function decodeCarried(reader: ByteReader): Pick<SwimMessage, 'updates' | 'loads'> {
  const updates: MemberUpdate[] = [];
  for (let left = decodeCount(reader, MIN_UPDATE_BYTES); left > 0; left--) updates.push(decodeUpdate(reader));
  const loads: MemberLoad[] = [];
  for (let left = decodeCount(reader, MIN_LOAD_BYTES); left > 0; left--) loads.push(decodeLoad(reader));
  return { updates, loads };
}

/** Checked before anything is made of it: a forged count must not cost memory. */
function decodeCount(reader: ByteReader, minBytes: number): number {
  const count = reader.varint();
  if (count * minBytes > reader.remainingBytes)
    throw new DecodeError(`${count} items do not fit into ${reader.remainingBytes} bytes`);
  return count;
}

function decodeId(reader: ByteReader): NodeId {
  const id = reader.string();
  if (id === '') throw new DecodeError('a member has no name');
  return id;
}

function decodeIncarnation(reader: ByteReader): number {
  const incarnation = reader.varint();
  if (incarnation > MAX_INCARNATION) throw new DecodeError('an incarnation is too great');
  return incarnation;
}

function decodeUpdate(reader: ByteReader): MemberUpdate {
  const number = reader.u8();
  const state = STATES[number];
  if (state === undefined) throw new DecodeError(`no member is in state ${number}`);
  const member = decodeId(reader);
  const incarnation = decodeIncarnation(reader);
  return { member, state, incarnation, accuser: state === 'suspect' ? decodeId(reader) : '' };
}

function decodeLoad(reader: ByteReader): MemberLoad {
  const member = decodeId(reader);
  const version = decodeVersion(reader);
  return {
    member,
    version,
    digest: {
      loopLagMs: decodeFigure(reader),
      requestsPerSecond: decodeFigure(reader),
      memoryBytes: decodeFigure(reader),
      readP99Ms: decodeFigure(reader) / HUNDREDTHS,
      epoch: decodeFigure(reader),
    },
  };
}

function decodeVersion(reader: ByteReader): number {
  const version = reader.varint();
  // The member must be able to go beyond it.
  if (version > MAX_INCARNATION) throw new DecodeError('the version of a digest is too great');
  return version;
}

function decodeFigure(reader: ByteReader): number {
  const value = reader.varint();
  if (value > MAX_FIGURE) throw new DecodeError('a figure of a digest is too great');
  return value;
}
