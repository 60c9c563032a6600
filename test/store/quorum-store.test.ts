import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { slotOf, TOKEN_END } from '../../src/base/slots.js';
import { versionMs } from '../../src/protocol/quorum/clock.js';
import { MutationEncoder } from '../../src/protocol/quorum/codec.js';
import { DELETED_MS } from '../../src/protocol/quorum/types.js';
import { decodeStoreHead, encodeStoreHead } from '../../src/store/quorum/head-codec.js';
import type { QuorumStore } from '../../src/store/quorum/quorum-store.js';
import { bytes, NO_VALUE, NOW_MS, quorumBucket, StoreMachine, versionAgo } from './quorum-support.js';

const HOUR_MS = 3_600_000;

function contents(store: QuorumStore, bucketId: number): string[] {
  const lines: string[] = [];
  store.contents.scanRange(bucketId, 0, TOKEN_END, (_token, key, { value, version, expiresAtMs }) => {
    lines.push(`${key.toString('hex')} ${value.toString('hex')} ${version} ${expiresAtMs}`);
    return true;
  });
  return lines;
}

function opened(...buckets: Parameters<QuorumStore['openBucket']>[0][]): StoreMachine {
  const machine = new StoreMachine();
  for (const bucket of buckets) machine.store.openBucket(bucket);
  return machine;
}

describe('records of eventual buckets', () => {
  const mutation = fc.record({
    key: fc.constantFrom('a', 'b', 'c', '{s}1', '{s}2'),
    // Different records of one version meet here, as they never should.
    version: fc.integer({ min: 1, max: 6 }).map((counter) => versionAgo(1000, counter)),
    what: fc.oneof(
      fc.record({
        value: fc.constantFrom('', 'x', 'y', 'z'.repeat(300)),
        expiresAtMs: fc.constantFrom(0, NOW_MS - 5, NOW_MS + 5),
      }),
      fc.constant({ value: '', expiresAtMs: DELETED_MS }),
    ),
  });
  const histories = fc.array(mutation, { maxLength: 25 }).chain((mutations) =>
    fc.record({
      mutations: fc.constant(mutations),
      orders: fc.tuple(
        fc.shuffledSubarray([...mutations, ...mutations], { minLength: mutations.length * 2 }),
        fc.shuffledSubarray([...mutations, ...mutations], { minLength: mutations.length * 2 }),
      ),
      // How many of the second order come before a crash.
      cut: fc.nat({ max: mutations.length * 2 }),
    }),
  );

  test('are the same on every replica, in whatever order and however often writes came, on any engine, through a crash', async () => {
    await fc.assert(
      fc.asyncProperty(histories, async ({ mutations, orders, cut }) => {
        const [memory, disk] = [opened(quorumBucket(1)), opened(quorumBucket(1, 'lmdb'))];
        const take = (machine: StoreMachine, list: typeof mutations): void => {
          for (const { key, version, what } of list)
            machine.put(1, key, what.value, version, what.expiresAtMs);
        };
        take(memory, orders[0]);
        take(disk, orders[1].slice(0, cut));
        await disk.checkpoint();
        disk.start();
        disk.store.openBucket(quorumBucket(1, 'lmdb'));
        take(disk, orders[1].slice(cut));
        expect(contents(disk.store, 1)).toEqual(contents(memory.store, 1));
        for (const key of ['a', 'b', 'c', '{s}']) {
          const slot = slotOf(bytes(key));
          expect(disk.store.digestOfSlot(1, slot)).toBe(memory.store.digestOfSlot(1, slot));
          expect(disk.store.liveCountInSlot(1, slot, NOW_MS)).toBe(
            memory.store.liveCountInSlot(1, slot, NOW_MS),
          );
        }
        // And the newest version of each key is the one that is there.
        for (const { key } of mutations) {
          const newest = Math.max(...mutations.filter((one) => one.key === key).map((one) => one.version));
          expect(memory.store.versionOf(1, bytes(key))).toBe(newest);
        }
      }),
      { seed: 11, numRuns: 200 },
    );
  });

  test('a merge tells what was there before', () => {
    const machine = opened(quorumBucket(1));
    const { store } = machine;
    const first = versionAgo(100);
    expect(machine.put(1, 'k', 'v', first)).toBe('applied');
    expect([store.previousVersion, store.previousLive]).toEqual([0, false]);
    expect(machine.put(1, 'k', 'v', first)).toBe('equal');
    expect([store.previousVersion, store.previousLive]).toEqual([first, true]);
    expect(machine.delete(1, 'k', versionAgo(90))).toBe('applied');
    expect([store.previousVersion, store.previousLive]).toEqual([first, true]);
    expect(machine.put(1, 'k', 'late', versionAgo(95))).toBe('older');
    expect([store.previousVersion, store.previousLive]).toEqual([versionAgo(90), false]);
    expect(machine.put(1, 'k', 'v', versionAgo(80), NOW_MS + 10)).toBe('applied');
    expect(store.merge(1, bytes('k'), bytes('w'), versionAgo(70), 0, NOW_MS + 10)).toBe('applied');
    expect(store.previousLive).toBe(false);
  });

  test('a bucket that is not open refuses, and is empty', () => {
    const machine = opened(quorumBucket(1));
    machine.put(1, 'k', 'v', versionAgo(0));
    expect(machine.put(2, 'k', 'v', versionAgo(0))).toBe('refused');
    expect(machine.store.read(2, bytes('k'))).toBeUndefined();
    expect(machine.store.versionOf(2, bytes('k'))).toBe(0);
    expect(machine.store.contents.digestOfSlot(2, slotOf(bytes('k')))).toBe(0);
    machine.store.dropBucket(1);
    expect(machine.put(1, 'k', 'v', versionAgo(0))).toBe('refused');
    expect(machine.value(1, 'k')).toBeUndefined();
    expect([...machine.store.buckets.keys()]).toEqual([]);
    machine.store.openBucket(quorumBucket(1));
    expect(machine.value(1, 'k')).toBeUndefined();
  });

  test('a replay takes what was acknowledged although there seems to be no room for it', () => {
    const retention = { maxIdleMs: 0, maxMemoryBytes: 1024 * 1024, eviction: 'noeviction' } as const;
    const machine = opened(quorumBucket(1, 'memory', {}, { retention }));
    let number = 0;
    while (machine.put(1, `k${number}`, 'v'.repeat(1000), versionAgo(100)) === 'applied') number++;
    expect(number).toBeGreaterThan(100);
    expect(machine.put(1, 'acknowledged', 'v', versionAgo(50))).toBe('refused');
    const encoder = new MutationEncoder();
    encoder.add(1, bytes('acknowledged'), bytes('v'), versionAgo(50), 0);
    machine.store.replay(encoder.take().bytes, NOW_MS);
    expect(machine.value(1, 'acknowledged')).toBe('v');
    expect(machine.store.highestVersion).toBe(versionAgo(50));
  });

  test('a replayed batch is merged as it was', () => {
    const encoder = new MutationEncoder();
    encoder.begin();
    encoder.add(1, bytes('a'), bytes('1'), versionAgo(10), 0);
    encoder.add(2, bytes('b'), bytes('2'), versionAgo(9), NOW_MS + 5);
    encoder.add(7, bytes('c'), bytes('of a dropped bucket'), versionAgo(8), 0);
    const { bytes: batch } = encoder.take();
    const machine = opened(quorumBucket(1), quorumBucket(2, 'lmdb'));
    machine.store.replay(batch, NOW_MS);
    machine.store.replay(batch, NOW_MS);
    expect(machine.value(1, 'a')).toBe('1');
    expect(machine.store.read(2, bytes('b'))).toEqual({
      value: bytes('2'),
      version: versionAgo(9),
      expiresAtMs: NOW_MS + 5,
    });
    expect(machine.store.highestVersion).toBe(versionAgo(8));
  });

  test('the highest version is known after a restart, from records, from the note, and of dropped buckets', async () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine), quorumBucket(2, engine));
      machine.put(1, 'a', '1', versionAgo(50));
      machine.put(2, 'b', '1', versionAgo(20));
      machine.store.dropBucket(2);
      await machine.checkpoint();
      machine.start();
      expect(machine.store.highestVersion).toBe(versionAgo(20));
      machine.store.openBucket(quorumBucket(1, engine));
      expect(machine.store.highestVersion).toBe(versionAgo(20));
      expect(machine.value(1, 'a')).toBe('1');
    }
  });

  test('a record that a checkpoint took along is counted in the highest version', async () => {
    const machine = opened(quorumBucket(1));
    machine.put(1, 'a', '1', versionAgo(50));
    const writing = machine.checkpoint();
    machine.put(1, 'a', '2', versionAgo(10));
    await writing;
    machine.start();
    machine.store.openBucket(quorumBucket(1));
    expect(machine.value(1, 'a')).toBe('2');
    expect(machine.store.highestVersion).toBe(versionAgo(10));
  });
});

describe('a flush of an eventual bucket', () => {
  test('removes what is not newer, dead or alive, refuses it from then on, and never goes back', async () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine));
      machine.put(1, '{s}old', '1', versionAgo(100));
      machine.delete(1, '{s}deleted', versionAgo(90));
      machine.put(1, '{s}new', '1', versionAgo(10));
      machine.put(1, 'elsewhere', '1', versionAgo(80));
      await machine.checkpoint();
      const flushed = quorumBucket(1, engine, { flushedThrough: versionAgo(50) });
      machine.store.updateBucket(flushed);
      const check = (): void => {
        expect(contents(machine.store, 1).length).toBe(1);
        expect(machine.value(1, '{s}new')).toBe('1');
        expect(machine.put(1, 'late', 'v', versionAgo(50))).toBe('refused');
        expect(
          machine.store.contents.mergeRepaired(1, bytes('late'), bytes('v'), versionAgo(60), 0, NOW_MS),
        ).toBe('refused');
        const slot = slotOf(bytes('{s}'));
        expect(machine.store.liveCountInSlot(1, slot, NOW_MS)).toBe(1);
      };
      check();
      // An older map, heard of late, takes nothing back.
      machine.store.updateBucket(quorumBucket(1, engine));
      check();
      expect(machine.store.contents.buckets()[0]!.flushedThrough).toBe(versionAgo(50));
      await machine.checkpoint();
      machine.start();
      machine.store.openBucket(quorumBucket(1, engine));
      check();
    }
  });

  test('of everything empties the bucket at once', () => {
    const machine = opened(quorumBucket(1));
    for (let i = 0; i < 1000; i++) machine.put(1, `key ${i}`, 'v', versionAgo(100, i % 64));
    machine.store.updateBucket(quorumBucket(1, 'memory', { flushedThrough: versionAgo(50) }));
    expect(machine.store.keyCount(1)).toBe(0);
    expect(machine.put(1, 'key 1', 'again', versionAgo(10))).toBe('applied');
  });

  test('that was told while the node was down is carried out when the bucket is opened', async () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine));
      machine.put(1, 'old', '1', versionAgo(100));
      machine.put(1, 'new', '1', versionAgo(10));
      await machine.checkpoint();
      machine.start();
      machine.store.openBucket(quorumBucket(1, engine, { flushedThrough: versionAgo(50) }));
      expect(machine.value(1, 'old')).toBeUndefined();
      expect(machine.value(1, 'new')).toBe('1');
    }
  });
});

describe('a purge of dead records', () => {
  const slot = slotOf(bytes('{s}'));
  const graceMs = HOUR_MS;
  const throughMs = NOW_MS - graceMs;

  test('drops what is dead for longer than the grace, and nothing else, when the digest is the expected one', () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine));
      const { contents: replica } = machine.store;
      machine.delete(1, '{s}deleted long ago', versionAgo(2 * HOUR_MS));
      machine.delete(1, '{s}deleted lately', versionAgo(1000));
      machine.put(1, '{s}expired long ago', 'v', versionAgo(5 * HOUR_MS), NOW_MS - 2 * HOUR_MS);
      machine.put(1, '{s}expired lately', 'v', versionAgo(5 * HOUR_MS), NOW_MS - 1000);
      machine.put(1, '{s}expires', 'v', versionAgo(5 * HOUR_MS), NOW_MS + HOUR_MS);
      machine.put(1, '{s}lives', 'v', versionAgo(5 * HOUR_MS));
      expect(replica.deadInSlot(1, slot)).toBe(true);
      expect(replica.deadBefore(1, slot, throughMs)).toBe(true);
      const digest = replica.digestOfSlot(1, slot);
      expect(replica.purge(1, slot, (digest + 1) >>> 0, throughMs)).toBe(-1);
      expect(replica.purgedThroughMs(1, slot)).toBe(0);
      expect(replica.keyCountInSlot(1, slot)).toBe(6);
      expect(replica.purge(1, slot, digest, throughMs)).toBe(2);
      expect(replica.purgedThroughMs(1, slot)).toBe(throughMs);
      expect(replica.keyCountInSlot(1, slot)).toBe(4);
      expect(replica.deadBefore(1, slot, throughMs)).toBe(false);
      expect(replica.purge(1, slot, undefined, throughMs - 5000)).toBe(0);
      expect(replica.purgedThroughMs(1, slot)).toBe(throughMs);
      expect(machine.value(1, '{s}lives')).toBe('v');
      expect(machine.value(1, '{s}expired lately')).toBe('v');
    }
  });

  test('a write that a purged tombstone may have hidden is refused for an absent key; newer ones and present keys are not', () => {
    const machine = opened(quorumBucket(1));
    const { contents: replica } = machine.store;
    machine.delete(1, '{s}k', versionAgo(2 * HOUR_MS));
    machine.put(1, '{s}present', 'v', versionAgo(4 * HOUR_MS));
    replica.purge(1, slot, undefined, throughMs);
    expect(machine.put(1, '{s}k', 'from the dead', versionAgo(3 * HOUR_MS))).toBe('refused');
    expect(machine.delete(1, '{s}k', versionAgo(2 * HOUR_MS))).toBe('refused');
    expect(machine.put(1, '{s}present', 'w', versionAgo(3 * HOUR_MS))).toBe('applied');
    expect(machine.put(1, '{s}k', 'anew', versionAgo(1000))).toBe('applied');
    // The slot next to it was not purged.
    expect(machine.put(1, 'other', 'v', versionAgo(3 * HOUR_MS))).toBe('applied');
  });

  test('repair does not bring a purged tombstone back, but takes live records and those that died later', () => {
    const machine = opened(quorumBucket(1));
    const { contents: replica } = machine.store;
    replica.purge(1, slot, undefined, throughMs);
    const repaired = (key: string, version: number, expiresAtMs: number): string =>
      replica.mergeRepaired(1, bytes(key), NO_VALUE, version, expiresAtMs, NOW_MS);
    expect(repaired('{s}a', versionAgo(2 * HOUR_MS), DELETED_MS)).toBe('purged');
    expect(repaired('{s}b', versionAgo(2 * HOUR_MS), NOW_MS - 2 * HOUR_MS + 5)).toBe('purged');
    expect(repaired('{s}c', versionAgo(2 * HOUR_MS), NOW_MS - 1000)).toBe('applied');
    expect(repaired('{s}d', versionAgo(2 * HOUR_MS), 0)).toBe('applied');
    expect(repaired('{s}d', versionAgo(1.5 * HOUR_MS), DELETED_MS)).toBe('applied');
    expect(repaired('{s}e', versionAgo(1000), DELETED_MS)).toBe('applied');
  });

  test('what was purged is remembered by the note of a checkpoint', async () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine));
      machine.delete(1, '{s}k', versionAgo(2 * HOUR_MS));
      machine.store.contents.purge(1, slot, undefined, throughMs);
      await machine.checkpoint();
      machine.start();
      // A checkpoint before the buckets are opened loses nothing.
      await machine.checkpoint();
      machine.start();
      machine.store.openBucket(quorumBucket(1, engine));
      expect(machine.store.contents.purgedThroughMs(1, slot)).toBe(throughMs);
      expect(machine.put(1, '{s}k', 'from the dead', versionAgo(3 * HOUR_MS))).toBe('refused');
    }
  });

  test('a slot comes back to holding nothing dead, also after a restart', async () => {
    for (const engine of ['memory', 'lmdb'] as const) {
      const machine = opened(quorumBucket(1, engine));
      machine.put(1, '{s}k', 'v', versionAgo(2 * HOUR_MS), NOW_MS - 1.5 * HOUR_MS);
      machine.put(1, '{s}k', 'v', versionAgo(1000));
      expect(machine.store.contents.deadInSlot(1, slot)).toBe(true);
      expect(machine.store.contents.deadBefore(1, slot, throughMs)).toBe(false);
      expect(machine.store.contents.deadInSlot(1, slot)).toBe(false);
      machine.delete(1, '{s}gone', versionAgo(2 * HOUR_MS));
      await machine.checkpoint();
      machine.start();
      machine.store.openBucket(quorumBucket(1, engine));
      expect(machine.store.contents.deadInSlot(1, slot)).toBe(true);
      expect(machine.store.contents.deadBefore(1, slot, throughMs)).toBe(true);
      expect(machine.store.contents.purge(1, slot, undefined, throughMs)).toBe(1);
      expect(machine.store.contents.deadInSlot(1, slot)).toBe(false);
    }
  });
});

describe('live keys of a slot', () => {
  const slot = slotOf(bytes('{s}'));

  test('are counted exactly, whatever is written, deleted, expires, is evicted or purged', () => {
    type Step =
      | { readonly kind: 'put'; readonly key: string; readonly lifeMs: number }
      | { readonly kind: 'delete'; readonly key: string }
      | { readonly kind: 'evict'; readonly key: string }
      | { readonly kind: 'wait'; readonly ms: number }
      | { readonly kind: 'purge'; readonly ms: number };
    const key = fc.constantFrom('{s}a', '{s}b', '{s}c', '{s}d');
    const ms = fc.constantFrom(1, 4, 30);
    const step: fc.Arbitrary<Step> = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('put' as const),
          key,
          lifeMs: fc.constantFrom(0, 0, 5, 50),
        }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict' as const), key }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('purge' as const), ms }) },
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom('memory' as const, 'lmdb' as const),
        (steps, engine) => {
          const { store } = opened(quorumBucket(1, engine));
          let nowMs = NOW_MS;
          let counter = 0;
          for (const one of steps) {
            counter++;
            const version = versionAgo(NOW_MS - nowMs, counter);
            if (one.kind === 'put') {
              const expiresAtMs = one.lifeMs === 0 ? 0 : nowMs + one.lifeMs;
              store.merge(1, bytes(one.key), bytes('v'), version, expiresAtMs, nowMs);
            } else if (one.kind === 'delete')
              store.merge(1, bytes(one.key), NO_VALUE, version, DELETED_MS, nowMs);
            else if (one.kind === 'evict') store.evict(1, bytes(one.key), Number.MAX_SAFE_INTEGER);
            else if (one.kind === 'wait') nowMs += one.ms;
            else store.contents.purge(1, slot, undefined, nowMs - one.ms);
            let alive = 0;
            let dead = 0;
            store.contents.scanRange(1, 0, TOKEN_END, (_token, _key, { expiresAtMs, version: stored }) => {
              if (expiresAtMs === 0 || expiresAtMs > nowMs) alive++;
              else if (Math.max(versionMs(stored), expiresAtMs) <= nowMs) dead++;
              return true;
            });
            expect(store.liveCountInSlot(1, slot, nowMs)).toBe(alive);
            expect(store.contents.deadBefore(1, slot, nowMs)).toBe(dead > 0);
          }
        },
      ),
      { seed: 3, numRuns: 300 },
    );
  });

  test('eviction removes what is not newer, and no marks of deletions', () => {
    const machine = opened(quorumBucket(1));
    machine.put(1, 'live', 'v', versionAgo(10));
    machine.put(1, 'expired', 'v', versionAgo(10), NOW_MS - 1);
    machine.delete(1, 'deleted', versionAgo(10));
    expect(machine.store.evict(1, bytes('live'), versionAgo(11))).toBe(false);
    expect(machine.store.evict(1, bytes('expired'), versionAgo(10))).toBe(true);
    expect(machine.store.evict(1, bytes('deleted'), versionAgo(10))).toBe(false);
    expect(machine.store.evict(1, bytes('live'), versionAgo(10))).toBe(true);
    expect(machine.store.evict(1, bytes('live'), versionAgo(10))).toBe(false);
    expect(machine.store.keyCount(1)).toBe(1);
  });
});

describe('a bucket without eviction that is full', () => {
  test('refuses what would grow, and takes deletes, shorter values and what is older', () => {
    const bound = 2_000_000;
    const retention = { maxIdleMs: 0, maxMemoryBytes: bound, eviction: 'noeviction' as const };
    const bucket = quorumBucket(1, 'memory', {}, { retention });
    const machine = opened(bucket);
    let stored = 0;
    let result = 'applied';
    for (; result === 'applied' && stored < 20_000; stored++)
      result = machine.put(1, `key ${stored}`, 'v'.repeat(200), versionAgo(100));
    expect(result).toBe('refused');
    expect(stored).toBeGreaterThan(4000);
    expect(machine.put(1, 'key 0', 'v'.repeat(201), versionAgo(50))).toBe('refused');
    expect(machine.put(1, 'key 0', 'v'.repeat(300), versionAgo(200))).toBe('older');
    expect(machine.put(1, 'key 0', 'w'.repeat(200), versionAgo(50))).toBe('applied');
    expect(machine.delete(1, 'key 1', versionAgo(50))).toBe('applied');
    expect(machine.delete(1, 'never seen', versionAgo(50))).toBe('applied');
    // A greater bound is obeyed at once.
    machine.store.updateBucket(
      quorumBucket(1, 'memory', {}, { retention: { ...retention, maxMemoryBytes: 2 * bound } }),
    );
    expect(machine.put(1, 'one more', 'v'.repeat(200), versionAgo(50))).toBe('applied');
  });
});

describe('the state of eventual buckets in a checkpoint', () => {
  test('is given back as it was', () => {
    const head = fc.record({
      highestVersion: fc.maxSafeNat(),
      filled: fc.boolean(),
      buckets: fc
        .array(
          fc.tuple(
            fc.nat({ max: 1000 }),
            fc.record({
              flushedThrough: fc.maxSafeNat(),
              highestVersion: fc.maxSafeNat(),
              purges: fc
                .array(fc.tuple(fc.nat({ max: 16383 }), fc.integer({ min: 1, max: 2 ** 45 })))
                .map((list) => [...new Map(list)].sort((left, right) => left[0] - right[0])),
            }),
          ),
        )
        .map((list) => new Map(list)),
    });
    fc.assert(
      fc.property(head, (given) => {
        expect(decodeStoreHead(encodeStoreHead(given))).toEqual(given);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test('keeps its format', () => {
    const head = {
      highestVersion: 300,
      filled: false,
      buckets: new Map([
        [2, { flushedThrough: 1, highestVersion: 128, purges: [] }],
        [
          3,
          {
            flushedThrough: 0,
            highestVersion: 5,
            purges: [
              [7, 1000],
              [135, 872],
            ] as const,
          },
        ],
      ]),
    };
    expect(encodeStoreHead(head).toString('hex')).toBe(
      '01ac0202' + '0201800100' + '00' + '030005e806' + '02' + '078001' + '800100',
    );
    expect(encodeStoreHead({ ...head, filled: true, buckets: new Map() }).toString('hex')).toBe('02ac0200');
  });

  test('that is cut short or changed gives an error, never anything else', () => {
    const encoded = encodeStoreHead({
      highestVersion: versionAgo(0),
      filled: false,
      buckets: new Map([[3, { flushedThrough: 7, highestVersion: 9, purges: [[5, NOW_MS] as const] }]]),
    });
    const decode = (given: Buffer): string => {
      try {
        decodeStoreHead(given);
        return 'decoded';
      } catch (error) {
        return error instanceof Error ? error.name : 'something else';
      }
    };
    for (let length = 0; length < encoded.length; length++)
      expect(decode(encoded.subarray(0, length))).toBe('DecodeError');
    for (let at = 0; at < encoded.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = Buffer.from(encoded);
        changed[at]! ^= 1 << bit;
        expect(['decoded', 'DecodeError']).toContain(decode(changed));
      }
    }
    expect(decode(Buffer.concat([encoded, Buffer.from([0])]))).toBe('DecodeError');
  });
});
