/** A node that only stores and one that only coordinates make a cluster together. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freeBasePort, quoinPortOffsets } from '../../bench/support/ports.js';
import { waitFor } from '../../bench/support/wait.js';
import { RespClient } from '../../src/client/resp-client.js';
import { PATIENCE_MS, QuoinProcess } from '../support/fleet.js';

describe('roles', () => {
  let dir: string;
  let basePort: number;
  let processes: QuoinProcess[];

  const http = (index: number): string => `127.0.0.1:${basePort + 1000 + index}`;

  function start(id: string, index: number, role: string): QuoinProcess {
    const settings = [
      `node.id=${id}`,
      `node.roles=${role}`,
      `node.dataDir=${join(dir, id)}`,
      `listen.resp=127.0.0.1:${basePort + index}`,
      `listen.http=${http(index)}`,
      `listen.grpc=127.0.0.1:${basePort + 2000 + index}`,
      `cluster.join=127.0.0.1:${basePort + 2000},127.0.0.1:${basePort + 2001}`,
    ];
    const process = new QuoinProcess(['start', '--set', ...settings]);
    processes.push(process);
    return process;
  }

  async function ready(index: number): Promise<void> {
    await waitFor(`node ${index} to serve`, PATIENCE_MS, async () =>
      (await fetch(`http://${http(index)}/readyz`)).ok ? true : undefined,
    );
  }

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'quoin-roles-'));
    basePort = await freeBasePort(quoinPortOffsets(2));
    processes = [];
  });

  afterEach(async () => {
    for (const process of processes) process.signal('SIGKILL');
    await Promise.all(processes.map((process) => process.exited));
    rmSync(dir, { recursive: true, force: true });
  });

  test('part the work: who stores refuses clients and names who coordinates', async () => {
    start('store', 0, 'storage');
    start('front', 1, 'coordinator');
    await Promise.all([ready(0), ready(1)]);

    for (const bucket of ['default', 'quorum']) {
      const put = await fetch(`http://${http(1)}/v1/kv/${bucket}/a`, { method: 'PUT', body: 'b' });
      expect(put.status).toBe(204);
      expect(await (await fetch(`http://${http(1)}/v1/kv/${bucket}/a`)).text()).toBe('b');
      const refused = await fetch(`http://${http(0)}/v1/kv/${bucket}/a`);
      expect([refused.status, await refused.json()]).toMatchObject([
        503,
        { code: 'NOT_COORDINATOR', retriable: true, detail: expect.stringContaining('127.0.0.1:') },
      ]);
    }
    const client = await RespClient.connect({ host: '127.0.0.1', port: basePort, timeoutMs: PATIENCE_MS });
    await expect(client.command('GET', 'a')).rejects.toThrow(`127.0.0.1:${basePort + 1}`);
    expect(await client.command('PING')).toBe('PONG');
    client.close();

    // What is no data request works on either.
    for (const path of ['/healthz', '/metrics', '/v1/cluster', '/v1/nodes', '/v1/buckets'])
      expect((await fetch(`http://${http(0)}${path}`)).status, path).toBe(200);
    const created = await fetch(`http://${http(0)}/v1/buckets`, {
      method: 'POST',
      body: JSON.stringify({ name: 'late', engine: 'memory', replication: 'quorum' }),
    });
    expect(await created.json()).toMatchObject({ n: 1, r: 1, w: 1 });
    for (const index of [0, 1])
      expect(await (await fetch(`http://${http(index)}/v1/coordinator`)).json()).toMatchObject({
        id: 'front',
      });
  });

  test('let a coordinator that was away, or has lost its directory, find its cluster again', async () => {
    start('store', 0, 'storage');
    const front = start('front', 1, 'coordinator');
    await Promise.all([ready(0), ready(1)]);
    await fetch(`http://${http(1)}/v1/kv/default/a`, { method: 'PUT', body: 'kept' });
    front.signal('SIGKILL');
    await front.exited;
    rmSync(join(dir, 'front'), { recursive: true });
    start('front', 1, 'coordinator');
    await ready(1);
    expect(await (await fetch(`http://${http(1)}/v1/kv/default/a`)).text()).toBe('kept');
  });

  test('must hold one node that stores', async () => {
    const fronts = [start('a', 0, 'coordinator'), start('b', 1, 'coordinator')];
    // Who hears the other first says so and ends; the other may still be waiting for it.
    const ended = await waitFor('a node to end', PATIENCE_MS, () => fronts.find(({ alive }) => !alive));
    expect(ended.exit).toEqual({ code: 1, signal: null });
    expect(ended.stderr).toContain('has the role storage; a cluster needs at least one that has');
  });
});
