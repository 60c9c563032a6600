/**
 * Promises kept while processes die: `kill -9` for a leader, a follower and everybody, under load from real clients whose
 * history is checked for linearizability by the simulator's own checker.
 *
 * `QUOIN_KILLS=200 npm test -- test/process/crash.test.ts` makes the campaign longer, `QUOIN_SEED` gives it another seed.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { Fleet } from '../support/fleet.js';
import { RecordedLoad } from '../support/recorded-load.js';

const KILLS = Number(process.env.QUOIN_KILLS ?? 4);
const SEED = process.env.QUOIN_SEED ?? '1';
const KILL_TIMEOUT_MS = 60_000;

describe('under load from real clients', () => {
  let fleet: Fleet;
  let load: RecordedLoad;

  beforeEach(async () => {
    fleet = await Fleet.start();
    load = await RecordedLoad.start(fleet, SEED);
    await load.untilWritesFlow();
  });

  afterEach(async (context) => {
    if (context.task.result?.state === 'fail')
      process.stderr.write(`seed ${SEED}: ${load.summary()}\n${fleet.output()}\n`);
    await load?.stop();
    await fleet?.stop();
  });

  /** A data group and who leads it. */
  async function someLeader(random: SeededRandom): Promise<{ group: number; leader: string }> {
    const group = random.pick(load.dataGroups());
    return { group, leader: await fleet.leaderOf(group, random.pick(fleet.nodes).id) };
  }

  async function settle(): Promise<void> {
    await fleet.untilReady();
    await load.untilWritesFlow();
    await load.stop();
    await load.check();
  }

  test('the death of a leader loses nothing, and another leads', async () => {
    const { group, leader } = await someLeader(new SeededRandom(SEED));
    await fleet.kill(leader);
    const witness = fleet.running()[0]?.id ?? '';
    await fleet.leaderOf(group, witness, (other) => other !== leader);
    await load.untilWritesFlow();
    fleet.startNode(leader);
    await settle();
  });

  test('the death of a follower does not move the leadership of its groups', async () => {
    const { group, leader } = await someLeader(new SeededRandom(SEED));
    const termOf = async (): Promise<number | undefined> =>
      (await fleet.groups(leader)).find(({ id }) => id === group)?.local?.term;
    const term = await termOf();
    const follower = fleet.nodes.find(({ id }) => id !== leader)?.id ?? '';
    await fleet.kill(follower);
    await load.untilWritesFlow();
    fleet.startNode(follower);
    await fleet.untilReady();
    expect(await fleet.leaderOf(group, leader)).toBe(leader);
    expect(await termOf()).toBe(term);
    await settle();
  });

  test('a leader that is left alone acknowledges nothing that the others do not have', async () => {
    const { leader } = await someLeader(new SeededRandom(SEED));
    const others = fleet.nodes.map(({ id }) => id).filter((id) => id !== leader);
    await fleet.kill(...others);
    await load.untilAsked(3);
    await fleet.kill(leader);
    load.nextRound();
    // The others decide without it what was and what was not.
    for (const id of others) fleet.startNode(id);
    await fleet.untilReady(others);
    await load.untilWritesFlow();
    fleet.startNode(leader);
    await settle();
  });

  test('the death of all nodes at once loses nothing that was acknowledged', async () => {
    const all = fleet.nodes.map(({ id }) => id);
    await fleet.kill(...all);
    load.nextRound();
    for (const id of all) fleet.startNode(id);
    await settle();
  });

  test(
    'deaths of leaders, followers and majorities in turn lose nothing',
    async () => {
      const random = new SeededRandom(`${SEED}/turns`);
      for (let kills = 0; kills < KILLS; kills++) {
        const { leader } = await someLeader(random);
        const others = fleet.nodes.map(({ id }) => id).filter((id) => id !== leader);
        const choice = kills % 4;
        const victims =
          choice === 0
            ? [leader]
            : choice === 1
              ? [random.pick(others)]
              : choice === 2
                ? [leader, random.pick(others)]
                : [leader, ...others];
        await fleet.kill(...victims);
        if (victims.length === 1) await load.untilWritesFlow();
        load.nextRound();
        for (const id of victims) fleet.startNode(id);
        // Not always until all is well: the next death may meet nodes that are still catching up.
        if (random.chance(0.5)) await fleet.untilReady();
        await load.untilWritesFlow();
      }
      await settle();
    },
    120_000 + KILLS * KILL_TIMEOUT_MS,
  );
});
