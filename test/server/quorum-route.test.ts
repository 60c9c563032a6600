import { describe, expect, test } from 'vitest';
import type { QuorumRead, QuorumWrite, ReplicaSet, WriteOutcome } from '../../src/protocol/quorum/types.js';
import type { Question } from '../../src/replica/quorum/queries.js';
import { QuorumRoute } from '../../src/server/quorum-route.js';
import type { QuorumChoice } from '../../src/server/types.js';
import { ErrorReply, type Reply } from '../../src/store/reply.js';
import type { BucketDescription } from '../../src/store/types.js';
import { quorumBucket } from '../store/quorum-support.js';
import { bucketOf, bytes, command, plain, type Word } from '../support/test-machine.js';

function setOf(members: readonly string[]): ReplicaSet {
  return { members, includesSelf: members.includes('n1'), others: members.filter((id) => id !== 'n1') };
}

/** A route whose replica and peers only note what they are asked; the test answers. */
class Fixture {
  readonly writes: QuorumWrite[] = [];
  readonly reads: QuorumRead[] = [];
  readonly asked: { to: string; question: Question }[] = [];
  members: readonly string[] = ['n1', 'n2', 'n3'];
  unreachable = new Set<string>();
  readonly replica = {
    takesMutations: true,
    write: (write: QuorumWrite) => this.writes.push(write),
    read: (read: QuorumRead) => this.reads.push(read),
  };
  known = true;
  filling = false;
  readonly route: QuorumRoute;

  constructor() {
    this.route = new QuorumRoute(1, {
      replica: this.replica,
      queries: { ask: (to, _group, question) => this.asked.push({ to, question }) },
      wallMs: () => 1_800_000_000_000,
      replicaSet: (_group, n) => setOf(this.members.slice(0, n)),
      reachable: (node) => !this.unreachable.has(node),
      knowsBucket: () => this.known,
      isFilling: () => this.filling,
      serve: () => 41,
    });
  }

  submit(
    words: readonly Word[],
    bucket: BucketDescription = quorumBucket(1),
    quorum?: QuorumChoice,
  ): unknown[] {
    const replies: unknown[] = [];
    this.route.submit({
      definition: command(String(words[0])),
      bucket,
      args: words.slice(1).map(bytes),
      completion: { complete: (reply: Reply) => replies.push(plain(reply)) },
      consistency: 'linearizable',
      ordered: false,
      session: undefined,
      quorum,
    });
    return replies;
  }

  /** The answer to a SET that ended so. */
  written(outcome: WriteOutcome, bucket?: BucketDescription): unknown {
    const replies = this.submit(['SET', 'a', 'x'], bucket);
    this.writes.at(-1)?.written(outcome);
    return replies[0];
  }
}

const refused = { ok: false, reason: 'refused' } as const;

describe('a write of one key', () => {
  test('asks for the w of its bucket, or of its request, and is durable unless one replica is enough', () => {
    const fixture = new Fixture();
    fixture.submit(['SET', 'a', 'x']);
    fixture.submit(['SET', 'a', 'x'], quorumBucket(1, 'memory', { w: 1 }));
    fixture.submit(['SET', 'a', 'x'], quorumBucket(1), { w: 3 });
    fixture.submit(['SET', 'a', 'x'], quorumBucket(1), { w: 1, r: 3 });
    expect(fixture.writes.map(({ w, durable }) => [w, durable])).toEqual([
      [2, true],
      [1, false],
      [3, true],
      [1, false],
    ]);
    fixture.members = ['n1'];
    fixture.submit(['SET', 'a', 'x'], quorumBucket(1, 'memory', { n: 1, w: 1 }));
    expect(fixture.writes.at(-1)).toMatchObject({ w: 1, durable: true });
  });

  test('is hinted as its bucket says', () => {
    const fixture = new Fixture();
    fixture.submit(['SET', 'a', 'x'], quorumBucket(1, 'memory', { hintedHandoff: false }));
    fixture.submit(['SET', 'a', 'x']);
    expect(fixture.writes.map(({ hinted }) => hinted)).toEqual([false, true]);
  });

  test('is refused while too much waits for the disk, and reads are not', () => {
    const fixture = new Fixture();
    fixture.replica.takesMutations = false;
    expect(fixture.submit(['SET', 'a', 'x'])).toEqual([expect.stringMatching(/^-OVERLOADED/)]);
    expect(fixture.writes).toEqual([]);
    fixture.submit(['GET', 'a']);
    expect(fixture.reads).toHaveLength(1);
  });

  test('that all replicas refused lacks memory only where a bucket has a bound to refuse for', () => {
    const fixture = new Fixture();
    const bounded = quorumBucket(
      1,
      'memory',
      {},
      {
        retention: { maxIdleMs: 0, maxMemoryBytes: 1000, eviction: 'noeviction' },
      },
    );
    const evicting = quorumBucket(
      1,
      'memory',
      {},
      {
        retention: { maxIdleMs: 0, maxMemoryBytes: 1000, eviction: 'lru' },
      },
    );
    expect(fixture.written(refused, bounded)).toMatch(/^-OOM command not allowed/);
    expect(fixture.written(refused, evicting)).toMatch(/^-CLUSTERDOWN/);
    expect(fixture.written(refused)).toMatch(/^-CLUSTERDOWN/);
    const replies = fixture.submit(['SET', 'a', 'x'], bounded);
    fixture.known = false;
    fixture.writes.at(-1)?.written(refused);
    expect(replies).toEqual([expect.stringContaining('was dropped')]);
  });

  test('says what is certain: nothing was done, or nobody knows', () => {
    const fixture = new Fixture();
    expect(fixture.written({ ok: true, version: 5, existed: false })).toBe('+OK');
    expect(fixture.written({ ok: false, reason: 'unreachable' })).toMatch(/nothing was done/);
    expect(fixture.written({ ok: false, reason: 'clock' })).toMatch(/nothing was done/);
    expect(fixture.written({ ok: false, reason: 'timeout' })).toMatch(/^-UNKNOWN/);
    expect(fixture.written({ ok: false, reason: 'overloaded' })).toMatch(/^-OVERLOADED/);
  });

  test('counts what was there for deletes', () => {
    const fixture = new Fixture();
    for (const existed of [true, false]) {
      const replies = fixture.submit(['DEL', 'a']);
      fixture.writes.at(-1)?.written({ ok: true, version: 5, existed });
      expect(replies).toEqual([existed ? 1 : 0]);
    }
  });
});

describe('a read of one key', () => {
  test('asks for the r of its bucket, or of its request', () => {
    const fixture = new Fixture();
    fixture.submit(['GET', 'a']);
    fixture.submit(['GET', 'a'], quorumBucket(1), { r: 1 });
    fixture.submit(['GET', 'a'], quorumBucket(1, 'memory', { readRepair: false }), { w: 1 });
    expect(fixture.reads.map(({ r, repair }) => [r, repair])).toEqual([
      [2, true],
      [1, true],
      [2, false],
    ]);
  });

  test('answers from the record that was found, dead ones as if there were none', () => {
    const fixture = new Fixture();
    const value = Buffer.from('x');
    const replies = [
      fixture.submit(['GET', 'a']),
      fixture.submit(['GET', 'a']),
      fixture.submit(['QUOIN.GET', 'a']),
    ];
    fixture.reads[0]!.found({ value, version: 7, expiresAtMs: 0 });
    fixture.reads[1]!.found({ value, version: 7, expiresAtMs: 1 });
    fixture.reads[2]!.found({ value, version: 7, expiresAtMs: 0 });
    expect(replies).toEqual([['x'], [null], [['x', 7, 0]]]);
  });

  test('fails with what is certain', () => {
    const fixture = new Fixture();
    const replies = fixture.submit(['GET', 'a']);
    fixture.reads[0]!.failed('timeout');
    expect(replies).toEqual([expect.stringMatching(/^-TRYAGAIN too few replicas answered/)]);
  });
});

describe('a read over many keys', () => {
  test('is served here where this node is a replica', () => {
    const fixture = new Fixture();
    expect(fixture.submit(['DBSIZE'])).toEqual([41]);
    expect(fixture.asked).toEqual([]);
  });

  test('goes to one replica after the other that can be reached, until one answers', () => {
    const fixture = new Fixture();
    fixture.members = ['n2', 'n3', 'n4'];
    fixture.unreachable.add('n2');
    const replies = fixture.submit(['DBSIZE']);
    expect(fixture.asked.map(({ to }) => to)).toEqual(['n3']);
    fixture.asked[0]!.question.answered(undefined);
    expect(fixture.asked.map(({ to }) => to)).toEqual(['n3', 'n4']);
    expect(replies).toEqual([]);
    fixture.asked[1]!.question.answered(12);
    expect(replies).toEqual([12]);
  });

  test('goes to another replica while this one is being filled', () => {
    const fixture = new Fixture();
    fixture.filling = true;
    const replies = fixture.submit(['DBSIZE']);
    expect(fixture.asked.map(({ to }) => to)).toEqual(['n2']);
    fixture.asked[0]!.question.answered(ErrorReply.of('STARTING', 'this one is being filled too'));
    fixture.asked[1]!.question.answered(ErrorReply.of('OVERLOADED', 'this is an answer'));
    expect(replies).toEqual([expect.stringContaining('this is an answer')]);
    const none = fixture.submit(['SCAN', '0']);
    fixture.asked[2]!.question.answered(ErrorReply.of('STARTING', 'being filled'));
    fixture.asked[3]!.question.answered(undefined);
    expect(none).toEqual([expect.stringMatching(/^-CLUSTERDOWN/)]);
  });

  test('fails when none answers', () => {
    const fixture = new Fixture();
    fixture.members = ['n2'];
    const replies = fixture.submit(['DBSIZE']);
    fixture.asked[0]!.question.answered(undefined);
    expect(replies).toEqual([expect.stringMatching(/^-CLUSTERDOWN/)]);
  });
});

describe('what an eventual bucket refuses', () => {
  test.each([
    [['INCR', 'a'], /reads before it writes/],
    [['SET', 'a', 'x', 'XX'], /reads before it writes/],
    [['SET', 'a', 'x', 'GET'], /reads before it writes/],
    [['QUOIN.PUT', 'a', 'x', '-1', 'any'], /^$/],
    [['FLUSHDB'], /is not carried out by the replicas/],
  ] as const)('%j', (words, message) => {
    const fixture = new Fixture();
    const replies = fixture.submit([...words]);
    if (message.source === '^$') expect(fixture.writes).toHaveLength(1);
    else {
      expect(replies).toEqual([expect.stringMatching(message)]);
      expect(fixture.writes).toEqual([]);
    }
  });

  test('more replicas than the key has', () => {
    const fixture = new Fixture();
    expect(fixture.submit(['GET', 'a'], quorumBucket(1), { r: 4 })).toEqual([
      expect.stringMatching(/r is at most 3/),
    ]);
    expect(fixture.submit(['SET', 'a', 'x'], quorumBucket(1), { w: 4 })).toEqual([
      expect.stringMatching(/w is at most 3/),
    ]);
  });

  test('requests for a bucket that was dropped, and for one of another replication', () => {
    const fixture = new Fixture();
    expect(fixture.submit(['GET', 'a'], bucketOf(0))).toEqual([expect.stringMatching(/not one of quorum/)]);
    fixture.known = false;
    for (const words of [['GET', 'a'], ['SET', 'a', 'x'], ['DBSIZE']])
      expect(fixture.submit(words)).toEqual([expect.stringContaining('was dropped')]);
  });
});
