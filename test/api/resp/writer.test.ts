import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ProtocolVersion, ReplyWriter } from '../../../src/api/resp/writer.js';
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
} from '../../../src/store/reply.js';
import { decodeReply } from '../../support/resp-socket.js';

function bytesOf(reply: Reply, protocol: ProtocolVersion): string {
  const writer = new ReplyWriter();
  writer.write(reply, protocol);
  return writer.take().toString('latin1');
}

const text = (value: string): Buffer => Buffer.from(value);

const GOLDEN: [string, Reply, string, string][] = [
  ['OK', OK, '+OK\r\n', '+OK\r\n'],
  ['a status', new SimpleString('QUEUED'), '+QUEUED\r\n', '+QUEUED\r\n'],
  ['an error', new ErrorReply('WRONG_TYPE', 'WRONGTYPE no'), '-WRONGTYPE no\r\n', '-WRONGTYPE no\r\n'],
  ['an error of lines', new ErrorReply('INTERNAL', 'ERR a\r\nb\nc'), '-ERR a  b c\r\n', '-ERR a  b c\r\n'],
  ['zero', 0, ':0\r\n', ':0\r\n'],
  ['a negative integer', -12, ':-12\r\n', ':-12\r\n'],
  ['a large integer', 9007199254740991, ':9007199254740991\r\n', ':9007199254740991\r\n'],
  ['a 64-bit integer', -(2n ** 63n), ':-9223372036854775808\r\n', ':-9223372036854775808\r\n'],
  ['a string', text('hello'), '$5\r\nhello\r\n', '$5\r\nhello\r\n'],
  ['an empty string', text(''), '$0\r\n\r\n', '$0\r\n\r\n'],
  ['bytes', Buffer.from([0, 13, 10, 255]), '$4\r\n\x00\r\n\xff\r\n', '$4\r\n\x00\r\n\xff\r\n'],
  ['no string', null, '$-1\r\n', '_\r\n'],
  ['no array', NULL_ARRAY, '*-1\r\n', '_\r\n'],
  ['true', true, ':1\r\n', '#t\r\n'],
  ['false', false, ':0\r\n', '#f\r\n'],
  ['a float', new DoubleReply(1.5), '$3\r\n1.5\r\n', ',1.5\r\n'],
  ['infinity', new DoubleReply(Number.NEGATIVE_INFINITY), '$4\r\n-inf\r\n', ',-inf\r\n'],
  ['verbatim text', new VerbatimReply('a\nb'), '$3\r\na\nb\r\n', '=7\r\ntxt:a\nb\r\n'],
  ['an empty array', [], '*0\r\n', '*0\r\n'],
  ['an array', [1, text('a'), null], '*3\r\n:1\r\n$1\r\na\r\n$-1\r\n', '*3\r\n:1\r\n$1\r\na\r\n_\r\n'],
  [
    'a map',
    new MapReply([
      [text('a'), 1],
      [text('b'), [true]],
    ]),
    '*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n:1\r\n',
    '%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n#t\r\n',
  ],
  ['a set', new SetReply([text('a')]), '*1\r\n$1\r\na\r\n', '~1\r\n$1\r\na\r\n'],
];

describe('reply writer', () => {
  it.each(GOLDEN)('writes %s in both protocols', (_, reply, second, third) => {
    expect(bytesOf(reply, 2)).toBe(second);
    expect(bytesOf(reply, 3)).toBe(third);
  });

  it('writes every safe integer as its decimal digits', () => {
    const boundary = fc.integer({ min: 0, max: 15 }).map((power) => 10 ** power);
    const near = fc.tuple(boundary, fc.integer({ min: -1, max: 1 })).map(([value, step]) => value + step);
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeInteger(), near), (value) => {
        expect(bytesOf(value, 2)).toBe(`:${value}\r\n`);
      }),
      { seed: 11, numRuns: 1000 },
    );
  });

  it('writes strings of every size around its buffers to the byte', () => {
    const sizes = [1, 24, 25, 4000, 16 * 1024 - 1, 16 * 1024, 64 * 1024 - 10, 64 * 1024, 300_000];
    const writer = new ReplyWriter();
    const values = sizes.map((size) => Buffer.alloc(size, String(size)));
    for (const value of values) writer.write(value, 2);
    const pending = writer.pendingBytes;
    const bytes = writer.take();
    expect(bytes.length).toBe(pending);
    const wanted = values.flatMap((value) => [
      Buffer.from(`$${value.length}\r\n`),
      value,
      Buffer.from('\r\n'),
    ]);
    expect(bytes.equals(Buffer.concat(wanted))).toBe(true);
    expect(writer.pendingBytes).toBe(0);
  });

  it('writes many replies one after the other, whatever their sizes', () => {
    const value = fc.uint8Array({ maxLength: 40_000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 12 }), (values) => {
        const writer = new ReplyWriter();
        for (let round = 0; round < 2; round++) {
          for (const one of values) writer.write(one, 3);
          const bytes = writer.take();
          let at = 0;
          for (const one of values) {
            const decoded = decodeReply(bytes, at);
            expect(decoded?.value).toBe(one.toString('utf8'));
            at = decoded?.next ?? 0;
          }
          expect(at).toBe(bytes.length);
        }
      }),
      { seed: 12, numRuns: 40 },
    );
  });

  it('forgets what it is told to discard', () => {
    const writer = new ReplyWriter();
    writer.write(text('x'.repeat(20_000)), 2);
    writer.write(1, 2);
    writer.discard();
    writer.write(2, 2);
    expect(writer.take().toString()).toBe(':2\r\n');
  });
});
