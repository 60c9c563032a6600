import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../../src/base/bytes.js';
import { LIMITS } from '../../../src/base/limits.js';
import { slotOf, tokenOf } from '../../../src/base/slots.js';
import { DELETED_MS } from '../../../src/protocol/quorum/types.js';
import { seededRandom } from '../raft/network.js';
import { ModelContents } from './model-contents.js';
import { BUCKET, keyInSlot, RepairPair, versionAt, WALL_START_MS } from './repair-pair.js';

const B = BUCKET.bucketId;
const EMPTY = Buffer.alloc(0);

function key(i: number): Buffer {
  return Buffer.from(`key:${String(i).padStart(12, '0')}`);
}

function value(i: number, generation = 0): Buffer {
  return Buffer.alloc(64, `${generation}/${i}/`);
}

/** Fills all replicas with the same records. */
function fill(pair: RepairPair, keys: number): void {
  for (let i = 0; i < keys; i++)
    for (const { contents } of pair.nodes) contents.put(B, key(i), value(i), versionAt(5000, i % 64), 0);
}

let filled: ModelContents | undefined;

/** So many keys of 16 and 64 bytes. */
function contentsOf(keys: number): ModelContents {
  if (filled === undefined) {
    filled = new ModelContents([BUCKET]);
    for (let i = 0; i < keys; i++) filled.put(B, key(i), value(i), versionAt(50_000 - (i % 1000), i % 64), 0);
  }
  return filled;
}

describe('a comparison of two replicas', () => {
  it('costs one small message and its answer when they are equal', () => {
    const pair = new RepairPair();
    fill(pair, 2000);
    pair.run(1000);
    expect(pair.delivered.map(({ message }) => message.kind)).toEqual(['roots', 'roots-answer']);
    const { bytesMoved, equal, sessions, keysMoved } = pair.node('n1').core.statistics();
    expect({ equal, sessions, keysMoved }).toEqual({ equal: 1, sessions: 1, keysMoved: 0 });
    expect(bytesMoved).toBeLessThan(64);
  });

  it('covers all buckets of a group with one message', () => {
    const buckets = [1, 2, 3].map((bucketId) => ({ ...BUCKET, bucketId }));
    const pair = new RepairPair({ buckets });
    pair.run(1000);
    expect(pair.delivered.length).toBe(2);
    pair.node('n2').contents.put(2, key(1), value(1), versionAt(10), 0);
    pair.run(2000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
  });

  it('moves newer records in both directions, the newest wins, dead or alive', () => {
    const pair = new RepairPair();
    fill(pair, 100);
    const [first, second] = pair.nodes as [(typeof pair.nodes)[0], (typeof pair.nodes)[0]];
    first.contents.put(B, key(1), value(1, 1), versionAt(100), 0);
    second.contents.put(B, key(2), value(2, 1), versionAt(100), 0);
    first.contents.put(B, key(3), EMPTY, versionAt(90), DELETED_MS);
    second.contents.put(B, key(4), EMPTY, versionAt(90), DELETED_MS);
    first.contents.put(B, key(5), value(5, 1), versionAt(80), 0);
    second.contents.put(B, key(5), EMPTY, versionAt(70), DELETED_MS);
    first.contents.put(B, key(1000), value(1000), versionAt(60), 0);
    second.contents.put(B, key(1001), value(1001), versionAt(60), WALL_START_MS + 1e9);
    pair.run(1000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    for (const { contents } of pair.nodes) {
      expect(contents.read(B, key(1))?.value).toEqual(value(1, 1));
      expect(contents.read(B, key(2))?.value).toEqual(value(2, 1));
      expect(contents.read(B, key(3))?.expiresAtMs).toBe(DELETED_MS);
      expect(contents.read(B, key(4))?.expiresAtMs).toBe(DELETED_MS);
      expect(contents.read(B, key(5))?.version).toBe(versionAt(70));
      expect(contents.read(B, key(1000))?.value).toEqual(value(1000));
      expect(contents.read(B, key(1001))?.expiresAtMs).toBe(WALL_START_MS + 1e9);
    }
    expect(first.journal.reduce((count, batch) => count + batch.count, 0)).toBe(4);
    expect(second.journal.reduce((count, batch) => count + batch.count, 0)).toBe(3);
    const { keysMoved } = first.core.statistics();
    expect(keysMoved).toBe(7);
  });

  it('settles records of equal versions and different contents alike on both sides', () => {
    const pair = new RepairPair();
    pair.node('n1').contents.put(B, key(1), value(1, 1), versionAt(100), 0);
    pair.node('n2').contents.put(B, key(1), value(1, 2), versionAt(100), 0);
    pair.node('n1').contents.put(B, key(2), value(2), versionAt(100), 0);
    pair.node('n2').contents.put(B, key(2), EMPTY, versionAt(100), DELETED_MS);
    pair.run(1000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    expect(pair.node('n1').contents.read(B, key(2))?.expiresAtMs).toBe(DELETED_MS);
  });

  it('tells keys of one token apart', () => {
    const seen = new Map<number, Buffer>();
    const random = seededRandom(5);
    let same: [Buffer, Buffer] | undefined;
    while (same === undefined) {
      const candidate = Buffer.from(`{tag}${Math.floor(random() * 2 ** 40).toString(36)}`);
      const other = seen.get(tokenOf(candidate));
      if (other !== undefined && !other.equals(candidate)) same = [other, candidate];
      seen.set(tokenOf(candidate), candidate);
    }
    const [one, two] = same;
    expect(tokenOf(one)).toBe(tokenOf(two));
    for (const [ofFirst, ofSecond] of [
      [[one], [two]],
      [[one, two], [one]],
      [[two], [one, two]],
      [[], [one, two]],
    ] as const) {
      const pair = new RepairPair();
      for (const each of ofFirst) pair.node('n1').contents.put(B, each, value(1), versionAt(100), 0);
      for (const each of ofSecond) pair.node('n2').contents.put(B, each, value(2), versionAt(90), 0);
      // One key on each side looks like one key in two versions at first; the second comparison sees two.
      pair.run(3000);
      expect(new Set(pair.fingerprints()).size).toBe(1);
    }
  });

  it('descends far into one slot that holds many keys', () => {
    const pair = new RepairPair({ slots: [slotOf(Buffer.from('{tag}'))] });
    for (let i = 0; i < 20_000; i++)
      for (const { contents } of pair.nodes)
        contents.put(B, Buffer.from(`{tag}${i}`), value(i), versionAt(5000), 0);
    pair.node('n2').contents.put(B, Buffer.from('{tag}77'), value(77, 1), versionAt(10), 0);
    pair.run(1000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    const { keysMoved, bytesMoved } = pair.node('n1').core.statistics();
    expect(keysMoved).toBe(1);
    expect(bytesMoved).toBeLessThan(1500);
  });

  it.each([
    { share: 0.05, what: 'overwritten' },
    { share: 1, what: 'overwritten' },
    { share: 0.05, what: 'missing' },
    { share: 1, what: 'missing' },
    { share: 0.05, what: 'deleted' },
  ])('moves at most three times the bytes that differ: $share of 100,000 keys $what', ({ share, what }) => {
    const pair = new RepairPair({ initial: contentsOf(100_000) });
    const random = seededRandom(share * 100);
    const [first, second] = pair.nodes as [(typeof pair.nodes)[0], (typeof pair.nodes)[0]];
    let differingBytes = 0;
    for (let i = 0; i < 100_000; i++) {
      if (random() >= share) continue;
      differingBytes += 16 + 64;
      if (what === 'missing') second.contents.remove(B, key(i));
      if (what === 'overwritten') second.contents.put(B, key(i), value(i, 1), versionAt(100, i % 64), 0);
      if (what === 'deleted') second.contents.put(B, key(i), EMPTY, versionAt(100, i % 64), DELETED_MS);
    }
    pair.run(1000);
    expect(first.core.statistics().sessions).toBe(1);
    expect(first.contents.digests()).toEqual(second.contents.digests());
    const { bytesMoved } = first.core.statistics();
    expect(bytesMoved).toBeLessThanOrEqual(3 * differingBytes);
    expect(pair.largestBytes).toBeLessThanOrEqual(LIMITS.maxFrameBytes);
  });

  it('takes records larger than a frame one at a time', () => {
    const pair = new RepairPair();
    const large = Buffer.alloc(LIMITS.maxFrameBytes * 2, 'x');
    for (let i = 0; i < 5; i++) {
      pair.node('n1').contents.put(B, key(i), large, versionAt(10), 0);
      pair.node('n2').contents.put(B, key(100 + i), large, versionAt(10), 0);
    }
    pair.run(2000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    expect(pair.largestBytes).toBeLessThan(large.length + 1024);
  });

  it('does not take versions that run ahead of its clock', () => {
    const pair = new RepairPair({ slots: [slotOf(key(1))] });
    pair.node('n2').contents.put(B, key(1), value(1), versionAt(-60_000), 0);
    pair.run(1000);
    expect(pair.node('n1').contents.read(B, key(1))).toBeUndefined();
    pair.run(60_000);
    expect(pair.node('n1').contents.read(B, key(1))).toBeDefined();
  });

  it('ends although the other side refuses what it is given', () => {
    const pair = new RepairPair();
    fill(pair, 50);
    pair.node('n1').contents.full = true;
    pair.node('n2').contents.put(B, key(1000), value(1000), versionAt(10), 0);
    pair.run(10_000);
    const { sessions, abandoned, keysMoved } = pair.node('n1').core.statistics();
    expect(abandoned).toBe(0);
    expect(keysMoved).toBe(sessions);
  });

  it('leaves out buckets that have it off, and nodes that are no replicas', () => {
    const buckets = [
      { ...BUCKET, bucketId: 1, antiEntropy: false },
      { ...BUCKET, bucketId: 2, n: 2 },
    ];
    const pair = new RepairPair({ buckets, nodes: 3 });
    pair.node('n1').contents.put(1, key(1), value(1), versionAt(10), 0);
    pair.node('n1').contents.put(2, key(1), value(1), versionAt(10), 0);
    pair.run(3000);
    expect(pair.node('n2').contents.read(1, key(1))).toBeUndefined();
    expect(pair.node('n2').contents.read(2, key(1))).toBeDefined();
    expect(pair.node('n3').contents.all()).toEqual([]);
  });

  it('does not compare a bucket that only one of the two has flushed', () => {
    const pair = new RepairPair();
    fill(pair, 10);
    pair.node('n2').contents.described = [{ ...BUCKET, flushedThrough: versionAt(10) }];
    pair.node('n1').contents.put(B, key(1000), value(1000), versionAt(20), 0);
    pair.run(3000);
    expect(pair.node('n2').contents.read(B, key(1000))).toBeUndefined();
  });

  it('does not compare with a node that means other slots by the group', () => {
    const pair = new RepairPair();
    pair.node('n1').contents.put(B, key(1), value(1), versionAt(20), 0);
    pair.node('n2').core.setGroups([{ group: 1, members: ['n1', 'n2'], slots: [1, 2, 3] }]);
    pair.run(3000);
    expect(pair.node('n2').contents.all()).toEqual([]);
    expect(pair.node('n1').core.statistics().abandoned).toBeGreaterThan(0);
  });
});

describe('sessions', () => {
  it('end when the other side does not answer, and are begun anew', () => {
    const pair = new RepairPair();
    pair.node('n2').contents.put(B, key(1), value(1), versionAt(10), 0);
    let lost = 0;
    pair.lose = (_from, _to, message) => message.kind === 'compare-answer' && lost++ < 1;
    pair.run(5000);
    expect(pair.node('n1').core.statistics().abandoned).toBe(1);
    expect(new Set(pair.fingerprints()).size).toBe(1);
  });

  it('end when the other side goes out of reach, and are made up for when it is back', () => {
    const pair = new RepairPair({ options: { intervalMs: 60_000 } });
    pair.node('n1').core.requestRound('n2');
    pair.lose = () => true;
    pair.run(100);
    pair.node('n1').core.setReachable('n2', false);
    expect(pair.node('n1').core.statistics()).toMatchObject({ sessions: 1, abandoned: 1 });
    pair.lose = () => false;
    pair.node('n1').contents.put(B, key(1), value(1), versionAt(10), 0);
    pair.run(5000);
    expect(pair.node('n2').contents.all()).toEqual([]);
    pair.node('n1').core.setReachable('n2', true);
    pair.run(1100);
    expect(pair.node('n2').contents.all().length).toBe(1);
  });

  it('are begun by either side soon after it was asked for', () => {
    const pair = new RepairPair({ options: { intervalMs: 1_000_000 } });
    pair.run(2000);
    pair.node('n1').contents.put(B, key(1), value(1), versionAt(10), 0);
    pair.node('n2').core.requestRound('n1');
    pair.run(1100);
    expect(pair.node('n2').contents.all().length).toBe(1);
    expect(pair.node('n2').core.statistics().sessions).toBe(1);
  });

  it('stay within the bytes a second that they are allowed', () => {
    const pair = new RepairPair({ options: { maxBytesPerSecond: 50_000, answerTimeoutMs: 5000 } });
    for (let i = 0; i < 6000; i++) pair.node('n1').contents.put(B, key(i), value(i), versionAt(10), 0);
    const before = pair.node('n1').core.statistics().bytesMoved;
    pair.run(5000);
    const moved = pair.node('n1').core.statistics().bytesMoved - before;
    expect(moved).toBeGreaterThan(200_000);
    // One message may overdraw what is allowed.
    expect(moved).toBeLessThan(5 * 50_000 + LIMITS.maxFrameBytes);
    pair.run(30_000);
    expect(pair.node('n1').contents.digests()).toEqual(pair.node('n2').contents.digests());
  });

  it('ignore answers that nobody waits for, and refuse what is no message', () => {
    const pair = new RepairPair();
    fill(pair, 10);
    pair.node('n2').contents.put(B, key(1), value(1, 1), versionAt(10), 0);
    const bodies: Buffer[] = [];
    const { core } = pair.node('n1');
    const step = core.step.bind(core);
    core.step = (from, body, nowMs, wallMs) => {
      bodies.push(body);
      step(from, body, nowMs, wallMs);
    };
    pair.run(1000);
    expect(bodies.length).toBeGreaterThan(2);
    const before = pair.fingerprints();
    for (const body of bodies) step('n2', body, pair.nowMs, pair.wallMs);
    expect(pair.fingerprints()).toEqual(before);
    expect(() => step('n2', Buffer.from([99]), pair.nowMs, pair.wallMs)).toThrow(DecodeError);
  });
});

describe('purging dead records', () => {
  const slot = 11;
  const dead = keyInSlot(slot);

  function withTombstone(nodes: number): RepairPair {
    const pair = new RepairPair({ nodes, slots: [slot], options: { graceMs: 60_000 } });
    for (const { contents } of pair.nodes) {
      contents.put(B, dead, EMPTY, versionAt(10_000), DELETED_MS);
      contents.put(B, keyInSlot(slot, 1), value(1), versionAt(10_000), 0);
    }
    return pair;
  }

  it('waits for the grace, then drops them everywhere', () => {
    const pair = withTombstone(3);
    pair.run(48_000);
    for (const { contents } of pair.nodes) expect(contents.all().length).toBe(2);
    pair.run(6000);
    for (const { contents, core } of pair.nodes) {
      expect(contents.all().length).toBe(1);
      expect(core.statistics().purged).toBe(1);
    }
  });

  it('drops expired records by their expiry, not by their version', () => {
    const pair = new RepairPair({ nodes: 3, slots: [slot], options: { graceMs: 60_000 } });
    for (const { contents } of pair.nodes)
      contents.put(B, dead, value(1), versionAt(500_000), WALL_START_MS + 10_000);
    pair.run(65_000);
    for (const { contents } of pair.nodes) expect(contents.all().length).toBe(1);
    pair.run(10_000);
    for (const { contents } of pair.nodes) expect(contents.all()).toEqual([]);
  });

  it('asks and answers only once the journal is synced', () => {
    const pair = withTombstone(3);
    pair.run(60_000);
    const promises = pair.delivered.filter(({ message }) => /^purge-/.test(message.kind));
    expect(new Set(promises.map(({ message }) => message.kind))).toEqual(
      new Set(['purge-query', 'purge-answer']),
    );
    for (const { afterPersist } of promises) expect(afterPersist).toBe(true);
  });

  it('does not happen while a replica is out of reach', () => {
    const pair = withTombstone(3);
    pair.node('n1').core.setReachable('n3', false);
    pair.run(120_000);
    for (const { contents } of pair.nodes) expect(contents.all().length).toBe(2);
    pair.node('n1').core.setReachable('n3', true);
    pair.run(5000);
    for (const { contents } of pair.nodes) expect(contents.all().length).toBe(1);
  });

  it('does not happen while a replica holds something else in the slot', () => {
    const pair = withTombstone(3);
    // What differs cannot be mended, so that the digest stays another.
    pair.node('n3').contents.put(B, keyInSlot(slot, 2), value(1), versionAt(-1e9), 0);
    pair.run(120_000);
    for (const { contents } of pair.nodes) expect(contents.read(B, dead)).toBeDefined();
  });

  it('leaves alone what has changed since it was asked about', () => {
    const pair = withTombstone(3);
    pair.before = (to, message) => {
      if (to === 'n2' && message.kind === 'purge')
        pair.node('n2').contents.put(B, keyInSlot(slot, 3), value(1), versionAt(-pair.nowMs), 0);
    };
    pair.run(54_000);
    const orders = pair.delivered.filter(({ message }) => message.kind === 'purge');
    expect(orders.length).toBe(2);
    expect(pair.node('n1').contents.read(B, dead)).toBeUndefined();
    // It was told in a comparison meanwhile, or will be.
    pair.before = () => undefined;
    pair.run(3000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    expect(pair.node('n2').contents.read(B, dead)).toBeUndefined();
  });

  it('is made up for by a replica that missed the order', () => {
    const pair = withTombstone(3);
    pair.lose = (_from, to, message) => message.kind === 'purge' && to === 'n3';
    pair.run(60_000);
    expect(new Set(pair.fingerprints()).size).toBe(1);
    expect(pair.node('n3').contents.read(B, dead)).toBeUndefined();
    const refused = pair.nodes.map(({ core }) => core.statistics().refusedPurged);
    expect(Math.max(...refused)).toBeGreaterThan(0);
  });

  it('does not keep an old live record from coming back to where it was evicted', () => {
    const pair = withTombstone(3);
    pair.run(60_000);
    expect(pair.node('n2').contents.purgedThroughMs(B, slot)).toBeGreaterThan(0);
    pair.node('n2').contents.remove(B, keyInSlot(slot, 1));
    pair.run(3000);
    expect(pair.node('n2').contents.read(B, keyInSlot(slot, 1))).toBeDefined();
  });

  it('needs nobody else in a bucket of one replica', () => {
    const pair = new RepairPair({ buckets: [{ ...BUCKET, n: 1 }] });
    pair.node('n1').contents.put(B, dead, EMPTY, versionAt(100_000), DELETED_MS);
    pair.run(3000);
    expect(pair.node('n1').contents.all()).toEqual([]);
  });
});
