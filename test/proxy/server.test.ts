import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RunningProxy, startProxy } from '../../src/proxy/server.js';
import { FakeNodes, StepClock, viewOf } from './fake-network.js';

let clock: StepClock;
let nodes: FakeNodes;
let proxy: RunningProxy;
let base: string;

beforeEach(async () => {
  clock = new StepClock();
  nodes = new FakeNodes(clock);
  for (const id of ['a', 'b']) {
    nodes.health.set(`${id}:80`, 'ready');
    nodes.views.set(`${id}:80`, viewOf(1, ['a', 'b']));
  }
  const listen = { host: '127.0.0.1', port: 0 };
  proxy = await startProxy({ listen, seeds: ['a:80'], network: nodes, clock });
  base = `http://127.0.0.1:${proxy.port}`;
  await proxy.until((rotation) => rotation.entries().filter(({ state }) => state === 'ready').length === 2);
});

afterEach(async () => {
  await proxy.close();
});

async function everybodyDown(): Promise<void> {
  nodes.health.clear();
  await clock.advance(1000);
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request whose path no URL parser has touched. */
function raw(method: string, path: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ hostname: '127.0.0.1', port: proxy.port, method, path }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function exchange(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: proxy.port });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.on('error', reject);
    socket.write(bytes);
  });
}

describe('the proxy', () => {
  test('hands out the next coordinator each time', async () => {
    const ids: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const answer = await fetch(`${base}/v1/coordinator`);
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
      ids.push(await answer.json());
    }
    const a = { id: 'a', resp: 'a:70', http: 'a:80', grpc: 'a:90' };
    const b = { id: 'b', resp: 'b:70', http: 'b:80', grpc: 'b:90' };
    expect(ids).toEqual([a, b, a, b]);
  });

  test.each([
    ['GET', '/get?key=a%20b'],
    ['GET', '/put?key=a&value=b'],
    ['HEAD', '/v1/kv/default/a'],
    ['PUT', '/v1/kv/default/a%2Fb/c%ff%zz?ttl=30s&w=2'],
    ['DELETE', '/v1/kv/default/a'],
    ['POST', '/v1/coordinator'],
    ['PROPFIND', '/'],
    ['GET', '/v1/coordinators'],
    ['GET', '/redirect'],
    ['GET', '//elsewhere/path'],
  ])('redirects %s %s with path and query as they were', async (method, path) => {
    const { status, headers, body } = await raw(
      method,
      path,
      method === 'PUT' ? 'x'.repeat(300_000) : undefined,
    );
    expect([status, headers.location, body]).toEqual([307, `http://a:80${path}`, '']);
  });

  test('redirects requests in absolute form to their path alone', async () => {
    expect((await raw('GET', 'http://elsewhere:1/v1/kv/default/a?r=1')).headers.location).toBe(
      'http://a:80/v1/kv/default/a?r=1',
    );
  });

  test('takes turns over the redirects too', async () => {
    const places = [];
    for (let i = 0; i < 4; i++) places.push((await raw('GET', '/x')).headers.location);
    expect(places).toEqual(['http://a:80/x', 'http://b:80/x', 'http://a:80/x', 'http://b:80/x']);
  });

  test('says that nobody is healthy, and to come back, when that is so', async () => {
    await everybodyDown();
    for (const [method, path] of [
      ['GET', '/v1/coordinator'],
      ['PUT', '/v1/kv/default/a'],
      ['GET', '/readyz'],
    ] as const) {
      const { status, headers, body } = await raw(method, path);
      expect([status, headers['retry-after'], headers['content-type']]).toEqual([
        503,
        '1',
        'application/problem+json; charset=utf-8',
      ]);
      expect(JSON.parse(body)).toMatchObject({ code: 'UNREACHABLE', status: 503, retriable: true });
    }
    expect((await raw('GET', '/healthz')).status).toBe(200);
    nodes.health.set('b:80', 'ready');
    await clock.advance(600);
    expect((await raw('GET', '/x')).headers.location).toBe('http://b:80/x');
  });

  test('shows its rotation and counts what it does', async () => {
    nodes.health.delete('b:80');
    await clock.advance(600);
    await raw('GET', '/x');
    expect(await (await fetch(`${base}/v1/proxy`)).json()).toMatchObject({
      healthy: true,
      coordinators: [
        { id: 'a', http: 'a:80', state: 'ready' },
        { id: 'b', state: 'down' },
      ],
    });
    expect(await (await fetch(`${base}/readyz`)).json()).toEqual({ ready: true });
    const metrics = await (await fetch(`${base}/metrics`)).text();
    expect(metrics).toContain('quoin_proxy_coordinators{state="ready"} 1');
    expect(metrics).toContain('quoin_proxy_coordinators{state="down"} 1');
    expect(metrics).toContain('quoin_proxy_redirects_total{coordinator="a"} 1');
  });

  test('answers what is no HTTP with a problem and goes on', async () => {
    const answer = await exchange('this is no http\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*"code":"PROTOCOL_ERROR"/s);
    expect((await raw('GET', '/x')).status).toBe(307);
  });

  test('refuses an address that is taken', async () => {
    const listen = { host: '127.0.0.1', port: proxy.port };
    await expect(startProxy({ listen, seeds: ['a:80'], network: nodes, clock })).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
    });
  });
});
