/** Bounds of eventual buckets in whole nodes: requests at any node, repair at work, virtual time. */
import { describe, expect, test } from 'vitest';
import type { BucketSpecification } from '../../src/cluster/map.js';
import type { Node } from '../../src/server/node.js';
import type { QuorumChoice } from '../../src/server/types.js';
import type { Reply } from '../../src/store/reply.js';
import type { RetentionPolicy } from '../../src/store/types.js';
import { bytes, command, plain, type Word } from '../support/test-machine.js';
import { DEFAULT_BUCKET, EVENTUAL_BUCKET, NodeWorld } from './support-nodes.js';

const MIB = 1024 * 1024;
const NAME = 'eventual';
const OOM = "-OOM command not allowed when used memory > 'maxmemory'.";

function bucketWith(policy: Partial<RetentionPolicy>): BucketSpecification {
  return {
    ...EVENTUAL_BUCKET,
    retention: { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'noeviction', ...policy },
  };
}

async function nodesWith(world: NodeWorld, policy: Partial<RetentionPolicy>): Promise<Node[]> {
  return world.startAll({ buckets: [DEFAULT_BUCKET, bucketWith(policy)] });
}

function memoryOf(node: Node): number {
  return node.eventualStatistics()!.bounds.memoryBytes;
}

/** Carries out commands at once; `watch` sees every moment until all are answered. */
async function burst(
  world: NodeWorld,
  node: Node,
  commands: readonly (readonly Word[])[],
  quorum: QuorumChoice,
  watch: () => void = () => {},
): Promise<unknown[]> {
  const replies = new Map<number, Reply>();
  for (const [position, words] of commands.entries()) {
    node.submit({
      definition: command(String(words[0])),
      bucket: node.bucketByName(NAME)!,
      args: words.slice(1).map(bytes),
      completion: { complete: (reply) => replies.set(position, reply) },
      consistency: 'linearizable',
      ordered: false,
      session: undefined,
      quorum,
    });
  }
  await world.until('all are answered', () => {
    watch();
    return replies.size === commands.length;
  });
  return commands.map((_, position) => plain(replies.get(position)!));
}

async function read(world: NodeWorld, node: Node, key: string): Promise<unknown> {
  return world.run(node, ['GET', key], { bucket: NAME, quorum: { r: 1 } });
}

describe('an eventual bucket with a bound of memory', () => {
  for (const eviction of ['lru', 'lfu'] as const) {
    test(`keeps within 5 % of it on every replica while writes come everywhere, and keeps what is read, with ${eviction}`, async () => {
      const bound = 2 * MIB;
      const world = new NodeWorld(`evict ${eviction}`, 3);
      const nodes = await nodesWith(world, { maxMemoryBytes: bound, eviction });
      const value = Buffer.alloc(1000, 'v');
      const hot = Array.from({ length: 20 }, (_, i) => `hot${i}`);
      const writes = (keys: readonly string[]): Word[][] => keys.map((key) => ['SET', key, value]);
      for (const reply of await burst(world, nodes[0]!, writes(hot), { w: 3 })) expect(reply).toBe('+OK');
      let highest = 0;
      const watch = (): void => {
        for (const node of nodes) highest = Math.max(highest, memoryOf(node));
      };
      for (let round = 0; round < 120; round++) {
        const keys = Array.from({ length: 50 }, (_, i) => `k${round * 50 + i}`);
        const replies = await burst(world, nodes[round % 3]!, writes(keys), { w: 1 + (round % 2) }, watch);
        expect(new Set(replies)).toEqual(new Set(['+OK']));
        // One replica alone serves reads of the hot keys.
        const reads = await burst(
          world,
          nodes[2]!,
          hot.map((key) => ['GET', key]),
          { r: 1 },
          watch,
        );
        for (const reply of reads) expect(reply).toBe(value.toString());
        await world.pass(30);
      }
      await world.pass(30_000);
      watch();
      expect(highest).toBeLessThan(bound * 1.05);
      for (const node of nodes) {
        expect(memoryOf(node)).toBeGreaterThan(bound * 0.7);
        for (const key of hot) expect([key, await read(world, node, key)]).toEqual([key, value.toString()]);
        expect(await read(world, node, 'k0')).toBeNull();
      }
      expect(world.failures.size).toBe(0);
    });
  }

  test('without eviction answers as Redis does, whatever w is, and takes deletes', async () => {
    const world = new NodeWorld('full', 3);
    const nodes = await nodesWith(world, { maxMemoryBytes: MIB });
    const value = Buffer.alloc(1000, 'v');
    let written = 0;
    for (let isFull = false; !isFull; ) {
      const commands = Array.from({ length: 50 }, () => ['SET', `k${written++}`, value]);
      const replies = await burst(world, nodes[0]!, commands, { w: 3 });
      isFull = replies.includes(OOM);
      expect(written).toBeLessThan(2000);
    }
    for (const node of nodes) {
      for (const w of [1, 2, 3]) {
        const reply = await world.run(node, ['SET', `more${w}`, value], { bucket: NAME, quorum: { w } });
        expect([w, reply]).toEqual([w, OOM]);
      }
      expect(memoryOf(node)).toBeLessThan(MIB * 1.05);
    }
    expect(await world.run(nodes[1]!, ['SET', 'k0', 'short'], { bucket: NAME })).toBe('+OK');
    for (let i = 0; i < 50; i++)
      expect(await world.run(nodes[i % 3]!, ['DEL', `k${i}`], { bucket: NAME, quorum: { w: 2 } })).toBe(1);
    await world.pass(100);
    expect(await world.run(nodes[2]!, ['SET', 'more', value], { bucket: NAME })).toBe('+OK');
    for (const node of nodes) expect(node.eventualStatistics()!.bounds.removed).toBe(0);
  });

  test('obeys when its bound is lowered, and when eviction is allowed', async () => {
    const world = new NodeWorld('lowered', 3);
    const nodes = await nodesWith(world, { maxMemoryBytes: 4 * MIB });
    const value = Buffer.alloc(1000, 'v');
    for (let round = 0; round < 50; round++) {
      const commands = Array.from({ length: 50 }, (_, i) => ['SET', `k${round * 50 + i}`, value]);
      await burst(world, nodes[0]!, commands, { w: 3 });
    }
    await world.settled(nodes[1]!.updateBucket(NAME, { maxMemoryBytes: MIB }));
    expect(await world.run(nodes[0]!, ['SET', 'more', value], { bucket: NAME })).toBe(OOM);
    await world.settled(nodes[1]!.updateBucket(NAME, { eviction: 'lru' }));
    await world.until('all are below it', () => nodes.every((node) => memoryOf(node) < MIB), 1000);
    expect(await world.run(nodes[0]!, ['SET', 'more', value], { bucket: NAME })).toBe('+OK');
    await world.settled(nodes[2]!.updateBucket(NAME, { maxIdleMs: 1000 }));
    await world.pass(1200);
    for (const node of nodes) expect(await world.run(node, ['DBSIZE'], { bucket: NAME })).toBe(0);
  });
});

describe('an eventual bucket with a bound of idle time', () => {
  test('loses what nobody uses, everywhere and for good, and keeps what one replica is asked for', async () => {
    const world = new NodeWorld('idle', 3);
    const nodes = await nodesWith(world, { maxIdleMs: 3000 });
    const commands = Array.from({ length: 200 }, (_, i) => ['SET', `k${i}`, 'v']);
    for (const reply of await burst(world, nodes[0]!, commands, { w: 3 })) expect(reply).toBe('+OK');
    const sizes = new Set<string>();
    for (let passedMs = 0; passedMs < 45_000; passedMs += 500) {
      await world.pass(500);
      expect(await read(world, nodes[1]!, 'k7')).toBe('v');
      expect(await read(world, nodes[2]!, 'k8')).toBe('v');
      const counts: unknown[] = [];
      for (const node of nodes) counts.push(await world.run(node, ['DBSIZE'], { bucket: NAME }));
      if (passedMs + 500 < 3000) expect(counts).toEqual([200, 200, 200]);
      if (passedMs > 3500) sizes.add(counts.join(' '));
    }
    expect([...sizes]).toEqual(['2 2 2']);
    for (const node of nodes) {
      expect(await read(world, node, 'k0')).toBeNull();
      expect(await read(world, node, 'k7')).toBe('v');
    }
    // Nothing of it was a matter of repair, and the replicas are equal.
    for (const node of nodes) expect(node.eventualStatistics()!.repair.keysMended).toBe(0);
  });

  test('loses what comes back with a replica that was away, once more', async () => {
    const world = new NodeWorld('away', 3);
    const nodes = await nodesWith(world, { maxIdleMs: 3000 });
    const commands = Array.from({ length: 100 }, (_, i) => ['SET', `k${i}`, 'v']);
    for (const reply of await burst(world, nodes[0]!, commands, { w: 3 })) expect(reply).toBe('+OK');
    await world.pass(500);
    world.crash(2);
    await world.pass(10_000);
    expect(await world.run(nodes[0]!, ['DBSIZE'], { bucket: NAME })).toBe(0);
    const returned = await world.start(2, { buckets: [DEFAULT_BUCKET, bucketWith({ maxIdleMs: 3000 })] });
    await world.until('it is ready', () => returned.ready());
    expect(await world.run(returned, ['DBSIZE'], { bucket: NAME })).toBe(100);
    const all = [nodes[0]!, nodes[1]!, returned];
    await world.pass(60_000);
    for (const node of all) expect(await world.run(node, ['DBSIZE'], { bucket: NAME })).toBe(0);
    for (let slot = 0; slot < 16384; slot++)
      for (const node of all) expect(node.eventualDigestOfSlot(slot)).toBe(0);
  });
});
