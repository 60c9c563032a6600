/** The largest values come in at every node while other clients talk to all of them, and whoever leads goes on leading. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { LIMITS } from '../../src/base/limits.js';
import { type Fleet, PATIENCE_MS, portOf, withFleet } from '../support/fleet.js';
import { connectRealClient, type RealClient } from '../support/real-clients.js';

interface Leadership {
  readonly node: string;
  readonly group: number;
  readonly leader: string | null;
  readonly term: number;
}

/** Who leads which group, in the eyes of all nodes; undefined while somebody is still to take over a group. */
async function leaderships(fleet: Fleet): Promise<Leadership[] | undefined> {
  const seen: Leadership[] = [];
  for (const { id: node } of fleet.nodes) {
    for (const { id: group, leader, members, local } of await fleet.groups(node)) {
      if (leader !== members[0] || local === null) return undefined;
      seen.push({ node, group, leader, term: local.term });
    }
  }
  return seen;
}

/** Asks again and again until told to stop; returns how often it was answered. */
async function ping(client: RealClient, stopped: () => boolean): Promise<number> {
  let answers = 0;
  while (!stopped()) {
    expect(await client.call('PING')).toBe('PONG');
    answers++;
    // The nodes shall have the processors.
    await delay(10);
  }
  return answers;
}

/** On a machine with much else to do the answer may come too late to be told. */
async function set(client: RealClient, value: string): Promise<unknown> {
  try {
    return await client.call('SET', 'large', value);
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

/** What a machine with much else to do may need for one turn of a node; a link or a loop that a value blocks takes longer. */
const ELECTION_TIMEOUT = '3s';

test('values of the greatest size unseat no leader, and nodes answer meanwhile', async () => {
  await withFleet({ cluster: { electionTimeout: ELECTION_TIMEOUT } }, async (fleet) => {
    const clients = await Promise.all(
      fleet.nodes.flatMap(({ resp }) => [
        connectRealClient('ioredis', portOf(resp)),
        connectRealClient('ioredis', portOf(resp)),
      ]),
    );
    const writers = clients.filter((_, index) => index % 2 === 0);
    const askers = clients.filter((_, index) => index % 2 === 1);
    const before = await waitFor('every group to be led by its first member', PATIENCE_MS, () =>
      leaderships(fleet),
    );
    let stop = false;
    const answers = askers.map((asker) => ping(asker, () => stop));
    const value = 'v'.repeat(LIMITS.maxValueBytes);
    try {
      // One of these two at least does not lead the key's group.
      for (const writer of writers.slice(0, 2)) expect(await set(writer, value)).toMatch(/^(OK|UNKNOWN )/);
      await waitFor('the value to be there', PATIENCE_MS, async () =>
        (await writers[0]?.call('STRLEN', 'large')) === value.length ? true : undefined,
      );
    } finally {
      stop = true;
    }
    for (const count of await Promise.all(answers)) expect(count).toBeGreaterThan(0);
    expect(await leaderships(fleet)).toEqual(before);
    for (const client of clients) client.close();
  });
});
