/** Anti-entropy of nodes that have lost their disks: what they compare, and when that is over. */
import { describe, expect, it } from 'vitest';
import type { RepairedBucket } from '../../../src/protocol/quorum/anti-entropy-types.js';
import { Filling } from '../../../src/protocol/quorum/filling.js';
import type { NodeId } from '../../../src/protocol/quorum/types.js';
import { BUCKET, keyInSlot, RepairPair, versionAt } from './repair-pair.js';

const SLOTS = [5, 6];
const SETTLED_MS = 100;

interface World {
  readonly pair: RepairPair;
  readonly isFilling: () => NodeId[];
}

function world(
  lost: readonly NodeId[],
  { bucket = BUCKET, nodes = 3 }: { bucket?: RepairedBucket; nodes?: number } = {},
): World {
  const filling = new Map<NodeId, Filling>();
  for (const self of lost)
    filling.set(
      self,
      new Filling({
        self,
        buckets: [{ bucketId: bucket.bucketId, n: nodes, w: 2, evicts: false }],
        settledMs: SETTLED_MS,
        knowsBucket: () => true,
        filled: () => undefined,
      }),
    );
  const pair = new RepairPair({
    nodes,
    slots: SLOTS,
    filling,
    buckets: [{ ...bucket, n: nodes }],
    options: { intervalMs: 60_000 },
  });
  return { pair, isFilling: () => lost.filter((id) => filling.get(id)?.isFilling()) };
}

function put(pair: RepairPair, id: NodeId, slot: number, salt: number, version = versionAt(1000)): void {
  const { contents } = pair.node(id);
  contents.mergeRepaired(BUCKET.bucketId, keyInSlot(slot, salt), Buffer.from('v'), version, 0);
}

describe('a node that has lost its disk', () => {
  it('asks all others soon, also those whose turn it is to ask, and has their records then', () => {
    const { pair, isFilling } = world(['n3']);
    for (let salt = 0; salt < 50; salt++) put(pair, salt % 2 === 0 ? 'n1' : 'n2', 5 + (salt % 2), salt);
    pair.run(60);
    expect(isFilling()).toEqual(['n3']);
    pair.run(3000);
    expect(isFilling()).toEqual([]);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 5)).toBe(25);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 6)).toBe(25);
    const asked = pair.delivered.filter(({ from, message }) => from === 'n3' && message.kind === 'roots');
    expect(new Set(asked.map(({ to }) => to))).toEqual(new Set(['n1', 'n2']));
  });

  it('is filled in a bucket whose replicas are not compared otherwise', () => {
    const { pair, isFilling } = world(['n3'], { bucket: { ...BUCKET, antiEntropy: false } });
    put(pair, 'n1', 5, 1);
    pair.run(3000);
    expect(isFilling()).toEqual([]);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 5)).toBe(1);
    put(pair, 'n1', 5, 2);
    pair.run(200_000);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 5)).toBe(1);
  });

  it('goes on while answers are lost, and is filled when they come', () => {
    const { pair, isFilling } = world(['n3']);
    put(pair, 'n1', 5, 1);
    pair.lose = (from, to, message) => from === 'n1' && to === 'n3' && message.kind === 'roots-answer';
    pair.run(5000);
    expect(isFilling()).toEqual(['n3']);
    pair.lose = () => false;
    pair.run(3000);
    expect(isFilling()).toEqual([]);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 5)).toBe(1);
  });

  it('is not filled by a peer that knows of another flush, or does not know the bucket', () => {
    for (const described of [[{ ...BUCKET, flushedThrough: versionAt(10) }], []]) {
      const { pair, isFilling } = world(['n3']);
      pair.node('n1').contents.described = described;
      pair.run(5000);
      expect(isFilling()).toEqual(['n3']);
      pair.node('n1').contents.described = [BUCKET];
      pair.run(3000);
      expect(isFilling()).toEqual([]);
    }
  });

  it('is not filled while it must refuse what lies too far ahead of its clock', () => {
    const { pair, isFilling } = world(['n3']);
    pair
      .node('n1')
      .contents.mergeRepaired(BUCKET.bucketId, keyInSlot(5), Buffer.from('v'), versionAt(-10_000), 0);
    pair.run(5000);
    expect(isFilling()).toEqual(['n3']);
    pair.run(10_000);
    expect(isFilling()).toEqual([]);
    expect(pair.node('n3').contents.keyCountInSlot(BUCKET.bucketId, 5)).toBe(1);
  });
});

describe('nodes that have lost their disks together', () => {
  it('are filled from the one that has not', () => {
    const { pair, isFilling } = world(['n1', 'n2']);
    put(pair, 'n3', 5, 1);
    pair.run(8000);
    expect(isFilling()).toEqual([]);
    expect(new Set(pair.fingerprints()).size).toBe(1);
  });

  it('do not wait for ever when there is none', () => {
    const { pair, isFilling } = world(['n1', 'n2', 'n3']);
    pair.run(8000);
    expect(isFilling()).toEqual([]);
  });
});
