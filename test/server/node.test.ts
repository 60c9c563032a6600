import { describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { DEFAULT_BUCKET, EVENTUAL_BUCKET, NodeWorld } from './support-nodes.js';

const failure = (code: string) => expect.objectContaining({ code });

describe('a cluster', () => {
  test('forms once all first nodes are up, and takes writes at every node', async () => {
    const world = new NodeWorld('form', 3);
    const first = await world.start(0);
    const second = await world.start(1);
    await world.pass(3000);
    expect(first.state()).toEqual({ phase: 'starting', reason: 'waiting for node-2:9001' });
    expect(first.map()).toBeUndefined();
    const third = await world.start(2);
    const nodes = [first, second, third];
    await world.until('all are ready', () => nodes.every((node) => node.ready()));
    expect(new Set(nodes.map((node) => node.map()?.clusterId)).size).toBe(1);
    for (const node of nodes) {
      expect(await world.run(node, ['SET', node.id, 'x'])).toBe('+OK');
      expect(await world.run(first, ['GET', node.id])).toBe('x');
    }
  });

  test('is not formed by nodes that would make different maps of it', async () => {
    const world = new NodeWorld('settings', 2);
    await world.start(0, { replicas: 1 });
    await world.start(1, { replicas: 3 });
    await world.until('one of them says so', () => world.failures.size > 0);
    const [error] = world.failures.values();
    expect(error).toEqual(failure('WRONG_CLUSTER'));
    expect(error?.message).toMatch(/replicas/);
    for (const node of world.nodes.values()) expect(node.map()).toBeUndefined();
  });

  test('goes on after all its nodes have crashed at once', async () => {
    const world = new NodeWorld('crash', 3);
    const [first] = await world.startAll();
    for (let i = 0; i < 30; i++) expect(await world.run(first!, ['SET', `k${i}`, i])).toBe('+OK');
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll();
    for (let i = 0; i < 30; i++) expect(await world.run(nodes[i % 3]!, ['GET', `k${i}`])).toBe(String(i));
  });

  test('lets a node that comes back without its disk in again, fills it, and counts it in no Raft group', async () => {
    const world = new NodeWorld('lost', 3);
    const [first] = await world.startAll({ buckets: [DEFAULT_BUCKET, EVENTUAL_BUCKET] });
    const keys = Array.from({ length: 30 }, (_, number) => `k${number}`);
    for (const key of keys) {
      expect(await world.run(first!, ['SET', key, 'linearizable'])).toBe('+OK');
      expect(await world.run(first!, ['SET', key, 'eventual'], { bucket: 'eventual' })).toBe('+OK');
    }
    world.crash(2);
    world.machines[2]!.disk.wipe();
    world.contents[2]!.wipe();
    const returned = await world.start(2);
    await world.until('it says what it waits for', () => /lost its data/.test(returned.state().reason));
    await world.until('it is ready', () => returned.ready());
    expect(returned.groupStatus().map(({ local }) => local)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(world.failures.size).toBe(0);
    // Until it is filled others answer in its place.
    expect(returned.eventualStatistics()?.filling).toBe(true);
    expect(await world.run(returned, ['DBSIZE'], { bucket: 'eventual' })).toBe(keys.length);
    expect(await world.run(first!, ['GET', 'k0'], { bucket: 'eventual', quorum: { r: 3 } })).toMatch(
      /^-CLUSTERDOWN/,
    );
    await world.until('it is filled', () => returned.eventualStatistics()?.filling === false);
    expect(await world.run(first!, ['GET', 'k0'], { bucket: 'eventual', quorum: { r: 3 } })).toBe('eventual');
    for (const key of keys) expect(await world.run(returned, ['GET', key])).toBe('linearizable');
    const here = { bucket: 'eventual', quorum: { r: 1 } };
    for (const key of keys) {
      let value: unknown;
      for (let attempt = 0; attempt < 60 && value !== 'eventual'; attempt++) {
        value = await world.run(returned, ['GET', key], here);
        await world.pass(1000);
      }
      expect(value).toBe('eventual');
    }
    // A second time changes nothing: it still counts nowhere, and has been filled.
    await world.pass(3000);
    world.crash(2);
    const again = await world.start(2);
    await world.until('it is ready again', () => again.ready());
    expect(again.eventualStatistics()?.filling).toBe(false);
    expect(again.groupStatus().every(({ local }) => local === undefined)).toBe(true);
    for (const key of keys) expect(await world.run(again, ['GET', key], here)).toBe('eventual');
  });

  test('does not take a second process for a node that lives', async () => {
    const world = new NodeWorld('twin', 3);
    const [first] = await world.startAll();
    const incarnation = first!.map()?.nodes[1]?.incarnation;
    // The same id and address list, a data directory of its own.
    world.machines[2]!.disk.wipe();
    world.contents[2]!.wipe();
    world.crash(2);
    await world.start(2, { id: 'n2' });
    await world.pass(10_000);
    expect(first!.map()?.nodes[1]?.incarnation).toBe(incarnation);
  });

  test('shows a new bucket at every node before its creation is confirmed, and none that was dropped', async () => {
    const world = new NodeWorld('bucket', 3);
    const nodes = await world.startAll();
    const bucket = await world.settled(
      nodes[1]!.createBucket({ name: 'sessions', replication: 'raft', engine: 'memory', ttlMs: 0 }),
    );
    for (const node of nodes) expect(node.bucketByName('sessions')).toEqual(bucket);
    expect(await world.run(nodes[2]!, ['SET', 'a', 'x'], { bucket: 'sessions' })).toBe('+OK');
    expect(await world.run(nodes[0]!, ['GET', 'a'], { bucket: 'sessions' })).toBe('x');
    await world.settled(nodes[2]!.dropBucket('sessions'));
    for (const node of nodes) expect(node.bucketByName('sessions')).toBeUndefined();
    await expect(world.settled(nodes[0]!.dropBucket('sessions'))).rejects.toEqual(failure('UNKNOWN_BUCKET'));
  });

  test('knows a bucket made while a node was down', async () => {
    const world = new NodeWorld('away', 3);
    const nodes = await world.startAll();
    world.crash(2);
    await world.settled(
      nodes[0]!.createBucket({ name: 'late', replication: 'raft', engine: 'memory', ttlMs: 0 }),
    );
    const back = await world.start(2);
    await world.until('it knows', () => back.bucketByName('late') !== undefined && back.ready());
    expect(await world.run(back, ['SET', 'a', 'x'], { bucket: 'late' })).toBe('+OK');
  });
});

describe('a node', () => {
  test('stops while a checkpoint is under way, and has everything when it starts again', async () => {
    const restore = changeLimits({ retainedLogEntries: 0 });
    try {
      const world = new NodeWorld('stop', 1);
      const [node] = await world.startAll({ checkpointIntervalMs: 100 });
      world.commitLatencyMs = 400;
      await world.pass(200);
      for (let i = 0; i < 10; i++) expect(await world.run(node!, ['SET', `k${i}`, i])).toBe('+OK');
      await world.pass(600);
      await world.settled(node!.stop());
      expect(node!.state().phase).toBe('stopping');
      world.ended(0);
      const again = await world.start(0);
      await world.until('it is ready', () => again.ready());
      expect(await world.run(again, ['GET', 'k7'])).toBe('7');
    } finally {
      restore();
    }
  });

  test('stops before its cluster has formed, and can take part in forming it later', async () => {
    const world = new NodeWorld('stop-early', 2);
    const node = await world.start(0);
    await world.settled(node.stop());
    expect(world.failures.size).toBe(0);
    world.ended(0);
    await world.startAll();
  });

  test('takes nothing any more once it stops, and hands its leadership over first', async () => {
    const world = new NodeWorld('hand-over', 3);
    const nodes = await world.startAll();
    await world.until('the first leads its group', () => nodes[0]!.locate(0).leader === 'n1');
    const stopped = nodes[0]!.stop();
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x'])).toMatch(/^-TRYAGAIN/);
    await world.settled(stopped);
    expect(nodes[1]!.locate(0).leader).not.toBe('n1');
    await expect(
      nodes[0]!.createBucket({ name: 'x', replication: 'raft', engine: 'memory', ttlMs: 0 }),
    ).rejects.toThrow();
  });

  test('leaves its port and its directory to others when it cannot start', async () => {
    const world = new NodeWorld('damaged', 1);
    await world.startAll();
    world.crash(0, 'keep');
    const { env } = world.machines[0]!.start();
    env.disk.replace('/data/cluster.json', Buffer.from('{"format":1'));
    world.machines[0]!.kill('keep');
    await expect(world.start(0)).rejects.toEqual(failure('CHECKPOINT_DAMAGED'));
    expect(world.fabric.bindings.size).toBe(0);
  });

  test('counts what it does', async () => {
    const world = new NodeWorld('counters', 3);
    const nodes = await world.startAll();
    for (let i = 0; i < 12; i++) await world.run(nodes[0]!, ['SET', `k${i}`, i]);
    await world.run(nodes[0]!, ['GET', 'k1']);
    const counters = nodes[0]!.counters();
    expect(counters).toMatchObject({ commandsProcessed: 13, writes: 12, reads: 1 });
    expect(counters.commandsForwarded).toBeGreaterThan(0);
    expect(nodes.reduce((sum, node) => sum + node.counters().elections, 0)).toBeGreaterThan(3);
  });

  test('confirms replicas that have what it has written', async () => {
    const world = new NodeWorld('wait', 3);
    const nodes = await world.startAll();
    await world.until('the first leads its group', () => nodes[0]!.locate(0).leader === 'n1');
    await world.run(nodes[0]!, ['SET', 'a', 'x']);
    expect(await world.settled(nodes[0]!.waitForReplicas(0, 2, 5000))).toBe(2);
    world.crash(2);
    await world.pass(2000);
    expect(await world.settled(nodes[0]!.waitForReplicas(0, 1, 100))).toBeGreaterThanOrEqual(1);
  });
});
