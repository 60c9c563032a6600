/** The keeper of a bucket's bounds by itself, as eventual buckets use it, and the command that stands in the log. */
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { slotOf, tokenOf } from '../../src/base/slots.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import { isBounded, RetentionKeeper } from '../../src/store/retention.js';
import type { RetentionPolicy } from '../../src/store/types.js';
import { ReferenceEngine } from '../support/reference-engine.js';
import { bucketOf, TestMachine } from '../support/test-machine.js';

const MIB = 1024 * 1024;
const WALL_MS = 1_700_000_000_000;

function keeperOf(policy: Partial<RetentionPolicy>): { engine: MemoryEngine; keeper: RetentionKeeper } {
  const engine = new MemoryEngine();
  const keeper = RetentionKeeper.of({
    engine,
    policy: { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'lru', ...policy },
  });
  if (keeper === undefined) throw new Error('a memory engine has bounds');
  keeper.access.timeMs = 1000;
  return { engine, keeper };
}

function put(engine: MemoryEngine, name: string, value: Buffer, version: number, expiresAtMs = 0): void {
  const key = Buffer.from(name);
  engine.merge(tokenOf(key), key, value, version, expiresAtMs);
}

function has(engine: MemoryEngine, name: string): boolean {
  const key = Buffer.from(name);
  return engine.get(tokenOf(key), key) !== undefined;
}

describe('the keeper of a bound of memory', () => {
  for (const eviction of ['lru', 'lfu'] as const) {
    test(`holds it within 5 % through many writes of changing sizes, with ${eviction}, and uses it`, () => {
      const bound = 3 * MIB;
      const { engine, keeper } = keeperOf({ maxMemoryBytes: bound, eviction });
      const random = new SeededRandom('bytes');
      const value = Buffer.alloc(6000, 'v');
      let highest = 0;
      for (let i = 1; i <= 60_000; i++) {
        const most = [100, 3000, 30, 800, 6000, 200][Math.floor(i / 10_000)] ?? 500;
        const size = random.integer(most);
        const name = random.integer(4) === 0 ? `again${random.integer(500)}` : `k${i}`;
        keeper.access.timeMs = 1000 + i;
        expect(keeper.evict(keeper.access.recordBytes(size + name.length), 10_000, () => {})).toBe(true);
        put(engine, name, value.subarray(0, size), i);
        keeper.tidy(256);
        highest = Math.max(highest, keeper.access.memoryBytes());
      }
      expect(highest).toBeLessThan(bound * 1.05);
      expect(keeper.access.memoryBytes()).toBeGreaterThan(bound * 0.9);
    });
  }

  test('names what it removes, the longest unused first', () => {
    const { engine, keeper } = keeperOf({ maxMemoryBytes: MIB });
    for (let i = 0; i < 2000; i++) put(engine, `k${i}`, Buffer.alloc(1000), i + 1);
    expect(keeper.overBound()).toBe(true);
    const removed: [string, number][] = [];
    expect(keeper.evict(0, 10_000, (key, version) => removed.push([key.toString(), version]))).toBe(true);
    expect(keeper.overBound()).toBe(false);
    expect(removed.length).toBeGreaterThan(1000);
    expect(removed).toEqual(removed.map((_, i) => [`k${i}`, i + 1]));
    expect(engine.keyCount()).toBe(2000 - removed.length);
  });

  test('stops when it has looked at as many keys as it may', () => {
    const { engine, keeper } = keeperOf({ maxMemoryBytes: MIB });
    for (let i = 0; i < 3000; i++) put(engine, `k${i}`, Buffer.alloc(1000), i + 1);
    let removed = 0;
    expect(keeper.evict(0, 100, () => removed++)).toBe(false);
    expect(removed).toBe(100);
  });

  test('leaves the marks of deleted keys, which still hide what is older elsewhere, and gives up what has expired', () => {
    const { engine, keeper } = keeperOf({ maxMemoryBytes: MIB });
    for (let i = 0; i < 500; i++) put(engine, `deleted${i}`, Buffer.alloc(0), i + 1, 1);
    for (let i = 0; i < 100; i++) put(engine, `expired${i}`, Buffer.alloc(10), 1000 + i, WALL_MS - 1);
    for (let i = 0; i < 1200; i++) put(engine, `k${i}`, Buffer.alloc(1000), 2000 + i, WALL_MS + 5000);
    const removed: string[] = [];
    expect(keeper.evict(0, 10_000, (key) => removed.push(key.toString()))).toBe(true);
    expect(removed.length).toBeGreaterThan(200);
    expect(removed.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, i) => `expired${i}`));
    expect(removed.slice(100).every((name) => name.startsWith('k'))).toBe(true);
    expect(has(engine, 'deleted0') && !has(engine, 'expired99')).toBe(true);
    // The next search begins with the living.
    let first = '';
    keeper.coldest(1, true, (key) => {
      first = key.toString();
      return true;
    });
    expect(first.startsWith('k')).toBe(true);
  });

  test('removes nothing without eviction, and says when there is no room', () => {
    const { engine, keeper } = keeperOf({ maxMemoryBytes: MIB, eviction: 'noeviction' });
    let stored = 0;
    while (keeper.evict(1200, 1000, () => expect.unreachable('nothing is removed'))) {
      put(engine, `k${stored}`, Buffer.alloc(1000), ++stored);
      expect(stored).toBeLessThan(1100);
    }
    expect(stored).toBeGreaterThan(500);
    expect(keeper.exceedsWith(1200)).toBe(true);
    expect(keeper.exceedsWith(0)).toBe(false);
  });

  test('follows a changed bound', () => {
    const { engine, keeper } = keeperOf({});
    for (let i = 0; i < 2000; i++) put(engine, `k${i}`, Buffer.alloc(1000), i + 1);
    expect(keeper.evict(0, 10_000, () => expect.unreachable('there is no bound'))).toBe(true);
    keeper.policy = { maxIdleMs: 0, maxMemoryBytes: MIB, eviction: 'lfu' };
    expect(keeper.evict(0, 10_000, () => {})).toBe(true);
    while (keeper.access.memoryBytes() > MIB) {
      const before = keeper.access.memoryBytes();
      keeper.tidy(1000);
      expect(keeper.access.memoryBytes()).toBeLessThanOrEqual(before);
    }
  });
});

describe('the keeper of a bound of idle time', () => {
  test('removes what was not used for as long, and not a moment earlier', () => {
    const { engine, keeper } = keeperOf({ maxIdleMs: 500 });
    put(engine, 'a', Buffer.alloc(1), 1);
    put(engine, 'deleted', Buffer.alloc(0), 2, 1);
    keeper.access.timeMs = 1300;
    put(engine, 'b', Buffer.alloc(1), 3);
    const key = Buffer.from('a');
    keeper.access.timeMs = 1499;
    expect(keeper.isIdle(tokenOf(key), key)).toBe(false);
    keeper.removeIdle(10, () => expect.unreachable('nothing is idle yet'));
    keeper.access.timeMs = 1500;
    expect(keeper.isIdle(tokenOf(key), key)).toBe(true);
    const removed: string[] = [];
    keeper.removeIdle(10, (name, version) => removed.push(`${name.toString()} ${version}`));
    expect(removed).toEqual(['a 1']);
    expect(has(engine, 'deleted')).toBe(true);
    keeper.access.timeMs = 1800;
    keeper.removeIdle(10, (name) => removed.push(name.toString()));
    expect(removed).toEqual(['a 1', 'b']);
  });

  test('looks after its own slots alone', () => {
    const engine = new MemoryEngine();
    const policy: RetentionPolicy = { maxIdleMs: 100, maxMemoryBytes: 0, eviction: 'lru' };
    const names = Array.from({ length: 50 }, (_, i) => `k${i}`);
    const own = new Set(names.slice(0, 20).map((name) => slotOf(Buffer.from(name))));
    const expected = names.filter((name) => own.has(slotOf(Buffer.from(name))));
    for (const [i, name] of names.entries()) put(engine, name, Buffer.alloc(1), i + 1);
    const keeper = RetentionKeeper.of({ engine, policy, part: { order: 4, slots: own } })!;
    expect(keeper.keyCount).toBe(expected.length);
    expect(keeper.share).toBe(expected.length / names.length);
    keeper.access.timeMs = 0;
    keeper.access.timeMs = 100;
    const removed: string[] = [];
    keeper.removeIdle(1000, (key) => removed.push(key.toString()));
    expect(removed.sort()).toEqual(expected.sort());
  });
});

describe('bounds', () => {
  test('need an engine that knows who was used when', () => {
    const policy: RetentionPolicy = { maxIdleMs: 1, maxMemoryBytes: 0, eviction: 'lru' };
    expect(RetentionKeeper.of({ engine: new ReferenceEngine(), policy })).toBe(undefined);
  });

  test('are none when nothing is bounded', () => {
    expect(isBounded(undefined)).toBe(false);
    expect(isBounded({ maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'lfu' })).toBe(false);
    expect(isBounded({ maxIdleMs: 1, maxMemoryBytes: 0, eviction: 'noeviction' })).toBe(true);
  });
});

describe('quoin.evict', () => {
  test('removes keys that are still at their version, whatever their expiry', () => {
    const machine = new TestMachine();
    for (const name of ['a', 'b', 'c']) machine.run('SET', name, 'x', 'PX', 100_000);
    const version = (name: string) => Number(machine.run('quoin.version', name));
    const [a, b] = [version('a'), version('b')];
    machine.run('SET', 'b', 'newer');
    expect(machine.control('quoin.evict', 'a', a, 'b', b, 'missing', 5)).toBe(1);
    expect(machine.run('EXISTS', 'a', 'b', 'c')).toBe(2);
    expect(machine.control('quoin.evict', 'a', a)).toBe(0);
  });

  test('with malformed arguments is answered, not thrown', () => {
    const machine = new TestMachine();
    expect(machine.control('quoin.evict', 'a', 'b')).toMatchObject({ code: 'WRONG_ARGUMENTS' });
    expect(machine.control('quoin.evict', 'a', 1, 'b')).toMatchObject({ code: 'WRONG_ARGUMENTS' });
  });

  test('gives a bucket with bounds its keeper as the log says, and takes it away', () => {
    const policy: RetentionPolicy = { maxIdleMs: 60_000, maxMemoryBytes: 0, eviction: 'noeviction' };
    const bounded = { ...bucketOf(0), retention: policy };
    const machine = new TestMachine({ engine: () => new MemoryEngine(), buckets: [bounded] });
    const keeper = machine.machine.retention.get(0);
    expect(keeper?.policy).toEqual(policy);
    const head = machine.machine.encodeHead();
    const copy = new TestMachine({ engine: () => new MemoryEngine(), buckets: [] });
    copy.machine.restoreHead(head);
    expect(copy.machine.retention.get(0)?.policy).toEqual(policy);
    copy.machine.reset();
    expect(copy.machine.retention.size).toBe(0);
  });
});
