import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { changeLimits } from '../../../sim/limits.js';
import { LIMITS } from '../../../src/base/limits.js';
import { versionMs, versionOrdinal } from '../../../src/protocol/quorum/clock.js';
import { DELETED_MS, type WriteOutcome } from '../../../src/protocol/quorum/types.js';
import { BenchCore, mutationsOf, replicaSet, TIMING } from './bench-core.js';

const THREE = replicaSet('n1', 'n2', 'n3');
const ELSEWHERE = replicaSet('n2', 'n3', 'n4');
const ALONE = replicaSet('n1');

function failed(reason: string): WriteOutcome[] {
  return [{ ok: false, reason }] as WriteOutcome[];
}

describe('a write where this node is a replica', () => {
  it('is in the local store at once and travels, as the same bytes, to the journal and all other members', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE });
    expect(bench.value('k')).toBe('v');
    expect(outcomes).toEqual([]);
    const { journal, messages, hints } = bench.take();
    expect(journal).toHaveLength(1);
    expect(messages.map(({ to }) => to)).toEqual(['n2', 'n3']);
    expect(bench.mutateTo('n2')).toMatchObject({ purpose: 'write', durable: false });
    expect(bench.mutateTo('n2').batch).toBe(journal[0]);
    expect(bench.mutateTo('n3').batch).toBe(journal[0]);
    expect(hints).toEqual([]);
    const [sent] = mutationsOf(journal[0]!);
    expect(sent).toMatchObject({ bucketId: 1, expiresAtMs: 0 });
    expect(versionMs(sent!.version)).toBe(bench.wallMs);
    expect(versionOrdinal(sent!.version)).toBe(1);
  });

  it('with w = 1 that need not be durable is acknowledged within the call', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 1 });
    expect(outcomes).toEqual([
      { ok: true, version: bench.store.versionOf(1, Buffer.from('k')), existed: false },
    ]);
    expect(bench.take().messages).toHaveLength(2);
    bench.acknowledge('n2', bench.mutateTo('n2'));
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(outcomes).toHaveLength(1);
    expect(bench.core.statistics().unackedBytes).toBe(0);
  });

  it('that is durable counts the local copy only once the journal is synced', () => {
    const bench = new BenchCore();
    const alone = bench.write('k', 'v', { replicas: THREE, w: 1, durable: true });
    const both = bench.write('l', 'v', { replicas: THREE, w: 2, durable: true });
    const { persistToken } = bench.take();
    expect(persistToken).toBeGreaterThan(0);
    expect(bench.mutateTo('n2').durable).toBe(true);
    expect([alone, both]).toEqual([[], []]);
    bench.core.persisted(persistToken - 1);
    expect(alone).toEqual([]);
    bench.core.persisted(persistToken);
    expect(alone).toMatchObject([{ ok: true }]);
    expect(both).toEqual([]);
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(both).toMatchObject([{ ok: true }]);
  });

  it('that is durable can be acknowledged by others before the local disk is done', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 2, durable: true });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(outcomes).toEqual([]);
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(outcomes).toMatchObject([{ ok: true }]);
  });

  it('needs no sync when nobody waits for one', () => {
    const bench = new BenchCore();
    bench.write('k', 'v', { replicas: THREE, w: 2 });
    expect(bench.take().persistToken).toBe(0);
  });

  it('is stamped above what is stored here, even when this clock never saw it', () => {
    const bench = new BenchCore();
    const stored = bench.version(800);
    bench.holds('k', 'old', stored);
    const outcomes = bench.write('k', 'new', { replicas: THREE, w: 1 });
    expect(outcomes).toMatchObject([{ ok: true, existed: true }]);
    expect(bench.value('k')).toBe('new');
    expect(bench.store.versionOf(1, Buffer.from('k'))).toBeGreaterThan(stored);
  });

  it('fails as clock, without any effect, when what is stored lies too far ahead', () => {
    const bench = new BenchCore();
    bench.holds('k', 'old', bench.version(TIMING.maxClockDriftMs + 1));
    expect(bench.write('k', 'new', { replicas: THREE, w: 1 })).toEqual(failed('clock'));
    expect(bench.value('k')).toBe('old');
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('fails as refused, without any effect, when the local store is full', () => {
    const bench = new BenchCore();
    bench.store.full = true;
    expect(bench.write('k', 'v', { replicas: THREE })).toEqual(failed('refused'));
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.write('k', '', { replicas: THREE, w: 1, expiresAtMs: DELETED_MS })).toMatchObject([
      { ok: true },
    ]);
  });

  it.each(['purgedThrough', 'flushedThrough'] as const)('is stamped above %s', (barrier) => {
    const bench = new BenchCore();
    bench.store[barrier] = bench.version(500);
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 1 });
    expect(outcomes).toMatchObject([{ ok: true }]);
    expect(bench.store.versionOf(1, Buffer.from('k'))).toBeGreaterThan(bench.store[barrier]);
  });

  it('to a set of this node alone is journaled and done', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: ALONE, w: 1, durable: true });
    const { journal, messages, persistToken } = bench.take();
    expect([journal.length, messages.length]).toEqual([1, 0]);
    bench.core.persisted(persistToken);
    expect(outcomes).toMatchObject([{ ok: true }]);
    expect(bench.core.statistics().unackedBytes).toBe(0);
  });
});

describe('more writes than the time has versions', () => {
  it('to different keys share a version, and to one key still win over each other in their order', () => {
    const bench = new BenchCore();
    for (let i = 0; i < 3000; i++) bench.write(`k${i}`, 'v', { replicas: THREE, w: 1 });
    const version = bench.store.versionOf(1, Buffer.from('k2998'));
    expect(bench.store.versionOf(1, Buffer.from('k2999'))).toBe(version);
    for (const value of ['b', 'a', 'd', 'c', 'c', 'a']) {
      expect(bench.write('k2999', value, { replicas: THREE, w: 1 })).toMatchObject([{ ok: true }]);
      expect(bench.value('k2999')).toBe(value);
    }
  });

  it('to one key never share a version, whichever of two values the tie would prefer', () => {
    const bench = new BenchCore();
    for (let i = 0; i < 3000; i++) bench.write(`k${i}`, 'v', { replicas: THREE, w: 1 });
    let before = 0;
    for (let i = 0; i < 40; i++) {
      // Other keys take the latest version along.
      bench.write(`other${i}`, 'v', { replicas: THREE, w: 1 });
      bench.write('k', `value ${i}`, { replicas: THREE, w: 1 });
      const version = bench.store.versionOf(1, Buffer.from('k'));
      expect(version).toBeGreaterThan(before);
      before = version;
    }
  });
});

describe('writes of one replica’s memory while the others lag behind', () => {
  let restore = (): void => {};

  beforeEach(() => {
    restore = changeLimits({ maxReplicaLagBytes: 300 });
  });

  afterEach(() => restore());

  /** A core whose replicas have not acknowledged `large`. */
  function lagging(): BenchCore {
    const bench = new BenchCore();
    expect(bench.write('large', 'x'.repeat(400), { replicas: THREE, w: 1 })).toMatchObject([{ ok: true }]);
    bench.take();
    return bench;
  }

  it('are answered in their order once the others have caught up', () => {
    const bench = lagging();
    const order: string[] = [];
    const first = bench.write('a', '1', { replicas: THREE, w: 1 });
    const second = bench.write('b', '2', { replicas: THREE, w: 1 });
    expect([first, second]).toEqual([[], []]);
    expect(bench.value('a')).toBe('1');
    const sent = ['n2', 'n3'].map((peer) => [peer, bench.mutateTo(peer)] as const);
    bench.take();
    for (const [peer, message] of sent) {
      order.push(`${first.length}${second.length}`);
      bench.acknowledge(peer, message);
    }
    expect(order).toEqual(['00', '00']);
    expect([first, second]).toMatchObject([[{ ok: true }], [{ ok: true }]]);
    expect(bench.write('c', '3', { replicas: THREE, w: 1 })).toMatchObject([{ ok: true }]);
  });

  it('are answered within a tenth of a second although nobody catches up', () => {
    const bench = lagging();
    const held = bench.write('a', '1', { replicas: THREE, w: 1 });
    bench.tickAfter(50);
    const later = bench.write('b', '2', { replicas: THREE, w: 1 });
    expect(held).toEqual([]);
    bench.tickAfter(50);
    expect(held).toMatchObject([{ ok: true }]);
    expect(later).toEqual([]);
    bench.tickAfter(50);
    expect(later).toMatchObject([{ ok: true }]);
  });

  it('are answered when the node stops: they are in its journal', () => {
    const bench = lagging();
    const held = bench.write('a', '1', { replicas: THREE, w: 1 });
    bench.core.stop();
    expect(held).toMatchObject([{ ok: true }]);
  });

  it('do not hold up those that wait for replicas anyway', () => {
    const bench = lagging();
    const held = bench.write('a', '1', { replicas: THREE, w: 1 });
    const durable = bench.write('b', '2', { replicas: THREE, w: 2, durable: false });
    bench.take();
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(durable).toMatchObject([{ ok: true }]);
    expect(held).toEqual([]);
  });
});

describe('a write where this node is no replica', () => {
  it('is acknowledged by w others and touches neither store nor journal', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: ELSEWHERE, w: 2, durable: true });
    const { journal, persistToken } = bench.take();
    expect([journal.length, persistToken, bench.store.merges]).toEqual([0, 0, 0]);
    bench.acknowledge('n4', bench.mutateTo('n4'));
    expect(outcomes).toEqual([]);
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(outcomes).toMatchObject([{ ok: true, existed: false }]);
  });

  it('waits for every answer before it says that it surely did not happen', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: ELSEWHERE, w: 2 });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'refused', version: 0 });
    bench.acknowledge('n3', bench.mutateTo('n3'), { position: 0, what: 'refused', version: 0 });
    expect(outcomes).toEqual([]);
    bench.acknowledge('n4', bench.mutateTo('n4'), { position: 0, what: 'refused', version: 0 });
    expect(outcomes).toEqual(failed('refused'));
  });

  it('fails as clock when replicas find it too far ahead', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: ELSEWHERE, w: 2 });
    bench.take();
    for (const peer of ['n2', 'n3', 'n4'])
      bench.acknowledge(peer, bench.mutateTo(peer), { position: 0, what: 'ahead', version: 0 });
    expect(outcomes).toEqual(failed('clock'));
  });

  it('is a timeout, not refused, as soon as some replica has taken it', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: ELSEWHERE, w: 2 });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'refused', version: 0 });
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(outcomes).toEqual([]);
    bench.acknowledge('n4', bench.mutateTo('n4'), { position: 0, what: 'refused', version: 0 });
    expect(outcomes).toEqual(failed('timeout'));
  });
});

describe('writes of one turn', () => {
  it('to one set travel in one batch and end each with its own w', () => {
    const bench = new BenchCore();
    const one = bench.write('a', '1', { replicas: THREE, w: 1 });
    const two = bench.write('b', '2', { replicas: THREE, w: 2 });
    const three = bench.write('c', '3', { replicas: THREE, w: 3 });
    bench.take();
    const mutate = bench.mutateTo('n2');
    expect(mutationsOf(mutate.batch).map(({ key }) => key.toString())).toEqual(['a', 'b', 'c']);
    const acknowledged = (): number[] => [one.length, two.length, three.length];
    expect(acknowledged()).toEqual([1, 0, 0]);
    bench.acknowledge('n2', mutate);
    expect(acknowledged()).toEqual([1, 1, 0]);
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(acknowledged()).toEqual([1, 1, 1]);
  });

  it('to different sets, and durable and other ones, travel apart', () => {
    const bench = new BenchCore();
    bench.write('a', '1', { replicas: THREE });
    bench.write('b', '2', { replicas: THREE, durable: true });
    bench.write('c', '3', { replicas: THREE, hinted: false });
    bench.write('d', '4', { replicas: ELSEWHERE });
    bench.take();
    const batches = bench.messagesTo('n2').map((message) => message.kind === 'mutate' && message.batch.count);
    expect(batches).toEqual([1, 1, 1, 1]);
    expect(bench.messagesTo('n4')).toHaveLength(1);
    expect(bench.effects.journal).toHaveLength(3);
  });

  it('close their batch when it is full', () => {
    const bench = new BenchCore({ maxUnackedBytes: 1 << 28 });
    for (let i = 0; i <= LIMITS.maxCommandsPerEntry; i++)
      bench.write(`k${i}`, 'v', { replicas: THREE, w: 1 });
    expect(bench.take().journal.map(({ count }) => count)).toEqual([LIMITS.maxCommandsPerEntry, 1]);
    const large = 'x'.repeat(LIMITS.maxEntryBytes / 2);
    for (let i = 0; i < 3; i++) bench.write(`l${i}`, large, { replicas: THREE, w: 1 });
    expect(bench.take().journal.map(({ count }) => count)).toEqual([2, 1]);
  });

  it('keep the order of one key', () => {
    const bench = new BenchCore();
    for (let i = 0; i < 200; i++) bench.write('k', `${i}`, { replicas: THREE, w: 1 });
    const versions = mutationsOf(bench.take().journal[0]!).map(({ version }) => version);
    expect([...new Set(versions)].sort((left, right) => left - right)).toEqual(versions);
    expect(bench.value('k')).toBe('199');
  });

  it('are refused past the bound on what is under way, one always let through', () => {
    const bench = new BenchCore({ maxUnackedBytes: 100 });
    const large = bench.write('a', 'x'.repeat(500), { replicas: THREE, w: 1 });
    expect(large).toMatchObject([{ ok: true }]);
    expect(bench.write('b', 'y', { replicas: THREE })).toEqual(failed('overloaded'));
    expect(bench.value('b')).toBeUndefined();
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(bench.write('b', 'y', { replicas: THREE })).toEqual(failed('overloaded'));
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(bench.write('b', 'y', { replicas: THREE })).toEqual([]);
  });
});

describe('a write that meets a newer version', () => {
  it('is stamped above it and sent to all again, and is acknowledged for the new stamp alone', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: THREE, w: 2 });
    bench.take();
    const first = bench.mutateTo('n2');
    const firstToOther = bench.mutateTo('n3');
    const newer = bench.version(300);
    bench.acknowledge('n2', first, { position: 0, what: 'newer', version: newer });
    expect(outcomes).toEqual([]);
    const { journal } = bench.take();
    const [again] = mutationsOf(bench.mutateTo('n2').batch);
    expect(again!.version).toBeGreaterThan(newer);
    expect(again!.value.toString()).toBe('mine');
    expect(bench.mutateTo('n3').batch).toBe(journal[0]);
    expect(bench.store.versionOf(1, Buffer.from('k'))).toBe(again!.version);
    // The first stamp may be hidden by the newer record: its acknowledgements are worth nothing.
    bench.acknowledge('n3', firstToOther);
    expect(outcomes).toEqual([]);
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(outcomes).toMatchObject([{ ok: true, version: again!.version }]);
    expect(bench.core.statistics().restamped).toBe(1);
  });

  it('takes its clock along, so that the next write need not be stamped again', () => {
    const bench = new BenchCore();
    bench.write('k', 'mine', { replicas: ELSEWHERE, w: 2 });
    bench.take();
    const newer = bench.version(300);
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'newer', version: newer });
    bench.take();
    bench.write('l', 'next', { replicas: ELSEWHERE, w: 2 });
    bench.take();
    expect(mutationsOf(bench.mutateTo('n2').batch)[0]!.version).toBeGreaterThan(newer);
  });

  it('is left alone once acknowledged: what is newer then may have come later', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: THREE, w: 2 });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(outcomes).toHaveLength(1);
    bench.acknowledge('n3', bench.mutateTo('n3'), {
      position: 0,
      what: 'newer',
      version: bench.version(300),
    });
    expect(bench.core.hasEffects()).toBe(false);
    expect(outcomes).toHaveLength(1);
  });

  it('that lies too far ahead fails; nobody having taken it, as clock', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: replicaSet('n2'), w: 1 });
    bench.take();
    const newer = bench.version(TIMING.maxClockDriftMs + 1);
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'newer', version: newer });
    expect(outcomes).toEqual(failed('clock'));
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('that lies too far ahead on one replica is no reason for the others not to take it', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: THREE, w: 2 });
    bench.take();
    const newer = bench.version(TIMING.maxClockDriftMs + 1);
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'newer', version: newer });
    expect(outcomes).toEqual([]);
    bench.acknowledge('n3', bench.mutateTo('n3'));
    expect(outcomes).toMatchObject([{ ok: true }]);
  });

  it('that lies too far ahead leaves the outcome open when a hint will hand the write to another', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: replicaSet('n2', 'n9'), w: 1, hinted: true });
    bench.take();
    const newer = bench.version(TIMING.maxClockDriftMs + 1);
    bench.acknowledge('n2', bench.mutateTo('n2'), { position: 0, what: 'newer', version: newer });
    expect(outcomes).toEqual(failed('timeout'));
  });

  it('keeps its first deadline through all its stamps', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: THREE, w: 3 });
    bench.take();
    for (let i = 0; i < 3; i++) {
      bench.pass(600);
      bench.acknowledge('n2', bench.mutateTo('n2'), {
        position: 0,
        what: 'newer',
        version: bench.version(10),
      });
      bench.take();
    }
    bench.tickAfter(100);
    expect(outcomes).toEqual([]);
    bench.tickAfter(100);
    expect(outcomes).toEqual(failed('timeout'));
  });

  it('moves alone: others of its batch are acknowledged as they are', () => {
    const bench = new BenchCore();
    const lost = bench.write('k', 'mine', { replicas: THREE, w: 2 });
    const other = bench.write('l', 'mine', { replicas: THREE, w: 2 });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'), {
      position: 0,
      what: 'newer',
      version: bench.version(300),
    });
    expect(lost).toEqual([]);
    expect(other).toMatchObject([{ ok: true }]);
    expect(bench.take().journal[0]!.count).toBe(1);
  });
});

describe('whether a write replaced something', () => {
  it('is told by any replica that had a live record', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', '', { replicas: THREE, w: 2, expiresAtMs: DELETED_MS });
    bench.take();
    bench.acknowledge('n3', bench.mutateTo('n3'), { position: 0, what: 'lived', version: 0 });
    expect(outcomes).toMatchObject([{ ok: true, existed: true }]);
  });

  it('is not told by an expired or deleted record', () => {
    const bench = new BenchCore();
    bench.holds('k', '', bench.version(), DELETED_MS);
    bench.holds('l', 'x', bench.version(), bench.wallMs - 1);
    expect(bench.write('k', 'v', { replicas: THREE, w: 1 })).toMatchObject([{ existed: false }]);
    expect(bench.write('l', 'v', { replicas: THREE, w: 1 })).toMatchObject([{ existed: false }]);
  });

  it('is not told by the first stamp of the same write', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'mine', { replicas: ELSEWHERE, w: 3 });
    bench.take();
    bench.acknowledge('n3', bench.mutateTo('n3'));
    bench.acknowledge('n2', bench.mutateTo('n2'), {
      position: 0,
      what: 'newer',
      version: bench.version(300),
    });
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    bench.acknowledge('n3', bench.mutateTo('n3'), { position: 0, what: 'lived', version: 0 });
    bench.acknowledge('n4', bench.mutateTo('n4'));
    expect(outcomes).toMatchObject([{ ok: true, existed: false }]);
  });
});

describe('a write with members away', () => {
  it('is unreachable when fewer than w can be reached, and nothing is done', () => {
    const bench = new BenchCore();
    bench.core.setReachable('n2', false);
    bench.core.setReachable('n3', false);
    expect(bench.write('k', 'v', { replicas: THREE, w: 2 })).toEqual(failed('unreachable'));
    expect(bench.write('k', 'v', { replicas: replicaSet('n8', 'n9'), w: 1 })).toEqual(failed('unreachable'));
    expect(bench.store.merges).toBe(0);
    expect(bench.core.hasEffects()).toBe(false);
    bench.core.setReachable('n3', true);
    expect(bench.write('k', 'v', { replicas: THREE, w: 2 })).toEqual([]);
  });

  it('leaves a hint of the same bytes for each, and is not acknowledged by the hint', () => {
    const bench = new BenchCore();
    bench.core.setReachable('n3', false);
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 2 });
    const { hints, journal, messages } = bench.take();
    expect(messages.map(({ to }) => to)).toEqual(['n2']);
    expect(hints).toEqual([{ target: 'n3', batch: journal[0] }]);
    expect(outcomes).toEqual([]);
    expect(bench.core.statistics().hinted).toBe(1);
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(outcomes).toMatchObject([{ ok: true }]);
    bench.tickAfter(TIMING.timeoutMs + 1);
    expect(bench.core.hasEffects()).toBe(false);
  });

  it('leaves no hint when the bucket has none', () => {
    const bench = new BenchCore();
    bench.core.setReachable('n3', false);
    bench.write('k', 'v', { replicas: THREE, w: 1, hinted: false });
    expect(bench.take().hints).toEqual([]);
    bench.core.peerReset('n2');
    bench.tickAfter(TIMING.timeoutMs);
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.core.statistics().unackedBytes).toBe(0);
  });

  it('that went after the write came is a timeout, told at the next tick', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 3 });
    bench.core.setReachable('n3', false);
    expect(bench.take().hints.map(({ target }) => target)).toEqual(['n3']);
    expect(outcomes).toEqual([]);
    bench.tickAfter(1);
    expect(outcomes).toEqual(failed('timeout'));
  });

  it('takes no acknowledgement after its time, though no tick came in between', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 2 });
    const batch = bench.take().messages.find(({ to }) => to === 'n2')!.message;
    bench.core.tick(bench.nowMs, bench.wallMs);
    bench.pass(TIMING.timeoutMs);
    bench.step('n2', { kind: 'mutated', id: batch.id, notes: [] });
    expect(outcomes).toEqual(failed('timeout'));
  });

  it('whose link breaks fails as timeout when too few are left, and leaves hints', () => {
    const bench = new BenchCore();
    const two = bench.write('k', 'v', { replicas: THREE, w: 2 });
    const three = bench.write('l', 'v', { replicas: THREE, w: 3 });
    bench.take();
    const { batch } = bench.mutateTo('n2');
    bench.core.peerReset('n2');
    expect([two, three]).toEqual([[], failed('timeout')]);
    expect(bench.take().hints).toEqual([{ target: 'n2', batch }]);
    bench.core.peerReset('n3');
    expect(two).toEqual(failed('timeout'));
    expect(bench.take().hints).toEqual([{ target: 'n3', batch }]);
  });

  it('that do not answer become hints at the time-out, once', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 2 });
    bench.take();
    const toThird = bench.mutateTo('n3');
    bench.tickAfter(TIMING.timeoutMs - 1);
    expect(outcomes).toEqual([]);
    expect(bench.core.hasEffects()).toBe(false);
    bench.tickAfter(1);
    expect(outcomes).toEqual(failed('timeout'));
    expect(bench.take().hints.map(({ target }) => target)).toEqual(['n2', 'n3']);
    bench.core.peerReset('n2');
    bench.acknowledge('n3', toThird);
    expect(outcomes).toHaveLength(1);
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.core.statistics()).toMatchObject({ timeouts: 1, unackedBytes: 0, hinted: 2 });
  });

  it('hand over hints when the node stops, and every write ends', () => {
    const bench = new BenchCore();
    const sent = bench.write('k', 'v', { replicas: THREE, w: 2 });
    bench.take();
    const gathered = bench.write('l', 'v', { replicas: THREE, w: 2, durable: true });
    bench.core.stop();
    expect([sent, gathered]).toEqual([failed('timeout'), failed('timeout')]);
    const hinted = bench
      .take()
      .hints.map(({ target, batch }) => [target, mutationsOf(batch)[0]!.key.toString()]);
    expect(hinted.sort()).toEqual([
      ['n2', 'k'],
      ['n2', 'l'],
      ['n3', 'k'],
      ['n3', 'l'],
    ]);
    expect(bench.write('m', 'v', { replicas: THREE, w: 1 })).toEqual(failed('unreachable'));
  });
});

describe('acknowledgements', () => {
  it('that come twice, of nothing, or from strangers are ignored', () => {
    const bench = new BenchCore();
    const outcomes = bench.write('k', 'v', { replicas: THREE, w: 3 });
    bench.take();
    const mutate = bench.mutateTo('n2');
    bench.acknowledge('n2', mutate);
    bench.acknowledge('n2', mutate);
    bench.acknowledge('n2', bench.mutateTo('n3'));
    bench.acknowledge('n9', mutate);
    bench.acknowledge('n2', { id: 7 });
    expect(outcomes).toEqual([]);
    bench.acknowledge('n3', bench.mutateTo('n3'), { position: 99, what: 'lived', version: 0 });
    expect(outcomes).toMatchObject([{ ok: true }]);
  });

  it('to an earlier process of this node are not taken for its own', () => {
    const ids = [0.1, 0.7].map((chance) => {
      const bench = new BenchCore({ random: () => chance });
      bench.write('k', 'v', { replicas: THREE });
      bench.take();
      return bench.mutateTo('n2').id;
    });
    expect(ids[0]).not.toBe(ids[1]);
    expect(ids.every((id) => Number.isSafeInteger(id) && id > 2 ** 20)).toBe(true);
  });
});

describe('a write asked for wrongly', () => {
  it.each([0, 4])('with w = %i of three replicas breaks an invariant', (w) => {
    expect(() => new BenchCore().write('k', 'v', { replicas: THREE, w })).toThrow('w is between');
  });
});

describe('callbacks', () => {
  it('may write again from within the outcome', () => {
    const bench = new BenchCore();
    const inner: WriteOutcome[][] = [];
    bench.core.write(
      {
        bucketId: 1,
        key: Buffer.from('a'),
        value: Buffer.from('1'),
        expiresAtMs: 0,
        replicas: THREE,
        w: 2,
        durable: false,
        hinted: true,
        written: () => inner.push(bench.write('b', '2', { replicas: THREE, w: 2 })),
      },
      bench.nowMs,
      bench.wallMs,
    );
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(inner).toEqual([[]]);
    bench.take();
    bench.acknowledge('n2', bench.mutateTo('n2'));
    expect(inner).toMatchObject([[{ ok: true }]]);
  });
});
