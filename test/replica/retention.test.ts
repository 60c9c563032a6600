/** Bounds of linearizable buckets: idle time and memory, through the log, the same on every member. */
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import type { BucketDescription, RetentionPolicy } from '../../src/store/types.js';
import { bucketOf } from '../support/test-machine.js';
import { type Member, ReplicaWorld, TestRequest } from './support/replica-world.js';

const MIB = 1024 * 1024;
const MAX_IDLE_MS = 3000;
const OOM = "-OOM command not allowed when used memory > 'maxmemory'.";

function bounded(policy: Partial<RetentionPolicy>): BucketDescription {
  return {
    ...bucketOf(0),
    retention: { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'noeviction', ...policy },
  };
}

function setPolicy(world: ReplicaWorld, policy: Partial<RetentionPolicy>): void {
  for (const member of world.members) member.buckets.set(0, bounded(policy));
}

function worldWith(seed: string, policy: Partial<RetentionPolicy>): ReplicaWorld {
  const world = new ReplicaWorld({ seed });
  setPolicy(world, policy);
  world.leader();
  world.until('the bounds are known', () =>
    world.members.every(({ replica }) => replica.machine.buckets.get(0)?.retention !== undefined),
  );
  return world;
}

function memoryOf(member: Member): number {
  return member.replica.machine.retention.get(0)!.access.memoryBytes();
}

function keysOf(world: ReplicaWorld): unknown {
  return world.run('DBSIZE');
}

/** Sends a number of requests at once to the leader and waits until all have ended. */
function burst(world: ReplicaWorld, commands: readonly (readonly (string | Buffer)[])[]): unknown[] {
  const { replica } = world.leader();
  const requests = commands.map((words) => world.request(words));
  for (const request of requests) replica.enqueue(request);
  world.until('all are answered', () => requests.every(({ outcomes }) => outcomes.length > 0));
  return requests.map(({ outcome }) => outcome);
}

describe('idle time', () => {
  test('takes keys that nobody uses, on every member, and leaves those that are read or written', () => {
    const world = worldWith('idle', { maxIdleMs: MAX_IDLE_MS });
    for (let i = 0; i < 30; i++) world.run('SET', `idle${i}`, 'x');
    for (const name of ['read', 'written', 'touched', 'looked-at']) world.run('SET', name, 'x');
    for (let passed = 0; passed < 3 * MAX_IDLE_MS; passed += MAX_IDLE_MS / 3) {
      world.pass(MAX_IDLE_MS / 3);
      world.run('GET', 'read');
      world.run('SET', 'written', 'y');
      world.run('TOUCH', 'touched');
      world.run('EXISTS', 'looked-at');
      world.run('TTL', 'looked-at');
    }
    world.agree();
    expect(keysOf(world)).toBe(3);
    expect(world.run('EXISTS', 'read', 'written', 'touched')).toBe(3);
    expect(world.run('EXISTS', 'looked-at')).toBe(0);
  });

  test('tells how long a key was not used, and how often it was', () => {
    const world = worldWith('object', { maxIdleMs: 60_000 });
    world.run('SET', 'k', 'x');
    world.pass(2500);
    expect(world.run('OBJECT', 'IDLETIME', 'k')).toBe(2);
    expect(world.run('OBJECT', 'FREQ', 'k')).toBe(5);
    for (let i = 0; i < 20; i++) world.run('GET', 'k');
    expect(world.run('OBJECT', 'IDLETIME', 'k')).toBe(0);
    expect(world.run('OBJECT', 'FREQ', 'k')).toBeGreaterThan(5);
  });

  test('is exact on read, and what was once called gone stays gone', () => {
    const world = worldWith('exact', { maxIdleMs: MAX_IDLE_MS });
    const leader = world.leader();
    world.pass(2 * MAX_IDLE_MS);
    world.run('SET', 'k', 'x');
    const { machine } = leader.replica;
    const { access } = machine.retention.get(0)!;
    // The background search is kept away: the read alone finds it.
    access.findIdle = () => undefined;
    const usedAtMs = access.timeMs;
    let seen: unknown = 'x';
    world.until('it is gone', () => {
      // A look that does not count as a use.
      seen = world.run('STRLEN', 'other') === 0 ? world.run('EXISTS', 'k') : 1;
      const idleMs = access.timeMs - usedAtMs;
      if (idleMs < MAX_IDLE_MS - 200) expect(seen).toBe(1);
      return seen === 0;
    });
    expect(access.timeMs - usedAtMs).toBeGreaterThanOrEqual(MAX_IDLE_MS - 200);
    expect(access.timeMs - usedAtMs).toBeLessThan(MAX_IDLE_MS + 500);
    world.agree();
    for (const member of world.members) expect(member.digests().size).toBe(0);
  });

  test('hides idle keys from lists, and gives writes on them a key that begins anew', () => {
    const world = worldWith('writes', { maxIdleMs: MAX_IDLE_MS });
    for (const name of ['a', 'b', 'c']) world.run('SET', name, '41');
    const { access } = world.leader().replica.machine.retention.get(0)!;
    access.findIdle = () => undefined;
    world.pass(3 * MAX_IDLE_MS);
    expect(keysOf(world)).toBe(3);
    expect(world.run('INCR', 'a')).toBe(1);
    expect(world.run('SETNX', 'b', 'new')).toBe(1);
    expect(world.run('KEYS', 'c')).toEqual([]);
    expect(keysOf(world)).toBe(2);
    world.agree();
  });

  test('a member that takes the lead removes nothing that may have been read before', () => {
    const world = worldWith('lead', { maxIdleMs: MAX_IDLE_MS });
    world.run('SET', 'k', 'x');
    for (let passed = 0; passed < 2 * MAX_IDLE_MS; passed += 500) {
      world.pass(500);
      expect(world.run('GET', 'k')).toBe('x');
    }
    const before = world.leader();
    before.crash();
    world.until('another leads', () => world.running.some(({ replica }) => replica.leading));
    expect(world.run('EXISTS', 'k')).toBe(1);
    expect(world.run('GET', 'k')).toBe('x');
    world.until('it was idle for too long there', () => world.run('EXISTS', 'k') === 0);
    before.start();
    world.agree();
  });
});

describe('a bound of memory', () => {
  const BOUND = 4 * MIB;

  /** Sustained writes of records of changing sizes; every member stays within the bound after every burst. */
  function writeOver(world: ReplicaWorld, rounds: number, sizeOf: (round: number) => number): number {
    const random = new SeededRandom('sizes');
    let highest = 0;
    for (let round = 0; round < rounds; round++) {
      burst(
        world,
        Array.from({ length: 100 }, (_, i) => [
          'SET',
          `key-${round}-${i}`,
          Buffer.alloc(1 + random.integer(2 * sizeOf(round)), 'v'),
        ]),
      );
      for (const member of world.members) highest = Math.max(highest, memoryOf(member));
    }
    return highest;
  }

  for (const eviction of ['lru', 'lfu'] as const) {
    test(`holds within 5 % under sustained writes of changing sizes with ${eviction}, the same on all members`, () => {
      const world = worldWith(`bound-${eviction}`, { maxMemoryBytes: BOUND, eviction });
      const highest = writeOver(world, 180, (round) => (round < 60 ? 400 : round < 120 ? 60 : 1500));
      expect(highest).toBeLessThan(BOUND * 1.05);
      // Not by removing far too much either.
      world.pass(500);
      for (const member of world.members) expect(memoryOf(member)).toBeGreaterThan(BOUND * 0.85);
      world.agree();
      expect(keysOf(world)).toBeGreaterThan(1000);
    });
  }

  test('lru keeps what is read', () => {
    const world = worldWith('hot', { maxMemoryBytes: BOUND, eviction: 'lru' });
    const hot = Array.from({ length: 20 }, (_, i) => `hot${i}`);
    for (const name of hot) world.run('SET', name, Buffer.alloc(500, 'h'));
    for (let round = 0; round < 120; round++) {
      burst(
        world,
        Array.from({ length: 100 }, (_, i) => ['SET', `cold-${round}-${i}`, Buffer.alloc(500, 'c')]),
      );
      if (round % 10 === 0)
        burst(
          world,
          hot.map((name) => ['GET', name]),
        );
    }
    expect(world.run('EXISTS', ...hot)).toBe(hot.length);
    expect(world.run('EXISTS', 'cold-0-0', 'cold-1-0', 'cold-2-0')).toBe(0);
    world.agree();
  });

  test('without eviction refuses what grows and lets deletes through', () => {
    const world = worldWith('noeviction', { maxMemoryBytes: MIB, eviction: 'noeviction' });
    const value = Buffer.alloc(4000, 'v');
    let stored = 0;
    let reply: unknown = '+OK';
    while (reply === '+OK') {
      reply = world.run('SET', `k${stored}`, value);
      if (reply === '+OK') stored++;
    }
    expect(reply).toBe(OOM);
    expect(stored).toBeGreaterThan(100);
    for (const member of world.members) expect(memoryOf(member)).toBeLessThan(MIB * 1.05);
    expect(world.run('APPEND', 'k0', value)).toBe(OOM);
    expect(world.run('MSET', 'k1', value, 'k2', value)).toBe(OOM);
    expect(world.run('GET', 'k0')).toBe(value.toString());
    expect(world.run('EXPIRE', 'k0', '1000')).toBe(1);
    for (let i = 0; i < 20; i++) expect(world.run('DEL', `k${i}`)).toBe(1);
    expect(world.run('SET', 'again', value)).toBe('+OK');
    world.agree();
  });

  test('gives a repeat of a write that was carried out its reply, although there is no room any more', () => {
    const world = worldWith('repeat', { maxMemoryBytes: MIB, eviction: 'noeviction' });
    const first = world.request(['SET', 'first', 'x']);
    const { replica } = world.leader();
    replica.enqueue(first);
    world.until('it is answered', () => first.outcomes.length > 0);
    for (let i = 0; world.run('SET', `k${i}`, Buffer.alloc(4000)) === '+OK'; i++)
      expect(i).toBeLessThan(1000);
    const again = new TestRequest(['SET', 'first', Buffer.alloc(9000)], first.stamp);
    const fresh = world.request(['SET', 'first', Buffer.alloc(9000)]);
    replica.enqueue(again);
    replica.enqueue(fresh);
    world.until('both are answered', () => again.outcomes.length + fresh.outcomes.length === 2);
    expect([again.outcome, fresh.outcome]).toEqual(['+OK', OOM]);
  });

  test('refuses a value that is larger than the bound', () => {
    const world = worldWith('large', { maxMemoryBytes: MIB, eviction: 'lru' });
    for (let i = 0; i < 10; i++) world.run('SET', `k${i}`, 'x');
    expect(world.run('SET', 'large', Buffer.alloc(2 * MIB))).toBe(OOM);
  });

  test('can be set, lowered and lifted while there are keys', () => {
    const world = new ReplicaWorld({ seed: 'update' });
    world.leader();
    for (let round = 0; round < 40; round++)
      burst(
        world,
        Array.from({ length: 100 }, (_, i) => ['SET', `k-${round}-${i}`, Buffer.alloc(1000, 'v')]),
      );
    expect(keysOf(world)).toBe(4000);
    for (const maxMemoryBytes of [3 * MIB, MIB]) {
      setPolicy(world, { maxMemoryBytes, eviction: 'lru' });
      world.until('memory is given back', () =>
        world.members.every(
          ({ replica }) =>
            replica.machine.buckets.get(0)?.retention?.maxMemoryBytes === maxMemoryBytes &&
            replica.machine.retention.get(0)!.access.memoryBytes() < maxMemoryBytes,
        ),
      );
      world.agree();
    }
    for (const member of world.members) member.buckets.set(0, bucketOf(0));
    world.until('the bound is lifted', () =>
      world.members.every(({ replica }) => replica.machine.retention.size === 0),
    );
    for (let round = 0; round < 20; round++)
      burst(
        world,
        Array.from({ length: 100 }, (_, i) => ['SET', `more-${round}-${i}`, Buffer.alloc(1000, 'v')]),
      );
    expect(world.run('EXISTS', 'more-0-0', 'more-19-99')).toBe(2);
    world.agree();
  });

  test('is kept across a restart of all members', () => {
    const world = worldWith('restart', { maxMemoryBytes: 2 * MIB, eviction: 'lru' });
    writeOver(world, 60, () => 500);
    world.agree();
    const keys = keysOf(world);
    world.pass(3000);
    for (const member of world.members) member.crash();
    for (const member of world.members) member.start();
    expect(keysOf(world)).toBeGreaterThan(Number(keys) * 0.9);
    expect(writeOver(world, 40, () => 500)).toBeLessThan(2 * MIB * 1.05);
    world.agree();
  });
});
