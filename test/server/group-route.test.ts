import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { ByteReader } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { decodeFrameHeader, decodeMessages, MESSAGE } from '../../src/replica/peers/frame.js';
import type { PeerHub } from '../../src/replica/peers/peer-hub.js';
import { GroupRoute } from '../../src/server/group-route.js';
import type { ReadConsistency, Request } from '../../src/server/types.js';
import { ErrorReply, OK, type Reply } from '../../src/store/reply.js';
import { type ManualEnv, manualEnv } from '../replica/support/manual-env.js';
import { ReplicaWorld } from '../replica/support/replica-world.js';
import { quietHub } from '../support/hub.js';
import { bucketOf, bytes, command, plain, type Word } from '../support/test-machine.js';

interface Sent {
  readonly to: string;
  readonly sequence: number;
  readonly word: string;
}

/** A submitted request: its replies stand in `replies`. */
interface Submitted {
  readonly replies: unknown[];
  readonly request: Request;
}

/** The route of node n1 to group 1, whose members are elsewhere (n2, n3). */
class Fixture {
  readonly env: ManualEnv = manualEnv('route');
  readonly hub: PeerHub;
  readonly route: GroupRoute;
  readonly dropped = new Set<number>();

  constructor() {
    this.hub = quietHub(this.env);
    this.hub.setCluster('test', 1);
    this.hub.setPeers(['n1', 'n2', 'n3'].map((id) => ({ id, grpc: `${id}:9001` })));
    for (const id of ['n2', 'n3']) this.env.network.dialled(`${id}:9001`).open();
    this.sent();
    this.route = new GroupRoute(1, {
      self: 'n1',
      peers: this.hub,
      replica: () => undefined,
      monotonicMs: () => this.env.clock.nowMs,
      scheduleFlush: () => {},
      noteForwarded: () => {},
      knowsBucket: (id) => !this.dropped.has(id),
    });
  }

  submit(
    words: readonly Word[],
    options: { consistency?: ReadConsistency; ordered?: boolean; bucketId?: number } = {},
  ): Submitted {
    const replies: unknown[] = [];
    const request: Request = {
      definition: command(String(words[0])),
      bucket: bucketOf(options.bucketId ?? 0),
      args: words.slice(1).map(bytes),
      completion: { complete: (reply) => replies.push(summary(reply)) },
      consistency: options.consistency ?? 'linearizable',
      ordered: options.ordered ?? false,
      session: undefined,
    };
    this.route.submit(request);
    return { replies, request };
  }

  /** What went out to the peers since the last look. */
  sent(): Sent[] {
    this.hub.flush();
    const sent: Sent[] = [];
    for (const link of this.env.network.dials) {
      const to = link.remoteAddress.slice(0, 2);
      for (const frame of link.sent.splice(0)) {
        const reader = new ByteReader(frame);
        decodeFrameHeader(reader);
        decodeMessages(reader, (kind, _group, body) => {
          if (kind !== MESSAGE.forwardRequests) return;
          const fields = new ByteReader(body);
          const sequence = fields.varint();
          fields.varint();
          fields.u8();
          fields.varint();
          fields.varint();
          const args = fields.varint();
          sent.push({ to, sequence, word: args === 0 ? '' : fields.bytes().toString() });
        });
      }
    }
    return sent;
  }

  tick(ms = 20): void {
    this.env.clock.advance(ms);
    this.route.tick(this.env.clock.nowMs);
  }
}

function summary(reply: Reply): unknown {
  return reply instanceof ErrorReply ? reply.code : plain(reply);
}

const set = (key: string): Word[] => ['SET', key, 'v'];

describe('a route to a group', () => {
  test('sends to the leader at once when it knows one, in the order of submission', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    for (const key of ['a', 'b', 'c']) fixture.submit(set(key));
    expect(fixture.sent()).toEqual([
      { to: 'n2', sequence: 1, word: 'a' },
      { to: 'n2', sequence: 2, word: 'b' },
      { to: 'n2', sequence: 3, word: 'c' },
    ]);
  });

  test('keeps requests until it knows a leader', () => {
    const fixture = new Fixture();
    fixture.submit(set('a'));
    fixture.tick();
    expect(fixture.sent()).toEqual([]);
    fixture.route.noteLeader('n3', 4);
    expect(fixture.sent().map(({ to, word }) => to + word)).toEqual(['n3a']);
  });

  test('answers each request with its own reply, whatever the order of the replies', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const [a, b] = [fixture.submit(set('a')), fixture.submit(['GET', 'b'])];
    fixture.route.replied(2, undefined, Buffer.from('x'));
    fixture.route.replied(1, undefined, OK);
    expect([a.replies, b.replies]).toEqual([['+OK'], ['x']]);
    expect(fixture.route.inflight).toBe(0);
  });

  test('completes a request once, however often it is answered', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const { replies } = fixture.submit(set('a'));
    for (let i = 0; i < 3; i++) fixture.route.replied(1, undefined, OK);
    fixture.route.replied(1, 'not-leader', null);
    fixture.route.replied(7, undefined, OK);
    fixture.tick(LIMITS.requestTimeoutMs * 2);
    expect(replies).toEqual(['+OK']);
    expect(fixture.sent()).toHaveLength(1);
  });

  test('sends what is unanswered again when leadership moves, in order, and before what comes later', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    for (const key of ['a', 'b', 'c']) fixture.submit(set(key));
    fixture.sent();
    fixture.route.replied(2, undefined, OK);
    fixture.route.noteLeader('n3', 2);
    fixture.submit(set('d'));
    expect(fixture.sent().map(({ to, word }) => to + word)).toEqual(['n3a', 'n3c', 'n3d']);
  });

  test('does not believe news of an older term, nor that a term has lost its leader', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 5);
    fixture.route.noteLeader('n3', 4);
    fixture.route.noteLeader(undefined, 5);
    expect(fixture.route.leader).toBe('n2');
    fixture.route.noteLeader(undefined, 6);
    expect(fixture.route.leader).toBeUndefined();
  });

  test('holds everything behind a request that was given back, and sends it again in order', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    fixture.submit(set('a'));
    fixture.sent();
    fixture.route.replied(1, 'not-leader', null);
    fixture.submit(set('b'));
    expect(fixture.sent()).toEqual([]);
    fixture.tick();
    expect(fixture.sent().map(({ word }) => word)).toEqual(['a', 'b']);
  });

  test('sends again what a broken link may have lost', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    fixture.submit(set('a'));
    fixture.submit(set('b'));
    fixture.sent();
    fixture.route.peerReset('n3');
    expect(fixture.sent()).toEqual([]);
    fixture.route.peerReset('n2');
    expect(fixture.sent().map(({ word }) => word)).toEqual(['a', 'b']);
  });

  test('sends again what is unanswered for long', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    fixture.submit(set('a'));
    fixture.sent();
    fixture.tick(1900);
    expect(fixture.sent()).toEqual([]);
    fixture.tick(200);
    expect(fixture.sent().map(({ word }) => word)).toEqual(['a']);
  });

  test('waits while its leader cannot be reached', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    fixture.env.network.dialled('n2:9001').end('reset');
    fixture.submit(set('a'));
    expect(fixture.sent()).toEqual([]);
    fixture.env.clock.advance(5000);
    fixture.env.network.dialled('n2:9001').open();
    fixture.tick();
    expect(fixture.sent().map(({ word }) => word)).toEqual(['a']);
  });

  test('refuses one request more than may be under way', () => {
    const restore = changeLimits({ maxInflightRequestsPerGroup: 3 });
    try {
      const fixture = new Fixture();
      const all = [1, 2, 3, 4].map((n) => fixture.submit(set(`k${n}`)));
      expect(all.map(({ replies }) => replies)).toEqual([[], [], [], ['OVERLOADED']]);
      fixture.route.noteLeader('n2', 1);
      fixture.route.replied(1, undefined, OK);
      expect(fixture.submit(set('again')).replies).toEqual([]);
    } finally {
      restore();
    }
  });

  test('says which sequences it will never send again', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    for (const key of ['a', 'b', 'c']) fixture.submit(set(key));
    fixture.route.replied(1, undefined, OK);
    fixture.route.replied(3, undefined, OK);
    fixture.submit(set('d'));
    fixture.hub.flush();
    const frames = fixture.env.network.dialled('n2:9001').sent;
    const floors: number[] = [];
    for (const frame of frames) {
      const reader = new ByteReader(frame);
      decodeFrameHeader(reader);
      decodeMessages(reader, (kind, _group, body) => {
        const fields = new ByteReader(body);
        fields.varint();
        if (kind === MESSAGE.forwardRequests) floors.push(fields.varint());
      });
    }
    expect(floors).toEqual([1, 1, 1, 2]);
  });
});

describe('the end of a request that cannot be answered', () => {
  test('is NO_LEADER for a request that was never sent, because nobody leads', () => {
    const fixture = new Fixture();
    const write = fixture.submit(set('a'));
    const read = fixture.submit(['GET', 'a']);
    fixture.tick(LIMITS.requestTimeoutMs - 1);
    expect([write.replies, read.replies]).toEqual([[], []]);
    fixture.tick(1);
    expect([write.replies, read.replies]).toEqual([['NO_LEADER'], ['NO_LEADER']]);
  });

  test('is OUTCOME_UNKNOWN for a write that was sent and TIMEOUT for a read', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const write = fixture.submit(set('a'));
    const read = fixture.submit(['GET', 'a']);
    fixture.tick(LIMITS.requestTimeoutMs);
    expect([write.replies, read.replies]).toEqual([['OUTCOME_UNKNOWN'], ['TIMEOUT']]);
  });

  test('stays OUTCOME_UNKNOWN after a later attempt that certainly did nothing', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const { replies } = fixture.submit(set('a'));
    fixture.route.replied(1, 'leadership-lost', null);
    fixture.tick();
    fixture.route.replied(1, 'not-leader', null);
    fixture.route.noteLeader(undefined, 2);
    fixture.tick(LIMITS.requestTimeoutMs);
    expect(replies).toEqual(['OUTCOME_UNKNOWN']);
  });

  test('is definite for a write that was only ever given back untouched', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const { replies } = fixture.submit(set('a'));
    fixture.route.replied(1, 'not-leader', null);
    fixture.route.noteLeader(undefined, 2);
    fixture.tick(LIMITS.requestTimeoutMs);
    expect(replies).toEqual(['NO_LEADER']);
  });

  test('is OVERLOADED at once where the group has no room and nothing was tried before', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const { replies } = fixture.submit(set('a'));
    fixture.route.replied(1, 'overloaded', null);
    expect(replies).toEqual(['OVERLOADED']);
  });

  test('is not hastened by a repeat for which there was no room: the first attempt may still be answered', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const answered = fixture.submit(set('a'));
    const unanswered = fixture.submit(set('b'));
    fixture.sent();
    fixture.tick(2100);
    expect(fixture.sent()).toHaveLength(2);
    fixture.route.replied(1, 'overloaded', null);
    fixture.route.replied(2, 'overloaded', null);
    expect(answered.replies).toEqual([]);
    fixture.route.replied(1, undefined, OK);
    fixture.tick(LIMITS.requestTimeoutMs);
    expect([answered.replies, unanswered.replies]).toEqual([['+OK'], ['OUTCOME_UNKNOWN']]);
  });

  test('is UNKNOWN_BUCKET once its bucket is dropped, unless an earlier attempt may have come first', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const sent = fixture.submit(set('a'), { bucketId: 4 });
    fixture.route.noteLeader(undefined, 2);
    const unsent = fixture.submit(set('b'), { bucketId: 4 });
    const other = fixture.submit(set('c'));
    fixture.dropped.add(4);
    fixture.sent();
    fixture.route.noteLeader('n3', 3);
    expect([sent.replies, unsent.replies, other.replies]).toEqual([
      ['OUTCOME_UNKNOWN'],
      ['UNKNOWN_BUCKET'],
      [],
    ]);
    expect(fixture.sent().map(({ word }) => word)).toEqual(['c']);
  });

  test('when the node stops is as unknown as the request is', () => {
    const fixture = new Fixture();
    fixture.route.noteLeader('n2', 1);
    const write = fixture.submit(set('a'));
    const read = fixture.submit(['GET', 'a']);
    fixture.route.noteLeader(undefined, 2);
    const unsent = fixture.submit(set('b'));
    fixture.route.stop();
    expect([write.replies, read.replies, unsent.replies]).toEqual([
      ['OUTCOME_UNKNOWN'],
      ['SHUTTING_DOWN'],
      ['SHUTTING_DOWN'],
    ]);
    fixture.route.replied(1, undefined, OK);
    expect(write.replies).toHaveLength(1);
  });

  test('comes exactly once to every request, whatever happens on the way', () => {
    const anyEvent = fc.oneof(
      fc.record({ what: fc.constant('submit' as const), write: fc.boolean() }),
      fc.record({
        what: fc.constant('reply' as const),
        sequence: fc.integer({ min: 1, max: 30 }),
        refusal: fc.constantFrom(
          undefined,
          'not-leader' as const,
          'leadership-lost' as const,
          'behind' as const,
          'overloaded' as const,
        ),
      }),
      fc.record({
        what: fc.constant('leader' as const),
        leader: fc.constantFrom('n2', 'n3', undefined),
        term: fc.nat(12),
      }),
      fc.record({ what: fc.constant('reset' as const), peer: fc.constantFrom('n2', 'n3') }),
      fc.record({ what: fc.constant('tick' as const), ms: fc.constantFrom(20, 700, 3000) }),
    );
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
        const fixture = new Fixture();
        const all: Submitted[] = [];
        /** Writes that some attempt may have carried out: an error must not call them undone. */
        const maybe = new Set<number>();
        let sequence = 0;
        for (const event of events) {
          if (event.what === 'submit') {
            sequence++;
            all.push(fixture.submit(event.write ? set(`k${sequence}`) : ['GET', `k${sequence}`]));
          } else if (event.what === 'reply') {
            // Only what was sent is answered.
            if (maybe.has(event.sequence)) fixture.route.replied(event.sequence, event.refusal, OK);
          } else if (event.what === 'leader') fixture.route.noteLeader(event.leader, event.term);
          else if (event.what === 'reset') fixture.route.peerReset(event.peer);
          else fixture.tick(event.ms);
          for (const { sequence: number } of fixture.sent()) maybe.add(number);
        }
        fixture.tick(LIMITS.requestTimeoutMs);
        for (const [position, { replies, request }] of all.entries()) {
          expect(replies).toHaveLength(1);
          if (replies[0] === 'OUTCOME_UNKNOWN') {
            expect(request.definition.isWrite).toBe(true);
            expect(maybe.has(position + 1)).toBe(true);
          }
        }
        expect(fixture.route.inflight).toBe(0);
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});

describe('reads that need no leader', () => {
  test('are served here though writes wait for a leader', () => {
    const world = new ReplicaWorld({ seed: 'stale', members: 1 });
    world.run('SET', 'a', 'x');
    const { replica, life } = world.members[0]!;
    const route = new GroupRoute(1, {
      self: 'n1',
      peers: life.hub,
      replica: () => replica,
      monotonicMs: () => life.env.clock.monotonicMs(),
      scheduleFlush: () => {},
      noteForwarded: () => {},
      knowsBucket: () => true,
    });
    const outcomes: unknown[] = [];
    const request = (words: readonly Word[], consistency: ReadConsistency): Request => ({
      definition: command(String(words[0])),
      bucket: bucketOf(0),
      args: words.slice(1).map(bytes),
      completion: { complete: (reply) => outcomes.push(summary(reply)) },
      consistency,
      ordered: false,
      session: undefined,
    });
    route.submit(request(['SET', 'b', 'y'], 'linearizable'));
    route.submit(request(['GET', 'a'], 'linearizable'));
    expect(outcomes).toEqual([]);
    route.submit(request(['GET', 'a'], 'stale'));
    expect(outcomes).toEqual(['x']);
    route.noteLeader('n1', 1);
    world.until('the others are answered', () => outcomes.length === 3);
    expect(outcomes.slice(1).sort()).toEqual(['+OK', 'x']);
  });
});
