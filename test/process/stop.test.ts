/** Being asked to stop: in the middle of a start, and under load. The exit is clean, and the next start has everything. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { Fleet, PATIENCE_MS, portOf, withFleet } from '../support/fleet.js';
import { connectRealClient } from '../support/real-clients.js';
import { RecordedLoad } from '../support/recorded-load.js';

const CLEAN = { code: 0, signal: null };

describe('a start that is interrupted', () => {
  test.each(['node.json', 'log/0000000001.log', 'store', 'cluster.json'])(
    'once %s is there, ends cleanly and can be repeated',
    async (file) => {
      const fleet = await Fleet.prepare({ nodes: 1 });
      try {
        const { dataDirectory, resp } = fleet.node('n1');
        const first = fleet.startNode('n1');
        await waitFor(file, PATIENCE_MS, () => existsSync(join(dataDirectory, file)) || undefined, 1);
        first.signal('SIGINT');
        expect(await first.end()).toEqual(CLEAN);
        expect(existsSync(join(dataDirectory, 'LOCK'))).toBe(false);
        fleet.startNode('n1');
        await fleet.untilReady();
        const client = await connectRealClient('ioredis', portOf(resp));
        expect(await client.call('SET', 'key', 'value')).toBe('OK');
        client.close();
      } finally {
        await fleet.stop();
      }
    },
  );

  test('while it waits for other nodes, ends cleanly', async () => {
    const fleet = await Fleet.prepare();
    try {
      const alone = fleet.startNode('n1');
      await waitFor('the node to wait', PATIENCE_MS, async () => {
        const answer = await fetch(`http://${fleet.node('n1').http}/readyz`);
        return answer.status === 503 && (await answer.text()).includes('waiting') ? true : undefined;
      });
      alone.signal('SIGTERM');
      expect(await alone.end()).toEqual(CLEAN);
      for (const { id } of fleet.nodes) fleet.startNode(id);
      await fleet.untilReady();
    } finally {
      await fleet.stop();
    }
  });
});

describe('SIGTERM under load', () => {
  test('to one node after the other ends each cleanly, loses nothing and stops nobody else', async () => {
    await withFleet({}, async (fleet) => {
      const load = await RecordedLoad.start(fleet, 'rolling restart');
      for (const { id } of fleet.nodes) {
        await load.untilWritesFlow();
        fleet.process(id).signal('SIGTERM');
        expect(await fleet.process(id).end()).toEqual(CLEAN);
        await load.untilWritesFlow();
        fleet.startNode(id);
        await fleet.untilReady();
        load.nextRound();
      }
      await load.stop();
      await load.check();
    });
  });

  test('to all nodes at once ends all of them cleanly, and everything is there afterwards', async () => {
    await withFleet({}, async (fleet) => {
      const load = await RecordedLoad.start(fleet, 'everybody stops');
      await load.untilWritesFlow();
      for (const { id } of fleet.nodes) fleet.process(id).signal('SIGTERM');
      for (const { id } of fleet.nodes) expect(await fleet.process(id).end()).toEqual(CLEAN);
      load.nextRound();
      for (const { id } of fleet.nodes) fleet.startNode(id);
      await fleet.untilReady();
      await load.untilWritesFlow();
      await load.stop();
      await load.check();
    });
  });
});
