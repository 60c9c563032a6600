/** Paper 004's front: a proxy before coordinators before storage nodes, in real processes that are killed. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { waitFor } from '../../bench/support/wait.js';
import { PATIENCE_MS, QuoinProcess } from '../support/fleet.js';

interface UpNode {
  readonly id: string;
  readonly pid: number;
  readonly roles: readonly string[];
  readonly http: string;
}

interface UpLine {
  readonly ready: boolean;
  readonly nodes: readonly UpNode[];
  readonly proxy: string;
}

interface ProxyView {
  readonly healthy: boolean;
  readonly coordinators: readonly { readonly id: string; readonly state: string }[];
}

const IDS = ['c1', 'c2', 'n1', 'n2', 'n3'];

async function firstLine(process: QuoinProcess): Promise<string> {
  return await waitFor('a ready line', PATIENCE_MS, () => {
    if (!process.alive) throw new Error(`ended before it was ready: ${process.stderr}`);
    return process.stdout.includes('\n') ? process.stdout.split('\n')[0] : undefined;
  });
}

async function json<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}

async function idsInRotation(proxy: string): Promise<string[]> {
  const { coordinators } = await json<ProxyView>(`http://${proxy}/v1/proxy`);
  return coordinators.filter(({ state }) => state === 'ready').map(({ id }) => id);
}

async function untilRotation(proxy: string, ids: readonly string[]): Promise<void> {
  await waitFor(`the rotation to be ${ids.join(', ')}`, PATIENCE_MS, async () =>
    (await idsInRotation(proxy)).join() === ids.join() ? true : undefined,
  );
}

describe('the proxy of quoin up --preset memory', () => {
  let up: QuoinProcess;
  let nodes: readonly UpNode[];
  let proxy: string;
  let basePort: number;

  beforeEach(async () => {
    basePort = await freeBasePort([999, ...quoinPortOffsets(5)]);
    const words = ['--preset', 'memory', '--ephemeral', '--restart', '--json'];
    up = new QuoinProcess(['up', ...words, '--base-port', String(basePort)]);
    const line = JSON.parse(await firstLine(up)) as UpLine;
    expect(line.ready).toBe(true);
    ({ nodes, proxy } = line);
  });

  afterEach(async () => {
    up.signal('SIGTERM');
    await up.exited;
  });

  test('stands before three nodes that store and two that only coordinate', async () => {
    expect(nodes.map(({ id, roles, http }) => [id, roles.join(), http])).toEqual([
      ['n1', 'storage,coordinator', `127.0.0.1:${basePort + 1000}`],
      ['n2', 'storage,coordinator', `127.0.0.1:${basePort + 1001}`],
      ['n3', 'storage,coordinator', `127.0.0.1:${basePort + 1002}`],
      ['c1', 'coordinator', `127.0.0.1:${basePort + 1003}`],
      ['c2', 'coordinator', `127.0.0.1:${basePort + 1004}`],
    ]);
    expect(proxy).toBe(`127.0.0.1:${basePort + 999}`);
    const { groups, buckets } = await json<{
      groups: { members: string[] }[];
      buckets: { name: string; replication: string; engine: string; n?: number; r?: number; w?: number }[];
    }>(`http://${nodes[3]?.http}/v1/cluster`);
    for (const { members } of groups) expect(members.toSorted()).toEqual(['n1', 'n2', 'n3']);
    expect(buckets[0]).toMatchObject({
      name: 'default',
      replication: 'quorum',
      engine: 'memory',
      n: 3,
      r: 2,
      w: 2,
    });
    expect(buckets.slice(1).map(({ name, replication }) => [name, replication])).toEqual([
      ['raft', 'raft'],
      ['quorum', 'quorum'],
    ]);

    await untilRotation(proxy, IDS);
    const handed = new Set<string>();
    for (const _ of IDS) handed.add((await json<{ id: string }>(`http://${proxy}/v1/coordinator`)).id);
    expect([...handed].sort()).toEqual(IDS);
  });

  test('leads every request to a coordinator that answers it, for each kind of bucket', async () => {
    for (const bucket of ['default', 'raft', 'quorum'])
      for (const turn of IDS) {
        const url = `http://${proxy}/v1/kv/${bucket}/key%2F${turn}`;
        const put = await fetch(url, { method: 'PUT', body: `value of ${turn}` });
        expect([put.status, put.redirected]).toEqual([204, true]);
        expect(await (await fetch(url)).text()).toBe(`value of ${turn}`);
        expect((await fetch(url, { method: 'DELETE' })).status).toBe(204);
        expect((await fetch(url)).status).toBe(404);
      }
    expect(await (await fetch(`http://${proxy}/put?key=simple&value=a%20b`)).text()).toBe('OK\n');
    expect(await (await fetch(`http://${proxy}/get?key=simple`)).text()).toBe('a b');
  });

  test('drops a coordinator that is killed, goes on without it, and takes it back', async () => {
    await untilRotation(proxy, IDS);
    const victim = nodes.find(({ id }) => id === 'c1');
    if (victim === undefined) throw new Error('a coordinator c1');
    process.kill(victim.pid, 'SIGKILL');
    await untilRotation(proxy, ['c2', 'n1', 'n2', 'n3']);
    // The supervisor may bring it back at any time from here on, which must hurt no request either.
    for (let turn = 0; turn < 12; turn++) {
      const answer = await fetch(`http://${proxy}/put?key=turn&value=${turn}`);
      expect([answer.status, await answer.text()]).toEqual([200, 'OK\n']);
    }
    await untilRotation(proxy, IDS);
  });

  test('goes on while a storage node is dead', async () => {
    await untilRotation(proxy, IDS);
    const before = await fetch(`http://${proxy}/put?key=kept&value=before`);
    expect(before.status).toBe(200);
    const victim = nodes.find(({ id }) => id === 'n2');
    if (victim === undefined) throw new Error('a node n2');
    process.kill(victim.pid, 'SIGKILL');
    // Others notice the death at their own pace; a request may fail until then, and none after.
    await waitFor('reads to go on', PATIENCE_MS, async () => {
      const answer = await fetch(`http://${proxy}/get?key=kept`);
      return (await answer.text()) === 'before' ? true : undefined;
    });
    await untilRotation(proxy, IDS);
    expect(await (await fetch(`http://${proxy}/get?key=kept`)).text()).toBe('before');
  });

  test('can be run by itself, as often as one likes, and stops cleanly', async () => {
    const words = ['proxy', '--json', '--listen', '127.0.0.1:0', '--nodes', `${nodes[0]?.http},127.0.0.1:1`];
    const second = new QuoinProcess(words);
    try {
      const line = JSON.parse(await firstLine(second)) as { ready: boolean; http: string };
      expect(line.ready).toBe(true);
      await untilRotation(line.http, IDS);
      expect((await fetch(`http://${line.http}/put?key=a&value=b`)).status).toBe(200);
      expect((await fetch(`http://${line.http}/healthz`)).status).toBe(200);
      second.signal('SIGTERM');
      expect(await second.end()).toEqual({ code: 0, signal: null });
      expect(second.stderr).toBe('');
    } finally {
      second.signal('SIGKILL');
      await second.exited;
    }
  });
});
