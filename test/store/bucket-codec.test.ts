import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../src/base/bytes.js';
import { encodeBucket, parseBucket, readBucket } from '../../src/store/bucket-codec.js';
import { ErrorReply } from '../../src/store/reply.js';
import type { BucketDescription } from '../../src/store/types.js';

const counts = fc.nat({ max: 7 });
const sizes = fc.maxSafeNat();
const buckets: fc.Arbitrary<BucketDescription> = fc.record(
  {
    id: fc.nat(),
    name: fc.string({ maxLength: 20 }),
    replication: fc.constantFrom('raft', 'mencius', 'quorum', 'primary'),
    engine: fc.constantFrom('memory', 'lmdb', 'level'),
    ttlMs: sizes,
    retention: fc.record({
      maxIdleMs: sizes,
      maxMemoryBytes: sizes,
      eviction: fc.constantFrom('noeviction', 'lru', 'lfu'),
    }),
    quorum: fc.record({
      n: counts,
      r: counts,
      w: counts,
      readRepair: fc.boolean(),
      hintedHandoff: fc.boolean(),
      antiEntropy: fc.boolean(),
      flushedThrough: sizes,
    }),
  },
  { requiredKeys: ['id', 'name', 'replication', 'engine', 'ttlMs'] },
);

const FULL: BucketDescription = {
  id: 300,
  name: 'sessions',
  replication: 'quorum',
  engine: 'memory',
  ttlMs: 1_800_000,
  retention: { maxIdleMs: 3_600_000, maxMemoryBytes: 2 ** 30, eviction: 'lfu' },
  quorum: {
    n: 3,
    r: 2,
    w: 2,
    readRepair: true,
    hintedHandoff: false,
    antiEntropy: true,
    flushedThrough: 2 ** 52 + 1,
  },
};

describe('the bytes of a bucket', () => {
  test('bring back what was written', () => {
    fc.assert(
      fc.property(buckets, (bucket) => {
        expect(parseBucket(encodeBucket(bucket))).toEqual(bucket);
      }),
    );
  });

  test('stay as they are', () => {
    expect(encodeBucket(FULL).toString('hex')).toMatchInlineSnapshot(
      `"02ac020873657373696f6e730671756f72756d066d656d6f7279c0ee6d0380dddb018080808004036c6675030202058180808080808008"`,
    );
  });

  test('of format 1 are read as a bucket without policies', () => {
    const writer = new ByteWriter(64);
    writer.u8(1);
    writer.varint(7);
    for (const word of ['old', 'raft', 'lmdb']) writer.string(word);
    writer.varint(9000);
    expect(parseBucket(writer.take())).toEqual({
      id: 7,
      name: 'old',
      replication: 'raft',
      engine: 'lmdb',
      ttlMs: 9000,
    });
  });

  test('cut short are refused, wherever they are cut', () => {
    const bytes = encodeBucket(FULL);
    for (let end = 0; end < bytes.length; end++)
      expect(parseBucket(bytes.subarray(0, end)), `cut at ${end}`).toBeInstanceOf(ErrorReply);
    expect(parseBucket(Buffer.concat([bytes, Buffer.alloc(1)]))).toBeInstanceOf(ErrorReply);
  });

  test('that are changed give another bucket or a decoding error, nothing else', () => {
    const bytes = encodeBucket(FULL);
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= change;
        try {
          expect(readBucket(new ByteReader(changed))).not.toEqual(FULL);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });

  test('with words that nobody knows are refused', () => {
    for (const word of ['quorum', 'memory', 'lfu']) {
      const bytes = encodeBucket(FULL);
      const at = bytes.indexOf(word);
      bytes[at + 1] = 0x78;
      expect(parseBucket(bytes), word).toBeInstanceOf(ErrorReply);
    }
  });
});
