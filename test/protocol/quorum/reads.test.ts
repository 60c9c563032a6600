import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { Latency } from '../../../src/protocol/quorum/latency.js';
import { DELETED_MS, type ReadAnswer } from '../../../src/protocol/quorum/types.js';
import { BenchCore, found, mutationsOf, type ReadEnd, record, replicaSet, TIMING } from './bench-core.js';

const THREE = replicaSet('n1', 'n2', 'n3');
const ELSEWHERE = replicaSet('n2', 'n3', 'n4');
const NONE: ReadAnswer = { what: 'none' };
const SAME: ReadAnswer = { what: 'same' };

function failed(reason: string): ReadEnd[] {
  return [{ failed: reason }] as ReadEnd[];
}

function version(value: number, expiresAtMs = 0): ReadAnswer {
  return { what: 'version', version: value, expiresAtMs };
}

/** Lets a peer answer reads in so many milliseconds each, so that the core has an opinion of it. */
function acquaint(bench: BenchCore, peer: string, latencyMs: number, times = 40): void {
  for (let i = 0; i < times; i++) {
    const ends = bench.read('acquaintance', { replicas: replicaSet(peer), r: 1 });
    bench.take();
    bench.pass(latencyMs);
    bench.answer(peer, bench.readTo(peer), NONE);
    expect(ends).toHaveLength(1);
  }
}

describe('a read of one replica', () => {
  it('is answered within the call where this node is one, without any message', () => {
    const bench = new BenchCore();
    bench.holds('k', 'v', 5);
    expect(found(bench.read('k', { replicas: THREE, r: 1 }))).toBe('v');
    expect(found(bench.read('absent', { replicas: THREE, r: 1 }))).toBeUndefined();
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.core.statistics()).toMatchObject({ reads: 2, localReads: 2 });
  });

  it('elsewhere asks one member for the record', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 1 });
    bench.take();
    expect(bench.effects.messages).toHaveLength(1);
    expect(bench.readTo('n2').queries).toEqual([{ bucketId: 1, key: Buffer.from('k'), knownVersion: 0 }]);
    bench.answer('n2', bench.readTo('n2'), record('v', 5));
    expect(found(ends)).toBe('v');
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('gives dead records too: whoever asked decides what they mean', () => {
    const bench = new BenchCore();
    bench.holds('k', '', 5, DELETED_MS);
    expect(bench.read('k', { replicas: THREE, r: 1 })).toMatchObject([
      { record: { version: 5, expiresAtMs: DELETED_MS } },
    ]);
  });
});

describe('a read of several replicas', () => {
  it('tells the version held here and is answered when the other holds the same', () => {
    const bench = new BenchCore();
    bench.holds('k', 'v', 5);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n2']);
    expect(bench.readTo('n2').queries[0]!.knownVersion).toBe(5);
    expect(ends).toEqual([]);
    bench.answer('n2', bench.readTo('n2'), SAME);
    expect(found(ends)).toBe('v');
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('finds nothing when nobody holds anything', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: THREE, r: 3 });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    expect(ends).toEqual([]);
    bench.answer('n3', bench.readTo('n3'), NONE);
    expect(ends).toEqual([{ record: undefined }]);
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('without a record asks the first for it and the others for the version alone', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 3 });
    bench.take();
    const known = ['n2', 'n3', 'n4'].map((peer) => bench.readTo(peer).queries[0]!.knownVersion);
    expect(known).toEqual([0, -1, -1]);
    bench.answer('n3', bench.readTo('n3'), version(5));
    bench.answer('n4', bench.readTo('n4'), version(5));
    expect(ends).toEqual([]);
    bench.answer('n2', bench.readTo('n2'), record('v', 5));
    expect(found(ends)).toBe('v');
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('asks the holder of the newest version for the record', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 2, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('old', 5));
    bench.answer('n3', bench.readTo('n3'), version(9));
    expect(ends).toEqual([]);
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    expect(bench.readTo('n3').queries[0]!.knownVersion).toBe(5);
    bench.answer('n3', bench.readTo('n3'), record('new', 9));
    expect(found(ends)).toBe('new');
  });

  it('needs no second question for a deletion', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 2, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('old', 5));
    bench.answer('n3', bench.readTo('n3'), version(9, DELETED_MS));
    expect(ends).toEqual([{ record: { value: Buffer.alloc(0), version: 9, expiresAtMs: DELETED_MS } }]);
  });

  it('gets along when the holder has lost the record before it was asked again', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 2, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('old', 5));
    bench.answer('n3', bench.readTo('n3'), version(9));
    bench.take();
    bench.answer('n3', bench.readTo('n3'), NONE);
    expect(found(ends)).toBe('old');
  });

  it('asks another when the holder goes before it was asked again', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 2, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('old', 5));
    bench.core.setReachable('n3', false);
    bench.answer('n3', bench.readTo('n3'), version(9));
    bench.take();
    expect(bench.receivers('read')).toEqual(['n4']);
    bench.answer('n4', bench.readTo('n4'), record('new', 9));
    expect(found(ends)).toBe('new');
  });

  it('of one turn and one peer travel in one message', () => {
    const bench = new BenchCore();
    bench.holds('a', '1', 5);
    const ends = ['a', 'b', 'c'].map((key) => bench.read(key, { replicas: THREE }));
    bench.take();
    expect(bench.effects.messages).toHaveLength(1);
    bench.answer('n2', bench.readTo('n2'), SAME, NONE, NONE);
    expect(ends.map(found)).toEqual(['1', undefined, undefined]);
  });

  it('follows the mutations of its turn', () => {
    const bench = new BenchCore();
    bench.read('a', { replicas: THREE });
    bench.write('b', 'v', { replicas: THREE });
    const kinds = bench
      .take()
      .messages.filter(({ to }) => to === 'n2')
      .map(({ message }) => message.kind);
    expect(kinds).toEqual(['mutate', 'read']);
  });

  it('moves the clock behind what it has found, so that what is written next is newer', () => {
    const bench = new BenchCore();
    const ahead = bench.version(500);
    bench.read('k', { replicas: ELSEWHERE, r: 1 });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('v', ahead));
    bench.write('k', 'w', { replicas: ELSEWHERE });
    bench.take();
    expect(mutationsOf(bench.mutateTo('n2').batch)[0]!.version).toBeGreaterThan(ahead);
  });
});

describe('read repair within r', () => {
  it('mends this node before the answer, in store and journal', () => {
    const bench = new BenchCore();
    bench.holds('k', 'old', 5);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('new', 9));
    expect(found(ends)).toBe('new');
    expect(bench.value('k')).toBe('new');
    const { journal, messages, persistToken } = bench.take();
    expect(journal.flatMap(mutationsOf).map((one) => one.version)).toEqual([9]);
    expect([messages.length, persistToken]).toEqual([0, 0]);
    expect(bench.core.statistics().readRepairs).toBe(1);
  });

  it('answers only once the stale replica has acknowledged the newest record', () => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), version(5));
    expect(ends).toEqual([]);
    bench.take();
    const repair = bench.mutateTo('n2');
    expect(repair).toMatchObject({ purpose: 'repair', durable: false });
    expect(mutationsOf(repair.batch)).toMatchObject([{ version: 9, value: Buffer.from('new') }]);
    bench.acknowledge('n2', repair);
    expect(found(ends)).toBe('new');
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('asks another replica when the record lies too far ahead of the stale one', () => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'ahead', version: 0 });
    expect(ends).toEqual([]);
    bench.take();
    bench.answer('n3', bench.readTo('n3'), { what: 'same' });
    expect(found(ends)).toBe('new');
  });

  it('fails as clock when the record lies too far ahead of too many replicas', () => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    for (const peer of ['n2', 'n3']) {
      bench.answer(peer, bench.readTo(peer), NONE);
      bench.take();
      bench.acknowledge(peer, bench.mutateTo(peer), { position: 0, what: 'ahead', version: 0 });
      bench.take();
    }
    expect(ends).toMatchObject([{ failed: 'clock' }]);
  });

  it('takes no record that lies too far ahead of this clock for an answer', () => {
    const bench = new BenchCore();
    bench.holds('k', 'old', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('wrong', bench.version(TIMING.maxClockDriftMs + 1)));
    expect(ends).toEqual([]);
    bench.take();
    bench.answer('n3', bench.readTo('n3'), { what: 'same' });
    expect(found(ends)).toBe('old');
  });

  it.each(['newer', 'refused'] as const)('goes on when the replica answers %s', (what) => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what, version: what === 'newer' ? 11 : 0 });
    expect(found(ends)).toBe('new');
  });

  it('carries a deletion to a replica that still has the record', () => {
    const bench = new BenchCore();
    bench.holds('k', '', 9, DELETED_MS);
    bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), version(5));
    bench.take();
    expect(mutationsOf(bench.mutateTo('n2').batch)).toMatchObject([{ version: 9, expiresAtMs: DELETED_MS }]);
  });

  it('asks another replica when the stale one goes before it is mended', () => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.take();
    bench.core.peerReset('n2');
    expect(ends).toEqual([]);
    bench.take();
    bench.answer('n3', bench.readTo('n3'), SAME);
    expect(found(ends)).toBe('new');
  });

  it('asks another replica when the acknowledgement is late', () => {
    const bench = new BenchCore();
    bench.holds('k', 'new', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.take();
    bench.tickAfter(TIMING.minSpeculationMs + 1);
    bench.take();
    bench.answer('n3', bench.readTo('n3'), SAME);
    expect(found(ends)).toBe('new');
  });

  it('is left out when the bucket has none: the newest answer is given and nothing mended', () => {
    const bench = new BenchCore();
    bench.holds('k', 'old', 5);
    const newer = bench.read('k', { replicas: THREE, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), record('new', 9));
    expect(found(newer)).toBe('new');
    const older = bench.read('k', { replicas: THREE, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), version(3));
    expect(found(older)).toBe('old');
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.value('k')).toBe('old');
  });

  it('sends the repairs of one turn to one peer in one batch', () => {
    const bench = new BenchCore();
    for (const key of ['a', 'b', 'c']) bench.holds(key, 'new', 9);
    const ends = ['a', 'b', 'c'].map((key) => bench.read(key, { replicas: THREE }));
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE, version(4), SAME);
    bench.take();
    expect(bench.mutateTo('n2').batch.count).toBe(2);
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(ends.map(found)).toEqual(['new', 'new', 'new']);
  });
});

describe('read repair beyond r', () => {
  it('looks at the other replicas after the answer, with the chance that is set, and mends them', () => {
    const bench = new BenchCore({ timingChanges: { readRepairChance: 0.6 } });
    bench.holds('k', 'v', 9);
    expect(found(bench.read('k', { replicas: THREE, r: 1 }))).toBe('v');
    bench.take();
    expect(bench.receivers('read')).toEqual(['n2', 'n3']);
    expect(bench.readTo('n3').queries[0]!.knownVersion).toBe(9);
    bench.answer('n2', bench.readTo('n2'), SAME);
    bench.answer('n3', bench.readTo('n3'), version(5));
    bench.take();
    expect(bench.receivers('mutate')).toEqual(['n3']);
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('takes what is newer for this node and for all others', () => {
    const bench = new BenchCore({ timingChanges: { readRepairChance: 1 } });
    bench.holds('k', 'old', 5);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), SAME);
    expect(found(ends)).toBe('old');
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    bench.answer('n3', bench.readTo('n3'), record('new', 9));
    expect(bench.value('k')).toBe('new');
    bench.take();
    expect(mutationsOf(bench.mutateTo('n2').batch)[0]!.version).toBe(9);
    expect(ends).toHaveLength(1);
  });

  it('does not happen without the chance, nor when the bucket has no read repair', () => {
    const bench = new BenchCore({ timingChanges: { readRepairChance: 0.4 } });
    bench.read('k', { replicas: THREE, r: 1 });
    expect(bench.core.hasEffects()).toBe(false);
    const always = new BenchCore({ timingChanges: { readRepairChance: 1 } });
    always.read('k', { replicas: THREE, r: 1, repair: false });
    expect(always.core.hasEffects()).toBe(false);
  });

  it('happens so many times a second at most, however many reads there are', () => {
    const bench = new BenchCore({ timingChanges: { readRepairChance: 1, timeoutMs: 60_000 } });
    const looks = (): number => {
      for (let i = 0; i < 500; i++) bench.read(`k${i}`, { replicas: THREE, r: 1 });
      bench.take();
      return bench.readTo('n2').queries.length;
    };
    expect(looks()).toBe(LIMITS.maxReadRepairLooksPerSecond / 10);
    bench.tickAfter(100);
    expect(looks()).toBe(LIMITS.maxReadRepairLooksPerSecond / 10);
  });

  it('mends who answers late and stale', () => {
    const bench = new BenchCore();
    bench.holds('k', 'v', 9);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    const late = bench.readTo('n2');
    bench.tickAfter(TIMING.minSpeculationMs + 1);
    bench.take();
    bench.answer('n3', bench.readTo('n3'), SAME);
    expect(found(ends)).toBe('v');
    bench.answer('n2', late, version(5));
    bench.take();
    expect(bench.receivers('mutate')).toEqual(['n2']);
    expect(ends).toHaveLength(1);
  });

  it('is given up silently when nobody answers', () => {
    const bench = new BenchCore({ timingChanges: { readRepairChance: 1 } });
    const ends = bench.read('k', { replicas: THREE, r: 1 });
    bench.take();
    bench.tickAfter(TIMING.timeoutMs + 1);
    expect(ends).toHaveLength(1);
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.core.statistics().timeouts).toBe(0);
  });
});

describe('speculation', () => {
  it('asks one more replica when an answer is later than usual, and the first r answers win', () => {
    const bench = new BenchCore();
    acquaint(bench, 'n2', 20);
    bench.holds('k', 'v', 9);
    acquaint(bench, 'n3', 40);
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n2']);
    const p99Ms = bench.core.statistics().latencies.n2!.p99Ms;
    expect(bench.core.nextDeadlineMs()).toBeCloseTo(bench.nowMs + p99Ms, 6);
    bench.tickAfter(p99Ms - 0.5);
    expect(bench.core.hasEffects()).toBe(false);
    bench.tickAfter(1);
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    expect(bench.core.statistics().speculativeReads).toBe(1);
    bench.answer('n3', bench.readTo('n3'), SAME);
    expect(found(ends)).toBe('v');
  });

  it('waits at least the set time, whatever is usual', () => {
    const bench = new BenchCore();
    acquaint(bench, 'n2', 0.1);
    bench.read('k', { replicas: THREE });
    bench.take();
    bench.tickAfter(TIMING.minSpeculationMs - 1);
    expect(bench.core.hasEffects()).toBe(false);
    bench.tickAfter(1);
    expect(bench.take().messages).toHaveLength(1);
  });

  it('asks for the record anew when the one that was to send it is late', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 1 });
    bench.take();
    bench.tickAfter(TIMING.minSpeculationMs + 1);
    bench.take();
    expect(bench.readTo('n3').queries[0]!.knownVersion).toBe(0);
    bench.answer('n3', bench.readTo('n3'), record('v', 3));
    expect(found(ends)).toBe('v');
  });

  it('asks another holder when the one asked for the record is late', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: ELSEWHERE, r: 3, repair: false });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.answer('n3', bench.readTo('n3'), version(9));
    bench.answer('n4', bench.readTo('n4'), version(9));
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    bench.tickAfter(TIMING.minSpeculationMs + 1);
    bench.take();
    expect(bench.receivers('read')).toEqual(['n4']);
    bench.answer('n4', bench.readTo('n4'), record('v', 9));
    expect(found(ends)).toBe('v');
  });

  it('has no deadline when nothing is awaited', () => {
    const bench = new BenchCore();
    expect(bench.core.nextDeadlineMs()).toBe(Number.POSITIVE_INFINITY);
    bench.read('k', { replicas: THREE });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), NONE);
    expect(bench.core.nextDeadlineMs()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('whom a read asks', () => {
  it('is the peer that has answered fastest of late', () => {
    const bench = new BenchCore();
    acquaint(bench, 'n2', 8);
    acquaint(bench, 'n3', 2);
    bench.read('k', { replicas: THREE });
    bench.take();
    expect(bench.receivers('read')).toContain('n3');
    expect(bench.readTo('n3').queries).toHaveLength(1);
    const { latencies } = bench.core.statistics();
    expect(latencies.n3!.meanMs).toBeLessThan(latencies.n2!.meanMs);
  });

  it('is not the peer that owes an answer for long', () => {
    const bench = new BenchCore();
    acquaint(bench, 'n3', 4, 3);
    acquaint(bench, 'n2', 2, 3);
    bench.read('k', { replicas: replicaSet('n2'), r: 1 });
    bench.take();
    bench.pass(20);
    bench.read('k', { replicas: THREE });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
  });

  it('is now and then a slower one too, for the version alone, so that a recovered one is found again', () => {
    const bench = new BenchCore();
    acquaint(bench, 'n3', 30, 5);
    acquaint(bench, 'n2', 1, 5);
    bench.holds('k', 'v', 9);
    const receivers = new Set<string>();
    for (let i = 0; i < 60 && !receivers.has('n3'); i++) {
      const ends = bench.read('k', { replicas: THREE });
      bench.take();
      for (const peer of bench.receivers('read')) receivers.add(peer);
      bench.pass(2);
      bench.answer('n2', bench.readTo('n2'), SAME);
      expect(found(ends)).toBe('v');
    }
    expect(receivers).toEqual(new Set(['n2', 'n3']));
    bench.pass(28);
    bench.answer('n3', bench.readTo('n3'), SAME);
    // It answers fast again: a few probes later it is asked first.
    let preferred = 0;
    for (let i = 0; i < 2000 && preferred < 3; i++) {
      bench.read('k', { replicas: THREE });
      bench.take();
      const asked = bench.receivers('read');
      if (asked[0] === 'n3') preferred++;
      const reads = asked.map((peer) => [peer, bench.readTo(peer)] as const);
      bench.pass(0.5);
      for (const [peer, message] of reads) if (peer === 'n3') bench.answer(peer, message, SAME);
      bench.pass(1.5);
      for (const [peer, message] of reads) if (peer !== 'n3') bench.answer(peer, message, SAME);
    }
    expect(preferred).toBe(3);
  });
});

describe('the latency of a peer', () => {
  it('has a quantile that is never too low and at most a fifth too high', () => {
    const latency = new Latency();
    for (let ms = 1; ms <= 400; ms++) latency.record(ms / 4);
    for (const quantile of [0.5, 0.9, 0.99]) {
      const exactMs = quantile * 100;
      expect(latency.quantileMs(quantile)).toBeGreaterThanOrEqual(exactMs);
      expect(latency.quantileMs(quantile)).toBeLessThan(exactMs * 1.2);
    }
  });

  it('forgets what is long past', () => {
    const latency = new Latency();
    for (let i = 0; i < 100; i++) latency.record(900);
    for (let i = 0; i < 6000; i++) latency.record(1);
    expect(latency.meanMs).toBeCloseTo(1, 3);
    expect(latency.quantileMs(0.99)).toBeLessThan(1.2);
  });

  it('is nothing before the first answer, and bounded whatever comes', () => {
    const latency = new Latency();
    expect([latency.meanMs, latency.quantileMs(0.99)]).toEqual([0, 0]);
    latency.record(-1);
    latency.record(1e12);
    expect(latency.quantileMs(0.99)).toBeLessThan(100_000);
  });
});

describe('a read with members away', () => {
  it('is unreachable when fewer than r can be reached', () => {
    const bench = new BenchCore();
    bench.core.setReachable('n2', false);
    bench.core.setReachable('n3', false);
    expect(bench.read('k', { replicas: THREE })).toEqual(failed('unreachable'));
    expect(bench.read('k', { replicas: THREE, r: 1 })).toHaveLength(1);
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('asks another when the link of the one asked breaks, and fails when there is none', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    bench.core.peerReset('n2');
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    bench.core.peerReset('n3');
    expect(ends).toEqual(failed('unreachable'));
  });

  it('asks another at once when the one asked is known to have gone', () => {
    const bench = new BenchCore();
    bench.read('k', { replicas: THREE });
    bench.take();
    bench.core.setReachable('n2', false);
    expect(bench.core.nextDeadlineMs()).toBeLessThanOrEqual(bench.nowMs);
    bench.core.tick(bench.nowMs, bench.wallMs);
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
  });

  it('asks another when a replica does not know the bucket or makes no sense', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: replicaSet('n1', 'n2', 'n3', 'n4') });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), { what: 'unknown-bucket' });
    bench.take();
    bench.answer('n3', bench.readTo('n3'));
    bench.take();
    bench.answer('n4', bench.readTo('n4'), SAME);
    expect(ends).toEqual(failed('unreachable'));
  });

  it('fails as timeout when too few answer in time, and takes no answer after that', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: THREE });
    bench.take();
    const toSecond = bench.readTo('n2');
    bench.tickAfter(TIMING.timeoutMs - 1);
    expect(ends).toEqual([]);
    bench.take();
    bench.tickAfter(1);
    expect(ends).toEqual(failed('timeout'));
    bench.answer('n2', toSecond, record('v', 5));
    expect(ends).toHaveLength(1);
    expect(bench.core.statistics().timeouts).toBe(1);
  });

  it('ends when the node stops', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: THREE });
    bench.core.stop();
    expect(ends).toEqual(failed('timeout'));
    expect(bench.read('k', { replicas: THREE, r: 1 })).toEqual(failed('unreachable'));
  });

  it('takes each answer once', () => {
    const bench = new BenchCore();
    const ends = bench.read('k', { replicas: THREE, r: 3 });
    bench.take();
    const message = bench.readTo('n2');
    bench.answer('n2', message, NONE);
    bench.answer('n2', message, NONE);
    bench.answer('n9', message, NONE);
    bench.answer('n3', message, NONE);
    expect(ends).toEqual([]);
    bench.answer('n3', bench.readTo('n3'), NONE);
    expect(ends).toHaveLength(1);
  });
});

describe('a replica that is being filled after the loss of its disk', () => {
  const filling = { isFilling: (): boolean => true };

  it('does not count for its own reads: so many others are asked', () => {
    const bench = new BenchCore({ filling });
    bench.holds('k', 'old', 5);
    const one = bench.read('k', { replicas: THREE, r: 1 });
    const two = bench.read('k', { replicas: THREE, r: 2 });
    expect(one).toEqual([]);
    bench.take();
    expect(bench.readTo('n2').queries.map(({ knownVersion }) => knownVersion)).toEqual([0, 0]);
    bench.answer('n2', bench.readTo('n2'), record('v', 9), record('v', 9));
    expect(one).toMatchObject([{ record: { version: 9 } }]);
    expect(two).toEqual([]);
    bench.answer('n3', bench.readTo('n3'), { what: 'version', version: 9, expiresAtMs: 0 });
    expect(two).toMatchObject([{ record: { version: 9 } }]);
  });

  it('does not count: with too few others a read fails, whoever holds what', () => {
    const own = new BenchCore({ filling });
    own.holds('k', 'v', 5);
    expect(own.read('k', { replicas: THREE, r: 3 })).toEqual(failed('unreachable'));
    const other = new BenchCore();
    const ends = other.read('k', { replicas: THREE, r: 3 });
    other.take();
    other.answer('n2', other.readTo('n2'), NONE);
    other.answer('n3', other.readTo('n3'), { what: 'filling' });
    expect(ends).toEqual(failed('unreachable'));
  });

  it('is asked last from then on, until it answers again', () => {
    const bench = new BenchCore();
    const first = bench.read('k', { replicas: THREE, r: 2 });
    bench.take();
    bench.answer('n2', bench.readTo('n2'), { what: 'filling' });
    bench.take();
    bench.answer('n3', bench.readTo('n3'), NONE);
    expect(first).toEqual([{ record: undefined }]);
    bench.pass(5);
    bench.read('k', { replicas: THREE, r: 2 });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3']);
    bench.pass(200);
    bench.read('k', { replicas: THREE, r: 2 });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n3', 'n2']);
    bench.answer('n2', bench.readTo('n2'), NONE);
    bench.core.setReachable('n3', false);
    bench.pass(5);
    bench.read('k', { replicas: THREE, r: 2 });
    bench.take();
    expect(bench.receivers('read')).toEqual(['n2']);
  });
});

describe('a read asked for wrongly', () => {
  it.each([0, 4])('with r = %i of three replicas breaks an invariant', (r) => {
    expect(() => new BenchCore().read('k', { replicas: THREE, r })).toThrow('r is between');
  });
});

describe('too many reads under way', () => {
  it('are refused as overloaded, local ones still served', () => {
    const bench = new BenchCore();
    for (let i = 0; i < LIMITS.maxPendingQuorumReads; i++) bench.read('k', { replicas: THREE });
    expect(bench.read('k', { replicas: THREE })).toEqual(failed('overloaded'));
    expect(bench.read('k', { replicas: THREE, r: 1 })).toHaveLength(1);
  });
});
