import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../../src/base/bytes.js';
import { decodeSwimMessage, encodeSwimMessage } from '../../../src/protocol/swim/codec.js';
import { wholeDigest } from '../../../src/protocol/swim/load-digest.js';
import { MAX_INCARNATION } from '../../../src/protocol/swim/members.js';
import type { MemberLoad, MemberUpdate, SwimMessage } from '../../../src/protocol/swim/types.js';

const anyId = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' });
const anyIncarnation = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat().map((value) => value % (MAX_INCARNATION + 1)),
);

const anyUpdate: fc.Arbitrary<MemberUpdate> = fc.oneof(
  fc.record({
    member: anyId,
    state: fc.constantFrom('alive' as const, 'dead' as const),
    incarnation: anyIncarnation,
    accuser: fc.constant(''),
  }),
  fc.record({
    member: anyId,
    state: fc.constant('suspect' as const),
    incarnation: anyIncarnation,
    accuser: anyId,
  }),
);

const anyLoad: fc.Arbitrary<MemberLoad> = fc.record({
  member: anyId,
  version: anyIncarnation,
  digest: fc
    .record({
      loopLagMs: fc.double(),
      requestsPerSecond: fc.double(),
      memoryBytes: fc.maxSafeNat(),
      readP99Ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
      epoch: fc.nat(),
    })
    .map(wholeDigest),
});

const carried = {
  sequence: fc.maxSafeNat(),
  incarnation: anyIncarnation,
  updates: fc.array(anyUpdate, { maxLength: 5 }),
  loads: fc.array(anyLoad, { maxLength: 3 }),
};

const anyMessage: fc.Arbitrary<SwimMessage> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('ping' as const, 'ack' as const, 'nack' as const),
    ...carried,
  }),
  fc.record({ kind: fc.constant('ping-request' as const), target: anyId, ...carried }),
);

function encode(message: SwimMessage): Buffer {
  const writer = new ByteWriter();
  encodeSwimMessage(writer, message);
  return writer.take();
}

describe('the codec of membership messages', () => {
  test('gives back what was encoded and reads no further', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const reader = new ByteReader(Buffer.concat([encode(message), Buffer.from('rest')]));
        expect(decodeSwimMessage(reader)).toEqual(message);
        expect(reader.remainingBytes).toBe(4);
      }),
      { seed: 1 },
    );
  });

  test('refuses every message that is cut short', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const bytes = encode(message);
        for (let size = 0; size < bytes.length; size++)
          expect(() => decodeSwimMessage(new ByteReader(bytes, 0, size))).toThrow(DecodeError);
      }),
      { seed: 2 },
    );
  });

  test('takes mutated bytes as another message that can be sent on, or refuses them', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), fc.nat(255), (message, position, value) => {
        const bytes = encode(message);
        bytes[position % bytes.length] = value;
        let decoded: SwimMessage;
        try {
          decoded = decodeSwimMessage(new ByteReader(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        expect(decodeSwimMessage(new ByteReader(encode(decoded)))).toEqual(decoded);
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  test.each([
    ['a kind that is none', '0900000000'],
    ['a state that is none', '01000001030162000000'],
    ['a member without a name', '01000001000000000000'],
    ['an incarnation too great', '010081808080808080100000'],
    ['a count of updates that the bytes cannot hold', '010000ffffffffffffff0f00'],
    ['a count of digests that the bytes cannot hold', '01000000ffffffffffffff0f'],
  ])('refuses %s', (_name, hex) => {
    expect(() => decodeSwimMessage(new ByteReader(Buffer.from(hex, 'hex')))).toThrow(DecodeError);
  });

  test('keeps the bytes of each kind of message as they are on the wire', () => {
    const load: MemberLoad = {
      member: 'b',
      version: 300,
      digest: { loopLagMs: 2, requestsPerSecond: 128, memoryBytes: 5, readP99Ms: 0.25, epoch: 7 },
    };
    const pinned: [SwimMessage, string][] = [
      [{ kind: 'ping', sequence: 5, incarnation: 1, updates: [], loads: [] }, '0105010000'],
      [
        { kind: 'ping-request', sequence: 300, incarnation: 1, target: 'n2', updates: [], loads: [] },
        '02ac0201026e320000',
      ],
      [
        {
          kind: 'ack',
          sequence: 5,
          incarnation: 1,
          updates: [
            { member: 'b', state: 'alive', incarnation: 2, accuser: '' },
            { member: 'c', state: 'suspect', incarnation: 3, accuser: 'd' },
            { member: 'e', state: 'dead', incarnation: 4, accuser: '' },
          ],
          loads: [],
        },
        '030501030001620201016303016402016504' + '00',
      ],
      [
        { kind: 'nack', sequence: 5, incarnation: 1, updates: [], loads: [load] },
        '04050100010162ac0202800105' + '1907',
      ],
    ];
    for (const [message, hex] of pinned) {
      expect(encode(message).toString('hex'), message.kind).toBe(hex);
      expect(decodeSwimMessage(new ByteReader(Buffer.from(hex, 'hex')))).toEqual(message);
    }
  });
});
