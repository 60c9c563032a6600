import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../../src/base/bytes.js';
import {
  decodeQuorumMessage,
  encodeQuorumMessage,
  forEachMutation,
  MutationEncoder,
} from '../../../src/protocol/quorum/codec.js';
import type {
  Mutation,
  MutationBatch,
  MutationNote,
  QuorumMessage,
  ReadAnswer,
  ReadQuery,
} from '../../../src/protocol/quorum/types.js';

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const version = fc.oneof(
  fc.integer({ min: 1, max: 1000 }),
  fc.maxSafeNat().map((value) => value + (value === 0 ? 1 : 0)),
);
const expiresAtMs = fc.oneof(fc.constantFrom(0, 1, 2), fc.maxSafeNat());
const bucketId = fc.oneof(fc.nat(3), fc.nat(100_000));
const id = fc.maxSafeNat();

const mutation: fc.Arbitrary<Mutation> = fc.record({
  bucketId,
  key: bytes,
  value: bytes,
  version,
  expiresAtMs,
});
const mutations = fc.array(mutation, { maxLength: 8 });

function batchOf(list: readonly Mutation[]): MutationBatch {
  const encoder = new MutationEncoder();
  for (const one of list) encoder.add(one.bucketId, one.key, one.value, one.version, one.expiresAtMs);
  return encoder.take();
}

function mutationsOf(batch: Buffer): Mutation[] {
  const list: Mutation[] = [];
  forEachMutation(batch, (bucket, key, value, given, expiry, position) => {
    expect(position).toBe(list.length);
    list.push({ bucketId: bucket, key, value, version: given, expiresAtMs: expiry });
  });
  return list;
}

const notes: fc.Arbitrary<MutationNote[]> = fc
  .uniqueArray(
    fc.record({
      position: fc.oneof(fc.nat(20), fc.nat(5000)),
      what: fc.constantFrom('newer' as const, 'lived' as const, 'refused' as const, 'ahead' as const),
      version,
    }),
    { maxLength: 6, selector: (note) => note.position },
  )
  .map((list) =>
    list
      .map((note) => (note.what === 'newer' ? note : { ...note, version: 0 }))
      .sort((left, right) => left.position - right.position),
  );

const query: fc.Arbitrary<ReadQuery> = fc.record({
  bucketId,
  key: bytes,
  knownVersion: fc.oneof(fc.constantFrom(0, -1), version),
});

const answer: fc.Arbitrary<ReadAnswer> = fc.oneof(
  fc.constantFrom<ReadAnswer>(
    { what: 'none' },
    { what: 'same' },
    { what: 'unknown-bucket' },
    { what: 'filling' },
  ),
  fc.record({ what: fc.constant('version' as const), version, expiresAtMs }),
  fc.record({
    what: fc.constant('record' as const),
    record: fc.record({ value: bytes, version, expiresAtMs }),
  }),
);

const messages: fc.Arbitrary<QuorumMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('mutate' as const),
    id,
    purpose: fc.constantFrom('write' as const, 'repair' as const, 'hint' as const, 'anti-entropy' as const),
    durable: fc.boolean(),
    batch: mutations.map(batchOf),
  }),
  fc.record({ kind: fc.constant('mutated' as const), id, notes }),
  fc.record({ kind: fc.constant('read' as const), id, queries: fc.array(query, { maxLength: 6 }) }),
  fc.record({ kind: fc.constant('records' as const), id, answers: fc.array(answer, { maxLength: 6 }) }),
);

function encode(message: QuorumMessage): Buffer {
  const writer = new ByteWriter();
  encodeQuorumMessage(writer, message);
  return writer.take();
}

describe('batches of mutations', () => {
  it('give back what was added, in order', () => {
    fc.assert(
      fc.property(mutations, (list) => {
        const batch = batchOf(list);
        expect(batch.count).toBe(list.length);
        expect(mutationsOf(batch.bytes)).toEqual(list);
      }),
    );
  });

  it('put one after the other are a batch again', () => {
    fc.assert(
      fc.property(mutations, mutations, (first, second) => {
        const joined = Buffer.concat([batchOf(first).bytes, batchOf(second).bytes]);
        expect(mutationsOf(joined)).toEqual([...first, ...second]);
      }),
    );
  });

  it('stand as they have always stood: journals and hints are read by later versions', () => {
    const batch = batchOf([
      {
        bucketId: 3,
        key: Buffer.from('k'),
        value: Buffer.from('vw'),
        version: 2 ** 52 + 258,
        expiresAtMs: 0,
      },
      { bucketId: 300, key: Buffer.from('gone'), value: Buffer.alloc(0), version: 1, expiresAtMs: 1 },
      {
        bucketId: 0,
        key: Buffer.from(''),
        value: Buffer.from('x'),
        version: 65536,
        expiresAtMs: 1_800_000_000_000,
      },
    ]);
    expect(batch.bytes.toString('hex')).toBe(
      [
        '00' + '02010000000010' + '03' + '016b' + '027677',
        '01' + '01000000000000' + 'ac02' + '04676f6e65' + '00',
        '02' + '00000100000000' + '80a0f1c2b134' + '00' + '00' + '0178',
      ].join(''),
    );
  });

  it('begun anew forget what was not taken', () => {
    const encoder = new MutationEncoder();
    encoder.add(1, Buffer.from('a'), Buffer.from('b'), 1, 0);
    encoder.begin();
    encoder.add(1, Buffer.from('c'), Buffer.from('d'), 2, 0);
    expect(encoder.count).toBe(1);
    const batch = encoder.take();
    expect(mutationsOf(batch.bytes).map(({ key }) => key.toString())).toEqual(['c']);
    expect(encoder.count).toBe(0);
    expect(encoder.sizeBytes).toBe(0);
  });
});

describe('the codec of quorum messages', () => {
  it('gives back what was encoded and reads no further', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const reader = new ByteReader(Buffer.concat([encode(message), Buffer.from('rest')]));
        expect(decodeQuorumMessage(reader)).toEqual(message);
        expect(reader.remainingBytes).toBe(4);
      }),
    );
  });

  it('refuses every message that is cut short', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const whole = encode(message);
        for (let size = 0; size < whole.length; size++)
          expect(() => decodeQuorumMessage(new ByteReader(whole, 0, size))).toThrow(DecodeError);
      }),
    );
  });

  it('takes mutated bytes as another message that can be walked, or refuses them, and raises nothing else', () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(255), (message, position, value) => {
        const mutated = encode(message);
        mutated[position % mutated.length] = value;
        let decoded: QuorumMessage;
        try {
          decoded = decodeQuorumMessage(new ByteReader(mutated));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        if (decoded.kind === 'mutate')
          expect(mutationsOf(decoded.batch.bytes)).toHaveLength(decoded.batch.count);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['an unknown kind', '05' + '00' + '00'],
    ['a read with the flags of a mutation', '43' + '00' + '00'],
    ['a mutation with a flag that does not exist', '81' + '00' + '00' + '00'],
    ['a batch of another count than told', '01' + '00' + '01' + '00'],
    ['a version beyond 2^53', '01' + '00' + '01' + '0b' + '00' + '000000000000ff' + '00' + '0161' + '00'],
    [
      'an expiry that does not exist',
      '01' + '00' + '01' + '0c' + '03' + '00000000000000' + '00' + '0161' + '0162',
    ],
    ['two notes on one position', '02' + '00' + '02' + '05' + '01'],
    ['a query that holds a version of nothing', '03' + '00' + '01' + '02' + '00000000000000' + '00' + '00'],
    ['a query that does not exist', '03' + '00' + '01' + '03' + '00' + '00'],
    ['an answer that does not exist', '04' + '00' + '01' + '06'],
    ['an answer of none with an expiry', '04' + '00' + '01' + '10'],
  ])('refuses %s', (_name, hex) => {
    expect(() => decodeQuorumMessage(new ByteReader(Buffer.from(hex, 'hex')))).toThrow(DecodeError);
  });
});
