/**
 * The order of use: against a plain list as its model, through writes, reads, removals, moves of memory and a late start; and
 * what evicting by it means.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { slotOf, slotOfToken, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import type { AccessPolicy, AccessTracker } from '../../src/engine/types.js';

const ALL_KEYS = Array.from({ length: 24 }, (_, i) => `key-${i}`);
const OWN_ORDER = 2;
/** Slots with an order of their own: those of half the keys. */
const OWN_SLOTS = new Set(ALL_KEYS.slice(0, 12).map((name) => slotOf(Buffer.from(name))));

function put(engine: MemoryEngine, name: string, sizeBytes: number, version = 1): void {
  const key = Buffer.from(name);
  engine.put(tokenOf(key), key, Buffer.alloc(sizeBytes, 'v'), version, 0);
}

function remove(engine: MemoryEngine, name: string): boolean {
  const key = Buffer.from(name);
  return engine.remove(tokenOf(key), key);
}

function touch(engine: MemoryEngine, name: string): boolean {
  const key = Buffer.from(name);
  return engine.access.touch(tokenOf(key), key);
}

/** Names from the longest unused on, with how long each was not used. */
function unused(access: AccessTracker, order: number, leastMs = 0): [string, number][] {
  const seen: [string, number][] = [];
  access.findIdle(order, leastMs, Number.POSITIVE_INFINITY, (key, _version, _expiresAtMs, idleMs) => {
    seen.push([key.toString(), idleMs]);
    return true;
  });
  return seen;
}

function coldest(access: AccessTracker, policy: AccessPolicy, maxKeys: number, restart = true): string[] {
  const names: string[] = [];
  access.coldest(0, policy, maxKeys, restart, (key) => {
    names.push(key.toString());
    return true;
  });
  return names;
}

/** The reference: names with the time of their last use, the longest unused first. */
class Model {
  readonly uses = new Map<string, number>();
  nowMs = 0;

  use(name: string): void {
    this.uses.delete(name);
    this.uses.set(name, this.nowMs);
  }

  unused(order: number, leastMs = 0): [string, number][] {
    return [...this.uses]
      .filter(([name]) => (OWN_SLOTS.has(slotOf(Buffer.from(name))) ? OWN_ORDER : 0) === order)
      .map(([name, usedAtMs]): [string, number] => [name, this.nowMs - usedAtMs])
      .filter(([, idleMs]) => idleMs >= leastMs);
  }
}

const names = fc.constantFrom(...ALL_KEYS);
const steps = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constant('put' as const), names, fc.constantFrom(0, 1, 60, 900, 9000)),
  },
  { weight: 5, arbitrary: fc.tuple(fc.constant('touch' as const), names, fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('remove' as const), names, fc.constant(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('pass' as const), names, fc.nat({ max: 90_000 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('compact' as const), names, fc.integer({ min: 1, max: 5 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('clear-slot' as const), names, fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('clear' as const), names, fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('separate' as const), names, fc.constant(0)) },
);

describe('the order of use', () => {
  test('is that of a plain list, whatever happens to the records', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 150 }), fc.nat({ max: 20 }), (history, trackedFrom) => {
        const engine = new MemoryEngine();
        const model = new Model();
        const { access } = engine;
        const startMs = 5_000_000;
        for (const [at, [what, name, amount]] of history.entries()) {
          if (at === trackedFrom) {
            access.track();
            access.timeMs = startMs + model.nowMs;
            // What was there counts as used now, in whatever order.
            for (const known of [...model.uses.keys()].sort((left, right) => {
              return tokenOf(Buffer.from(left)) - tokenOf(Buffer.from(right));
            }))
              model.use(known);
          }
          switch (what) {
            case 'put':
              put(engine, name, amount, at + 1);
              model.use(name);
              break;
            case 'touch':
              if (!access.tracking) break;
              expect(touch(engine, name)).toBe(model.uses.has(name));
              if (model.uses.has(name)) model.use(name);
              break;
            case 'remove':
              expect(remove(engine, name)).toBe(model.uses.delete(name));
              break;
            case 'pass':
              model.nowMs += amount;
              access.timeMs = startMs + model.nowMs;
              break;
            case 'compact':
              access.compact(amount);
              break;
            case 'clear-slot': {
              const slot = slotOf(Buffer.from(name));
              engine.clearSlot(slot);
              for (const known of [...model.uses.keys()])
                if (slotOf(Buffer.from(known)) === slot) model.uses.delete(known);
              break;
            }
            case 'clear':
              engine.clear();
              model.uses.clear();
              break;
            case 'separate':
              if (access.tracking) access.separate(OWN_ORDER, OWN_SLOTS);
          }
        }
        if (!access.tracking) return;
        access.separate(OWN_ORDER, OWN_SLOTS);
        expect(access.count).toBe(model.uses.size);
        for (const order of [0, OWN_ORDER]) {
          const expected = model.unused(order);
          const found = unused(access, order);
          // Records that came together from another order stand there by time alone.
          const byTime = ([leftName, left]: [string, number], [rightName, right]: [string, number]) =>
            right - left || (leftName < rightName ? -1 : 1);
          expect([...found].sort(byTime)).toEqual([...expected].sort(byTime));
          expect(found.map(([, idleMs]) => idleMs)).toEqual(expected.map(([, idleMs]) => idleMs));
          expect(access.countOf(order)).toBe(expected.length);
          expect(unused(access, order, 30_000).length).toBe(model.unused(order, 30_000).length);
        }
        for (const [name, usedAtMs] of model.uses) {
          const key = Buffer.from(name);
          expect(access.idleMsOf(tokenOf(key), key)).toBe(model.nowMs - usedAtMs);
        }
        expect(access.idleMsOf(0, Buffer.from('nobody'))).toBe(undefined);
      }),
      { numRuns: 400 },
    );
  });

  test('keeps exact order within one order, ties included', () => {
    const engine = new MemoryEngine();
    engine.access.track();
    for (const name of ['a', 'b', 'c', 'd']) put(engine, name, 10);
    touch(engine, 'b');
    put(engine, 'a', 3000);
    touch(engine, 'missing');
    expect(coldest(engine.access, 'lru', 10)).toEqual(['c', 'd', 'b', 'a']);
    remove(engine, 'd');
    expect(coldest(engine.access, 'lru', 10)).toEqual(['c', 'b', 'a']);
  });

  test('counts a key that was found as used', () => {
    const engine = new MemoryEngine();
    engine.access.track();
    for (const name of ['a', 'b']) put(engine, name, 10);
    const key = Buffer.from('a');
    engine.get(tokenOf(key), key);
    engine.access.touchFound(tokenOf(key));
    expect(coldest(engine.access, 'lru', 1)).toEqual(['b']);
  });

  test('never goes back in time', () => {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    access.timeMs = 1000;
    put(engine, 'a', 1);
    access.timeMs = 400;
    put(engine, 'b', 1);
    access.timeMs = 1500;
    expect(unused(access, 0)).toEqual([
      ['a', 500],
      ['b', 500],
    ]);
  });

  test('goes on where the last search stopped, and begins anew when asked', () => {
    const engine = new MemoryEngine();
    engine.access.track();
    for (let i = 0; i < 6; i++) put(engine, `k${i}`, 1);
    expect(coldest(engine.access, 'lru', 2)).toEqual(['k0', 'k1']);
    touch(engine, 'k2');
    remove(engine, 'k3');
    expect(coldest(engine.access, 'lru', 2, false)).toEqual(['k4', 'k5']);
    expect(coldest(engine.access, 'lru', 2, true)).toEqual(['k0', 'k1']);
  });

  test('costs sixteen bytes a key, and nothing before it is asked for', () => {
    const plain = new MemoryEngine();
    const tracked = new MemoryEngine();
    tracked.access.track();
    for (let i = 0; i < 100_000; i++) {
      put(plain, `key:${String(i).padStart(12, '0')}`, 64);
      put(tracked, `key:${String(i).padStart(12, '0')}`, 64);
    }
    expect(plain.access.tracking).toBe(false);
    const used = ({ access }: MemoryEngine) => (access.memoryBytes() - access.freeBytes()) / 100_000;
    expect(used(tracked) - used(plain)).toBeLessThan(17);
    const before = used(plain);
    plain.access.track();
    expect(used(plain) - before).toBeLessThan(17);
    expect(plain.keyCount()).toBe(100_000);
  });
});

describe('the memory of an engine under a bound', () => {
  test('goes from one size of records to another when it is compacted', () => {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    const random = new SeededRandom('compact');
    for (let i = 0; i < 60_000; i++) put(engine, `k${i}`, 100);
    const full = access.memoryBytes();
    for (let i = 0; i < 60_000; i++) if (random.integer(10) < 7) remove(engine, `k${i}`);
    // Hardly a slab is empty by chance.
    expect(access.freeBytes()).toBeGreaterThan(full / 2);
    const kept = engine.keyCount();
    const digest = engine.digestOfSlot(slotOf(Buffer.from('k7')));
    const order = unused(access, 0).map(([name]) => name);
    for (let rounds = 0; access.compact(500) > 0; rounds++) {
      expect(rounds).toBeLessThan(200);
      put(engine, `other${rounds}`, 100);
      remove(engine, `other${rounds}`);
    }
    expect(access.freeBytes()).toBeLessThan(access.memoryBytes() / 8);
    expect(access.memoryBytes()).toBeLessThan(full * 0.4);
    expect(engine.keyCount()).toBe(kept);
    expect(engine.digestOfSlot(slotOf(Buffer.from('k7')))).toBe(digest);
    expect(unused(access, 0).map(([name]) => name)).toEqual(order);
    let scanned = 0;
    engine.scan(0, TOKEN_END, (token, key, record) => {
      scanned++;
      return slotOfToken(token) === slotOf(key) && record.value.length === 100;
    });
    expect(scanned).toBe(kept);
  });

  test('is what its cells and its index take', () => {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    const random = new SeededRandom('accounting');
    for (let i = 0; i < 30_000; i++) put(engine, `k${random.integer(5000)}`, random.integer(3000));
    for (let i = 0; i < 2500; i++) remove(engine, `k${random.integer(5000)}`);
    let cells = 0;
    engine.scan(0, TOKEN_END, (_token, key, record) => {
      cells += access.recordBytes(key.length + record.value.length);
      return true;
    });
    const used = access.memoryBytes() - access.freeBytes();
    expect(used).toBeGreaterThan(cells * 0.9);
    // Beside them: 400 bytes for each slab, and the statistics' pages.
    expect(used).toBeLessThan(cells * 1.1 + 450_000);
    engine.clear();
    expect(access.freeBytes()).toBe(0);
  });
});

describe('who is given up', () => {
  const HOT = Array.from({ length: 200 }, (_, i) => `hot${i}`);

  /** Keys in steady use, then a scan that writes and reads thousands of others once; evicts down to 1000 keys. */
  function scanOver(policy: AccessPolicy): number {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    for (let round = 0; round < 60; round++) {
      access.timeMs = round * 500;
      for (const name of HOT) if (round === 0) put(engine, name, 50);
      for (const name of HOT) touch(engine, name);
    }
    for (let i = 0; i < 20_000; i++) {
      access.timeMs = 30_000 + i;
      put(engine, `scan${i}`, 50);
      if (engine.keyCount() > 1000) for (const name of coldest(access, policy, 1, true)) remove(engine, name);
    }
    return HOT.filter((name) => touch(engine, name)).length;
  }

  test('a scan flushes what is in steady use under lru, and not under lfu', () => {
    expect(scanOver('lru')).toBe(0);
    expect(scanOver('lfu')).toBe(HOT.length);
  });

  test('a counter grows ever more slowly, and falls while nobody comes', () => {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    access.timeMs = 0;
    put(engine, 'k', 1);
    const key = Buffer.from('k');
    const frequency = () => access.frequencyOf(tokenOf(key), key)!;
    expect(frequency()).toBe(5);
    for (let i = 0; i < 100; i++) touch(engine, 'k');
    const afterHundred = frequency();
    expect(afterHundred).toBeGreaterThan(6);
    expect(afterHundred).toBeLessThan(20);
    for (let i = 0; i < 100_000; i++) touch(engine, 'k');
    expect(frequency()).toBeGreaterThan(100);
    expect(frequency()).toBeLessThan(200);
    const high = frequency();
    access.timeMs = 10 * 60_000;
    expect(frequency()).toBe(high - 10);
    access.timeMs = 1000 * 60_000;
    expect(frequency()).toBe(0);
  });

  test('what was once used often and is used no more goes before what is used now, under lfu', () => {
    const engine = new MemoryEngine();
    const { access } = engine;
    access.track();
    access.timeMs = 0;
    put(engine, 'old', 1);
    for (let i = 0; i < 5000; i++) touch(engine, 'old');
    access.timeMs = 120 * 60_000;
    put(engine, 'new', 1);
    for (let i = 0; i < 20; i++) touch(engine, 'new');
    expect(coldest(access, 'lfu', 1)).toEqual(['old']);
  });
});
