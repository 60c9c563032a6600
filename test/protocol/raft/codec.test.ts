import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../../src/base/bytes.js';
import { decodeRaftMessage, encodeAppendHead, encodeRaftMessage } from '../../../src/protocol/raft/codec.js';
import type { RaftMessage } from '../../../src/protocol/raft/types.js';

const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
const small = fc.nat(1_000_000);

const messages: fc.Arbitrary<RaftMessage> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('pre-vote-request' as const, 'vote-request' as const),
    term: number,
    lastIndex: number,
    lastTerm: number,
    force: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom('pre-vote-response' as const, 'vote-response' as const),
    term: number,
    granted: fc.boolean(),
  }),
  fc
    .record({
      term: small,
      previousIndex: small,
      age: small,
      commitIndex: number,
      entries: fc.array(fc.record({ age: small, payload: fc.uint8Array({ maxLength: 200 }) }), {
        maxLength: 5,
      }),
    })
    .map(
      ({ term, previousIndex, age, commitIndex, entries }): RaftMessage => ({
        kind: 'append-request',
        term,
        previousIndex,
        previousTerm: Math.max(0, term - age),
        commitIndex,
        entries: entries.map((entry, i) => ({
          index: previousIndex + 1 + i,
          term: Math.max(0, term - entry.age),
          payload: Buffer.from(entry.payload),
        })),
      }),
    ),
  fc.record({
    kind: fc.constant('append-response' as const),
    term: number,
    success: fc.constant(false),
    index: number,
    hintIndex: number,
    hintTerm: number,
  }),
  fc.record({
    kind: fc.constant('append-response' as const),
    term: number,
    success: fc.constant(true),
    index: number,
    hintIndex: fc.constant(0),
    hintTerm: fc.constant(0),
  }),
  fc.record({
    kind: fc.constant('heartbeat' as const),
    term: number,
    commitIndex: number,
    readRound: number,
  }),
  fc.record({ kind: fc.constant('heartbeat-response' as const), term: number, readRound: number }),
  fc.record({ kind: fc.constant('read-index-request' as const), term: number, id: number }),
  fc.record({
    kind: fc.constant('read-index-response' as const),
    term: number,
    id: number,
    index: fc.oneof(fc.constant(-1), fc.nat()),
  }),
  fc.record({ kind: fc.constant('timeout-now' as const), term: number }),
);

function encode(message: RaftMessage): Buffer {
  const writer = new ByteWriter();
  encodeRaftMessage(writer, message);
  return writer.take();
}

describe('the codec of raft messages', () => {
  it('writes the head of an append with one entry as it stands before the payload', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const entry = message.kind === 'append-request' ? message.entries[0] : undefined;
        fc.pre(message.kind === 'append-request' && entry !== undefined);
        const single = { ...message, entries: [entry] };
        const [whole, head] = [new ByteWriter(), new ByteWriter()];
        encodeRaftMessage(whole, single);
        encodeAppendHead(head, single, entry);
        expect(Buffer.concat([head.take(), entry.payload])).toEqual(whole.take());
      }),
    );
  });

  it('gives back what was encoded and reads no further', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const bytes = Buffer.concat([encode(message), Buffer.from('rest')]);
        const reader = new ByteReader(bytes);
        expect(decodeRaftMessage(reader)).toEqual(message);
        expect(reader.remainingBytes).toBe(4);
      }),
    );
  });

  it('refuses every message that is cut short', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const bytes = encode(message);
        for (let size = 0; size < bytes.length; size++)
          expect(() => decodeRaftMessage(new ByteReader(bytes, 0, size))).toThrow(DecodeError);
      }),
    );
  });

  it('takes mutated bytes as another message or refuses them, and raises nothing else', () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(255), (message, position, value) => {
        const bytes = encode(message);
        bytes[position % bytes.length] = value;
        try {
          decodeRaftMessage(new ByteReader(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });

  it('hands out payloads as views of what it was given', () => {
    const bytes = encode({
      kind: 'append-request',
      term: 3,
      previousIndex: 7,
      previousTerm: 2,
      commitIndex: 6,
      entries: [{ index: 8, term: 3, payload: Buffer.from('payload') }],
    });
    const message = decodeRaftMessage(new ByteReader(bytes));
    if (message.kind !== 'append-request') throw new Error('another message came out');
    bytes.fill(0x2a);
    expect(message.entries[0]!.payload.toString()).toBe('*******');
  });

  it('does not believe a count of entries that the bytes cannot hold', () => {
    const writer = new ByteWriter();
    writer.u8(5);
    for (const value of [1, 0, 0, 0, Number.MAX_SAFE_INTEGER]) writer.varint(value);
    expect(() => decodeRaftMessage(new ByteReader(writer.take()))).toThrow(DecodeError);
  });

  it('keeps the bytes of each kind of message as they are on the wire', () => {
    const pinned: [RaftMessage, string][] = [
      [{ kind: 'pre-vote-request', term: 1, lastIndex: 2, lastTerm: 3, force: false }, '01010203'],
      [{ kind: 'vote-request', term: 300, lastIndex: 2, lastTerm: 3, force: true }, '42ac020203'],
      [{ kind: 'pre-vote-response', term: 1, granted: true }, '4301'],
      [{ kind: 'vote-response', term: 1, granted: false }, '0401'],
      [
        {
          kind: 'append-request',
          term: 5,
          previousIndex: 9,
          previousTerm: 4,
          commitIndex: 8,
          entries: [
            { index: 10, term: 4, payload: Buffer.from('a') },
            { index: 11, term: 5, payload: Buffer.alloc(0) },
          ],
        },
        '0505090408020101610000',
      ],
      [{ kind: 'append-response', term: 5, success: true, index: 11, hintIndex: 0, hintTerm: 0 }, '46050b'],
      [
        { kind: 'append-response', term: 5, success: false, index: 9, hintIndex: 7, hintTerm: 2 },
        '0605090702',
      ],
      [{ kind: 'heartbeat', term: 5, commitIndex: 9, readRound: 1 }, '07050901'],
      [{ kind: 'heartbeat-response', term: 5, readRound: 1 }, '080501'],
      [{ kind: 'read-index-request', term: 5, id: 128 }, '09058001'],
      [{ kind: 'read-index-response', term: 5, id: 1, index: -1 }, '0a050100'],
      [{ kind: 'timeout-now', term: 5 }, '0b05'],
    ];
    for (const [message, hex] of pinned) {
      expect(encode(message).toString('hex'), message.kind).toBe(hex);
      expect(decodeRaftMessage(new ByteReader(Buffer.from(hex, 'hex')))).toEqual(message);
    }
  });
});
