/**
 * Raft messages as bytes. All numbers are varints unless said otherwise; nothing is written that the receiver knows.
 *
 *   head      u8 kind (below), then term
 *   votes     flags are part of the kind byte's upper bits: 0x40 force or granted
 *   append    previousIndex, previousTerm, commitIndex, count, then for each entry: term - entry.term, payload
 *             (length and bytes); entry indexes follow from previousIndex
 *
 * A message does not say where it ends beyond what its fields say: whoever frames messages checks that.
 * Kinds are append-only numbers. Decoded payloads are views of the input.
 */
import type { ByteReader, ByteWriter } from '../../base/bytes.js';
import { DecodeError } from '../../base/bytes.js';
import type { LogEntry, RaftMessage } from './types.js';

const PRE_VOTE_REQUEST = 1;
const VOTE_REQUEST = 2;
const PRE_VOTE_RESPONSE = 3;
const VOTE_RESPONSE = 4;
const APPEND_REQUEST = 5;
const APPEND_RESPONSE = 6;
const HEARTBEAT = 7;
const HEARTBEAT_RESPONSE = 8;
const READ_INDEX_REQUEST = 9;
const READ_INDEX_RESPONSE = 10;
const TIMEOUT_NOW = 11;

type AppendRequest = Extract<RaftMessage, { kind: 'append-request' }>;

const FLAG = 0x40;
/** A term difference and a length: no entry takes less. */
const MIN_ENTRY_BYTES = 2;

export function encodeRaftMessage(writer: ByteWriter, message: RaftMessage): void {
  switch (message.kind) {
    case 'append-request':
      writer.u8(APPEND_REQUEST);
      writer.varint(message.term);
      writer.varint(message.previousIndex);
      writer.varint(message.previousTerm);
      writer.varint(message.commitIndex);
      writer.varint(message.entries.length);
      for (const entry of message.entries) {
        writer.varint(message.term - entry.term);
        writer.bytes(entry.payload);
      }
      return;
    case 'append-response':
      writer.u8(message.success ? APPEND_RESPONSE | FLAG : APPEND_RESPONSE);
      writer.varint(message.term);
      writer.varint(message.index);
      if (message.success) return;
      writer.varint(message.hintIndex);
      writer.varint(message.hintTerm);
      return;
    case 'heartbeat':
      writer.u8(HEARTBEAT);
      writer.varint(message.term);
      writer.varint(message.commitIndex);
      writer.varint(message.readRound);
      return;
    case 'heartbeat-response':
      writer.u8(HEARTBEAT_RESPONSE);
      writer.varint(message.term);
      writer.varint(message.readRound);
      return;
    case 'pre-vote-request':
    case 'vote-request': {
      const kind = message.kind === 'vote-request' ? VOTE_REQUEST : PRE_VOTE_REQUEST;
      writer.u8(message.force ? kind | FLAG : kind);
      writer.varint(message.term);
      writer.varint(message.lastIndex);
      writer.varint(message.lastTerm);
      return;
    }
    case 'pre-vote-response':
    case 'vote-response': {
      const kind = message.kind === 'vote-response' ? VOTE_RESPONSE : PRE_VOTE_RESPONSE;
      writer.u8(message.granted ? kind | FLAG : kind);
      writer.varint(message.term);
      return;
    }
    case 'read-index-request':
      writer.u8(READ_INDEX_REQUEST);
      writer.varint(message.term);
      writer.varint(message.id);
      return;
    case 'read-index-response':
      writer.u8(READ_INDEX_RESPONSE);
      writer.varint(message.term);
      writer.varint(message.id);
      // -1 (refused) becomes 0.
      writer.varint(message.index + 1);
      return;
    case 'timeout-now':
      writer.u8(TIMEOUT_NOW);
      writer.varint(message.term);
      return;
  }
}

/**
 * The bytes of an append with one entry, but for the entry's payload, with which they end: whoever sends a large one need
 * not copy it.
 */
export function encodeAppendHead(writer: ByteWriter, message: AppendRequest, entry: LogEntry): void {
  writer.u8(APPEND_REQUEST);
  writer.varint(message.term);
  writer.varint(message.previousIndex);
  writer.varint(message.previousTerm);
  writer.varint(message.commitIndex);
  writer.varint(1);
  writer.varint(message.term - entry.term);
  writer.varint(entry.payload.length);
}

/** Throws `DecodeError` on anything that `encodeRaftMessage` does not write. */
export function decodeRaftMessage(reader: ByteReader): RaftMessage {
  const head = reader.u8();
  const flag = (head & FLAG) !== 0;
  const term = reader.varint();
  switch (head) {
    case APPEND_REQUEST:
      return decodeAppendRequest(reader, term);
    case APPEND_RESPONSE:
      return {
        kind: 'append-response',
        term,
        success: false,
        index: reader.varint(),
        hintIndex: reader.varint(),
        hintTerm: reader.varint(),
      };
    case APPEND_RESPONSE | FLAG:
      return {
        kind: 'append-response',
        term,
        success: true,
        index: reader.varint(),
        hintIndex: 0,
        hintTerm: 0,
      };
    case HEARTBEAT:
      return { kind: 'heartbeat', term, commitIndex: reader.varint(), readRound: reader.varint() };
    case HEARTBEAT_RESPONSE:
      return { kind: 'heartbeat-response', term, readRound: reader.varint() };
    case VOTE_REQUEST:
    case VOTE_REQUEST | FLAG:
      return {
        kind: 'vote-request',
        term,
        lastIndex: reader.varint(),
        lastTerm: reader.varint(),
        force: flag,
      };
    case PRE_VOTE_REQUEST:
    case PRE_VOTE_REQUEST | FLAG:
      return {
        kind: 'pre-vote-request',
        term,
        lastIndex: reader.varint(),
        lastTerm: reader.varint(),
        force: flag,
      };
    case VOTE_RESPONSE:
    case VOTE_RESPONSE | FLAG:
      return { kind: 'vote-response', term, granted: flag };
    case PRE_VOTE_RESPONSE:
    case PRE_VOTE_RESPONSE | FLAG:
      return { kind: 'pre-vote-response', term, granted: flag };
    case READ_INDEX_REQUEST:
      return { kind: 'read-index-request', term, id: reader.varint() };
    case READ_INDEX_RESPONSE:
      return { kind: 'read-index-response', term, id: reader.varint(), index: reader.varint() - 1 };
    case TIMEOUT_NOW:
      return { kind: 'timeout-now', term };
    default:
      throw new DecodeError(`no raft message has kind ${head}`);
  }
}

function decodeAppendRequest(reader: ByteReader, term: number): RaftMessage {
  const previousIndex = reader.varint();
  const previousTerm = reader.varint();
  const commitIndex = reader.varint();
  const count = reader.varint();
  // Checked before anything is made of it: a forged count must not cost memory.
  if (count * MIN_ENTRY_BYTES > reader.remainingBytes)
    throw new DecodeError(`${count} entries do not fit into ${reader.remainingBytes} bytes`);
  if (previousIndex + count > Number.MAX_SAFE_INTEGER) throw new DecodeError('entry index too great');
  if (previousTerm > term) throw new DecodeError('an entry is newer than its message');
  const entries: LogEntry[] = [];
  for (let i = 1; i <= count; i++) {
    const age = reader.varint();
    if (age > term) throw new DecodeError('an entry has a negative term');
    entries.push({ index: previousIndex + i, term: term - age, payload: reader.bytes() });
  }
  return { kind: 'append-request', term, previousIndex, previousTerm, commitIndex, entries };
}
