import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter, DecodeError } from '../../../src/base/bytes.js';
import { SLOT_COUNT } from '../../../src/base/slots.js';
import { decodeRepairMessage, encodeRepairMessage } from '../../../src/protocol/quorum/anti-entropy-codec.js';
import { type RepairMessage, WHOLE } from '../../../src/protocol/quorum/anti-entropy-messages.js';
import { MutationEncoder } from '../../../src/protocol/quorum/codec.js';
import { childrenOf, rangesAt, rangeWidth, TOKEN_LEVEL } from '../../../src/protocol/quorum/merkle.js';

const u32 = fc.nat(2 ** 32 - 1);
const id = fc.maxSafeNat();
const bucketId = fc.oneof(fc.nat(3), fc.nat(100_000));
const version = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const bytes = fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array));

const batch = fc
  .array(
    fc.record({ bucketId, key: bytes, value: bytes, version, expiresAtMs: fc.constantFrom(0, 1, 2, 1e12) }),
    {
      maxLength: 4,
    },
  )
  .map((mutations) => {
    const encoder = new MutationEncoder();
    for (const { bucketId, key, value, version, expiresAtMs } of mutations)
      encoder.add(bucketId, key, value, version, expiresAtMs);
    return encoder.take();
  });
const positions = fc.uniqueArray(fc.nat(5000), { maxLength: 6 }).map((list) => list.sort((a, b) => a - b));
const slots = fc
  .uniqueArray(fc.nat(SLOT_COUNT - 1), { maxLength: 6 })
  .map((list) => list.sort((a, b) => a - b));
const withDigests = slots.chain((list) =>
  fc
    .array(u32, { minLength: list.length, maxLength: list.length })
    .map((digests) => ({ slots: list, digests })),
);
const notes = fc.array(fc.record({ bucketId, slot: fc.nat(SLOT_COUNT - 1), throughMs: id }), {
  maxLength: 4,
});
const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
const level = fc.nat(TOKEN_LEVEL);
const range = fc.tuple(bucketId, level, fraction, fraction).map(([bucketId, level, where, skipped]) => ({
  bucketId,
  level,
  index: Math.floor(where * rangesAt(level)),
  skip: Math.floor((skipped * rangeWidth(level)) / 4) * 4,
}));
const listed = range.chain((range) =>
  fc.array(fc.tuple(fraction, version), { maxLength: 6 }).chain((entries) => {
    const width = rangeWidth(range.level);
    const offsets = entries
      .map(([where]) => range.skip + Math.floor((where * (width - range.skip)) / 4) * 4)
      .sort((a, b) => a - b);
    return u32.map((digest) => ({
      range,
      tokens: offsets.map((offset) => range.index * width + offset),
      versions: entries.map(([, version]) => version),
      digest,
    }));
  }),
);
const compared = fc
  .tuple(bucketId, fc.nat(TOKEN_LEVEL - 1), fraction)
  .chain(([bucketId, level, where]) =>
    fc
      .array(u32, { minLength: childrenOf(level), maxLength: childrenOf(level) })
      .map((digests) => ({ bucketId, level, index: Math.floor(where * rangesAt(level)), digests })),
  );
const comparedAnswer = fc.oneof(
  fc.nat(0xffff).map((differing) => ({ differing, counts: [] as number[] })),
  fc.uniqueArray(fc.nat(15), { minLength: 1 }).chain((children) =>
    fc.array(fc.nat(1_000_000), { minLength: children.length, maxLength: children.length }).map((counts) => ({
      differing: children.reduce((bits, child) => bits | (1 << child), 0),
      counts,
    })),
  ),
);
const layout = { id, group: fc.nat(1000), layout: u32, salt: u32 };

const messages: fc.Arbitrary<RepairMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('roots' as const),
    ...layout,
    buckets: fc.array(fc.record({ bucketId, flushedThrough: id, low: u32, high: u32 }), { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    ...layout,
    ranges: fc.array(compared, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('list' as const), id, ranges: fc.array(listed, { maxLength: 3 }) }),
  fc.record({ kind: fc.constant('want' as const), id, ranges: fc.array(range, { maxLength: 5 }) }),
  fc.record({ kind: fc.constant('push' as const), id, batch, notes }),
  fc
    .tuple(id, bucketId, withDigests)
    .map(([id, bucketId, both]) => ({ kind: 'purge-query' as const, id, bucketId, ...both })),
  fc.record({
    kind: fc.constant('roots-answer' as const),
    id,
    agreed: fc.boolean(),
    filling: fc.boolean(),
    differing: positions,
    skipped: positions,
  }),
  fc.record({
    kind: fc.constant('compare-answer' as const),
    id,
    ranges: fc.array(comparedAnswer, { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('records' as const),
    id,
    batch,
    ranges: fc.array(
      fc.record({
        wanted: positions,
        resume: fc.oneof(
          fc.constant(WHOLE),
          fc.nat(1_000_000).map((tokens) => tokens * 4),
        ),
      }),
      { maxLength: 4 },
    ),
  }),
  fc.record({ kind: fc.constant('pushed' as const), id, notes }),
  fc.record({ kind: fc.constant('purge-answer' as const), id, equal: positions }),
  fc
    .tuple(bucketId, id, withDigests)
    .map(([bucketId, throughMs, both]) => ({ kind: 'purge' as const, bucketId, throughMs, ...both })),
);

function encoded(message: RepairMessage): Buffer {
  const writer = new ByteWriter();
  encodeRepairMessage(writer, message);
  return writer.take();
}

/** Decodes bytes that may mean nothing: the only failure allowed is a DecodeError. */
function decodesOrRefuses(body: Buffer): void {
  try {
    decodeRepairMessage(body);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
}

describe('the codec of anti-entropy', () => {
  it('gives back every message as it was', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeRepairMessage(encoded(message))).toEqual(message);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses every truncated message, byte by byte', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const body = encoded(message);
        for (let length = 0; length < body.length; length++)
          expect(() => decodeRepairMessage(body.subarray(0, length))).toThrow(DecodeError);
      }),
    );
  });

  it('refuses bytes behind a message', () => {
    fc.assert(
      fc.property(messages, fc.nat(255), (message, byte) => {
        const body = Buffer.concat([encoded(message), Buffer.from([byte])]);
        expect(() => decodeRepairMessage(body)).toThrow(DecodeError);
      }),
    );
  });

  it('decodes or refuses whatever a message is changed into', () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(255), (message, where, byte) => {
        const body = encoded(message);
        body[where % body.length] = byte;
        decodesOrRefuses(body);
      }),
      { numRuns: 2000 },
    );
  });

  it('decodes or refuses whatever is no message at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => decodesOrRefuses(Buffer.from(noise))),
      { numRuns: 2000 },
    );
  });
});
