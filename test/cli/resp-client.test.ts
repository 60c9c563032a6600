import { createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { QuoinError } from '../../src/base/errors.js';
import { encodeRequest, RespClient } from '../../src/client/resp-client.js';
import { RespError, RespReader, type RespValue } from '../../src/client/resp-reader.js';

/** Feeds the pieces and returns the replies. */
function read(...pieces: readonly Buffer[]): RespValue[] {
  const replies: RespValue[] = [];
  const reader = new RespReader((reply) => replies.push(reply));
  for (const piece of pieces) reader.push(piece);
  return replies;
}

function encode(value: RespValue): Buffer {
  if (value === null) return Buffer.from('$-1\r\n');
  if (typeof value === 'string') return Buffer.from(`+${value}\r\n`);
  if (typeof value === 'number' || typeof value === 'bigint') return Buffer.from(`:${value}\r\n`);
  if (Buffer.isBuffer(value))
    return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
  if (value instanceof RespError) return Buffer.from(`-${value.message}\r\n`);
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(encode)]);
}

const { value: anyReply } = fc.letrec<{ value: RespValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constant(null),
    fc.maxSafeInteger(),
    fc.bigInt(2n ** 60n, 2n ** 63n - 1n),
    fc.stringMatching(/^[ -~]{0,10}$/),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc.stringMatching(/^ERR [a-z]{0,10}$/).map((text) => new RespError(text)),
    fc.array(tie('value'), { maxLength: 4 }),
  ),
}));

/** Errors compare by their text. */
function plain(value: RespValue): unknown {
  if (value instanceof RespError) return `error ${value.message}`;
  return Array.isArray(value) ? value.map(plain) : value;
}

describe('the reply reader', () => {
  test('gives the same replies whole, byte by byte and cut anywhere', () => {
    fc.assert(
      fc.property(
        fc.array(anyReply, { maxLength: 5 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        (replies, cuts) => {
          const bytes = Buffer.concat(replies.map(encode));
          const expected = replies.map(plain);
          expect(read(bytes).map(plain)).toEqual(expected);
          expect(read(...[...bytes].map((byte) => Buffer.from([byte]))).map(plain)).toEqual(expected);
          const pieces: Buffer[] = [];
          for (let at = 0; at < bytes.length; ) {
            const size = cuts.next().value ?? 1;
            pieces.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(read(...pieces).map(plain)).toEqual(expected);
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  test('waits for the rest of what is cut short', () => {
    const bytes = encode([Buffer.from('abc'), 1, [null]]);
    for (let end = 0; end < bytes.length; end++) expect(read(bytes.subarray(0, end))).toEqual([]);
  });

  test('refuses mutated bytes with PROTOCOL_ERROR and nothing else', () => {
    const bytes = encode([Buffer.from('value'), 'OK', 42, [Buffer.from(''), null]]);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const mutated = Buffer.from(bytes);
        mutated[at] = byte;
        try {
          read(mutated);
        } catch (error) {
          expect(error).toBeInstanceOf(QuoinError);
          expect((error as QuoinError).code).toBe('PROTOCOL_ERROR');
        }
      }),
      { numRuns: 500, seed: 4 },
    );
  });

  test.each([
    '?1\r\n',
    ':x\r\n',
    '$-2\r\n',
    '$1\r\nabc',
    '+OK\n',
    '*99999999999\r\n',
    `${'*1\r\n'.repeat(40)}`,
  ])('refuses %j', (text) => {
    expect(() => read(Buffer.from(text))).toThrow(QuoinError);
  });
});

describe('the client', () => {
  let server: Server | undefined;
  const sockets: Socket[] = [];

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
  });

  async function connected(
    onData: (socket: Socket, data: Buffer) => void,
    timeoutMs = 5000,
  ): Promise<RespClient> {
    const listening = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (data) => onData(socket, data));
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const bound = listening.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    return RespClient.connect({ host: '127.0.0.1', port, timeoutMs });
  }

  test('answers pipelined requests in order, errors among them', async () => {
    let seen = Buffer.alloc(0);
    const wanted = Buffer.concat([
      encodeRequest(['GET', 'a']),
      encodeRequest(['BAD']),
      encodeRequest(['GET', Buffer.from([255])]),
    ]);
    const client = await connected((socket, data) => {
      seen = Buffer.concat([seen, data]);
      if (seen.length === wanted.length) socket.write('$1\r\nx\r\n-ERR no\r\n$-1\r\n');
    });
    const outcomes = await Promise.allSettled([
      client.command('GET', 'a'),
      client.command('BAD'),
      client.command('GET', Buffer.from([255])),
    ]);
    expect(seen).toEqual(wanted);
    expect(outcomes).toMatchObject([
      { status: 'fulfilled', value: Buffer.from('x') },
      { status: 'rejected', reason: { name: 'RespError', message: 'ERR no' } },
      { status: 'fulfilled', value: null },
    ]);
    expect(client.pending).toBe(0);
    client.close();
  });

  test('keeps thousands of answers in step', async () => {
    let answered = 0;
    const client = await connected((socket, data) => {
      const requests = data.toString('latin1').split('*').length - 1;
      let text = '';
      for (let i = 0; i < requests; i++) text += `:${answered++}\r\n`;
      socket.write(text);
    });
    const replies = await Promise.all(Array.from({ length: 5000 }, () => client.command('PING')));
    expect(replies).toEqual(Array.from({ length: 5000 }, (_, index) => index));
    client.close();
  });

  test('fails everything under way when the connection is lost, and all that comes later', async () => {
    const client = await connected((socket) => socket.destroy());
    const first = client.command('SET', 'a', 'b');
    const second = client.command('SET', 'a', 'c');
    await expect(first).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await expect(second).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await expect(client.command('PING')).rejects.toBeInstanceOf(QuoinError);
  });

  test('fails when an answer does not come in time', async () => {
    const client = await connected(() => undefined, 40);
    await expect(client.command('PING')).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      message: expect.stringContaining('within 40 ms'),
    });
  });

  test('fails when the server answers what is no RESP', async () => {
    const client = await connected((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(client.command('PING')).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' });
  });
});
