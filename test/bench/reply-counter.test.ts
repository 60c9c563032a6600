/** The load generator's reply counter: whole, byte by byte, in any pieces. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReplyCounter } from '../../bench/load/reply-counter.js';

/** A reply and whether it is an error. */
const REPLIES: readonly (readonly [string, boolean])[] = [
  ['+OK\r\n', false],
  ['-ERR no\r\n', true],
  [':42\r\n', false],
  [':-1\r\n', false],
  ['$5\r\nhello\r\n', false],
  ['$0\r\n\r\n', false],
  ['$-1\r\n', false],
  ['$4\r\n\r\n\r\n\r\n', false],
  ['*0\r\n', false],
  ['*-1\r\n', false],
  ['*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n', false],
  ['*2\r\n-ERR within\r\n:1\r\n', false],
  ['_\r\n', false],
  ['#t\r\n', false],
  [',1.5\r\n', false],
  ['%2\r\n+a\r\n:1\r\n+b\r\n$-1\r\n', false],
  ['~1\r\n+a\r\n', false],
  ['=8\r\ntxt:text\r\n', false],
  ['!6\r\nERR no\r\n', true],
];

function count(chunks: readonly Buffer[]): boolean[] {
  const seen: boolean[] = [];
  const counter = new ReplyCounter((isError) => seen.push(isError));
  for (const chunk of chunks) counter.push(chunk);
  return seen;
}

describe('reply counter', () => {
  test.each(REPLIES)('%j is one reply, whole or byte by byte', (text, isError) => {
    const bytes = Buffer.from(text);
    expect(count([bytes])).toEqual([isError]);
    expect(count([...bytes].map((byte) => Buffer.from([byte])))).toEqual([isError]);
  });

  test.each(REPLIES)('%j is no reply before its last byte', (text) => {
    expect(count([Buffer.from(text).subarray(0, -1)])).toEqual([]);
  });

  test('a stream of replies is counted alike however it is cut', () => {
    const stream = fc.array(fc.constantFrom(...REPLIES), { maxLength: 30 });
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (replies, sizes) => {
        const bytes = Buffer.from(replies.map(([text]) => text).join(''));
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length]!;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(count(chunks)).toEqual(replies.map(([, isError]) => isError));
      }),
    );
  });

  test('what is no RESP is refused', () => {
    expect(() => count([Buffer.from('HTTP/1.1 400 Bad Request\r\n')])).toThrow('speaks no RESP');
  });
});
