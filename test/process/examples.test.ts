/** The examples on a real cluster: a login outlives the leader that took it, and a dictionary comes back whole. */
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_WORDS, loadDictionary, verifyDictionary } from '../../examples/load/dictionary.js';
import { createSessionApp } from '../../examples/sessions/app.js';
import { killLeaderOfKey, portOf, QuoinCluster, waitFor } from '../support/local-cluster.js';

describe('the dictionary', () => {
  let cluster: QuoinCluster;
  beforeAll(async () => {
    cluster = await QuoinCluster.start();
  });
  afterAll(() => cluster?.stop());

  test('goes in through one node and comes out of the others whole', async () => {
    const [first, second, third] = cluster.respPorts() as [number, number, number];
    const loaded = await loadDictionary(DEFAULT_WORDS, first);
    expect(loaded.errors).toBe(0);
    expect(loaded.words).toBeGreaterThan(50_000);
    expect(loaded.replies).toBe(loaded.words);
    for (const port of [second, third]) {
      const verified = await verifyDictionary(DEFAULT_WORDS, port);
      expect(verified.wrong).toEqual([]);
      expect(verified.words).toBe(loaded.words);
    }
  });
});

/** The bucket of the example's README; resolves with its number once all nodes know it. */
async function createSessionsBucket(cluster: QuoinCluster): Promise<number> {
  const [first] = cluster.nodes;
  const created = await fetch(`http://${first?.http}/v1/buckets`, {
    method: 'POST',
    body: JSON.stringify({ name: 'sessions', replication: 'quorum', engine: 'memory', ttl: '30m' }),
  });
  expect(created.status).toBe(201);
  await waitFor('all nodes to know the bucket', 60_000, async () => {
    for (const { http } of cluster.nodes)
      if (!(await fetch(`http://${http}/v1/buckets/sessions`)).ok) return undefined;
    return true;
  });
  return ((await created.json()) as { readonly id: number }).id;
}

describe.each([
  { kind: 'a linearizable bucket', eventual: false },
  { kind: 'an eventual bucket', eventual: true },
])('sessions in $kind', ({ eventual }) => {
  let cluster: QuoinCluster;
  let base: string;
  const closers: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    cluster = await QuoinCluster.start();
    const { app, close } = await createSessionApp(
      cluster.nodes.map(({ resp }) => `redis://127.0.0.1:${portOf(resp)}`),
      'secret of a test',
      { bucket: eventual ? await createSessionsBucket(cluster) : 0, eventual },
    );
    closers.push(close);
    const server = await new Promise<ReturnType<typeof app.listen>>((resolve) => {
      const listening = app.listen(0, '127.0.0.1', () => resolve(listening));
    });
    closers.push(
      () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    );
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    for (const close of closers.reverse()) await close();
    await cluster?.stop();
  });

  /** Logs a user in; returns the cookie and the key of the session. */
  async function login(user: string): Promise<{ readonly cookie: string; readonly key: string }> {
    const response = await fetch(`${base}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user }),
    });
    expect(response.status).toBe(201);
    const cookie = response.headers.get('set-cookie')?.split(';')[0] ?? '';
    const id = /^connect\.sid=s%3A([^.]+)\./.exec(cookie)?.[1];
    expect(id).toBeDefined();
    return { cookie, key: `session:${decodeURIComponent(id ?? '')}` };
  }

  const ask = (path: string, cookie: string, method = 'GET'): Promise<Response> =>
    fetch(`${base}${path}`, { method, headers: { cookie }, signal: AbortSignal.timeout(15_000) });

  test('end with a logout', async () => {
    const { cookie } = await login('grace');
    expect((await ask('/me', cookie)).status).toBe(200);
    expect((await ask('/logout', cookie, 'POST')).status).toBe(204);
    expect((await ask('/me', cookie)).status).toBe(401);
  });

  test('outlive the node that serves them: the user is never logged out', async () => {
    const { cookie, key } = await login('ada');
    expect(await (await ask('/me', cookie)).json()).toEqual({ user: 'ada', visits: 1 });

    await killLeaderOfKey(cluster, key);

    const statuses = new Set<number>();
    const after = await waitFor('the application answers again', 60_000, async () => {
      const response = await ask('/me', cookie);
      statuses.add(response.status);
      return response.status === 200
        ? ((await response.json()) as { user: string; visits: number })
        : undefined;
    });
    expect(after).toMatchObject({ user: 'ada' });
    expect(after.visits).toBeGreaterThan(1);
    expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);

    // And a new login works with a node less.
    const second = await login('alan');
    expect((await ask('/me', second.cookie)).status).toBe(200);
  });

  test('lie where they should', async () => {
    const { cookie, key } = await login('hopper');
    expect((await ask('/me', cookie)).status).toBe(200);
    const bucketHolding = async (bucket: string): Promise<number> => {
      const path = `/v1/kv/${bucket}/${encodeURIComponent(key)}`;
      for (const { http } of cluster.nodes) {
        const answer = await fetch(`http://${http}${path}`).catch(() => undefined);
        if (answer !== undefined) return answer.status;
      }
      throw new Error('no node answers');
    };
    expect(await bucketHolding(eventual ? 'sessions' : 'default')).toBe(200);
    expect(await bucketHolding(eventual ? 'default' : 'quorum')).toBe(404);
  });
});
