import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputBudget } from '../../../src/api/resp/input-budget.js';
import {
  COMMAND,
  FAILED,
  INCOMPLETE,
  MAX_BULK_BYTES,
  MAX_LINE_BYTES,
  REFUSED,
  RequestParser,
} from '../../../src/api/resp/parser.js';
import { encodeCommand } from '../../support/resp-socket.js';

const LIMITS = { maxValueBytes: 4096, maxRequestBytes: 16 * 1024, maxArguments: 64 };

interface Parsed {
  readonly commands: string[][];
  readonly refused: string[];
  readonly failed: string | undefined;
  readonly midRequest: boolean;
}

function parse(chunks: readonly Buffer[], limits = LIMITS): Parsed {
  const parser = new RequestParser(limits);
  const commands: string[][] = [];
  const refused: string[] = [];
  for (const chunk of chunks) {
    parser.feed(chunk);
    for (;;) {
      const outcome = parser.next();
      if (outcome === INCOMPLETE) break;
      if (outcome === COMMAND) {
        const name = parser.nameBytes.toString('latin1', parser.nameStart, parser.nameEnd);
        commands.push([name, ...parser.args.map((arg) => arg.toString('latin1'))]);
      } else if (outcome === REFUSED) refused.push(parser.error?.text ?? '');
      else if (outcome === FAILED)
        return { commands, refused, failed: parser.error?.text ?? '', midRequest: parser.midRequest };
    }
  }
  return { commands, refused, failed: undefined, midRequest: parser.midRequest };
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places].map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const place of [...sorted, bytes.length]) {
    // A chunk of its own memory, as a socket gives it.
    if (place > from) chunks.push(Buffer.from(bytes.subarray(from, place)));
    from = Math.max(from, place);
  }
  return chunks;
}

const word = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const request = fc.array(word, { minLength: 1, maxLength: 8 });
const pipeline = fc.array(request, { minLength: 1, maxLength: 10 });

function expected(requests: readonly (readonly Buffer[])[]): string[][] {
  return requests.map((words) => words.map((one) => one.toString('latin1')));
}

function encode(requests: readonly (readonly Buffer[])[]): Buffer {
  return Buffer.concat(requests.map((words) => encodeCommand(...words)));
}

describe('request parser', () => {
  it('reads the same requests however the bytes are cut', () => {
    fc.assert(
      fc.property(pipeline, fc.array(fc.nat(), { maxLength: 20 }), (requests, places) => {
        const bytes = encode(requests);
        const whole = parse([bytes]);
        expect(whole.commands).toEqual(expected(requests));
        expect(whole.midRequest).toBe(false);
        expect(parse(cut(bytes, places)).commands).toEqual(whole.commands);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('reads the same requests byte by byte', () => {
    fc.assert(
      fc.property(pipeline, (requests) => {
        const bytes = encode(requests);
        const single = Array.from(bytes, (byte) => Buffer.from([byte]));
        expect(parse(single).commands).toEqual(expected(requests));
      }),
      { seed: 2, numRuns: 60 },
    );
  });

  it('waits for more when the bytes end early, and gives only whole requests', () => {
    fc.assert(
      fc.property(request, fc.nat(), (words, place) => {
        const bytes = encode([words]);
        const part = bytes.subarray(0, place % bytes.length);
        const parsed = parse([part]);
        expect(parsed.commands).toEqual([]);
        expect(parsed.failed).toBeUndefined();
        expect(parsed.midRequest).toBe(part.length > 0);
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  it('survives any change of the bytes: a request, an error or a wait, the same whole or byte by byte', () => {
    const change = fc.tuple(fc.nat(), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(pipeline, fc.array(change, { minLength: 1, maxLength: 5 }), (requests, changes) => {
        const bytes = encode(requests);
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte;
        const whole = parse([bytes]);
        const single = parse(Array.from(bytes, (byte) => Buffer.from([byte])));
        expect(single.commands).toEqual(whole.commands);
        expect(single.refused).toEqual(whole.refused);
        expect(single.failed).toEqual(whole.failed);
      }),
      { seed: 4, numRuns: 300 },
    );
  });

  it('survives random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(() => parse([Buffer.from(bytes)])).not.toThrow();
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  it.each([
    ['*a\r\n', 'invalid multibulk length'],
    ['*65\r\n', 'invalid multibulk length'],
    ['*99999999999999999999\r\n', 'invalid multibulk length'],
    ['*\r\n', 'invalid multibulk length'],
    ['*02\r\n', 'invalid multibulk length'],
    ['*+2\r\n', 'invalid multibulk length'],
    ['*1\r\nGET\r\n', "expected '$', got 'G'"],
    ['*2\r\n$3\r\nGET\r\n:1\r\n', "expected '$', got ':'"],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$x\r\n', 'invalid bulk length'],
    [`*1\r\n$${MAX_BULK_BYTES + 1}\r\n`, 'invalid bulk length'],
    ['"abc\r\n', 'unbalanced quotes in request'],
    ['get "a"b\r\n', 'unbalanced quotes in request'],
    [`*${'1'.repeat(MAX_LINE_BYTES + 1)}`, 'too big mbulk count string'],
    [`*1\r\n$${'1'.repeat(MAX_LINE_BYTES + 1)}`, 'too big bulk count string'],
    ['x'.repeat(MAX_LINE_BYTES + 1), 'too big inline request'],
  ])('refuses %j as Redis does', (text, message) => {
    expect(parse([Buffer.from(text)]).failed).toBe(`ERR Protocol error: ${message}`);
  });

  it('finds an endless line too long when it comes in small pieces', () => {
    const pieces = Array.from({ length: 70 }, () => Buffer.alloc(1024, 'a'));
    expect(parse(pieces).failed).toBe('ERR Protocol error: too big inline request');
  });

  it('passes over empty requests', () => {
    const bytes = Buffer.from('\r\n*0\r\n*-1\r\n  \r\n*1\r\n$4\r\nPING\r\n\n');
    expect(parse([bytes]).commands).toEqual([['PING']]);
  });

  it('reads a name of no bytes as a request', () => {
    expect(parse([Buffer.from('*1\r\n$0\r\n\r\n')]).commands).toEqual([['']]);
    expect(parse([Buffer.from('""\r\n')]).commands).toEqual([['']]);
  });

  it.each([
    ['SET a b\r\n', ['SET', 'a', 'b']],
    ['SET a b\n', ['SET', 'a', 'b']],
    ['  SET\t"a b"  \'c d\' \r\n', ['SET', 'a b', 'c d']],
    ['SET "\\x41\\n\\r\\t\\b\\a\\"\\\\\\q" x\r\n', ['SET', 'A\n\r\t\b\x07"\\q', 'x']],
    ["SET 'it\\'s' '\\n'\r\n", ['SET', "it's", '\\n']],
    ['SET "" x\r\n', ['SET', '', 'x']],
    ['SET "\\xZZ" x\r\n', ['SET', 'xZZ', 'x']],
  ])('reads the inline request %j', (text, words) => {
    expect(parse([Buffer.from(text, 'latin1')]).commands).toEqual([words]);
  });

  it('mixes inline and bulk requests on one connection', () => {
    const bytes = Buffer.concat([
      Buffer.from('PING\r\n'),
      encodeCommand('GET', 'a'),
      Buffer.from('QUIT\r\n'),
    ]);
    expect(parse([bytes]).commands).toEqual([['PING'], ['GET', 'a'], ['QUIT']]);
  });

  it('reads past a value over the limit and goes on with the next request', () => {
    const bytes = Buffer.concat([
      encodeCommand('SET', 'a', Buffer.alloc(LIMITS.maxValueBytes + 1)),
      encodeCommand('SET', 'b', Buffer.alloc(LIMITS.maxValueBytes)),
      encodeCommand('GET', 'a'),
    ]);
    for (const chunks of [[bytes], cut(bytes, [1, 10, 100, 1000, 4100, 4140, 4150])]) {
      const parsed = parse(chunks);
      expect(parsed.refused).toEqual(['ERR argument of 4097 bytes is over the limit of 4096']);
      expect(parsed.commands.map((words) => words.slice(0, 2))).toEqual([
        ['SET', 'b'],
        ['GET', 'a'],
      ]);
      expect(parsed.failed).toBeUndefined();
    }
  });

  it('reads past a request over the limit and goes on with the next', () => {
    const many = Array.from({ length: 6 }, () => Buffer.alloc(3000, 'v'));
    const bytes = Buffer.concat([encodeCommand('MSET', ...many), encodeCommand('PING')]);
    const parsed = parse([bytes]);
    expect(parsed.refused).toEqual(['ERR request is over the limit of 16384 bytes']);
    expect(parsed.commands).toEqual([['PING']]);
  });

  it('holds no more than has arrived of a long value that was only announced', () => {
    const parser = new RequestParser({ ...LIMITS, maxValueBytes: MAX_BULK_BYTES, maxRequestBytes: 2 ** 30 });
    const before = process.memoryUsage().arrayBuffers;
    const parsers = Array.from({ length: 50 }, () => {
      const one = new RequestParser({ ...LIMITS, maxValueBytes: MAX_BULK_BYTES, maxRequestBytes: 2 ** 30 });
      one.feed(Buffer.from(`*3\r\n$3\r\nSET\r\n$1\r\na\r\n$${MAX_BULK_BYTES}\r\nabc`));
      expect(one.next()).toBe(INCOMPLETE);
      return one;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(parsers.length * 2 * 1024 * 1024);
    expect(parser.midRequest).toBe(false);
  });

  it('assembles a value of many chunks to the byte', () => {
    const value = Buffer.alloc(5 * 1024 * 1024);
    for (let i = 0; i < value.length; i++) value[i] = (i * 7919) >>> 8;
    const bytes = encodeCommand('SET', 'big', value);
    const parser = new RequestParser({ ...LIMITS, maxValueBytes: 2 ** 24, maxRequestBytes: 2 ** 25 });
    let outcome: number = INCOMPLETE;
    for (let at = 0; at < bytes.length; at += 65536) {
      parser.feed(Buffer.from(bytes.subarray(at, at + 65536)));
      outcome = parser.next();
    }
    expect(outcome).toBe(COMMAND);
    expect(parser.args[1]?.equals(value)).toBe(true);
  });

  it('refuses a long value when half-read requests hold too much, and reads past it', () => {
    const limits = { ...LIMITS, maxValueBytes: 2 ** 24, maxRequestBytes: 2 ** 25 };
    const budget = new InputBudget(3 * 1024 * 1024);
    const value = Buffer.alloc(2 * 1024 * 1024, 'v');
    const bytes = Buffer.concat([encodeCommand('SET', 'a', value), encodeCommand('PING')]);
    const feed = (parser: RequestParser, from: number, to: number): number => {
      let outcome: number = INCOMPLETE;
      for (let at = from; at < to && outcome === INCOMPLETE; at += 65536) {
        parser.feed(Buffer.from(bytes.subarray(at, Math.min(to, at + 65536))));
        outcome = parser.next();
      }
      return outcome;
    };
    const first = new RequestParser(limits, budget);
    expect(feed(first, 0, bytes.length - 100)).toBe(INCOMPLETE);
    expect(budget.usedBytes).toBe(2 * 1024 * 1024);
    const second = new RequestParser(limits, budget);
    expect(feed(second, 0, bytes.length)).toBe(REFUSED);
    expect(second.error?.text).toBe('OVERLOADED too many large requests are being read');
    expect(second.next()).toBe(COMMAND);
    expect(second.nameBytes.toString('latin1', second.nameStart, second.nameEnd)).toBe('PING');
    expect(feed(first, bytes.length - 100, bytes.length)).toBe(COMMAND);
    expect(first.args[1]?.equals(value)).toBe(true);
    expect(budget.usedBytes).toBe(0);
    const third = new RequestParser(limits, budget);
    expect(feed(third, 0, bytes.length - 100)).toBe(INCOMPLETE);
    third.release();
    expect(budget.usedBytes).toBe(0);
  });

  it('gives arguments that stay as they are when later chunks come', () => {
    const parser = new RequestParser(LIMITS);
    parser.feed(encodeCommand('SET', 'key', 'value'));
    expect(parser.next()).toBe(COMMAND);
    const { args } = parser;
    parser.feed(encodeCommand('SET', 'other', 'thing'));
    expect(parser.next()).toBe(COMMAND);
    expect(args.map(String)).toEqual(['key', 'value']);
  });
});
