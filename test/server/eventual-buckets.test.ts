/** Eventual buckets served by whole nodes in virtual time: maps that change, crashes, stops, nodes that hold no keys. */
import { describe, expect, test } from 'vitest';
import type { Node } from '../../src/server/node.js';
import type { QuorumChoice } from '../../src/server/types.js';
import type { Reply } from '../../src/store/reply.js';
import type { BucketDescription } from '../../src/store/types.js';
import { bytes, command, plain, type Word } from '../support/test-machine.js';
import { DEFAULT_BUCKET, EVENTUAL_BUCKET, NodeWorld, type StartOptions } from './support-nodes.js';

const BUCKETS = [DEFAULT_BUCKET, EVENTUAL_BUCKET];
const EVENTUAL = { bucket: 'eventual' };
const ONE = { bucket: 'eventual', quorum: { r: 1, w: 1 } };
const ALL = { bucket: 'eventual', quorum: { r: 3, w: 3 } };
const RARE_CHECKPOINTS = { checkpointIntervalMs: 600_000 };
const NO_REPAIR = { ...EVENTUAL_BUCKET, quorum: { n: 3, r: 2, w: 2, readRepair: false, antiEntropy: false } };

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, number) => `k${number}`);
}

/** Sends a command without waiting; the answers, as they come. */
function send(
  node: Node,
  bucket: BucketDescription,
  words: readonly Word[],
  quorum?: QuorumChoice,
): unknown[] {
  const replies: unknown[] = [];
  node.submit({
    definition: command(String(words[0])),
    bucket,
    args: words.slice(1).map(bytes),
    completion: { complete: (reply: Reply) => replies.push(plain(reply)) },
    consistency: 'linearizable',
    ordered: false,
    session: undefined,
    quorum,
  });
  return replies;
}

function isolate(world: NodeWorld, number: number): void {
  for (const other of world.machines.keys()) {
    if (other === number) continue;
    world.fabric.block(number, other);
    world.fabric.block(other, number);
  }
}

/** Three nodes that hold keys, and a fourth that only coordinates. */
async function withCoordinator(seed: string, options: StartOptions = {}): Promise<[NodeWorld, Node[], Node]> {
  const world = new NodeWorld(seed, 4);
  const nodes: Node[] = [];
  for (const number of [0, 1, 2])
    nodes.push(await world.start(number, { buckets: BUCKETS, ...options, roles: ['storage'] }));
  const coordinator = await world.start(3, { buckets: BUCKETS, ...options, roles: ['coordinator'] });
  await world.until('all are ready', () => [...nodes, coordinator].every((node) => node.ready()));
  return [world, nodes, coordinator];
}

describe('what eventual buckets survive', () => {
  test('is the crash of all nodes right after a bucket was made: each still has what it acknowledged', async () => {
    const world = new NodeWorld('young bucket', 3);
    const [first] = await world.startAll(RARE_CHECKPOINTS);
    await world.settled(first!.createBucket({ ...EVENTUAL_BUCKET, quorum: { n: 3, r: 1, w: 3 } }));
    for (const key of keys(20)) expect(await world.run(first!, ['SET', key, key], EVENTUAL)).toBe('+OK');
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll(RARE_CHECKPOINTS);
    for (const node of nodes)
      for (const key of keys(20)) expect(await world.run(node, ['GET', key], EVENTUAL)).toBe(key);
  });

  test('are the maps decided since the last checkpoint: group 0 decides them again on the first one', async () => {
    const world = new NodeWorld('young maps', 3);
    const [first] = await world.startAll(RARE_CHECKPOINTS);
    for (const name of ['a', 'b', 'c'])
      await world.settled(first!.createBucket({ ...EVENTUAL_BUCKET, name }));
    await world.settled(first!.dropBucket('a'));
    const before = first!.map();
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll(RARE_CHECKPOINTS);
    for (const node of nodes) expect(node.map()).toEqual(before);
    const made = await world.settled(nodes[1]!.createBucket({ ...EVENTUAL_BUCKET, name: 'a' }));
    expect(made.id).toBe(before?.nextBucketId);
    for (const node of nodes) expect(node.map()?.epoch).toBe((before?.epoch ?? 0) + 1);
  });

  test('are checkpoints that hold them together with linearizable buckets, and the logs behind', async () => {
    const world = new NodeWorld('checkpoints', 3);
    const [first] = await world.startAll({ buckets: BUCKETS, checkpointIntervalMs: 200 });
    for (const key of keys(40)) {
      expect(await world.run(first!, ['SET', key, 'raft'])).toBe('+OK');
      expect(await world.run(first!, ['SET', key, 'quorum'], ALL)).toBe('+OK');
      if (Number(key.slice(1)) % 3 === 0) expect(await world.run(first!, ['DEL', key], ALL)).toBe(1);
      await world.pass(37);
    }
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll({ buckets: BUCKETS, checkpointIntervalMs: 200 });
    for (const node of nodes) {
      for (const key of keys(40)) {
        const isDeleted = Number(key.slice(1)) % 3 === 0;
        expect(await world.run(node, ['GET', key], ONE)).toBe(isDeleted ? null : 'quorum');
        expect(await world.run(node, ['GET', key])).toBe('raft');
      }
    }
  });

  test('is a restart with a journal of records whose bucket was dropped', async () => {
    const world = new NodeWorld('dropped', 3);
    const [first] = await world.startAll({ buckets: BUCKETS, ...RARE_CHECKPOINTS });
    await world.settled(first!.createBucket({ ...EVENTUAL_BUCKET, name: 'gone' }));
    for (const key of keys(5)) {
      expect(await world.run(first!, ['SET', key, 'x'], { bucket: 'gone', quorum: { w: 3 } })).toBe('+OK');
      expect(await world.run(first!, ['SET', key, 'y'], ALL)).toBe('+OK');
    }
    await world.settled(first!.dropBucket('gone'));
    for (const number of [0, 1, 2]) world.crash(number);
    const nodes = await world.startAll({ buckets: BUCKETS, ...RARE_CHECKPOINTS });
    await world.settled(nodes[0]!.createBucket({ ...EVENTUAL_BUCKET, name: 'gone' }));
    for (const key of keys(5)) {
      expect(await world.run(nodes[1]!, ['GET', key], { bucket: 'gone', quorum: { r: 3 } })).toBeNull();
      expect(await world.run(nodes[2]!, ['GET', key], ALL)).toBe('y');
    }
  });

  test('is an orderly stop: what one replica acknowledged from memory is on disk, and so are hints for the others', async () => {
    const world = new NodeWorld('stop', 3);
    const buckets = [DEFAULT_BUCKET, NO_REPAIR];
    const nodes = await world.startAll({ buckets });
    isolate(world, 0);
    await world.until('it leads nothing any more', () =>
      nodes[0]!.groupStatus().every(({ local }) => local?.role !== 'leader'),
    );
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x'], ONE)).toBe('+OK');
    await world.settled(nodes[0]!.stop());
    world.crash(0);
    const again = await world.start(0, { buckets });
    await world.until('it serves', () => again.state().phase === 'serving');
    expect(await world.run(again, ['GET', 'a'], ONE)).toBe('x');
    expect(again.eventualStatistics()?.hintBytes).toBeGreaterThan(0);
    world.fabric.healAll();
    await world.until('the hints are handed over', () => again.eventualStatistics()?.hintBytes === 0);
    for (const node of [nodes[1]!, nodes[2]!]) expect(await world.run(node, ['GET', 'a'], ONE)).toBe('x');
  });

  test('is a peer that crashes and comes back while writes wait for it: each write ends once', async () => {
    const world = new NodeWorld('restart', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    const bucket = nodes[0]!.bucketByName('eventual')!;
    const answers: unknown[][] = [];
    for (let round = 0; round < 6; round++) {
      for (const key of keys(5))
        answers.push(send(nodes[0]!, bucket, ['SET', key, `${key}-${round}`], { w: 3 }));
      if (round === 1) world.crash(2);
      if (round === 3) void world.start(2, { buckets: BUCKETS });
      await world.pass(7);
    }
    await world.until('all are answered', () => answers.every(({ length }) => length > 0));
    await world.pass(5000);
    for (const replies of answers) {
      expect(replies).toHaveLength(1);
      expect(replies[0]).toMatch(/^\+OK|^-UNKNOWN|^-CLUSTERDOWN/);
    }
    expect(answers.slice(0, 5).flat()).toEqual(Array(5).fill('+OK'));
    const returned = world.nodes.get(2)!;
    await world.until('the peer is ready', () => returned.ready());
    const equal = () =>
      Array.from({ length: 16384 }, (_, slot) => slot).every(
        (slot) =>
          nodes[0]!.eventualDigestOfSlot(slot) === returned.eventualDigestOfSlot(slot) &&
          nodes[0]!.eventualDigestOfSlot(slot) === nodes[1]!.eventualDigestOfSlot(slot),
      );
    for (let second = 0; second < 40 && !equal(); second++) await world.pass(1000);
    expect(equal()).toBe(true);
  });

  test('is not the failure of the disk: all that waits ends, nothing is acknowledged, and the node says so', async () => {
    const world = new NodeWorld('disk', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    const disk = world.machines[0]!.disk;
    disk.faults = { ...disk.faults, syncFailureRate: 1 };
    const bucket = nodes[0]!.bucketByName('eventual')!;
    const durable = send(nodes[0]!, bucket, ['SET', 'a', 'x'], { w: 3 });
    await world.until('the node has failed', () => world.failures.has(0));
    await world.until('the write has ended', () => durable.length > 0);
    expect(durable).toEqual([expect.stringMatching(/^-UNKNOWN/)]);
    expect(send(nodes[0]!, bucket, ['SET', 'b', 'x'], { w: 1 })).toEqual([expect.stringMatching(/^-/)]);
    expect(send(nodes[0]!, bucket, ['GET', 'a'], { r: 1 })).toEqual([expect.stringMatching(/^-/)]);
    expect(await world.run(nodes[1]!, ['SET', 'c', 'x'], EVENTUAL)).toBe('+OK');
  });
});

describe('a map that changes under requests', () => {
  test('drops a bucket: whoever still asks for it is told so', async () => {
    const world = new NodeWorld('asked', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    await world.settled(nodes[0]!.createBucket({ ...EVENTUAL_BUCKET, name: 'gone' }));
    const gone = nodes[0]!.bucketByName('gone')!;
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x'], { bucket: 'gone' })).toBe('+OK');
    await world.settled(nodes[0]!.dropBucket('gone'));
    for (const words of [['SET', 'a', 'x'], ['GET', 'a'], ['DEL', 'a'], ['MGET', 'a', 'b'], ['DBSIZE']])
      expect(send(nodes[0]!, gone, words)).toEqual([expect.stringContaining("bucket 'gone' was dropped")]);
  });

  test('drops a bucket that one node has not heard of: what it sends is refused, and not for lack of memory', async () => {
    const world = new NodeWorld('behind', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    await world.settled(nodes[0]!.createBucket({ ...EVENTUAL_BUCKET, name: 'gone' }));
    const gone = nodes[2]!.bucketByName('gone')!;
    // The third still speaks, and hears nothing.
    for (const from of [0, 1]) world.fabric.block(from, 2);
    await world.settled(nodes[0]!.dropBucket('gone'));
    expect(nodes[2]!.bucketByName('gone')).toBeDefined();
    const replies = send(nodes[2]!, gone, ['SET', 'a', 'x'], { w: 2 });
    await world.pass(50);
    world.fabric.healAll();
    await world.until('it is answered', () => replies.length > 0);
    expect(replies).toEqual([expect.stringMatching(/^-UNKNOWN|was dropped/)]);
  });

  test('makes a bucket that a replica has not heard of yet: a write of all replicas waits for it to learn, and is done', async () => {
    const world = new NodeWorld('ahead', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    for (const from of [0, 1]) world.fabric.block(from, 2);
    await world.settled(nodes[0]!.createBucket({ ...EVENTUAL_BUCKET, name: 'young' }));
    expect(nodes[2]!.bucketByName('young')).toBeUndefined();
    const replies = send(nodes[0]!, nodes[0]!.bucketByName('young')!, ['SET', 'a', 'x'], { w: 3 });
    await world.pass(50);
    expect(replies).toEqual([]);
    const sinceMs = world.scheduler.nowMs;
    world.fabric.healAll();
    await world.until('it is answered', () => replies.length > 0);
    expect(replies).toEqual(['+OK']);
    expect(world.scheduler.nowMs - sinceMs).toBeLessThan(400);
  });

  test('flushes a bucket: writes behind the flush stay, though they come before it is decided', async () => {
    const world = new NodeWorld('flush', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    const bucket = nodes[0]!.bucketByName('eventual')!;
    for (const key of keys(20)) expect(await world.run(nodes[0]!, ['SET', key, 'old'], EVENTUAL)).toBe('+OK');
    const flushed = send(nodes[0]!, bucket, ['FLUSHDB']);
    const written = keys(10).map((key) => send(nodes[0]!, bucket, ['SET', key, 'new']));
    await world.until(
      'all is answered',
      () => flushed.length > 0 && written.every(({ length }) => length > 0),
    );
    expect(flushed).toEqual(['+OK']);
    expect(written).toEqual(Array(10).fill(['+OK']));
    for (const node of nodes) {
      for (const key of keys(20)) {
        const isNew = Number(key.slice(1)) < 10;
        expect(await world.run(node, ['GET', key], EVENTUAL)).toBe(isNew ? 'new' : null);
      }
    }
  });

  test('is not to be had without a majority: a flush fails, reads and writes go on', async () => {
    const world = new NodeWorld('minority', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x'], EVENTUAL)).toBe('+OK');
    world.crash(1);
    world.crash(2);
    for (const words of [['FLUSHDB'], ['FLUSHALL']])
      expect(await world.run(nodes[0]!, words, EVENTUAL)).toMatch(/^-(UNKNOWN|CLUSTERDOWN)/);
    expect(await world.run(nodes[0]!, ['SET', 'b', 'y'], ONE)).toBe('+OK');
    expect(await world.run(nodes[0]!, ['GET', 'b'], ONE)).toBe('y');
    expect(await world.run(nodes[0]!, ['SET', 'b', 'y'], EVENTUAL)).toMatch(/^-CLUSTERDOWN/);
  });
});

describe('a node that holds no keys', () => {
  test('hears from the others that a bucket was dropped, and says so', async () => {
    const [world, nodes, coordinator] = await withCoordinator('stale coordinator');
    await world.settled(nodes[0]!.createBucket({ ...EVENTUAL_BUCKET, name: 'gone' }));
    const gone = coordinator.bucketByName('gone')!;
    for (const from of [0, 1, 2]) world.fabric.block(from, 3);
    await world.settled(nodes[0]!.dropBucket('gone'));
    const written = send(coordinator, gone, ['SET', 'a', 'x']);
    await world.pass(50);
    expect(written).toEqual([]);
    world.fabric.healAll();
    await world.until('it is answered', () => written.length > 0);
    expect(written).toEqual([expect.stringContaining("bucket 'gone' was dropped")]);
  });

  test('reads, writes, counts and lists what the others hold', async () => {
    const [world, , coordinator] = await withCoordinator('roles');
    for (const key of keys(50)) expect(await world.run(coordinator, ['SET', key, key], EVENTUAL)).toBe('+OK');
    expect(await world.run(coordinator, ['DEL', 'k0', 'k1', 'nothing'], EVENTUAL)).toBe(2);
    expect(await world.run(coordinator, ['MGET', 'k0', 'k2', 'k3'], EVENTUAL)).toEqual([null, 'k2', 'k3']);
    expect(await world.run(coordinator, ['DBSIZE'], EVENTUAL)).toBe(48);
    const found = (await world.run(coordinator, ['KEYS', '*'], EVENTUAL)) as string[];
    expect([...found].sort()).toEqual(keys(50).slice(2).sort());
    const scanned: string[] = [];
    let cursor = '0';
    do {
      const [next, page] = (await world.run(coordinator, ['SCAN', cursor, 'COUNT', 7], EVENTUAL)) as [
        string,
        string[],
      ];
      cursor = next;
      scanned.push(...page);
    } while (cursor !== '0');
    expect(scanned.sort()).toEqual([...found].sort());
  });

  test('answers with one node of three away', async () => {
    const [world, , coordinator] = await withCoordinator('away');
    for (const key of keys(30)) expect(await world.run(coordinator, ['SET', key, key], EVENTUAL)).toBe('+OK');
    world.crash(0);
    await world.pass(3000);
    for (const key of keys(30)) {
      expect(await world.run(coordinator, ['GET', key], EVENTUAL)).toBe(key);
      expect(await world.run(coordinator, ['SET', key, 'new'], EVENTUAL)).toBe('+OK');
    }
    expect(await world.run(coordinator, ['DBSIZE'], EVENTUAL)).toBe(30);
    expect(await world.run(coordinator, ['GET', 'k1'], ALL)).toMatch(/^-CLUSTERDOWN/);
  });

  test('carries the largest values, there and back', async () => {
    const [world, , coordinator] = await withCoordinator('large');
    const value = 'x'.repeat(8 * 1024 * 1024 - 1024);
    expect(await world.run(coordinator, ['SET', 'large', value], ALL)).toBe('+OK');
    expect(await world.run(coordinator, ['SET', 'small', 'y'], ALL)).toBe('+OK');
    expect(await world.run(coordinator, ['GET', 'large'], ALL)).toBe(value);
    expect(await world.run(coordinator, ['STRLEN', 'large'], EVENTUAL)).toBe(value.length);
  });
});

describe('keys of an eventual bucket', () => {
  test('expire everywhere at their time', async () => {
    const world = new NodeWorld('expiry', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x', 'PX', 5000], ALL)).toBe('+OK');
    expect(await world.run(nodes[1]!, ['PTTL', 'a'], EVENTUAL)).toBeGreaterThan(4000);
    await world.pass(5100);
    for (const node of nodes) {
      expect(await world.run(node, ['GET', 'a'], ONE)).toBeNull();
      expect(await world.run(node, ['TTL', 'a'], EVENTUAL)).toBe(-2);
      expect(await world.run(node, ['EXISTS', 'a'], EVENTUAL)).toBe(0);
      expect(await world.run(node, ['DBSIZE'], EVENTUAL)).toBe(0);
      expect(await world.run(node, ['DEL', 'a'], EVENTUAL)).toBe(0);
    }
  });

  test('are refused where more replicas are asked for than there are, and where a command reads before it writes', async () => {
    const world = new NodeWorld('refusals', 3);
    const nodes = await world.startAll({ buckets: BUCKETS });
    const four = { bucket: 'eventual', quorum: { r: 4, w: 4 } };
    expect(await world.run(nodes[0]!, ['GET', 'a'], four)).toMatch(/^-ERR r is at most 3/);
    expect(await world.run(nodes[0]!, ['SET', 'a', 'x'], four)).toMatch(/^-ERR w is at most 3/);
    for (const words of [
      ['INCR', 'a'],
      ['SET', 'a', 'x', 'NX'],
      ['GETDEL', 'a'],
      ['EXPIRE', 'a', 10],
    ])
      expect(await world.run(nodes[0]!, words, EVENTUAL)).toMatch(/reads before it writes/);
  });
});
