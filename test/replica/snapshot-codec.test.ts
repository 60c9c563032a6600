import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../src/base/bytes.js';
import {
  CHUNK,
  decodeAcknowledgement,
  decodeChunkHeader,
  encodeAcknowledgement,
  encodeChunkHeader,
} from '../../src/replica/snapshot-codec.js';

function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(16);
  write(writer);
  return writer.take();
}

const HEADER = { snapshotId: 300, term: 7, number: 129, type: CHUNK.slots };
const ACKNOWLEDGEMENT = { snapshotId: 300, next: 130, done: true };

describe('the head of a snapshot’s chunk and its acknowledgement', () => {
  test('come back as they were', () => {
    const anyHeader = fc.record({
      snapshotId: fc.maxSafeNat(),
      term: fc.maxSafeNat(),
      number: fc.maxSafeNat(),
      type: fc.nat(255),
    });
    const anyAcknowledgement = fc.record({
      snapshotId: fc.maxSafeNat(),
      next: fc.maxSafeNat(),
      done: fc.boolean(),
    });
    fc.assert(
      fc.property(anyHeader, anyAcknowledgement, (header, acknowledgement) => {
        const chunk = written((writer) => encodeChunkHeader(writer, header));
        expect(decodeChunkHeader(new ByteReader(chunk))).toEqual(header);
        const answer = written((writer) => encodeAcknowledgement(writer, acknowledgement));
        expect(decodeAcknowledgement(new ByteReader(answer))).toEqual(acknowledgement);
      }),
      { seed: 1 },
    );
  });

  test('are pinned to their bytes', () => {
    expect(written((writer) => encodeChunkHeader(writer, HEADER)).toString('hex')).toBe('ac0207810102');
    expect(written((writer) => encodeAcknowledgement(writer, ACKNOWLEDGEMENT)).toString('hex')).toBe(
      'ac02820101',
    );
    expect(CHUNK).toEqual({ head: 1, slots: 2, end: 3 });
  });

  test('are refused when they are cut', () => {
    const chunk = written((writer) => encodeChunkHeader(writer, HEADER));
    for (let length = 0; length < chunk.length; length++)
      expect(() => decodeChunkHeader(new ByteReader(chunk.subarray(0, length)))).toThrow(DecodeError);
    const answer = written((writer) => encodeAcknowledgement(writer, ACKNOWLEDGEMENT));
    for (let length = 0; length < answer.length; length++)
      expect(() => decodeAcknowledgement(new ByteReader(answer.subarray(0, length)))).toThrow(DecodeError);
  });
});
