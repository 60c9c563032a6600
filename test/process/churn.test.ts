/**
 * Nodes that go and come back, in real processes under load from real clients: whatever they missed, all copies of an
 * eventual bucket are equal in the end, by each means alone (papers 000, 002 and 004; issue: churn within fixed membership).
 *
 * `QUOIN_AWAY_SECONDS=60 npm test -- test/process/churn.test.ts` keeps nodes away for a minute of full load; `QUOIN_SEED` gives
 * another seed.
 */
import { describe, expect, test } from 'vitest';
import {
  EVENTUAL,
  metricSum,
  untilConverged,
  untilElapsed,
  untilFilled,
  wipe,
  withEventualFleet,
} from '../support/eventual-fleet.js';
import { EventualLoad } from '../support/eventual-load.js';
import type { Fleet } from '../support/fleet.js';
import { VersionHistory } from '../support/version-history.js';

const AWAY_MS = Number(process.env.QUOIN_AWAY_SECONDS ?? 3) * 1000;
const SEED = process.env.QUOIN_SEED ?? '1';
/** Whatever the machine does, so many writes the node must have missed. */
const MISSED_WRITES = 5000;
const ALL = ['n1', 'n2', 'n3'];
const OTHERS = ['n1', 'n2'];
const TIMEOUT_MS = 240_000 + 4 * AWAY_MS;

/** Every node, asked for its own copies, answers with what was promised, and all with the same. */
async function expectEqualValues(load: EventualLoad): Promise<void> {
  const held = await Promise.all(ALL.map((id) => load.readAll(id, 1)));
  for (const counts of held) expect(load.broken(counts)).toEqual([]);
  for (const counts of held.slice(1)) expect(counts).toEqual(held[0]);
}

/** Kills n3 while writes go on through the others, and lets them go on for a while. */
async function loseNode(fleet: Fleet, load: EventualLoad): Promise<void> {
  await load.untilAcknowledged(1000);
  await fleet.kill('n3');
  const killedAtMs = performance.now();
  await load.untilAcknowledged(MISSED_WRITES);
  await untilElapsed('n3 to have been away', killedAtMs, AWAY_MS);
}

async function bringBack(fleet: Fleet): Promise<void> {
  fleet.startNode('n3');
  await fleet.untilReady();
}

describe('a node that was away under full write load', { timeout: TIMEOUT_MS }, () => {
  test('converges by hints alone, while the load goes on', async () => {
    const bucket = { antiEntropy: false, readRepair: false };
    await withEventualFleet({ bucket }, async (fleet) => {
      // A write that a coordinator leaves unfinished when it dies is no hint of anybody's: n3 has no clients here.
      const load = EventualLoad.start(fleet, { bucket: EVENTUAL, nodes: OTHERS });
      await loseNode(fleet, load);
      await bringBack(fleet);
      await load.untilAcknowledged(1000);
      await load.stop();
      await untilConverged(fleet);
      await expectEqualValues(load);
      expect(await metricSum(fleet, 'quoin_hints_replayed_total', OTHERS)).toBeGreaterThan(0);
      expect(await metricSum(fleet, 'quoin_hints_dropped_total', OTHERS)).toBe(0);
      expect(await metricSum(fleet, 'quoin_hint_bytes', OTHERS)).toBe(0);
      expect(await metricSum(fleet, 'quoin_repair_keys_total')).toBe(0);
      expect(await metricSum(fleet, 'quoin_read_repairs_total')).toBe(0);
    });
  });

  test('converges by anti-entropy alone, which moves at most three times the bytes that differ', async () => {
    const bucket = { hintedHandoff: false, readRepair: false };
    await withEventualFleet({ bucket, quorum: { repairInterval: '1s' } }, async (fleet) => {
      const load = EventualLoad.start(fleet, { bucket: EVENTUAL, nodes: OTHERS });
      await load.untilAcknowledged(1000);
      await fleet.kill('n3');
      const before = load.attempts();
      const killedAtMs = performance.now();
      await load.untilAcknowledged(MISSED_WRITES);
      await untilElapsed('n3 to have been away', killedAtMs, AWAY_MS);
      await load.stop();
      await untilConverged(fleet, OTHERS);
      const bytesBefore = await metricSum(fleet, 'quoin_repair_bytes_total', OTHERS);

      await bringBack(fleet);
      await untilConverged(fleet);
      const moved = (await metricSum(fleet, 'quoin_repair_bytes_total')) - bytesBefore;
      await expectEqualValues(load);
      const differing = load.bytesSince(before);
      expect(differing).toBeGreaterThan(0);
      expect(moved).toBeGreaterThan(differing);
      expect(moved / differing).toBeLessThanOrEqual(3);
      expect(await metricSum(fleet, 'quoin_hints_kept_total')).toBe(0);
      expect(await metricSum(fleet, 'quoin_read_repairs_total')).toBe(0);
    });
  });

  test('converges when it was away for longer than its hints live', async () => {
    const quorum = { repairInterval: '1s', maxHintAge: '1s' };
    await withEventualFleet({ quorum }, async (fleet) => {
      const load = EventualLoad.start(fleet, { bucket: EVENTUAL, nodes: OTHERS });
      await loseNode(fleet, load);
      await bringBack(fleet);
      await load.untilAcknowledged(1000);
      await load.stop();
      await untilConverged(fleet);
      await expectEqualValues(load);
      expect(await metricSum(fleet, 'quoin_hints_dropped_total', OTHERS)).toBeGreaterThan(0);
      expect(await metricSum(fleet, 'quoin_repair_keys_total')).toBeGreaterThan(0);
    });
  });

  test('is let in again when it comes back with an empty disk, and is filled', async () => {
    await withEventualFleet({ quorum: { repairInterval: '1s' } }, async (fleet) => {
      const load = EventualLoad.start(fleet, { bucket: EVENTUAL, nodes: OTHERS });
      await loseNode(fleet, load);
      wipe(fleet, 'n3');
      await bringBack(fleet);
      await load.untilAcknowledged(1000);
      await load.stop();
      await untilConverged(fleet);
      await untilFilled(fleet, 'n3');
      await expectEqualValues(load);
      // And it counts again, with the others in turn away.
      for (const id of OTHERS) {
        await fleet.kill(id);
        const counts = await load.readAll('n3', 2);
        expect(load.broken(counts)).toEqual([]);
        fleet.startNode(id);
        await fleet.untilReady();
      }
    });
  });
});

describe('with w = 2', { timeout: TIMEOUT_MS }, () => {
  test('the death of all nodes at once loses no acknowledged write', async () => {
    await withEventualFleet({ quorum: { repairInterval: '1s' } }, async (fleet) => {
      const load = EventualLoad.start(fleet, { bucket: EVENTUAL, nodes: ALL });
      for (let death = 0; death < 2; death++) {
        await load.untilAcknowledged(3000);
        await fleet.kill(...ALL);
        for (const id of ALL) fleet.startNode(id);
        await fleet.untilReady();
      }
      await load.untilAcknowledged(1000);
      await load.stop();
      for (const id of ALL) expect(load.broken(await load.readAll(id, 2))).toEqual([]);
      await untilConverged(fleet);
      await expectEqualValues(load);
    });
  });

  test('and r = 2 no read misses an acknowledged write, while nodes die and come back', async () => {
    await withEventualFleet({ quorum: { repairInterval: '1s' } }, async (fleet) => {
      const history = VersionHistory.start(fleet, EVENTUAL, SEED);
      for (const victim of ['n3', 'n1', 'n2']) {
        await history.untilAnswered(200);
        await fleet.kill(victim);
        await history.untilAnswered(200);
        fleet.startNode(victim);
        await fleet.untilReady();
      }
      await history.untilAnswered(200);
      await history.stop();
      await history.readAll();
      expect(history.violations).toEqual([]);
    });
  });
});
