import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HttpServer, startHttpServer } from '../../../src/api/http/index.js';
import { ErrorReply } from '../../../src/store/reply.js';
import { describeNode, FakeNode } from '../../support/fake-node.js';

let node: FakeNode;
let server: HttpServer;
let base: string;

beforeEach(async () => {
  node = new FakeNode();
  server = await startHttpServer({
    node,
    address: '127.0.0.1:0',
    limits: { maxValueBytes: 100_000, maxKeyBytes: 1000 },
  });
  base = `http://${server.address}`;
});

afterEach(async () => {
  await server.close();
});

const KEY = '/v1/kv/default/greeting';

function call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(base + path, { method, ...init });
}

async function problem(response: Response): Promise<Record<string, unknown>> {
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  const body = (await response.json()) as Record<string, unknown>;
  expect(body.status).toBe(response.status);
  for (const member of ['type', 'title', 'detail', 'code', 'remedy'])
    expect(typeof body[member]).toBe('string');
  for (const member of ['definite', 'retriable']) expect(typeof body[member]).toBe('boolean');
  return body;
}

async function expectProblem(response: Response, status: number, code: string): Promise<string> {
  const body = await problem(response);
  expect([response.status, body.code]).toEqual([status, code]);
  return String(body.detail);
}

/** Sends bytes as they are and returns all that comes back until the server closes. */
function exchange(bytes: string | Buffer, half = false): Promise<string> {
  const [host = '', port] = server.address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', reject);
    if (half) socket.end(bytes);
    else socket.write(bytes);
  });
}

/** A request with a path that no URL parser has touched. */
function rawPath(method: string, path: string, body?: Buffer): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const [hostname = '', port] = server.address.split(':');
    const sent = httpRequest({ hostname, port: Number(port), method, path }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('a key', () => {
  test('is written, read, and deleted', async () => {
    const put = await call('PUT', KEY, { body: 'hello' });
    expect(put.status).toBe(204);
    const version = put.headers.get('etag');
    expect(version).toMatch(/^"\d+"$/);

    const got = await call('GET', KEY);
    expect(got.status).toBe(200);
    expect(await got.text()).toBe('hello');
    expect(got.headers.get('etag')).toBe(version);
    expect(got.headers.get('quoin-ttl')).toBeNull();
    expect(got.headers.get('content-type')).toBe('application/octet-stream');
    expect(got.headers.get('x-content-type-options')).toBe('nosniff');

    expect((await call('DELETE', KEY)).status).toBe(204);
    await expectProblem(await call('DELETE', KEY), 404, 'NOT_FOUND');
    await expectProblem(await call('GET', KEY), 404, 'NOT_FOUND');
  });

  test('answers HEAD with the headers of GET and no body', async () => {
    await call('PUT', `${KEY}?ttl=1h`, { body: 'hello' });
    const head = await call('HEAD', KEY);
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe('5');
    expect(head.headers.get('etag')).toMatch(/^"\d+"$/);
    expect(Number(head.headers.get('quoin-ttl'))).toBeGreaterThan(3000);
    expect(await head.text()).toBe('');
    expect((await call('HEAD', '/v1/kv/default/absent')).status).toBe(404);
  });

  test('may hold nothing', async () => {
    expect((await call('PUT', KEY)).status).toBe(204);
    const got = await call('GET', KEY);
    expect([got.status, await got.text()]).toEqual([200, '']);
  });

  test('holds any bytes under any key', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 300 }),
        async (keyBytes, valueBytes) => {
          const path = `/v1/kv/default/${[...keyBytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`;
          expect((await rawPath('PUT', path, Buffer.from(valueBytes))).status).toBe(204);
          const got = await rawPath('GET', path);
          expect([got.status, got.body]).toEqual([200, Buffer.from(valueBytes)]);
          const stored = node.store.keyspaces.get(0)?.get(Buffer.from(keyBytes));
          expect(stored?.value).toEqual(Buffer.from(valueBytes));
        },
      ),
      { numRuns: 40, seed: 11 },
    );
  });

  test('may hold slashes, percent signs and plus signs', async () => {
    await rawPath('PUT', '/v1/kv/default/a/b%2Fc+d%25', Buffer.from('x'));
    expect(node.store.keyspaces.get(0)?.get(Buffer.from('a/b/c+d%'))?.value.toString()).toBe('x');
  });

  test('that is not percent-encoded correctly is refused', async () => {
    for (const path of ['/v1/kv/default/%zz', '/v1/kv/default/%4', '/v1/kv/default/a%']) {
      const answer = await rawPath('GET', path);
      expect([path, answer.status]).toEqual([path, 400]);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 'WRONG_ARGUMENTS' });
    }
  });

  test('over the limit is refused, as is a value over its limit, and the connection survives', async () => {
    await expectProblem(await call('GET', `/v1/kv/default/${'k'.repeat(1001)}`), 413, 'KEY_TOO_LARGE');
    expect((await call('PUT', `/v1/kv/default/${'k'.repeat(1000)}`, { body: 'v' })).status).toBe(204);
    const large = Buffer.alloc(100_001, 1);
    await expectProblem(await call('PUT', KEY, { body: large }), 413, 'VALUE_TOO_LARGE');
    const chunked = new ReadableStream({
      start(controller) {
        controller.enqueue(large);
        controller.close();
      },
    });
    const init = { method: 'PUT', body: chunked, duplex: 'half' } as RequestInit;
    await expectProblem(await fetch(base + KEY, init), 413, 'VALUE_TOO_LARGE');
    expect((await call('PUT', KEY, { body: large.subarray(1) })).status).toBe(204);

    const answers = await exchange(
      Buffer.concat([
        Buffer.from(`PUT ${KEY} HTTP/1.1\r\nhost: x\r\ncontent-length: ${large.length}\r\n\r\n`),
        large,
        Buffer.from('GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
      ]),
    );
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
  });

  test('of the greatest length fits into a path', async () => {
    const roomy = await startHttpServer({ node, address: '127.0.0.1:0' });
    try {
      const path = `/v1/kv/default/${'%ff'.repeat(65536)}`;
      expect((await fetch(`http://${roomy.address}${path}`, { method: 'PUT', body: 'v' })).status).toBe(204);
      expect(await (await fetch(`http://${roomy.address}${path}`)).text()).toBe('v');
    } finally {
      await roomy.close();
    }
  });

  test('lives as long as its ttl says', async () => {
    let nowMs = Date.now();
    node.store.nowMs = () => nowMs;
    await call('PUT', `${KEY}?ttl=30s`, { body: 'v' });
    const ttl = Number((await call('GET', KEY)).headers.get('quoin-ttl'));
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(30);
    nowMs += 30_000;
    expect((await call('GET', KEY)).status).toBe(404);
    await expectProblem(await call('PUT', `${KEY}?ttl=30`, { body: 'v' }), 400, 'WRONG_ARGUMENTS');
  });

  test('gets the ttl of its bucket unless it has one of its own', async () => {
    await call('POST', '/v1/buckets', { body: JSON.stringify({ name: 'short', ttl: '10s' }) });
    await call('PUT', '/v1/kv/short/a', { body: 'v' });
    await call('PUT', '/v1/kv/short/b?ttl=0', { body: 'v' });
    expect((await call('GET', '/v1/kv/short/a')).headers.get('quoin-ttl')).toBe('10');
    expect((await call('GET', '/v1/kv/short/b')).headers.get('quoin-ttl')).toBeNull();
  });
});

describe('compare-and-set', () => {
  const put = (headers: Record<string, string>, body = 'v') => call('PUT', KEY, { body, headers });

  test('writes only over the version that was read', async () => {
    const first = (await put({})).headers.get('etag') ?? '';
    const second = await put({ 'if-match': first });
    expect(second.status).toBe(204);
    expect(second.headers.get('etag')).not.toBe(first);
    await expectProblem(await put({ 'if-match': first }, 'lost'), 412, 'CONDITION_FAILED');
    expect(await (await call('GET', KEY)).text()).toBe('v');
  });

  test('creates only what is absent', async () => {
    expect((await put({ 'if-none-match': '*' })).status).toBe(204);
    await expectProblem(await put({ 'if-none-match': '*' }), 412, 'CONDITION_FAILED');
  });

  test('replaces only what is present', async () => {
    await expectProblem(await put({ 'if-match': '*' }), 412, 'CONDITION_FAILED');
    await put({});
    expect((await put({ 'if-match': '*' })).status).toBe(204);
  });

  test('deletes only the version that was read', async () => {
    const version = (await put({})).headers.get('etag') ?? '';
    await expectProblem(
      await call('DELETE', KEY, { headers: { 'if-match': '"1234567"' } }),
      412,
      'CONDITION_FAILED',
    );
    expect((await call('DELETE', KEY, { headers: { 'if-match': version } })).status).toBe(204);
  });

  test('takes a tag that it never gave for no version at all', async () => {
    for (const tag of ['"0"', '"abc"', 'W/"1"', '""'])
      await expectProblem(await put({ 'if-match': tag }), 412, 'CONDITION_FAILED');
  });

  test('refuses what it does not understand', async () => {
    for (const headers of [
      { 'if-match': '1' },
      { 'if-match': '"1", "2"' },
      { 'if-none-match': '"1"' },
      { 'if-match': '*', 'if-none-match': '*' },
    ])
      await expectProblem(await put(headers), 400, 'WRONG_ARGUMENTS');
  });

  test('saves a reader the bytes that it has', async () => {
    const version = (await put({})).headers.get('etag') ?? '';
    const read = (headers: Record<string, string>) => call('GET', KEY, { headers });
    expect((await read({ 'if-none-match': version })).status).toBe(304);
    expect((await read({ 'if-none-match': `"1", ${version}` })).status).toBe(304);
    expect((await read({ 'if-none-match': '"999999"' })).status).toBe(200);
    expect((await read({ 'if-match': version })).status).toBe(200);
    expect((await read({ 'if-match': '"999999"' })).status).toBe(412);
  });
});

describe('a request', () => {
  test('carries its consistency and its session to the node', async () => {
    node.recording = true;
    await call('GET', `${KEY}?consistency=stale`);
    await call('GET', `${KEY}?consistency=follower`);
    await call('GET', KEY);
    expect(node.requests.map((one) => one.consistency)).toEqual(['stale', 'follower', 'linearizable']);
    const headers = {
      'quoin-session': '00112233AABBCCDD',
      'quoin-sequence': '7',
      'quoin-acknowledged-below': '5',
    };
    await call('PUT', KEY, { body: 'v', headers });
    expect(node.requests.at(-1)?.session).toEqual({
      session: '00112233aabbccdd',
      sequence: 7,
      acknowledgedBelow: 5,
    });
    await call('PUT', KEY, { body: 'v' });
    expect(node.requests.at(-1)?.session).toBeUndefined();
  });

  test('with half a session is refused', async () => {
    const session = 'quoin-session';
    const sequence = 'quoin-sequence';
    for (const headers of [
      { [session]: '00112233aabbccdd' },
      { [sequence]: '1' },
      { [session]: '0011', [sequence]: '1' },
      { [session]: '0'.repeat(16), [sequence]: '1' },
      { [session]: '00112233aabbccdd', [sequence]: '0' },
      { [session]: '00112233aabbccdd', [sequence]: 'x' },
      { [session]: '00112233aabbccdd', [sequence]: '1', 'quoin-acknowledged-below': '2' },
    ])
      await expectProblem(await call('PUT', KEY, { body: 'v', headers }), 400, 'WRONG_ARGUMENTS');
  });

  test('with a parameter that is unknown, wrong or given twice is refused', async () => {
    expect(
      await expectProblem(await call('PUT', `${KEY}?tl=30s`, { body: 'v' }), 400, 'WRONG_ARGUMENTS'),
    ).toContain("unknown query parameter 'tl'");
    await expectProblem(await call('GET', `${KEY}?consistency=strong`), 400, 'WRONG_ARGUMENTS');
    await expectProblem(
      await call('GET', `${KEY}?consistency=stale&consistency=stale`),
      400,
      'WRONG_ARGUMENTS',
    );
    await expectProblem(await call('GET', `${KEY}?r=1`), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await call('PUT', `${KEY}?w=2`, { body: 'v' }), 400, 'WRONG_ARGUMENTS');
  });

  test('for what is not there says so', async () => {
    await expectProblem(await call('GET', '/v1/kv/nowhere/a'), 404, 'UNKNOWN_BUCKET');
    await expectProblem(await call('GET', '/nothing/here'), 404, 'NOT_FOUND');
  });

  test('with a method that the path does not have names those that it has', async () => {
    const refused = [
      ['PATCH', KEY, 'DELETE, GET, HEAD, PUT'],
      ['POST', KEY, 'DELETE, GET, HEAD, PUT'],
      ['PUT', '/v1/buckets', 'GET, HEAD, POST'],
      ['DELETE', '/metrics', 'GET, HEAD'],
      ['POST', '/put', 'GET'],
    ] as const;
    for (const [method, path, allow] of refused) {
      const response = await call(method, path);
      expect([path, response.headers.get('allow')]).toEqual([path, allow]);
      await expectProblem(response, 405, 'METHOD_NOT_ALLOWED');
    }
    await expectProblem(await call('PATCH', '/nothing/here'), 404, 'NOT_FOUND');
  });

  test('of HTTP/1.1 without a Host header is a problem; HTTP/1.0 needs none', async () => {
    const answer = await exchange('GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('application/problem+json');
    expect(answer).toContain('"code":"PROTOCOL_ERROR"');
    expect(answer).toContain('Host header');
    expect(answer).not.toContain('RESP');
    expect(await exchange('GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.[01] 200 /);
  });

  test('to a node that is starting or has failed says so, and whether to retry', async () => {
    node.phase = { phase: 'starting', reason: 'reading the log' };
    const starting = await call('GET', KEY);
    expect(starting.headers.get('retry-after')).toBe('1');
    expect(await expectProblem(starting, 503, 'STARTING')).toBe('reading the log');
    node.phase = { phase: 'failed', reason: 'sync failed' };
    await expectProblem(await call('GET', KEY), 500, 'SYNC_FAILED');
  });

  test('passes on what the node answers, with its certainty', async () => {
    const answers = [
      ['OUTCOME_UNKNOWN', 504, false],
      ['NO_LEADER', 503, true],
      ['OVERLOADED', 503, true],
    ] as const;
    for (const [code, status, definite] of answers) {
      node.submit = (request) => request.completion.complete(ErrorReply.of(code, 'so it is'));
      const body = await problem(await call('PUT', KEY, { body: 'v' }));
      expect(body).toMatchObject({ code, status, definite, detail: 'so it is' });
    }
  });

  test('whose reply makes no sense is an internal error', async () => {
    node.submit = (request) => request.completion.complete([1]);
    await expectProblem(await call('GET', KEY), 500, 'INTERNAL');
  });
});

describe('the list of keys', () => {
  interface Page {
    readonly keys: (string | { readonly base64: string })[];
    readonly cursor: string | null;
  }
  const list = async (query: string) => (await (await call('GET', `/v1/kv/default${query}`)).json()) as Page;

  test('has every key with the prefix, page by page', async () => {
    for (let i = 0; i < 25; i++) await call('PUT', `/v1/kv/default/user:${i}`, { body: 'v' });
    await call('PUT', '/v1/kv/default/other', { body: 'v' });
    const found: unknown[] = [];
    let cursor = '0';
    let pages = 0;
    for (;;) {
      const page = await list(`?prefix=user:&limit=10&cursor=${cursor}`);
      expect(page.keys.length).toBeLessThanOrEqual(10);
      found.push(...page.keys);
      pages++;
      if (page.cursor === null) break;
      cursor = page.cursor;
    }
    expect(pages).toBeGreaterThan(2);
    expect(new Set(found)).toEqual(new Set(Array.from({ length: 25 }, (_, i) => `user:${i}`)));
    expect((await list('')).keys.length).toBe(26);
  });

  test('marks keys that are not text', async () => {
    await rawPath('PUT', '/v1/kv/default/%ff%00', Buffer.from('v'));
    expect((await list('?prefix=%ff')).keys).toEqual([{ base64: '/wA=' }]);
  });

  test('refuses bad limits and cursors', async () => {
    for (const query of ['?limit=0', '?limit=x', '?limit=10001', '?cursor=x', '?cursor=99999999999999999'])
      await expectProblem(await call('GET', `/v1/kv/default${query}`), 400, 'WRONG_ARGUMENTS');
  });
});

describe('the endpoints of the simple store', () => {
  test('put and get a key of the default bucket', async () => {
    expect((await call('GET', '/put?key=some-key&value=some%20value+here')).status).toBe(200);
    const got = await call('GET', '/get?key=some-key');
    expect([got.status, await got.text()]).toEqual([200, 'some value here']);
    expect(await (await call('GET', '/v1/kv/default/some-key')).text()).toBe('some value here');
  });

  test('answer an absent key with an empty 200', async () => {
    const got = await call('GET', '/get?key=absent');
    expect([got.status, await got.text()]).toEqual([200, '']);
  });

  test('refuse a missing key or value, and a HEAD that would write', async () => {
    await expectProblem(await call('GET', '/get'), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await call('GET', '/put?key=a'), 400, 'WRONG_ARGUMENTS');
    expect((await call('HEAD', '/put?key=a&value=b')).status).toBe(405);
    expect(await (await call('GET', '/get?key=a')).text()).toBe('');
  });
});

describe('buckets', () => {
  const json = (body: unknown): RequestInit => ({ body: JSON.stringify(body) });

  test('are created, listed, described, changed and dropped', async () => {
    const created = await call(
      'POST',
      '/v1/buckets',
      json({ name: 'sessions', engine: 'memory', ttl: '30m' }),
    );
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe('/v1/buckets/sessions');
    const expected = {
      name: 'sessions',
      replication: 'raft',
      engine: 'memory',
      ttl: '30m',
      ttlMs: 1_800_000,
    };
    expect(await created.json()).toMatchObject(expected);
    expect(await (await call('GET', '/v1/buckets')).json()).toMatchObject({
      buckets: [{ name: 'default' }, expected],
    });
    const changed = await call('PATCH', '/v1/buckets/sessions', json({ ttl: '1h' }));
    expect(await changed.json()).toMatchObject({ ttl: '1h' });
    expect(await (await call('GET', '/v1/buckets/sessions')).json()).toMatchObject({ ttlMs: 3_600_000 });
    expect((await call('DELETE', '/v1/buckets/sessions')).status).toBe(204);
    await expectProblem(await call('GET', '/v1/buckets/sessions'), 404, 'UNKNOWN_BUCKET');
  });

  test('of quorum replication and with bounds show all of their policy, and let it be changed', async () => {
    const wanted = {
      name: 'e',
      replication: 'quorum',
      engine: 'memory',
      n: 2,
      maxMemory: '1gb',
      eviction: 'lru',
    };
    const created = await call('POST', '/v1/buckets', json({ ...wanted, hintedHandoff: false }));
    expect([created.status, await created.json()]).toEqual([
      201,
      {
        id: 1,
        name: 'e',
        replication: 'quorum',
        engine: 'memory',
        n: 2,
        r: 2,
        w: 2,
        readRepair: true,
        hintedHandoff: false,
        antiEntropy: true,
        ttl: '0s',
        ttlMs: 0,
        maxIdle: '0s',
        maxIdleMs: 0,
        maxMemory: '1gb',
        maxMemoryBytes: 2 ** 30,
        eviction: 'lru',
      },
    ]);
    const patch = (body: unknown) => call('PATCH', '/v1/buckets/e', json(body));
    const changed = await patch({ r: 1, w: 1, readRepair: 'off', maxIdle: '90s' });
    expect(await changed.json()).toMatchObject({
      r: 1,
      w: 1,
      readRepair: false,
      maxIdle: '90s',
      maxMemory: '1gb',
    });
    await expectProblem(await patch({ r: 3 }), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await patch({ eviction: 'none' }), 400, 'WRONG_ARGUMENTS');
  });

  test('refuse what is wrong, taken or not there', async () => {
    await expectProblem(await call('POST', '/v1/buckets', json({ name: 'default' })), 409, 'BUCKET_EXISTS');
    await expectProblem(await call('POST', '/v1/buckets', json({ name: 'a b' })), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await call('POST', '/v1/buckets', json([])), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await call('POST', '/v1/buckets', { body: '{' }), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await call('POST', '/v1/buckets'), 400, 'WRONG_ARGUMENTS');
    await expectProblem(
      await call('POST', '/v1/buckets', json({ name: 'q', replication: 'mencius' })),
      501,
      'NOT_SUPPORTED',
    );
    await expectProblem(
      await call('PATCH', '/v1/buckets/absent', json({ ttl: '1h' })),
      404,
      'UNKNOWN_BUCKET',
    );
    await expectProblem(await call('DELETE', '/v1/buckets/absent'), 404, 'UNKNOWN_BUCKET');
    const large = json({ name: 'a', ttl: '1'.repeat(70_000) });
    await expectProblem(await call('POST', '/v1/buckets', large), 413, 'REQUEST_TOO_LARGE');
  });

  test('refuse changes of what is fixed', async () => {
    const patch = (body: unknown) => call('PATCH', '/v1/buckets/default', json(body));
    await expectProblem(await patch({ engine: 'memory' }), 409, 'BUCKET_UNCHANGEABLE');
    await expectProblem(await patch({ n: 2 }), 409, 'BUCKET_UNCHANGEABLE');
    await expectProblem(await patch({ w: 2 }), 400, 'WRONG_ARGUMENTS');
    expect(await expectProblem(await patch({ tll: '1h' }), 400, 'WRONG_ARGUMENTS')).toContain(
      'did you mean ttl?',
    );
    await expectProblem(await patch({ ttl: 5 }), 400, 'WRONG_ARGUMENTS');
    await expectProblem(await patch({}), 400, 'WRONG_ARGUMENTS');
  });
});

describe('a coordinator', () => {
  interface Handed {
    readonly id: string;
  }

  async function handedOut(times: number): Promise<string[]> {
    const ids: string[] = [];
    for (let i = 0; i < times; i++) {
      const answer = await call('GET', '/v1/coordinator');
      expect(answer.headers.get('cache-control')).toBe('no-store');
      ids.push(((await answer.json()) as Handed).id);
    }
    return ids;
  }

  beforeEach(() => {
    node.nodes = ['n1', 'n2', 'c1'].map((id) => ({
      ...describeNode(id, `${id}:7001`, `${id}:8001`),
      roles: id === 'n1' ? ['storage'] : id === 'n2' ? ['storage', 'coordinator'] : ['coordinator'],
    }));
  });

  test('is handed out by any node, the next one each time', async () => {
    expect(await (await call('GET', '/v1/coordinator')).json()).toEqual({
      id: 'n2',
      resp: 'n2:7001',
      http: 'n2:8001',
      grpc: '127.0.0.1:0',
    });
    expect(await handedOut(4)).toEqual(['c1', 'n2', 'c1', 'n2']);
  });

  test('is handed out only while it can be reached', async () => {
    node.disconnected.add('n2');
    expect(await handedOut(2)).toEqual(['c1', 'c1']);
    node.disconnected.add('c1');
    await expectProblem(await call('GET', '/v1/coordinator'), 503, 'UNREACHABLE');
    node.disconnected.clear();
    expect(new Set(await handedOut(2))).toEqual(new Set(['n2', 'c1']));
  });

  test('may be the node that is asked, while it serves', async () => {
    node.nodes = [describeNode('n1')];
    expect(await handedOut(2)).toEqual(['n1', 'n1']);
    node.phase = { phase: 'stopping', reason: 'the node is stopping' };
    await expectProblem(await call('GET', '/v1/coordinator'), 503, 'UNREACHABLE');
    node.phase = { phase: 'starting', reason: 'reading the log' };
    await expectProblem(await call('GET', '/v1/coordinator'), 503, 'STARTING');
  });
});

describe('the state of the node', () => {
  test('is healthy and ready when every group has a leader', async () => {
    expect((await call('GET', '/healthz')).status).toBe(200);
    const ready = await call('GET', '/readyz');
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, node: 'n1' }]);
  });

  test('is not ready while a leader is missing, and says of which group', async () => {
    const leaderless = async (): Promise<unknown> =>
      ((await (await call('GET', '/readyz')).json()) as { readonly leaderless?: unknown }).leaderless;
    node.groups = [1, 2, 3].map((id) => ({ id, members: ['n1', 'n2', 'n3'] }));
    node.leaders.clear();
    node.leaders.set(2, 'n2');
    expect(await expectProblem(await call('GET', '/readyz'), 503, 'NO_LEADER')).toBe(
      'no leader known of group 1, 3',
    );
    expect(await leaderless()).toEqual([1, 3]);
    node.phase = { phase: 'starting', reason: 'reading the log' };
    expect(await expectProblem(await call('GET', '/readyz'), 503, 'STARTING')).toBe('reading the log');
    expect(await leaderless()).toEqual([1, 3]);
    node.leaders.set(1, 'n1').set(3, 'n3');
    expect(await leaderless()).toEqual([]);
    expect((await call('GET', '/healthz')).status).toBe(200);
  });

  test('is unhealthy after a disk failure', async () => {
    node.phase = { phase: 'failed', reason: 'sync failed' };
    await expectProblem(await call('GET', '/healthz'), 503, 'SYNC_FAILED');
  });

  test('shows the cluster, its groups and their slots', async () => {
    const cluster = (await (await call('GET', '/v1/cluster')).json()) as Record<string, unknown>;
    expect(cluster).toMatchObject({
      name: 'fake',
      self: 'n1',
      epoch: node.store.epoch,
      ready: true,
      nodes: [{ id: 'n1', self: true, connected: true }],
      groups: [
        {
          id: 1,
          leader: 'n1',
          members: ['n1'],
          slotCount: 16384,
          slots: [{ from: 0, to: 16383 }],
          lag: { n1: 0 },
        },
      ],
      buckets: [{ name: 'default' }],
    });
    expect(await (await call('GET', '/v1/nodes')).json()).toMatchObject({
      self: 'n1',
      nodes: [{ id: 'n1' }],
    });
  });

  test('is there for Prometheus', async () => {
    await call('PUT', KEY, { body: 'v' });
    await call('GET', KEY);
    const response = await call('GET', '/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toMatch(/^quoin_writes_total\{node="n1"\} 1$/m);
    expect(text).toMatch(/^quoin_reads_total\{node="n1"\} 1$/m);
    expect(text).toMatch(/^quoin_group_leads\{group="1",node="n1"\} 1$/m);
    expect(text).toMatch(/^quoin_ready\{node="n1"\} 1$/m);
    expect(text).toMatch(
      /^quoin_http_request_duration_seconds_count\{.*method="PUT".*route="\/v1\/kv\/:bucket\/:key".*\} 1$/m,
    );
    expect(text).toContain('process_resident_memory_bytes');
  });
});

describe('bytes that are no HTTP', () => {
  test.each([
    ['garbage', 'hello there\r\n\r\n'],
    ['RESP', '*1\r\n$4\r\nPING\r\n'],
    ['TLS', Buffer.from('160301020001000001fc0303', 'hex')],
    ['a header without a colon', 'GET / HTTP/1.1\r\nnonsense\r\n\r\n'],
    ['an unknown method', 'FROB / HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['two lengths', 'PUT /put HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['an unknown version', 'GET / HTTP/9.9\r\nhost: x\r\n\r\n'],
  ])('(%s) get a 400, and the server lives', async (_name, bytes) => {
    const answer = await exchange(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('application/problem+json');
    expect(answer).toContain('PROTOCOL_ERROR');
    expect((await call('GET', '/healthz')).status).toBe(200);
  });

  test('but endless headers get a 431', async () => {
    const answer = await exchange(`GET / HTTP/1.1\r\nx: ${'y'.repeat(600_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  test('and requests cut short leave nothing behind', async () => {
    await exchange(`PUT ${KEY} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf`, true);
    await expectProblem(await call('GET', KEY), 404, 'NOT_FOUND');
  });

  test('of any kind never end the process', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        await exchange(Buffer.concat([Buffer.from(bytes), Buffer.from('\r\n\r\n')]), true);
      }),
      { numRuns: 30, seed: 5 },
    );
    expect((await call('GET', '/healthz')).status).toBe(200);
  });
});

describe('the listener', () => {
  test('says which address is in use', async () => {
    await expect(startHttpServer({ node, address: server.address })).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
      message: expect.stringContaining(server.address),
    });
  });

  test('refuses an address that is none', async () => {
    await expect(startHttpServer({ node, address: 'nowhere' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
