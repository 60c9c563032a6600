/** Eventual buckets through both doors of a real cluster of three nodes in this process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SILENT_LOGGER } from '../../src/base/logger.js';
import { type ServedNode, serveNode } from '../../src/embed/serve.js';
import { parseConfiguration } from '../../src/server/configuration/index.js';
import { freePorts } from '../support/free-ports.js';
import { RespError, RespSocket } from '../support/resp-socket.js';

const READY_MS = 30_000;

let directory: string;
const nodes: ServedNode[] = [];
const sockets: RespSocket[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quoin-eventual-'));
  const ports = await freePorts(9);
  const peers = [0, 1, 2].map((number) => `'127.0.0.1:${ports[number * 3 + 2]}'`).join(', ');
  for (const number of [0, 1, 2]) {
    const [resp, http, grpc] = ports.slice(number * 3);
    const configuration = parseConfiguration(
      `
node: { id: n${number + 1}, dataDir: ${join(directory, String(number))} }
listen: { resp: '127.0.0.1:${resp}', http: '127.0.0.1:${http}', grpc: '127.0.0.1:${grpc}' }
cluster: { join: [${peers}] }`,
      'test',
    );
    nodes.push(await serveNode(configuration, SILENT_LOGGER));
  }
  const deadline = Date.now() + READY_MS;
  for (const { addresses } of nodes) {
    while ((await fetch(`http://${addresses.http}/readyz`)).status !== 200)
      if (Date.now() > deadline) throw new Error('the nodes do not become ready');
  }
}, 2 * READY_MS);

afterAll(async () => {
  for (const socket of sockets) socket.close();
  await Promise.all(nodes.map((node) => node.stop()));
  await rm(directory, { recursive: true, force: true });
}, READY_MS);

/** A client of one node with the bucket `quorum` selected. */
async function client(number = 0): Promise<RespSocket> {
  const socket = await RespSocket.connect(nodes[number]!.addresses.resp);
  sockets.push(socket);
  expect(await socket.command('SELECT', 'quorum')).toBe('OK');
  return socket;
}

function url(path: string, number = 0): string {
  return `http://${nodes[number]!.addresses.http}/v1/kv/quorum${path}`;
}

/** What the first node tells Prometheus of eventual buckets. */
async function metrics(): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${nodes[0]!.addresses.http}/metrics`)).text();
  const lines = text.matchAll(/^(quoin_eventual_\w+)\{node="n1"\} (\d+)$/gm);
  return new Map([...lines].map(([, name = '', value]) => [name, Number(value)]));
}

const refusal = (words: RegExp) => expect.objectContaining({ message: expect.stringMatching(words) });

describe('a Redis client of an eventual bucket', () => {
  test('reads its own writes at every node, one after the other and in a pipeline', async () => {
    const clients = await Promise.all([0, 1, 2].map(client));
    for (const [number, socket] of clients.entries()) {
      expect(await socket.command('SET', `own-${number}`, 'one')).toBe('OK');
      for (const other of clients) expect(await other.command('GET', `own-${number}`)).toBe('one');
    }
    for (const [number, socket] of clients.entries()) {
      // A key of its own for each: against another's newer write a pipeline's first write may have to be stamped again.
      const key = `pipeline-${number}`;
      socket.send('SET', key, '1');
      socket.send('GET', key);
      socket.send('DEL', key);
      socket.send('GET', key);
      socket.send('MSET', `p1-${number}`, 'a', `p2-${number}`, 'b');
      socket.send('MGET', `p1-${number}`, `p2-${number}`, 'p3');
      expect(await socket.replies(6)).toEqual(['OK', '1', 1, null, 'OK', ['a', 'b', null]]);
    }
  });

  test('chooses r and w for its connection, in whatever bucket, until it takes that back', async () => {
    const socket = await client();
    expect(await socket.command('CLIENT', 'QUORUM', 'R', '3', 'W', '3')).toBe('OK');
    expect(await socket.command('CLIENT', 'QUORUM')).toEqual(['r', 3, 'w', 3]);
    expect(await socket.command('SET', 'chosen', 'x')).toBe('OK');
    expect(await socket.command('SELECT', '0')).toBe('OK');
    expect(await socket.command('SET', 'chosen', 'linearizable')).toBe('OK');
    expect(await socket.command('SELECT', 'quorum')).toBe('OK');
    expect(await socket.command('GET', 'chosen')).toBe('x');
    expect(await socket.command('CLIENT', 'QUORUM', 'W', '4')).toBe('OK');
    expect(await socket.command('SET', 'chosen', 'y')).toEqual(refusal(/w is at most 3/));
    expect(await socket.command('CLIENT', 'QUORUM', 'DEFAULT')).toBe('OK');
    expect(await socket.command('SET', 'chosen', 'y')).toBe('OK');
    expect(await socket.command('CLIENT', 'QUORUM', 'R', '0')).toBeInstanceOf(RespError);
    expect(await socket.command('CLIENT', 'QUORUM', 'X', '1')).toBeInstanceOf(RespError);
    expect(await socket.command('CLIENT', 'QUORUM', 'R', 'default')).toMatchObject({
      message: expect.stringContaining('CLIENT QUORUM DEFAULT goes back'),
    });
    await socket.command('CLIENT', 'QUORUM', 'R', '1');
    expect(await socket.command('RESET')).toBe('RESET');
    expect(await socket.command('CLIENT', 'QUORUM')).toEqual([]);
  });

  test('is refused what reads before it writes, and its connection goes on', async () => {
    const socket = await client();
    const words = /reads before it writes/;
    for (const command of [
      ['INCR', 'n'],
      ['APPEND', 'n', 'x'],
      ['SET', 'n', 'x', 'NX'],
      ['GETSET', 'n', 'x'],
      ['EXPIRE', 'n', '5'],
    ])
      expect(await socket.command(...command)).toEqual(refusal(words));
    expect(await socket.command('WATCH', 'n')).toEqual(refusal(/eventually consistent/));
    expect(await socket.command('MULTI')).toBe('OK');
    expect(await socket.command('SET', 'n', 'x')).toBe('QUEUED');
    expect(await socket.command('EXEC')).toEqual(refusal(words));
    expect(await socket.command('GET', 'n')).toBeNull();
    expect(await socket.command('SET', 'n', 'x')).toBe('OK');
  });

  test('sees times to live as Redis shows them', async () => {
    const socket = await client();
    expect(await socket.command('SET', 'mortal', 'x', 'PX', '60000')).toBe('OK');
    expect(await socket.command('TTL', 'mortal')).toBeGreaterThan(58);
    expect(await socket.command('PTTL', 'mortal')).toBeGreaterThan(58_000);
    expect(await socket.command('SET', 'mortal', 'x')).toBe('OK');
    expect(await socket.command('TTL', 'mortal')).toBe(-1);
    expect(await socket.command('TTL', 'never written')).toBe(-2);
    expect(await socket.command('SETEX', 'mortal', '100', 'x')).toBe('OK');
    expect(await socket.command('SET', 'mortal', 'x', 'KEEPTTL')).toEqual(refusal(/reads before it writes/));
    expect(await socket.command('SET', 'mortal', 'x', 'PXAT', '1')).toBe('OK');
    expect(await socket.command('GET', 'mortal')).toBeNull();
  });

  test('is told by WAIT no more than its writes have promised', async () => {
    const socket = await client();
    expect(await socket.command('SET', 'waited', 'x')).toBe('OK');
    expect(await socket.command('WAIT', '2', '100')).toBe(1);
    await socket.command('CLIENT', 'QUORUM', 'W', '1');
    expect(await socket.command('SET', 'waited', 'x')).toBe('OK');
    expect(await socket.command('WAIT', '2', '100')).toBe(0);
    // What is chosen later says nothing about what was written before.
    await socket.command('CLIENT', 'QUORUM', 'W', '3');
    expect(await socket.command('WAIT', '2', '100')).toBe(0);
    await socket.command('CLIENT', 'QUORUM', 'DEFAULT');
    expect(await socket.command('WAIT', '2', '100')).toBe(0);
  });

  test('is told by WAIT of all copies where all its writes were on them, and not after it settled for fewer', async () => {
    const socket = await client();
    await socket.command('CLIENT', 'QUORUM', 'W', '1');
    await socket.command('CLIENT', 'QUORUM', 'W', '3');
    expect(await socket.command('SET', 'waited', 'x')).toBe('OK');
    expect(await socket.command('WAIT', '2', '100')).toBe(2);
    await socket.command('CLIENT', 'QUORUM', 'DEFAULT');
    expect(await socket.command('WAIT', '2', '100')).toBe(1);
    expect(await socket.command('SET', 'waited', 'x')).toBe('OK');
    await socket.command('CLIENT', 'QUORUM', 'W', '3');
    expect(await socket.command('WAIT', '2', '100')).toBe(1);
    await socket.command('CLIENT', 'QUORUM', 'W', '1');
    expect(await socket.command('SET', 'waited', 'x')).toBe('OK');
    await socket.command('RESET');
    expect(await socket.command('SELECT', 'quorum')).toBe('OK');
    expect(await socket.command('WAIT', '2', '100')).toBe(0);
  });

  test('carries values of megabytes', async () => {
    const value = 'x'.repeat(8 * 1024 * 1024 - 100);
    const [first, second] = [await client(0), await client(1)];
    expect(await first.command('SET', 'large', value)).toBe('OK');
    expect(await second.command('GET', 'large')).toBe(value);
    expect(await second.command('DEL', 'large')).toBe(1);
  });
});

describe('an HTTP client of an eventual bucket', () => {
  test('gets the version that its write was given as the ETag of what it reads', async () => {
    const put = await fetch(url('/tagged?w=3'), { method: 'PUT', body: 'x' });
    expect(put.status).toBe(204);
    const tag = put.headers.get('etag')!;
    for (const number of [0, 1, 2]) {
      const got = await fetch(url('/tagged?r=1', number));
      expect([got.status, got.headers.get('etag'), await got.text()]).toEqual([200, tag, 'x']);
      const again = await fetch(url('/tagged', number), { headers: { 'if-none-match': tag } });
      expect(again.status).toBe(304);
    }
    const newer = await fetch(url('/tagged', 1), { method: 'PUT', body: 'y' });
    expect(BigInt(newer.headers.get('etag')!.replaceAll('"', ''))).toBeGreaterThan(
      BigInt(tag.replaceAll('"', '')),
    );
  });

  test('deletes once: what is not there is not found', async () => {
    await fetch(url('/deleted'), { method: 'PUT', body: 'x' });
    expect((await fetch(url('/deleted', 1), { method: 'DELETE' })).status).toBe(204);
    expect((await fetch(url('/deleted', 2), { method: 'DELETE' })).status).toBe(404);
    expect((await fetch(url('/deleted'))).status).toBe(404);
    expect((await fetch(url('/never written'), { method: 'DELETE' })).status).toBe(404);
  });

  test('is refused conditions, which would read before they write', async () => {
    for (const headers of [{ 'if-match': '"1"' }, { 'if-none-match': '*' }]) {
      const put = await fetch(url('/conditional'), { method: 'PUT', body: 'x', headers });
      expect([put.status, ((await put.json()) as { code: string }).code]).toEqual([409, 'READ_MODIFY_WRITE']);
    }
    const deleted = await fetch(url('/conditional'), { method: 'DELETE', headers: { 'if-match': '"1"' } });
    expect(deleted.status).toBe(409);
    expect((await fetch(url('/conditional'))).status).toBe(404);
  });

  test('chooses r and w for one request, within what the bucket has', async () => {
    for (const query of ['?w=0', '?w=4', '?w=x', '?r=1'])
      expect((await fetch(url(`/choice${query}`), { method: 'PUT', body: 'x' })).status).toBe(400);
    for (const query of ['?r=0', '?r=4', '?w=1'])
      expect((await fetch(url(`/choice${query}`))).status).toBe(400);
    const elsewhere = url('/choice?w=1').replace('/quorum/', '/default/');
    expect((await fetch(elsewhere, { method: 'PUT', body: 'x' })).status).toBe(400);
  });

  test('is counted for Prometheus, and so is what a node had no room to take', async () => {
    const before = await metrics();
    await fetch(url('/counted'), { method: 'PUT', body: 'x' });
    await fetch(url('/counted'));
    const after = await metrics();
    for (const name of ['quoin_eventual_writes_total', 'quoin_eventual_reads_total'])
      expect(after.get(name)! - before.get(name)!).toBe(1);
    expect(after.get('quoin_eventual_batches_shed_total')).toBe(0);
  });

  test('posts lists over any keys, carried out one by one', async () => {
    const post = async (operations: unknown, query = ''): Promise<{ status: number; json: unknown }> => {
      const response = await fetch(url(query), { method: 'POST', body: JSON.stringify(operations) });
      return { status: response.status, json: await response.json() };
    };
    const puts = ['one', 'two', 'three'].map((key) => ({ op: 'put', key, value: key }));
    const version = expect.stringMatching(/^\d+$/);
    expect(await post(puts, '?w=3')).toEqual({
      status: 200,
      json: { results: [{ version }, { version }, { version }] },
    });
    expect(
      await post(
        [
          { op: 'get', key: 'two' },
          { op: 'delete', key: 'never written' },
        ],
        '?r=1',
      ),
    ).toEqual({
      status: 200,
      json: { results: [{ found: true, value: 'two', version }, { deleted: false }] },
    });
    expect(await post(puts, '?w=4')).toMatchObject({ status: 400 });
    expect(await post([{ op: 'put', key: 'one', value: 'x', ifAbsent: true }])).toMatchObject({
      status: 409,
      json: { code: 'READ_MODIFY_WRITE' },
    });
  });
});
