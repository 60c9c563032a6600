import { describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { bucketOf, type Word } from '../support/test-machine.js';
import { ReplicaWorld, TestRequest } from './support/replica-world.js';

/** A follower of the present leader. */
function followerOf(world: ReplicaWorld) {
  const leader = world.leader();
  return world.members.find((member) => member !== leader)!;
}

describe('a replica that leads', () => {
  test('carries out commands in the order in which it got them, in one entry for each turn', () => {
    const world = new ReplicaWorld({ seed: 'order' });
    const { replica } = world.leader();
    const before = replica.status().lastIndex;
    const requests = [1, 2, 3, 4].map((n) => world.request(['APPEND', 'k', String(n)]));
    for (const request of requests) replica.enqueue(request);
    expect(replica.pendingRequests).toBe(4);
    world.until('all are answered', () => requests.every(({ outcomes }) => outcomes.length > 0));
    expect(requests.map(({ outcome }) => outcome)).toEqual([1, 2, 3, 4]);
    expect(world.run('GET', 'k')).toBe('1234');
    expect(replica.status().lastIndex).toBe(before + 1);
    expect(replica.pendingRequests).toBe(0);
  });

  test('lets no entry grow past its bound', () => {
    const restore = changeLimits({ maxCommandsPerEntry: 3 });
    try {
      const world = new ReplicaWorld({ seed: 'full' });
      const { replica } = world.leader();
      const before = replica.status().lastIndex;
      const requests = Array.from({ length: 8 }, (_, n) => world.request(['APPEND', 'k', String(n)]));
      for (const request of requests) replica.enqueue(request);
      expect(replica.status().lastIndex).toBe(before + 2);
      world.until('all are answered', () => requests.every(({ outcomes }) => outcomes.length > 0));
      expect(world.run('GET', 'k')).toBe('01234567');
      expect(replica.status().lastIndex).toBe(before + 3);
    } finally {
      restore();
    }
  });

  test('lets no read see a write that came after it', () => {
    const world = new ReplicaWorld({ seed: 'reads' });
    world.run('SET', 'k', 'old');
    const { replica } = world.leader();
    for (let round = 0; round < 50; round++) {
      const before = world.request(['GET', 'k']);
      const write = world.request(['SET', 'k', `new-${round}`]);
      const after = world.request(['GET', 'k'], { throughLog: true });
      for (const request of [before, write, after]) replica.enqueue(request);
      world.until('the last is answered', () => after.outcomes.length > 0 && before.outcomes.length > 0);
      expect(before.outcome).toBe(round === 0 ? 'old' : `new-${round - 1}`);
      expect(after.outcome).toBe(`new-${round}`);
    }
  });

  test('executes a repeat of a session’s command once', () => {
    const world = new ReplicaWorld({ seed: 'once' });
    const { replica } = world.leader();
    const first = world.request(['INCR', 'n']);
    const again = new TestRequest(['INCR', 'n'], first.stamp);
    replica.enqueue(first);
    world.until('it is answered', () => first.outcomes.length > 0);
    replica.enqueue(again);
    world.until('it is answered again', () => again.outcomes.length > 0);
    expect([first.outcome, again.outcome, world.run('GET', 'n')]).toEqual([1, 1, '1']);
  });

  test('opens a bucket in the log before the first command on it', () => {
    const world = new ReplicaWorld({ seed: 'bucket' });
    const leader = world.leader();
    leader.buckets.set(5, bucketOf(5));
    const requests = [
      ['SET', 'k', 'x'],
      ['GET', 'k'],
    ].map((words) => world.request(words, { bucketId: 5 }));
    for (const request of requests) leader.replica.enqueue(request);
    world.until('they are answered', () => requests.every(({ outcomes }) => outcomes.length > 0));
    expect(requests.map(({ outcome }) => outcome)).toEqual(['+OK', 'x']);
    world.agree();
    // Members whose map does not know the bucket have it all the same: the log says so.
    for (const { replica } of world.members) expect(replica.machine.buckets.has(5)).toBe(true);
  });

  test('gives a request back for a bucket that its map does not know', () => {
    const world = new ReplicaWorld({ seed: 'behind' });
    const request = world.request(['SET', 'k', 'x'], { bucketId: 7 });
    world.leader().replica.enqueue(request);
    expect(request.outcome).toEqual({ refused: 'behind' });
  });

  test('changes and drops buckets in the log as the map says', () => {
    const world = new ReplicaWorld({ seed: 'follow' });
    for (const member of world.members) member.buckets.set(5, bucketOf(5));
    world.leader();
    world.until('it is open', () => world.members.every(({ replica }) => replica.machine.buckets.has(5)));
    for (const member of world.members) member.buckets.set(5, bucketOf(5, 9000));
    world.until('it is changed', () =>
      world.members.every(({ replica }) => replica.machine.buckets.get(5)?.ttlMs === 9000),
    );
    for (const member of world.members) member.buckets.delete(5);
    world.until('it is gone', () => world.members.every(({ replica }) => !replica.machine.buckets.has(5)));
    world.pass(200);
    const { lastIndex } = world.leader().replica.status();
    world.pass(1000);
    expect(world.leader().replica.status().lastIndex).toBe(lastIndex);
  });

  test('answers a read that waits on a bucket being dropped', () => {
    const world = new ReplicaWorld({ seed: 'dropped' });
    for (const member of world.members) member.buckets.set(5, bucketOf(5));
    const leader = world.leader();
    world.until('it is open', () => leader.replica.machine.buckets.has(5));
    const answers: unknown[] = [];
    for (const member of world.members) member.buckets.delete(5);
    world.until('it is gone', () => {
      const read = world.request(['GET', 'k'], { bucketId: 5 });
      leader.replica.enqueue(read);
      answers.push(read);
      return !leader.replica.machine.buckets.has(5);
    });
    world.until('all reads are answered', () =>
      answers.every((read) => read instanceof TestRequest && read.outcomes.length === 1),
    );
  });

  test('removes expired keys through the log, on every member', () => {
    const world = new ReplicaWorld({ seed: 'expiry' });
    for (let i = 0; i < 20; i++) world.run('SET', `k${i}`, 'x', 'PX', 500);
    world.run('SET', 'kept', 'x');
    expect(world.leader().replica.machine.buckets.size).toBe(1);
    world.pass(3000);
    world.agree();
    for (const member of world.members) expect(member.digests().size).toBe(1);
    expect(world.run('GET', 'k3')).toBe(null);
  });

  test('advances the log’s time before it calls a key expired', () => {
    const world = new ReplicaWorld({ seed: 'clock' });
    world.run('SET', 'k', 'x', 'PX', 40);
    const { replica } = world.leader();
    const seen: unknown[] = [];
    world.until('it has expired', () => {
      const read = world.request(['GET', 'k']);
      replica.enqueue(read);
      world.until('it is answered', () => read.outcomes.length > 0);
      seen.push(read.outcome);
      if (read.outcome === null)
        expect(replica.machine.logTimeMs).toBeGreaterThanOrEqual(1_700_000_000_000 + 40);
      return read.outcome === null;
    });
    expect(seen.slice(0, -1).every((value) => value === 'x')).toBe(true);
  });

  test('gives everything back when it loses the lead, and says what may have happened', () => {
    const world = new ReplicaWorld({ seed: 'lost' });
    const leader = world.leader();
    world.run('SET', 'k', 'x');
    const number = world.members.indexOf(leader);
    for (const [other] of world.members.entries()) {
      world.fabric.block(number, other);
      world.fabric.block(other, number);
    }
    const write = world.request(['SET', 'k', 'y']);
    const read = world.request(['GET', 'k']);
    leader.replica.enqueue(write);
    leader.replica.enqueue(read);
    world.until('both are given back', () => write.outcomes.length > 0 && read.outcomes.length > 0);
    expect(write.outcome).toEqual({ refused: 'leadership-lost' });
    expect(read.outcome).toEqual({ refused: 'not-leader' });
    const late = world.request(['SET', 'k', 'z']);
    leader.replica.enqueue(late);
    expect(late.outcome).toEqual({ refused: 'not-leader' });
    world.fabric.healAll();
    world.agree();
  });

  test('hands its lead over to a member that has everything', () => {
    const world = new ReplicaWorld({ seed: 'heir' });
    const leader = world.leader();
    world.run('SET', 'k', 'x');
    leader.replica.handOver(leader.life.env.clock.monotonicMs());
    world.until('another leads', () => world.leader() !== leader);
    expect(world.run('GET', 'k')).toBe('x');
  });

  test('is the first member in order of preference, once that one is up', () => {
    const world = new ReplicaWorld({ seed: 'preference' });
    const first = world.members[0]!;
    world.until('it leads', () => first.replica.leading);
    first.crash();
    world.until('another leads', () => world.running.some(({ replica }) => replica.leading));
    world.run('SET', 'k', 'x');
    first.start();
    world.until('it leads again', () => first.replica.leading);
    expect(world.run('GET', 'k')).toBe('x');
  });
});

describe('a replica that follows', () => {
  test('refuses what only a leader may answer', () => {
    const world = new ReplicaWorld({ seed: 'follower' });
    const { replica } = followerOf(world);
    const request = world.request(['SET', 'k', 'x']);
    replica.enqueue(request);
    expect(request.outcome).toEqual({ refused: 'not-leader' });
  });

  test('answers linearizable reads after asking the leader', () => {
    const world = new ReplicaWorld({ seed: 'follower-reads' });
    for (let round = 0; round < 20; round++) {
      world.run('SET', 'k', round);
      const read = world.request(['GET', 'k']);
      followerOf(world).replica.enqueueFollowerRead(read);
      world.until('it is answered', () => read.outcomes.length > 0);
      expect(read.outcome).toBe(String(round));
    }
  });

  test('answers stale reads at once, from what it has', () => {
    const world = new ReplicaWorld({ seed: 'stale-reads' });
    world.run('SET', 'k', 'x');
    world.agree();
    const { replica } = followerOf(world);
    for (const [words, expected] of [
      [['GET', 'k'], 'x'],
      [['GET', 'none'], null],
    ] as [Word[], unknown][]) {
      const read = world.request(words);
      replica.readStale(read);
      expect(read.outcome).toBe(expected);
    }
    const unknown = world.request(['GET', 'k'], { bucketId: 9 });
    replica.readStale(unknown);
    expect(unknown.outcome).toEqual({ refused: 'not-leader' });
  });

  test('reads back from its log, portion by portion, what was committed while it waited with applying', () => {
    const restore = changeLimits({ maxCommittedBytesPerTurn: 300, logCacheBytes: 200 });
    try {
      const world = new ReplicaWorld({ seed: 'portions', checkpointIntervalMs: 100 });
      const follower = followerOf(world);
      for (let round = 0; round < 3; round++) {
        world.run('SET', 'k', 'x');
        world.agree();
        follower.mayApply = false;
        for (let i = 0; i < 40; i++) world.run('APPEND', `k${i % 7}`, `${round}/${i}`);
        world.pass(300);
        follower.mayApply = true;
        world.agree();
      }
      follower.mayApply = false;
      for (let i = 0; i < 40; i++) world.run('APPEND', `k${i % 7}`, String(i));
      follower.crash();
      follower.mayApply = true;
      follower.start();
      world.agree();
    } finally {
      restore();
    }
  });

  test('waits with applying while too much is not written back, and then catches up', () => {
    const world = new ReplicaWorld({ seed: 'full' });
    const follower = followerOf(world);
    world.run('SET', 'k', 'x');
    world.agree();
    follower.mayApply = false;
    const { appliedIndex } = follower.replica;
    for (let i = 0; i < 50; i++) world.run('SET', `k${i}`, 'x');
    world.pass(200);
    expect(follower.replica.appliedIndex).toBe(appliedIndex);
    expect(follower.replica.applyBacklog).toBe(true);
    follower.mayApply = true;
    world.agree();
    expect(follower.replica.applyBacklog).toBe(false);
  });
});

describe('a restarted replica', () => {
  test('has what was acknowledged, whatever all members lost that was not synced', () => {
    for (const mode of ['lose', 'tear', 'keep'] as const) {
      const world = new ReplicaWorld({ seed: `restart-${mode}`, checkpointIntervalMs: 200 });
      for (let i = 0; i < 40; i++) world.run('SET', `k${i}`, i);
      for (const member of world.members) member.crash(mode);
      for (const member of world.members) member.start();
      for (let i = 0; i < 40; i++) expect(world.run('GET', `k${i}`)).toBe(String(i));
      world.agree();
    }
  });
});
