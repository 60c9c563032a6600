import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import { decodeFrame, encodeFrame } from '../../src/env/real/frame-codec.js';

describe('The frame codec', () => {
  it('writes what protobuf writes', () => {
    expect(encodeFrame(Buffer.from('ab')).toString('hex')).toBe('0a026162');
    expect(encodeFrame(Buffer.alloc(0)).toString('hex')).toBe('0a00');
    expect(encodeFrame(Buffer.alloc(300)).subarray(0, 3).toString('hex')).toBe('0aac02');
    expect(encodeFrame(Buffer.alloc(20000)).subarray(0, 4).toString('hex')).toBe('0aa09c01');
  });

  it('reads back every payload, as a view', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40000 }), (bytes) => {
        const message = encodeFrame(bytes);
        const payload = decodeFrame(message);
        expect(payload.equals(bytes)).toBe(true);
        expect(payload.buffer).toBe(message.buffer);
      }),
    );
  });

  it('takes an absent payload for an empty one, skips unknown fields and lets the last payload count', () => {
    expect(decodeFrame(Buffer.alloc(0)).length).toBe(0);
    expect(decodeFrame(Buffer.from('10ffffffffffffffffff010a0161', 'hex')).toString()).toBe('a');
    expect(
      decodeFrame(Buffer.from('110102030405060708' + '1201ff' + '1d01020304' + '0a0162', 'hex')).toString(),
    ).toBe('b');
    expect(decodeFrame(Buffer.from('0a01610a0162', 'hex')).toString()).toBe('b');
  });

  it('refuses truncated messages', () => {
    const message = encodeFrame(Buffer.alloc(200, 7));
    for (let length = 1; length < message.length; length++)
      expect(() => decodeFrame(message.subarray(0, length))).toThrow(DecodeError);
  });

  it('answers any bytes with a payload or a DecodeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
