/**
 * A leader that is paused (SIGSTOP) for longer than an election believes, when it goes on, that it still leads. Whatever it
 * is asked in that moment, it must not answer from what it held before.
 */
import { describe, expect, test } from 'vitest';
import { slotOf } from '../../src/base/slots.js';
import { type Fleet, portOf, withFleet } from '../support/fleet.js';
import { connectRealClient, type RealClient, textOf } from '../support/real-clients.js';
import { RecordedLoad } from '../support/recorded-load.js';

const PROBES = 30;

function keysOfGroup(load: RecordedLoad, group: number, prefix: string): string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < PROBES; number++) {
    const key = `${prefix}:${number}`;
    if (load.groupOfKey(key) === group) keys.push(key);
  }
  return keys;
}

/** Writes a value of its own to each key, recorded. */
async function writeAll(load: RecordedLoad, client: RealClient, keys: readonly string[], value: string) {
  for (const key of keys) {
    const operation = load.history.call(
      `writer ${value}`,
      key,
      'set',
      `${value} ${slotOf(Buffer.from(key))}`,
    );
    await client.call('SET', key, operation.argument);
    load.history.ok(operation, undefined);
  }
}

/** Pauses the group's leader until another leads and has acknowledged writes; asks it meanwhile, then lets it go on. */
async function pauseLeader(fleet: Fleet, load: RecordedLoad, group: number, round: string): Promise<void> {
  const leader = await fleet.leaderOf(group, fleet.nodes[0]?.id ?? '');
  const witness = fleet.nodes.find(({ id }) => id !== leader);
  if (witness === undefined) throw new Error('a second node');
  const keys = keysOfGroup(load, group, `probe-${round}`);
  const toLeader = await connectRealClient('ioredis', portOf(fleet.node(leader).resp));
  const toWitness = await connectRealClient('node-redis', portOf(witness.resp));
  try {
    await writeAll(load, toLeader, keys, 'before');
    fleet.process(leader).signal('SIGSTOP');
    try {
      await fleet.leaderOf(group, witness.id, (other) => other !== leader);
      await writeAll(load, toWitness, keys, 'after');
      // These wait in the paused process's socket: they are what it sees first.
      const answers = keys.map(async (key) => {
        const operation = load.history.call(`asker of the paused ${leader}`, key, 'get');
        const value = textOf(await toLeader.call('GET', key));
        load.history.ok(operation, value);
        return value;
      });
      const appended = keys.map(async (key) => {
        const operation = load.history.call(`writer to the paused ${leader}`, key, 'append', '+');
        load.history.ok(operation, Number(await toLeader.call('APPEND', key, '+')));
      });
      await new Promise((resolve) => setImmediate(resolve));
      fleet.process(leader).signal('SIGCONT');
      for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^after /);
      await Promise.all(appended);
    } finally {
      fleet.process(leader).signal('SIGCONT');
    }
  } finally {
    toLeader.close();
    toWitness.close();
  }
}

describe.each([
  { reads: 'through a read index', leaseReads: false },
  { reads: 'under a lease', leaseReads: true },
])('reads $reads', ({ leaseReads }) => {
  test('are never stale after their leader was paused for longer than an election', async () => {
    await withFleet({ cluster: { leaseReads } }, async (fleet) => {
      const load = await RecordedLoad.start(fleet, `pause, leases ${leaseReads}`);
      await load.untilWritesFlow();
      for (const [round, group] of load.dataGroups().entries()) {
        await pauseLeader(fleet, load, group, String(round));
        load.nextRound();
        await fleet.untilReady();
        await load.untilWritesFlow();
      }
      await load.stop();
      await load.check();
    });
  });
});
