/** A node whose disk is full stops acknowledging and says why; the others go on; nothing acknowledged is lost. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { type Fleet, PATIENCE_MS, portOf, withFleet } from '../support/fleet.js';
import { connectRealClient } from '../support/real-clients.js';
import { RecordedLoad } from '../support/recorded-load.js';
import { makeSmallDisk } from '../support/small-disk.js';

const VICTIM = 'n2';
const DISK_MEGABYTES = 24;
const VALUE = 'x'.repeat(200_000);

/** Writes large values through a node with room until the victim has ended. */
async function fillUp(fleet: Fleet): Promise<number> {
  const client = await connectRealClient('ioredis', portOf(fleet.node('n1').resp));
  let written = 0;
  try {
    await waitFor(
      'the disk to be full',
      PATIENCE_MS,
      async () => {
        if (!fleet.process(VICTIM).alive) return true;
        await client.call('SET', `large:${written % 500}`, VALUE);
        written++;
        return undefined;
      },
      1,
    );
  } finally {
    client.close();
  }
  return written;
}

test('a full disk takes one node out, which says why, and loses nothing that was acknowledged', async () => {
  const disk = await makeSmallDisk(DISK_MEGABYTES);
  try {
    await withFleet({ dataDirectories: { [VICTIM]: join(disk.directory, 'data') } }, async (fleet) => {
      if (disk.wrapper.length > 0) {
        fleet.process(VICTIM).signal('SIGTERM');
        await fleet.process(VICTIM).end();
        fleet.startNode(VICTIM, { wrapper: disk.wrapper });
        await fleet.untilReady();
      }
      const load = await RecordedLoad.start(fleet, 'full disk');
      await load.untilWritesFlow();
      expect(await fillUp(fleet)).toBeGreaterThan(5);
      const { exit, stderr } = fleet.process(VICTIM);
      expect(exit).toEqual({ code: 1, signal: null });
      const said = stderr.split('\n').filter((line) => line.startsWith('quoin: '));
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(new RegExp(`^quoin: ${disk.code}: .*${disk.directory}`));
      await load.untilWritesFlow();
      load.nextRound();

      await disk.grow();
      fleet.startNode(VICTIM);
      await fleet.untilReady();
      await load.untilWritesFlow();
      await load.stop();
      await load.check();
    });
  } finally {
    await disk.remove();
  }
});
