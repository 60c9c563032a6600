/** The client against a real HTTP door over a fake node, and against nodes that misbehave. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HttpServer, startHttpServer } from '../../src/api/http/index.js';
import type { ErrorCode } from '../../src/base/errors.js';
import { type Client, type ConnectOptions, connect } from '../../src/client/index.js';
import { ErrorReply } from '../../src/store/reply.js';
import { FakeNode } from '../support/fake-node.js';

let node: FakeNode;
let door: HttpServer;
const clients: Client[] = [];
const servers: Server[] = [];

beforeEach(async () => {
  node = new FakeNode();
  node.recording = true;
  door = await startHttpServer({ node, address: '127.0.0.1:0' });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await door.close();
});

function client(nodes: readonly string[], options: Partial<ConnectOptions> = {}): Client {
  const made = connect({ nodes, timeoutMs: 5000, ...options });
  clients.push(made);
  return made;
}

const doorUrl = (): string => `http://${door.address}`;

/** A node of our own making. */
async function fakeHttp(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => handler(request, response));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address where nobody listens. */
async function nobody(): Promise<string> {
  const url = await fakeHttp(() => undefined);
  const server = servers.pop();
  await new Promise((resolve) => server?.close(resolve));
  return url;
}

function problem(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/problem+json; charset=utf-8' });
  response.end(JSON.stringify({ code, detail: `because of ${code}` }));
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error: unknown) => error,
  );

async function collect<T>(keys: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const key of keys) found.push(key);
  return found;
}

describe('a bucket over HTTP', () => {
  test('keeps what is set, and its version, until it is deleted', async () => {
    const bucket = client([doorUrl()]).bucket();
    expect(await bucket.get('greeting')).toBeUndefined();
    const version = await bucket.set('greeting', 'hëllo');
    expect(await bucket.getText('greeting')).toBe('hëllo');
    const entry = await bucket.getEntry('greeting');
    expect(entry).toEqual({ value: Buffer.from('hëllo'), version, expiresAt: undefined });
    expect(await bucket.delete('greeting')).toBe(true);
    expect(await bucket.delete('greeting')).toBe(false);
    expect(await bucket.getEntry('greeting')).toBeUndefined();
  });

  test('compares and sets', async () => {
    const bucket = client([doorUrl()]).bucket();
    const first = await bucket.compareAndSet('key', 'absent', 'one');
    expect(first).toBeTypeOf('number');
    expect(await bucket.compareAndSet('key', 'absent', 'two')).toBeUndefined();
    const second = await bucket.compareAndSet('key', first ?? 0, 'two');
    expect(second).toBeGreaterThan(first ?? 0);
    expect(await bucket.compareAndSet('key', first ?? 0, 'three')).toBeUndefined();
    expect(await bucket.getText('key')).toBe('two');
  });

  test('gives a time to live to the millisecond', async () => {
    const now = 1_800_000_000_123;
    node.store.nowMs = () => now;
    const bucket = client([doorUrl()]).bucket();
    await bucket.set('brief', 'x', { ttlMs: 90_001 });
    await bucket.set('endless', 'x', { ttlMs: 0 });
    expect((await bucket.getEntry('brief'))?.expiresAt).toEqual(new Date(now + 90_001));
    expect((await bucket.getEntry('endless'))?.expiresAt).toBeUndefined();
  });

  test('asks for as many copies as a call says, and only then', async () => {
    node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
    const bucket = client([doorUrl()]).bucket('eventual');
    await bucket.set('key', 'value', { w: 3, ttlMs: 60_000 });
    await bucket.get('key', { r: 1 });
    await bucket.getText('key', { r: 2 });
    await bucket.getEntry('key', { r: 3 });
    await bucket.delete('key', { w: 1 });
    await bucket.set('key', 'value');
    expect(node.requests.map(({ quorum }) => quorum)).toEqual([
      { r: undefined, w: 3 },
      { r: 1, w: undefined },
      { r: 2, w: undefined },
      { r: 3, w: undefined },
      { r: undefined, w: 1 },
      undefined,
    ]);
    for (const call of [() => bucket.get('key', { r: 4 }), () => bucket.set('key', 'x', { w: 4 })])
      expect(await rejection(call())).toMatchObject({
        code: 'WRONG_ARGUMENTS',
        message: expect.stringContaining('from 1 to 3'),
      });
  });

  test('has no copies to choose where reads are linearizable', async () => {
    const bucket = client([doorUrl()]).bucket();
    for (const call of [
      () => bucket.get('key', { r: 1 }),
      () => bucket.set('key', 'x', { w: 1 }),
      () => bucket.delete('key', { w: 1 }),
      () => bucket.compareAndSet('key', 'absent', 'x', { w: 1 } as never),
    ])
      expect(await rejection(call())).toMatchObject({
        code: 'WRONG_ARGUMENTS',
        message: expect.stringContaining("'default' is one of raft"),
      });
    expect(node.requests).toEqual([]);
  });

  test('takes any bytes as key and value', async () => {
    const bucket = client([doorUrl()]).bucket();
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 40 }),
        async (key, value) => {
          await bucket.set(key, value);
          expect(await bucket.get(key)).toEqual(Buffer.from(value));
          expect(await collect(bucket.scanBytes({ prefix: key }))).toContainEqual(Buffer.from(key));
          expect(await bucket.delete(key)).toBe(true);
        },
      ),
      { seed: 11, numRuns: 60 },
    );
  });

  test.each(['.', '..', 'a/../b', '/', '%2e', '?', '#', ' ', 'ключ'])(
    'takes the key %j as it is',
    async (key) => {
      const bucket = client([doorUrl()]).bucket();
      await bucket.set(key, 'here');
      expect(await collect(bucket.scan())).toEqual([key]);
      expect(await bucket.getText(key)).toBe('here');
    },
  );

  test('carries a large value both ways', async () => {
    const bucket = client([doorUrl()]).bucket();
    const value = Buffer.alloc(3_000_000, 'quoin');
    await bucket.set('large', value);
    expect((await bucket.get('large'))?.equals(value)).toBe(true);
  });

  test('takes the bytes when it is called: what becomes of them later does no harm', async () => {
    const bucket = client([doorUrl()]).bucket();
    const value = Buffer.from('before');
    const writing = bucket.set('key', value);
    value.fill('x');
    await writing;
    expect(await bucket.getText('key')).toBe('before');
  });

  test('scans page by page, with a prefix, text or bytes', async () => {
    const bucket = client([doorUrl()]).bucket();
    const keys = Array.from({ length: 25 }, (_, index) => `user:${index}`);
    for (const key of [...keys, 'other']) await bucket.set(key, '');
    const found = await collect(bucket.scan({ prefix: 'user:', pageSize: 4 }));
    expect([...new Set(found)].sort()).toEqual([...keys].sort());
    expect(await collect(bucket.scan({ prefix: Buffer.from('other') }))).toEqual(['other']);
  });

  test('stops asking when the scan is left', async () => {
    const bucket = client([doorUrl()]).bucket();
    for (let index = 0; index < 30; index++) await bucket.set(`key:${index}`, '');
    node.requests.length = 0;
    for await (const key of bucket.scan({ pageSize: 1 })) {
      expect(key).toContain('key:');
      break;
    }
    expect(node.requests).toHaveLength(1);
  });

  test('tells a bucket that is not there from a key that is not there', async () => {
    const error = await rejection(client([doorUrl()]).bucket('nowhere').get('key'));
    expect(error).toMatchObject({ name: 'QuoinError', code: 'UNKNOWN_BUCKET', definite: true });
  });

  const bucket = () => client([doorUrl()]).bucket();
  test.each<readonly [string, () => Promise<unknown>]>([
    ['an empty key', () => bucket().get('')],
    ['a key that is no bytes', () => bucket().get(7 as never)],
    ['a value that is no bytes', () => bucket().set('key', undefined as never)],
    ['half a millisecond', () => bucket().set('key', 'value', { ttlMs: 0.5 })],
    ['a negative time to live', () => bucket().set('key', 'value', { ttlMs: -1 })],
    ['a read of no copy', () => bucket().get('key', { r: 0 })],
    ['a write of half a copy', () => bucket().set('key', 'value', { w: 1.5 })],
    ['a delete of too many copies to count', () => bucket().delete('key', { w: 1e300 })],
    ['copies that are text', () => bucket().get('key', { r: '1' as never })],
    ['a version that no key has', () => bucket().compareAndSet('key', 0, 'value')],
    ['a page of nothing', () => collect(bucket().scan({ pageSize: 0 }))],
    ['a page without end', () => collect(bucket().scan({ pageSize: 1e9 }))],
  ])('refuses %s before anything is sent', async (_what, call) => {
    expect(await rejection(call())).toMatchObject({ code: 'WRONG_ARGUMENTS' });
    expect(node.requests).toEqual([]);
  });

  test.each(['', '..', 'a/b', 'x'.repeat(65)])('there is no bucket named %j', (name) => {
    expect(() => client([doorUrl()]).bucket(name)).toThrow(
      expect.objectContaining({ code: 'WRONG_ARGUMENTS' }),
    );
  });
});

describe('a client', () => {
  test.each<readonly [string, ConnectOptions]>([
    ['no node', { nodes: [] }],
    ['a node without a scheme', { nodes: ['127.0.0.1:8001'] }],
    ['no time at all', { nodes: ['http://h:1'], timeoutMs: 0 }],
    ['a time that is no number', { nodes: ['http://h:1'], attemptTimeoutMs: Number.NaN }],
    ['no call at one time', { nodes: ['http://h:1'], maxInflight: 0 }],
  ])('is not made with %s', (_what, options) => {
    expect(() => connect(options)).toThrow(expect.objectContaining({ code: 'WRONG_ARGUMENTS' }));
  });

  test('goes on with another node when one is not there', async () => {
    const bucket = client([await nobody(), doorUrl()]).bucket();
    for (let round = 0; round < 4; round++) {
      await bucket.set('key', String(round));
      expect(await bucket.getText('key')).toBe(String(round));
    }
  });

  test('goes on with another node when one is silent', async () => {
    let asked = 0;
    const silent = await fakeHttp(() => {
      asked++;
    });
    const bucket = client([silent, doorUrl()], { attemptTimeoutMs: 50 }).bucket();
    await bucket.set('key', 'value');
    expect(await bucket.getText('key')).toBe('value');
    expect(asked).toBeGreaterThan(0);
  });

  test.each<ErrorCode>(['STARTING', 'SHUTTING_DOWN', 'NO_LEADER', 'SYNC_FAILED', 'DISK_FULL', 'LOST_DISK'])(
    'asks another node when one answers %s',
    async (code) => {
      const troubled = await fakeHttp((_request, response) => problem(response, 503, code));
      const bucket = client([troubled, doorUrl()]).bucket();
      await bucket.set('key', 'value');
      expect(await bucket.getText('key')).toBe('value');
    },
  );

  test.each<ErrorCode>(['KEY_TOO_LARGE', 'WRONG_TYPE', 'UNKNOWN_BUCKET', 'NOT_SUPPORTED', 'INTERNAL'])(
    'takes %s for an answer',
    async (code) => {
      let asked = 0;
      const refusing = await fakeHttp((_request, response) => {
        asked++;
        problem(response, 400, code);
      });
      const error = await rejection(client([refusing]).bucket().set('key', 'value'));
      expect(error).toMatchObject({ code, message: `because of ${code}` });
      expect(asked).toBe(1);
    },
  );

  test('comes back to a node that is overloaded', async () => {
    let asked = 0;
    const busy = await fakeHttp((_request, response) => {
      if (++asked < 4) problem(response, 503, 'OVERLOADED');
      else response.writeHead(204, { etag: '"7"' }).end();
    });
    expect(await client([busy]).bucket().set('key', 'value')).toBe(7);
    expect(asked).toBe(4);
  });

  test('says what it met where no node listens, once time is up', async () => {
    const url = await nobody();
    const error = await rejection(client([url], { timeoutMs: 150 }).bucket().set('key', 'value'));
    expect(error).toMatchObject({ code: 'UNREACHABLE', definite: true });
    expect(String(error)).toContain(url);
  });

  test('does not take a stranger for a node', async () => {
    const stranger = await fakeHttp((_request, response) => response.writeHead(404).end('<html>'));
    const error = await rejection(client([stranger]).bucket().get('key'));
    expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' });
    expect(String(error)).toContain(stranger);
  });

  test.each(['{"keys":7,"cursor":null}', '{"keys":[7],"cursor":null}', '{"keys":[],"cursor":7}', 'keys'])(
    'refuses %j as a page of keys',
    async (body) => {
      const odd = await fakeHttp((_request, response) => response.end(body));
      const error = await rejection(collect(client([odd]).bucket().scan()));
      expect(error).toMatchObject({ code: 'PROTOCOL_ERROR' });
    },
  );

  test('has so many requests on their way and no more', async () => {
    const waiting: ServerResponse[] = [];
    let most = 0;
    const slow = await fakeHttp((_request, response) => {
      waiting.push(response);
      most = Math.max(most, waiting.length);
      // The last of a full house opens the door.
      if (waiting.length === 3)
        setImmediate(() => {
          for (const one of waiting.splice(0)) one.writeHead(204, { etag: '"1"' }).end();
        });
    });
    const bucket = client([slow], { maxInflight: 3 }).bucket();
    const versions = await Promise.all(
      Array.from({ length: 12 }, (_, index) => bucket.set(`key:${index}`, '')),
    );
    expect(versions).toEqual(versions.map(() => 1));
    expect(most).toBe(3);
  });

  test('gives up a read that nobody answers, certain that it did nothing', async () => {
    const silent = await fakeHttp(() => undefined);
    const error = await rejection(client([silent], { timeoutMs: 100 }).bucket().get('key'));
    expect(error).toMatchObject({ code: 'TIMEOUT', definite: true });
  });

  test('gives up a write that nobody answers, not knowing whether it happened', async () => {
    const silent = await fakeHttp(() => undefined);
    const error = await rejection(client([silent], { timeoutMs: 100 }).bucket().set('key', 'value'));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', definite: false });
  });

  test('stays in doubt about a write although the last node was certain', async () => {
    let asked = 0;
    const url = await fakeHttp((request, response) => {
      if (++asked === 1) request.socket.destroy();
      else problem(response, 503, 'NO_LEADER');
    });
    const error = await rejection(client([url], { timeoutMs: 200 }).bucket().set('key', 'value'));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', definite: false });
    expect(String(error)).toContain('because of NO_LEADER');
  });

  test('rejects what is under way when it is closed, and everything after', async () => {
    const silent = await fakeHttp(() => undefined);
    const made = client([silent], { maxInflight: 2 });
    const bucket = made.bucket();
    const reading = rejection(bucket.get('key'));
    const writing = rejection(bucket.set('key', 'value'));
    const queued = rejection(bucket.set('queued', 'value'));
    await new Promise<void>((resolve) => {
      let arrived = 0;
      servers[0]?.on('request', () => {
        if (++arrived === 2) resolve();
      });
    });
    made.close();
    expect(await reading).toMatchObject({ code: 'CLOSED' });
    expect(await writing).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await queued).toMatchObject({ code: 'CLOSED' });
    expect(await rejection(bucket.get('key'))).toMatchObject({ code: 'CLOSED' });
  });
});

describe('a write whose answer is lost', () => {
  /** Passes requests on to the door and cuts the connection instead of giving the first `lost` answers. */
  async function lossy(lost: number): Promise<{ readonly url: string; readonly passed: string[] }> {
    const passed: string[] = [];
    const url = await fakeHttp((request, response) => {
      if (request.method === 'GET') {
        void fetch(`${doorUrl()}${request.url}`).then(async (answer) => {
          response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
          response.end(await answer.text());
        });
        return;
      }
      passed.push(`${String(request.headers['quoin-session'])}/${String(request.headers['quoin-sequence'])}`);
      const headers: Record<string, string> = {};
      for (const name of ['quoin-session', 'quoin-sequence', 'quoin-acknowledged-below', 'if-none-match']) {
        const value = request.headers[name];
        if (typeof value === 'string') headers[name] = value;
      }
      void fetch(`${doorUrl()}${request.url}`, { method: request.method ?? 'GET', headers }).then(
        async (answer) => {
          const body = Buffer.from(await answer.arrayBuffer());
          if (passed.length <= lost) request.socket.destroy();
          else response.writeHead(answer.status, { etag: answer.headers.get('etag') ?? '' }).end(body);
        },
      );
    });
    return { url, passed };
  }

  test('is sent again under the same session and sequence', async () => {
    const { url, passed } = await lossy(2);
    await client([url]).bucket().set('key', 'value');
    expect(passed).toHaveLength(3);
    expect(new Set(passed).size).toBe(1);
    const stamps = node.requests.map(({ session }) => session);
    expect(stamps).toEqual([stamps[0], stamps[0], stamps[0]]);
    expect(stamps[0]).toMatchObject({ sequence: 1, acknowledgedBelow: 1 });
  });

  test('without a session is not sent again, and its outcome is unknown', async () => {
    const { url, passed } = await lossy(1);
    const error = await rejection(client([url], { session: false }).bucket().set('key', 'value'));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', definite: false });
    expect(passed).toEqual(['undefined/undefined']);
  });

  test('without a session is sent again when it cannot have arrived', async () => {
    const { url, passed } = await lossy(0);
    const bucket = client([await nobody(), url], { session: false }).bucket();
    await bucket.set('one', '');
    await bucket.set('two', '');
    expect(passed).toHaveLength(2);
  });

  test('leaves the next write with a sequence of its own and the answer acknowledged', async () => {
    const { url } = await lossy(1);
    const bucket = client([url]).bucket();
    await bucket.set('one', '');
    await bucket.set('two', '');
    expect(node.requests.at(-1)?.session).toMatchObject({ sequence: 2, acknowledgedBelow: 2 });
  });

  test.each(['set', 'delete'] as const)(
    'by a %s in an eventual bucket is not sent again, and its outcome is unknown',
    async (method) => {
      node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
      const { url, passed } = await lossy(1);
      const bucket = client([url, doorUrl()]).bucket('eventual');
      const error = await rejection(method === 'set' ? bucket.set('key', 'value') : bucket.delete('key'));
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', definite: false });
      expect(String(error)).toMatch(/may have happened; it is not sent again: .*'eventual'/);
      expect(passed).toHaveLength(1);
      expect(node.requests).toHaveLength(1);
    },
  );

  test('in an eventual bucket does not overwrite what somebody else has written since', async () => {
    node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
    const other = client([doorUrl()]).bucket('eventual');
    const losing = await fakeHttp((request, _response) => {
      void other
        .set('key', 'mine')
        .then(() => other.set('key', 'newer'))
        .then(() => request.socket.destroy());
    });
    const error = await rejection(client([losing, doorUrl()]).bucket('eventual').set('key', 'mine'));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(await other.getText('key')).toBe('newer');
  });

  test.each<ErrorCode>(['SYNC_FAILED', 'DISK_FULL', 'OUTCOME_UNKNOWN', 'INTERNAL'])(
    'or answered by %s in an eventual bucket is not sent again',
    async (code) => {
      node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
      const troubled = await fakeHttp((_request, response) => problem(response, 500, code));
      const error = await rejection(client([troubled, doorUrl()]).bucket('eventual').set('key', 'value'));
      expect(error).toMatchObject({
        definite: false,
        message: expect.stringContaining(`because of ${code}`),
      });
      expect(node.requests).toEqual([]);
    },
  );

  test.each<ErrorCode>(['STARTING', 'QUORUM_UNREACHABLE', 'CLOCK_DRIFT', 'NOT_COORDINATOR', 'OVERLOADED'])(
    'or refused for certain with %s in an eventual bucket: the refused one is sent again',
    async (code) => {
      node.store.create({ name: 'eventual', replication: 'quorum', engine: 'memory', ttlMs: 0 });
      const troubled = await fakeHttp((_request, response) => problem(response, 503, code));
      const bucket = client([troubled, doorUrl()]).bucket('eventual');
      await bucket.set('key', 'value');
      expect(await bucket.getText('key')).toBe('value');
    },
  );

  test('to a bucket that has gone since, or of a replication that this version does not know, is not sent again', async () => {
    let writes = 0;
    const odd = await fakeHttp((request, response) => {
      if (request.method === 'PUT') {
        writes++;
        request.socket.destroy();
      } else if (request.url === '/v1/buckets/gone') problem(response, 404, 'UNKNOWN_BUCKET');
      else response.end(JSON.stringify({ replication: 'of another time' }));
    });
    for (const name of ['gone', 'odd'])
      expect(await rejection(client([odd]).bucket(name).set('key', 'value'))).toMatchObject({
        code: 'OUTCOME_UNKNOWN',
      });
    expect(writes).toBe(2);
  });

  test('is not sent again while no node can tell what kind of bucket it is for', async () => {
    let writes = 0;
    let asked = 0;
    const forgetful = await fakeHttp((request, response) => {
      if (request.method === 'PUT') {
        writes++;
        request.socket.destroy();
      } else if (++asked % 2 === 0) problem(response, 503, 'STARTING');
      else request.socket.destroy();
    });
    const error = await rejection(client([forgetful], { timeoutMs: 300 }).bucket().set('key', 'value'));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(writes).toBe(1);
    expect(asked).toBeGreaterThan(1);
  });

  test('is told from a read, which is simply asked again and carries no session', async () => {
    node.store.execute = () => ErrorReply.of('NOT_LEADER', 'leadership is moving');
    const answering = await fakeHttp((request, response) => {
      expect(request.headers['quoin-session']).toBeUndefined();
      response.writeHead(200, { etag: '"3"' }).end('there');
    });
    const bucket = client([doorUrl(), answering]).bucket();
    expect(await bucket.getText('key')).toBe('there');
  });
});
