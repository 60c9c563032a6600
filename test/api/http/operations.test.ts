import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HttpServer, startHttpServer } from '../../../src/api/http/index.js';
import { FakeNode } from '../../support/fake-node.js';

let node: FakeNode;
let server: HttpServer;

beforeEach(async () => {
  node = new FakeNode();
  server = await startHttpServer({
    node,
    address: '127.0.0.1:0',
    limits: { maxValueBytes: 1000, maxKeyBytes: 100 },
  });
});

afterEach(async () => {
  await server.close();
});

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

async function post(body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`http://${server.address}/v1/kv/default`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers,
  });
  return { status: response.status, json: (await response.json()) as Record<string, unknown> };
}

const stored = (key: string): string | undefined =>
  node.store.keyspaces.get(0)?.get(Buffer.from(key))?.value.toString();

describe('a posted list of operations', () => {
  test('is carried out as one, and answered one by one', async () => {
    const { status, json } = await post([
      { op: 'get', key: '{a}1' },
      { op: 'put', key: '{a}1', value: 'one', ttl: '1h' },
      { op: 'get', key: '{a}1' },
      { op: 'delete', key: '{a}1' },
      { op: 'delete', key: '{a}1' },
      { op: 'put', key: '{a}2', value: '' },
    ]);
    expect(status).toBe(200);
    const version = expect.stringMatching(/^\d+$/);
    expect(json).toEqual({
      results: [
        { found: false },
        { version },
        { found: true, value: 'one', version },
        { deleted: true },
        { deleted: false },
        { version },
      ],
    });
    expect([stored('{a}1'), stored('{a}2')]).toEqual([undefined, '']);
  });

  test('may be empty', async () => {
    expect(await post([])).toEqual({ status: 200, json: { results: [] } });
  });

  test('takes and gives bytes that are not text', async () => {
    const key = { base64: Buffer.from([0x7b, 0x61, 0x7d, 0xff]).toString('base64') };
    const value = { base64: Buffer.from([0xff, 0]).toString('base64') };
    const { json } = await post([
      { op: 'put', key, value },
      { op: 'get', key },
    ]);
    expect(json).toMatchObject({ results: [{}, { found: true, value }] });
  });

  test('does nothing at all when a condition does not hold', async () => {
    const first = await post([{ op: 'put', key: '{a}1', value: 'one', ifAbsent: true }]);
    expect(first.status).toBe(200);
    const { version } = (first.json.results as [{ readonly version: string }])[0];

    const refused = await post([
      { op: 'put', key: '{a}2', value: 'two' },
      { op: 'put', key: '{a}1', value: 'again', ifAbsent: true },
    ]);
    expect(refused).toMatchObject({ status: 412, json: { code: 'CONDITION_FAILED' } });
    expect([stored('{a}1'), stored('{a}2')]).toEqual(['one', undefined]);

    for (const ifVersion of [version, `"${version}"`, Number(version)]) {
      const other = await post([{ op: 'delete', key: '{a}2', ifVersion }]);
      expect(other.status).toBe(412);
    }
    expect((await post([{ op: 'put', key: '{a}1', value: 'two', ifVersion: version }])).status).toBe(200);
    expect((await post([{ op: 'delete', key: '{a}1', ifVersion: version }])).status).toBe(412);
    expect(stored('{a}1')).toBe('two');
  });

  test('is refused when its keys lie in different slots', async () => {
    const { status, json } = await post([
      { op: 'put', key: '{a}1', value: 'v' },
      { op: 'put', key: '{b}1', value: 'v' },
    ]);
    expect([status, json.code]).toEqual([400, 'CROSS_SLOT']);
    expect(json.detail).toContain('[0] and [1]');
    expect(stored('{a}1')).toBeUndefined();
  });

  test('carries a session', async () => {
    node.recording = true;
    await post([{ op: 'put', key: 'a', value: 'v' }], {
      'quoin-session': '00112233aabbccdd',
      'quoin-sequence': '3',
    });
    expect(node.requests.at(-1)?.session).toMatchObject({ session: '00112233aabbccdd', sequence: 3 });
  });

  test.each([
    ['nothing', '', 'empty'],
    ['no JSON', '[{', 'not JSON'],
    ['no list', '{}', 'must be a JSON list'],
    ['an item that is no object', [1], '[0]: must be a JSON object'],
    ['an unknown operation', [{ op: 'incr', key: 'a' }], '[0].op: must be get, put or delete'],
    [
      'an unknown member',
      [{ op: 'put', key: 'a', value: 'b', tll: '1s' }],
      '[0].tll: unknown key; did you mean ttl?',
    ],
    ['a member of another operation', [{ op: 'get', key: 'a', value: 'b' }], '[0].value: unknown key'],
    ['no key', [{ op: 'get' }], '[0].key: must be a text'],
    ['a key that is a number', [{ op: 'get', key: 1 }], '[0].key: must be a text'],
    ['bad base64', [{ op: 'get', key: { base64: '***' } }], '[0].key: must be a text'],
    ['no value', [{ op: 'put', key: 'a' }], '[0].value: must be a text'],
    ['a bad ttl', [{ op: 'put', key: 'a', value: 'b', ttl: 30 }], '[0].ttl'],
    ['two conditions', [{ op: 'put', key: 'a', value: 'b', ifAbsent: true, ifVersion: '5' }], 'not both'],
    ['a bad version', [{ op: 'put', key: 'a', value: 'b', ifVersion: 'x' }], '[0].ifVersion'],
  ])('with %s is refused by name', async (_name, body, detail) => {
    const { status, json } = await post(body);
    expect([status, json.code]).toEqual([400, 'WRONG_ARGUMENTS']);
    expect(json.detail).toContain(detail);
  });

  test('keeps the limits of keys, values and their number', async () => {
    const put = (key: string, value: string) => post([{ op: 'put', key, value }]);
    expect((await put('k'.repeat(101), 'v')).json.code).toBe('KEY_TOO_LARGE');
    expect((await put('k', 'v'.repeat(1001))).json.code).toBe('VALUE_TOO_LARGE');
    const many = Array.from({ length: 10_001 }, () => ({ op: 'get', key: 'a' }));
    expect(await post(many)).toMatchObject({ status: 413, json: { code: 'REQUEST_TOO_LARGE' } });
  });
});
