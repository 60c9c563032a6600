import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NULL_ARRAY,
  OK,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../src/store/reply.js';
import { decodeReply, encodeReply } from '../../src/store/reply-codec.js';

const { reply: anyReply } = fc.letrec<{ reply: Reply; leaf: Reply }>((tie) => ({
  leaf: fc.oneof(
    fc.constant(null),
    fc.constant(OK),
    fc.constant(NULL_ARRAY),
    fc.boolean(),
    fc.maxSafeInteger().map((value) => (Object.is(value, -0) ? 0 : value)),
    fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.string().map((text) => new SimpleString(`+${text}`)),
    fc.string().map((text) => ErrorReply.of('WRONG_TYPE', text)),
    fc.double({ noNaN: true }).map((value) => new DoubleReply(value)),
    fc.string().map((text) => new VerbatimReply(text)),
  ),
  reply: fc.oneof(
    { depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('reply'), { maxLength: 4 }),
    fc.array(tie('reply'), { maxLength: 4 }).map((members) => new SetReply(members)),
    fc.array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 }).map((entries) => new MapReply(entries)),
  ),
}));

describe('the reply codec', () => {
  test('gives back every kind of reply', () => {
    fc.assert(
      fc.property(anyReply, (reply) => {
        expect(decodeReply(encodeReply(reply))).toEqual(reply);
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  test('keeps the constants that are told by identity', () => {
    expect(decodeReply(encodeReply(OK))).toBe(OK);
    expect(decodeReply(encodeReply(NULL_ARRAY))).toBe(NULL_ARRAY);
  });

  test('refuses every cut of every reply', () => {
    fc.assert(
      fc.property(anyReply, (reply) => {
        const bytes = encodeReply(reply);
        for (let length = 0; length < bytes.length; length++)
          expect(() => decodeReply(bytes.subarray(0, length))).toThrow(DecodeError);
      }),
      { seed: 4 },
    );
  });

  test('answers mutated bytes with another reply or a decode error, never anything else', () => {
    fc.assert(
      fc.property(anyReply, fc.nat(), fc.integer({ min: 0, max: 255 }), (reply, position, value) => {
        const bytes = encodeReply(reply);
        bytes[position % bytes.length] = value;
        try {
          decodeReply(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { seed: 5, numRuns: 1000 },
    );
  });

  test('reads an error code of a newer version as a defect with its text', () => {
    const bytes = encodeReply(new ErrorReply('WRONG_TYPE', 'ERR something new'));
    bytes.write('WRONG_TYPO', 2, 'latin1');
    expect(decodeReply(bytes)).toEqual(new ErrorReply('INTERNAL', 'ERR something new'));
  });

  test('refuses a reply nested without end', () => {
    const deep = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i % 2 === 0 ? 15 : 1)));
    expect(() => decodeReply(deep)).toThrow(DecodeError);
  });

  test('keeps its bytes', () => {
    const reply = [OK, 300, -1, null, Buffer.from('ab'), -(2n ** 63n), new ErrorReply('WRONG_TYPE', 'E')];
    expect(encodeReply(reply).toString('hex')).toBe(
      '0f0703' +
        '01ac02' +
        '0201' +
        '00' +
        '05026162' +
        '040000000000000080' +
        '090a57524f4e475f545950450145',
    );
  });
});
