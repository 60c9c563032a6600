/**
 * Whatever arrives at a node's doors, the process lives, its memory stays bounded, and other clients are served meanwhile.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { SeededRandom } from '../../sim/random.js';
import { Fleet, portOf } from '../support/fleet.js';
import { connectRealClient, type RealClient, within } from '../support/real-clients.js';
import { RespError, RespSocket } from '../support/resp-socket.js';

const MEGABYTE = 1024 * 1024;
const MAX_KEY_BYTES = 1024;
const MAX_VALUE_BYTES = 4 * MEGABYTE;
/** More than garbage in the heap of an idle node can account for, far less than what is sent to it below. */
const MAX_GROWTH_BYTES = 350 * MEGABYTE;
const ANSWER_TIMEOUT_MS = 30_000;

let fleet: Fleet;
/** Serves its client throughout; every test's end checks that it was never let down. */
let witness: Promise<number>;
let witnessing = true;
let served = 0;
let residentBefore: number;

function residentBytes(id: string): number {
  const status = readFileSync(`/proc/${fleet.process(id).pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

async function serveWitness(): Promise<number> {
  const client: RealClient = await connectRealClient('ioredis', portOf(fleet.node('n1').resp));
  served = 0;
  try {
    while (witnessing || served === 0) {
      const value = `value ${served}`;
      expect(await within(ANSWER_TIMEOUT_MS, client.call('SET', `witness:${served % 50}`, value))).toBe('OK');
      expect(await within(ANSWER_TIMEOUT_MS, client.call('GET', `witness:${served % 50}`))).toBe(value);
      served++;
      await delay(5);
    }
  } finally {
    client.close();
  }
  return served;
}

beforeAll(async () => {
  fleet = await Fleet.start({
    sections: { limits: { maxKeyBytes: MAX_KEY_BYTES, maxValueBytes: MAX_VALUE_BYTES } },
  });
});

afterAll(() => fleet?.stop());

beforeEach(() => {
  residentBefore = residentBytes('n1');
  witnessing = true;
  witness = serveWitness();
  // Looked at when the test has ended.
  witness.catch(() => {});
});

afterEach(async () => {
  witnessing = false;
  try {
    expect(await witness).toBeGreaterThan(0);
  } catch (error) {
    process.stderr.write(`${fleet.output()}\n`);
    throw error;
  }
  expect(fleet.running().map(({ id }) => id)).toEqual(fleet.nodes.map(({ id }) => id));
  expect(residentBytes('n1') - residentBefore).toBeLessThan(MAX_GROWTH_BYTES);
});

const resp = (): string => fleet.node('n1').resp;

function open(address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(portOf(address), '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
    // Being hung up on is what most of these ask for.
    socket.on('error', () => {});
  });
}

/** Writes at the pace of the reader; resolves early when the other side has closed. */
async function pour(socket: Socket, total: number, chunk: Buffer): Promise<void> {
  let closed = false;
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      closed = true;
      resolve();
    });
  });
  for (let sent = 0; sent < total && !closed; sent += chunk.length)
    if (!socket.write(chunk))
      await Promise.race([gone, new Promise<void>((resolve) => socket.once('drain', () => resolve()))]);
}

/** What comes until the other side closes; rejects when it does not. */
async function readToEnd(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed)
    await within(ANSWER_TIMEOUT_MS, new Promise<void>((resolve) => socket.once('close', () => resolve())));
  return Buffer.concat(chunks).toString('latin1');
}

describe('the Redis door', () => {
  test('reads past a value that is far too large, refuses it, and goes on with the same connection', async () => {
    const client = await RespSocket.connect(resp());
    const size = 500 * MEGABYTE;
    client.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${size}\r\n`);
    await pour(client.socket, size, Buffer.alloc(MEGABYTE, 0x61));
    client.write('\r\n');
    const reply = await client.next();
    expect(reply).toBeInstanceOf(RespError);
    expect((reply as RespError).message).toMatch(/^ERR .*over the limit of 4194304/);
    expect(await client.command('PING')).toBe('PONG');
    client.close();
  });

  test('refuses keys beyond the limit and takes those at it', async () => {
    const client = await RespSocket.connect(resp());
    expect(await client.command('SET', 'k'.repeat(MAX_KEY_BYTES), 'v')).toBe('OK');
    expect(await client.command('SET', 'k'.repeat(MAX_KEY_BYTES + 1), 'v')).toBeInstanceOf(RespError);
    expect(await client.command('SET', 'large', 'v'.repeat(MAX_VALUE_BYTES))).toBe('OK');
    expect(await client.command('SET', 'large', 'v'.repeat(MAX_VALUE_BYTES + 1))).toBeInstanceOf(RespError);
    expect(await client.command('STRLEN', 'large')).toBe(MAX_VALUE_BYTES);
    expect(await client.command('DEL', 'large')).toBe(1);
    client.close();
  });

  test('forgets connections that hang up in the middle of a command', async () => {
    const whole = Buffer.from('*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nvalue\r\n');
    for (let cut = 1; cut < whole.length; cut++) {
      const socket = await open(resp());
      socket.end(whole.subarray(0, cut));
      await readToEnd(socket);
    }
    const client = await RespSocket.connect(resp());
    expect(await client.command('EXISTS', 'half')).toBe(0);
    client.close();
  });

  test('is not filled up by many connections that announce large values and send little', async () => {
    const sockets: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const socket = await open(resp());
      socket.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${MAX_VALUE_BYTES}\r\n${'x'.repeat(100)}`);
      sockets.push(socket);
    }
    const client = await RespSocket.connect(resp());
    expect(await client.command('PING')).toBe('PONG');
    expect(residentBytes('n1') - residentBefore).toBeLessThan(MAX_GROWTH_BYTES);
    client.close();
    for (const socket of sockets) socket.destroy();
  });

  test.each([
    ['an inline line without an end', Buffer.alloc(2 * MEGABYTE, 0x78)],
    ['an array without a length', Buffer.from('*abc\r\n')],
    ['an array that is far too long', Buffer.from('*2147483648\r\n')],
    ['a word longer than the protocol allows', Buffer.from('*2\r\n$3\r\nGET\r\n$600000000\r\n')],
    ['a word with a negative length', Buffer.from('*1\r\n$-5\r\n')],
    ['a word that is no word', Buffer.from('*1\r\n+OK\r\n')],
    ['unbalanced quotes', Buffer.from('SET "key value\r\n')],
  ])('answers %s with an error and hangs up', async (_what, bytes) => {
    const socket = await open(resp());
    const answer = readToEnd(socket);
    socket.write(bytes);
    expect(await answer).toMatch(/^-ERR Protocol error/);
  });

  test('answers wrong arity, unknown commands and wrong numbers in words, and goes on', async () => {
    const client = await RespSocket.connect(resp());
    const message = async (...words: readonly string[]): Promise<string> => {
      const reply = await client.command(...words);
      return reply instanceof RespError ? reply.message : JSON.stringify(reply);
    };
    expect(await message('GET')).toBe("ERR wrong number of arguments for 'get' command");
    expect(await message('SET', 'k')).toBe("ERR wrong number of arguments for 'set' command");
    expect(await message('SET', 'k', 'v', 'EX', 'soon')).toBe('ERR value is not an integer or out of range');
    expect(await message('LPUSH', 'k', 'v')).toMatch(/^ERR unknown command 'LPUSH'/);
    await client.command('SET', 'text', 'abc');
    expect(await message('INCR', 'text')).toBe('ERR value is not an integer or out of range');
    expect(await client.command('PING')).toBe('PONG');
    client.close();
  });

  test('is not filled up by a client that asks and never reads', async () => {
    const writer = await RespSocket.connect(resp());
    expect(await writer.command('SET', 'large', 'v'.repeat(MAX_VALUE_BYTES))).toBe('OK');
    const socket = await open(resp());
    socket.pause();
    const asks = Buffer.from('*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n'.repeat(1000));
    socket.write(asks);
    // The node has taken up what it will take up once a later command of another client passes.
    expect(await writer.command('STRLEN', 'large')).toBe(MAX_VALUE_BYTES);
    expect(residentBytes('n1') - residentBefore).toBeLessThan(MAX_GROWTH_BYTES);
    socket.destroy();
    expect(await writer.command('DEL', 'large')).toBe(1);
    writer.close();
  });
});

describe('many clients that ask for large values through another node and never read', () => {
  test('keep nobody else waiting for their answers', async () => {
    const keys = Array.from({ length: 12 }, (_, index) => `large:${index}`);
    const writer = await RespSocket.connect(resp());
    for (const key of keys) expect(await writer.command('SET', key, 'v'.repeat(MAX_VALUE_BYTES))).toBe('OK');
    const asks = keys.map((key) => `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`).join('');
    const sockets: Socket[] = [];
    for (let i = 0; i < 40; i++) {
      const socket = await open(fleet.node('n3').resp);
      socket.pause();
      socket.write(asks.repeat(20));
      sockets.push(socket);
    }
    const before = served;
    await waitFor('the witness to be served on', 60_000, () => (served > before + 200 ? true : undefined));
    for (const socket of sockets) socket.destroy();
    for (const key of keys) expect(await writer.command('DEL', key)).toBe(1);
    writer.close();
  });
});

describe('the HTTP door', () => {
  test.each([
    ['garbage', 'hello there\r\n\r\n', 400],
    ['an unknown method', 'FETCH / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    [
      'a length that is no number',
      'PUT /v1/kv/default/k HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n',
      400,
    ],
    [
      'two lengths',
      'PUT /v1/kv/default/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      400,
    ],
    ['headers without end', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(600_000)}`, 431],
  ])('answers %s with a problem and hangs up', async (_what, text, status) => {
    const socket = await open(fleet.node('n1').http);
    const answer = readToEnd(socket);
    socket.write(text);
    const received = await answer;
    expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(received).toContain('application/problem+json');
  });

  test('refuses keys and values that are too large', async () => {
    const base = `http://${fleet.node('n1').http}/v1/kv/default`;
    const large = await fetch(`${base}/k`, { method: 'PUT', body: Buffer.alloc(MAX_VALUE_BYTES + 1) });
    expect([large.status, ((await large.json()) as { code: string }).code]).toEqual([413, 'VALUE_TOO_LARGE']);
    const long = await fetch(`${base}/${'k'.repeat(MAX_KEY_BYTES + 1)}`, { method: 'PUT', body: 'v' });
    expect([long.status, ((await long.json()) as { code: string }).code]).toEqual([413, 'KEY_TOO_LARGE']);
  });

  test('is not filled up by a body without end', async () => {
    const socket = await open(fleet.node('n1').http);
    socket.on('data', () => {});
    socket.write('PUT /v1/kv/default/endless HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const chunk = Buffer.concat([
      Buffer.from('100000\r\n'),
      Buffer.alloc(MEGABYTE, 0x61),
      Buffer.from('\r\n'),
    ]);
    await pour(socket, 600 * MEGABYTE, chunk);
    expect(residentBytes('n1') - residentBefore).toBeLessThan(MAX_GROWTH_BYTES);
    socket.destroy();
    const answer = await fetch(`http://${fleet.node('n1').http}/v1/kv/default/endless`);
    expect(answer.status).toBe(404);
  });
});

describe.each(['resp', 'http', 'grpc'] as const)('the %s door', (door) => {
  test('outlives binary noise', async () => {
    const random = new SeededRandom(`noise at ${door}`);
    for (let round = 0; round < 40; round++) {
      const socket = await open(fleet.node('n1')[door]);
      socket.resume();
      await pour(
        socket,
        1 + random.integer(200_000),
        Buffer.from(random.hex(1 + random.integer(20_000)), 'hex'),
      );
      socket.destroy();
    }
  });

  test('outlives those who speak the protocol of another door', async () => {
    const phrases = [
      '*1\r\n$4\r\nPING\r\n',
      'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\xff'.repeat(2000)}`,
    ];
    for (const phrase of phrases) {
      const socket = await open(fleet.node('n1')[door]);
      socket.resume();
      await new Promise<void>((resolve) => socket.end(phrase, 'latin1', () => resolve()));
      socket.destroy();
    }
  });
});
