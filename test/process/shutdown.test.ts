/** SHUTDOWN, typed by a client: the node ends cleanly, what it has acknowledged is kept, and the others go on. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { type Fleet, PATIENCE_MS, portOf, withFleet } from '../support/fleet.js';
import { connectRealClient, type RealClient } from '../support/real-clients.js';

const BUCKETS = [
  { name: 'default', replication: 'raft', engine: 'lmdb' },
  { name: 'sessions', replication: 'quorum', engine: 'memory', hintedHandoff: false, antiEntropy: false },
];
const WRITES = 200;

async function connect(fleet: Fleet, id: string, bucket = 'default'): Promise<RealClient> {
  const client = await connectRealClient('ioredis', portOf(fleet.node(id).resp));
  await client.call('SELECT', bucket);
  return client;
}

describe('SHUTDOWN', () => {
  test('ends a node cleanly, loses nothing that was acknowledged, and stops nobody else', async () => {
    await withFleet({ sections: { buckets: BUCKETS } }, async (fleet) => {
      const leader = await fleet.leaderOf(1, 'n1');
      const [linearizable, eventual] = [
        await connect(fleet, leader),
        await connect(fleet, leader, 'sessions'),
      ];
      // One copy acknowledged, in memory: what the others miss of it must be on disk before the node ends.
      await eventual.call('CLIENT', 'QUORUM', 'w', '1');
      const writes: Promise<unknown>[] = [];
      for (let i = 0; i < WRITES; i++)
        for (const client of [linearizable, eventual]) writes.push(client.call('SET', `k${i}`, `v${i}`));
      expect(new Set(await Promise.all(writes))).toEqual(new Set(['OK']));
      // As in Redis there is no answer: the connection ends.
      await expect(linearizable.call('SHUTDOWN', 'NOSAVE')).rejects.toThrow();
      expect(await fleet.process(leader).end()).toEqual({ code: 0, signal: null });
      expect(existsSync(join(fleet.node(leader).dataDirectory, 'LOCK'))).toBe(false);
      for (const client of [linearizable, eventual]) client.close();

      const other = fleet.running()[0]!.id;
      for (const bucket of ['default', 'sessions']) {
        const client = await connect(fleet, other, bucket);
        expect(
          await waitFor(`writes to ${bucket}`, PATIENCE_MS, async () =>
            (await client.call('SET', 'while-away', '1').catch(() => undefined)) === 'OK' ? 'OK' : undefined,
          ),
        ).toBe('OK');
        client.close();
      }

      fleet.startNode(leader);
      await fleet.untilReady();
      for (const bucket of ['default', 'sessions']) {
        const client = await connect(fleet, leader, bucket);
        if (bucket === 'sessions') await client.call('CLIENT', 'QUORUM', 'r', '1');
        const values = await Promise.all(
          Array.from({ length: WRITES }, (_, i) => client.call('GET', `k${i}`)),
        );
        expect(values).toEqual(Array.from({ length: WRITES }, (_, i) => `v${i}`));
        client.close();
      }
    });
  });

  test('that is misspelt, or takes back none, ends nothing', async () => {
    await withFleet({ nodes: 1 }, async (fleet) => {
      const client = await connect(fleet, 'n1');
      await expect(client.call('SHUTDOWN', 'LATER')).rejects.toThrow('syntax error');
      await expect(client.call('SHUTDOWN', 'ABORT')).rejects.toThrow('No shutdown in progress');
      expect(await client.call('PING')).toBe('PONG');
      client.close();
    });
  });
});
