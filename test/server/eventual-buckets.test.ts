/** Eventual buckets served by whole nodes in virtual time: maps that change, crashes, stops, nodes that hold no keys. */
import { describe, expect, test } from 'vitest';
import { EVENTUAL_BUCKET, NodeWorld } from './support-nodes.js';

const EVENTUAL = { bucket: 'eventual' };

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, number) => `k${number}`);
}

describe('what eventual buckets survive', () => {
  test('is the crash of all nodes right after a bucket was made: each still has what it acknowledged', async () => {
    const world = new NodeWorld('young bucket', 3);
    const [first] = await world.startAll({ checkpointIntervalMs: 600_000 });
    await world.settled(first!.createBucket({ ...EVENTUAL_BUCKET, quorum: { n: 3, r: 1, w: 3 } }));
    for (const key of keys(20)) expect(await world.run(first!, ['SET', key, key], EVENTUAL)).toBe('+OK');
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll({ checkpointIntervalMs: 600_000 });
    for (const node of nodes)
      for (const key of keys(20)) expect(await world.run(node, ['GET', key], EVENTUAL)).toBe(key);
  });

  test('are the maps decided since the last checkpoint: group 0 decides them again on the first one', async () => {
    const world = new NodeWorld('young maps', 3);
    const [first] = await world.startAll({ checkpointIntervalMs: 600_000 });
    for (const name of ['a', 'b', 'c'])
      await world.settled(first!.createBucket({ ...EVENTUAL_BUCKET, name }));
    await world.settled(first!.dropBucket('a'));
    const before = first!.map();
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll({ checkpointIntervalMs: 600_000 });
    for (const node of nodes) expect(node.map()).toEqual(before);
    const made = await world.settled(nodes[1]!.createBucket({ ...EVENTUAL_BUCKET, name: 'a' }));
    expect(made.id).toBe(before?.nextBucketId);
    for (const node of nodes) expect(node.map()?.epoch).toBe((before?.epoch ?? 0) + 1);
  });
});
