import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstMap } from '../../src/cluster/formation.js';
import type { BucketSpecification, ClusterMap, NodeRole } from '../../src/cluster/map.js';
import { decodeMap, encodeMap, slotRanges } from '../../src/cluster/map-codec.js';
import { describeNode } from '../support/fake-node.js';

const BUCKETS = [
  { name: 'default', replication: 'raft', engine: 'memory', ttlMs: 0 },
  { name: 'sessions', replication: 'raft', engine: 'lmdb', ttlMs: 5000 },
] as const;

function mapOf(
  ids: readonly string[],
  roles: readonly NodeRole[] = ['storage', 'coordinator'],
  replicas = 3,
) {
  const nodes = ids.map((id) => ({ ...describeNode(id), roles }));
  return firstMap({ clusterName: 'test', nodes, replicas, buckets: BUCKETS });
}

describe('the first map', () => {
  test('is the same in whatever order the nodes were heard', () => {
    const ids = ['n1', 'n2', 'n3', 'n4'];
    const expected = encodeMap(mapOf(ids));
    fc.assert(
      fc.property(fc.shuffledSubarray(ids, { minLength: 4 }), (order) => {
        expect(encodeMap(mapOf(order)).equals(expected)).toBe(true);
      }),
      { seed: 1, numRuns: 24 },
    );
  });

  test('has a group for each node, and one that decides the map with at most five voters', () => {
    const map = mapOf(['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7']);
    expect(map.groups).toHaveLength(8);
    expect(map.groups[0]).toEqual({ id: 0, members: ['n1', 'n2', 'n3', 'n4', 'n5'] });
    expect(map.groups[7]).toEqual({ id: 7, members: ['n7', 'n1', 'n2'] });
  });

  test('numbers the buckets and keeps the next number', () => {
    const { buckets, nextBucketId, epoch } = mapOf(['n1']);
    expect(buckets.map(({ id, name }) => [id, name])).toEqual([
      [0, 'default'],
      [1, 'sessions'],
    ]);
    expect([nextBucketId, epoch]).toEqual([2, 1]);
  });

  test('puts no data on a node that is no storage node', () => {
    const nodes = ['n1', 'n2', 'n3'].map((id) => ({
      ...describeNode(id),
      roles: id === 'n2' ? (['coordinator'] as const) : (['storage'] as const),
    }));
    const map = firstMap({ clusterName: 'test', nodes, replicas: 3, buckets: [] });
    expect(map.nodes).toHaveLength(3);
    for (const { members } of map.groups) expect(members).not.toContain('n2');
  });

  test.each([
    ['storage', ['coordinator']],
    ['coordinator', ['storage']],
  ] as const)('needs a node with the role %s', (role, roles) => {
    expect(() => mapOf(['n1', 'n2'], roles)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(`role ${role}`) }),
    );
  });

  test('gives an eventual bucket copies on the storage nodes alone, and refuses one that wants more', () => {
    const nodes = ['n1', 'n2', 'c1'].map((id) => ({
      ...describeNode(id),
      roles: id === 'c1' ? (['coordinator'] as const) : (['storage', 'coordinator'] as const),
    }));
    const eventual = { name: 'e', replication: 'quorum', engine: 'memory', ttlMs: 0 } as const;
    const make = (bucket: BucketSpecification): ClusterMap =>
      firstMap({ clusterName: 'test', nodes, replicas: 3, buckets: [bucket] });
    expect(make(eventual).buckets[0]?.quorum).toMatchObject({ n: 2, r: 2, w: 2 });
    expect(() => make({ ...eventual, quorum: { n: 3 } })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining("bucket 'e': n must"),
      }),
    );
  });

  test('names another cluster when one node is on another data directory', () => {
    const nodes = ['n1', 'n2'].map((id) => describeNode(id));
    const other = nodes.map((node) => (node.id === 'n2' ? { ...node, incarnation: 'fresh' } : node));
    const idOf = (list: typeof nodes): string =>
      firstMap({ clusterName: 'test', nodes: list, replicas: 3, buckets: [] }).clusterId;
    expect(idOf(other)).not.toBe(idOf(nodes));
  });
});

describe('the map codec', () => {
  test('gives back what was encoded', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat(16383)), (count, moved) => {
        const map = mapOf(Array.from({ length: count }, (_, position) => `n${position + 1}`));
        const slotOwners = Uint16Array.from(map.slotOwners);
        for (const slot of moved) slotOwners[slot] = (slot % count) + 1;
        const changed = { ...map, slotOwners, epoch: 77 };
        expect(decodeMap(encodeMap(changed))).toEqual(changed);
      }),
      { seed: 2, numRuns: 30 },
    );
  });

  test('writes slots as runs that cover all of them once', () => {
    const ranges = slotRanges(mapOf(['n1', 'n2', 'n3']).slotOwners);
    expect(ranges).toEqual([
      { first: 0, last: 5460, group: 1 },
      { first: 5461, last: 10922, group: 2 },
      { first: 10923, last: 16383, group: 3 },
    ]);
  });

  test('tells a newer format from damage', () => {
    const newer = encodeMap(mapOf(['n1']))
      .toString('utf8')
      .replace('"format":1', '"format":2');
    expect(() => decodeMap(Buffer.from(newer))).toThrow(expect.objectContaining({ code: 'LOG_TOO_NEW' }));
    expect(() => decodeMap(Buffer.from('{"format":1'))).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }),
    );
  });

  test('refuses every cut of a map, and whatever else is no map', () => {
    const whole = encodeMap(mapOf(['n1', 'n2']));
    for (let length = 0; length < whole.length; length += 7)
      expect(() => decodeMap(whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }),
      );
    for (const strange of ['null', '7', '[]', '"map"', '{"format":1}', '{"format":1,"slots":7}'])
      expect(() => decodeMap(Buffer.from(strange))).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/CHECKPOINT_DAMAGED|LOG_TOO_NEW/) }),
      );
  });
});
