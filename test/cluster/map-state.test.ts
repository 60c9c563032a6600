import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { firstMap } from '../../src/cluster/formation.js';
import type { BucketChanges, BucketSpecification, NodeDescription } from '../../src/cluster/map.js';
import { decodeMap, encodeMap } from '../../src/cluster/map-codec.js';
import {
  encodeChange,
  type MapAnswer,
  type MapChange,
  MapState,
  unwrapAnswer,
  unwrapNode,
} from '../../src/cluster/map-state.js';
import { describeNode } from '../support/fake-node.js';

function freshState(nodes = 1): MapState {
  return new MapState(
    firstMap({
      clusterName: 'test',
      nodes: Array.from({ length: nodes }, (_, index) => describeNode(`n${index + 1}`)),
      replicas: 3,
      buckets: [{ name: 'default', replication: 'raft', engine: 'memory', ttlMs: 0 }],
    }),
  );
}

let requests = 0;

function apply(state: MapState, change: MapChange, requestId = `request-${++requests}`): MapAnswer {
  return state.apply(encodeChange(requestId, change)).answer;
}

function bucketNamed(name: string, changes: Partial<BucketSpecification> = {}): BucketSpecification {
  return { name, replication: 'raft', engine: 'memory', ttlMs: 0, ...changes };
}

function create(state: MapState, name: string, changes: Partial<BucketSpecification> = {}): MapAnswer {
  return apply(state, { change: 'create-bucket', bucket: bucketNamed(name, changes) });
}

function codeOf(answer: MapAnswer): string {
  return answer.ok ? 'ok' : answer.code;
}

describe('the map as group 0 changes it', () => {
  test('gives a new bucket the next number and the map the next epoch', () => {
    const state = freshState();
    const answer = create(state, 'sessions', { ttlMs: 1000 });
    expect(answer).toEqual({
      ok: true,
      bucket: { id: 1, name: 'sessions', replication: 'raft', engine: 'memory', ttlMs: 1000 },
    });
    expect(state.map.epoch).toBe(2);
    expect(state.map.buckets.map(({ name }) => name)).toEqual(['default', 'sessions']);
  });

  test('never gives a number twice', () => {
    const state = freshState();
    create(state, 'a');
    apply(state, { change: 'drop-bucket', name: 'a' });
    expect(create(state, 'a')).toMatchObject({ bucket: { id: 2 } });
  });

  test('leaves an older map as it was', () => {
    const state = freshState();
    const before = state.map;
    create(state, 'a');
    expect(before.buckets).toHaveLength(1);
    expect(before.epoch).toBe(1);
  });

  test('changes the time to live of a bucket, and nothing else', () => {
    const state = freshState();
    create(state, 'a', { engine: 'lmdb' });
    const answer = apply(state, { change: 'update-bucket', name: 'a', changes: { ttlMs: 7 } });
    expect(answer).toMatchObject({ ok: true, bucket: { id: 1, engine: 'lmdb', ttlMs: 7 } });
    expect(apply(state, { change: 'update-bucket', name: 'a', changes: {} })).toMatchObject({
      bucket: { ttlMs: 7 },
    });
  });

  test.each([
    ['a name that is taken', bucketNamed('default'), 'BUCKET_EXISTS'],
    ['an empty name', bucketNamed(''), 'WRONG_ARGUMENTS'],
    ['a number for a name', bucketNamed('12'), 'WRONG_ARGUMENTS'],
    ['a name with a space', bucketNamed('a b'), 'WRONG_ARGUMENTS'],
    ['a name that begins with a dot', bucketNamed('.a'), 'WRONG_ARGUMENTS'],
    ['a name that is too long', bucketNamed('a'.repeat(LIMITS.maxBucketNameBytes + 1)), 'WRONG_ARGUMENTS'],
    ['a replication of another version', bucketNamed('a', { replication: 'mencius' }), 'NOT_SUPPORTED'],
    ['an engine of another version', bucketNamed('a', { engine: 'level' }), 'NOT_SUPPORTED'],
    ['an engine of nobody', { ...bucketNamed('a'), engine: 'rocks' as 'lmdb' }, 'NOT_SUPPORTED'],
    ['a negative time to live', bucketNamed('a', { ttlMs: -1 }), 'WRONG_ARGUMENTS'],
    ['a time to live in parts of a millisecond', bucketNamed('a', { ttlMs: 1.5 }), 'WRONG_ARGUMENTS'],
    ['a time to live beyond all expiries', bucketNamed('a', { ttlMs: 2 ** 48 }), 'WRONG_ARGUMENTS'],
  ])('refuses %s', (_what, bucket, code) => {
    const state = freshState();
    expect(codeOf(apply(state, { change: 'create-bucket', bucket }))).toBe(code);
    expect(state.map.epoch).toBe(1);
  });

  test('refuses a time to live that no bucket can have, on a change too', () => {
    const state = freshState();
    for (const ttlMs of [-1, 0.5, 2 ** 48])
      expect(codeOf(apply(state, { change: 'update-bucket', name: 'default', changes: { ttlMs } }))).toBe(
        'WRONG_ARGUMENTS',
      );
    expect(state.map.epoch).toBe(1);
  });

  test('refuses to change or drop what is not there, and to drop the first bucket', () => {
    const state = freshState();
    expect(codeOf(apply(state, { change: 'update-bucket', name: 'x', changes: { ttlMs: 1 } }))).toBe(
      'UNKNOWN_BUCKET',
    );
    expect(codeOf(apply(state, { change: 'drop-bucket', name: 'x' }))).toBe('UNKNOWN_BUCKET');
    expect(codeOf(apply(state, { change: 'drop-bucket', name: 'default' }))).toBe('BUCKET_UNDROPPABLE');
    expect(state.map.epoch).toBe(1);
  });

  test('refuses one bucket more than there may be', () => {
    const state = freshState();
    for (let i = state.map.buckets.length; i < LIMITS.maxBuckets; i++)
      expect(codeOf(create(state, `b${i}`))).toBe('ok');
    expect(codeOf(create(state, 'one-more'))).toBe('OVERLOADED');
  });

  test('answers a repeated request as it did at first, and does nothing', () => {
    const state = freshState();
    const change: MapChange = { change: 'create-bucket', bucket: bucketNamed('a') };
    const first = apply(state, change, 'same');
    expect(apply(state, change, 'same')).toEqual(first);
    expect(state.map.epoch).toBe(2);
    apply(state, { change: 'drop-bucket', name: 'a' }, 'dropped');
    expect(apply(state, { change: 'drop-bucket', name: 'a' }, 'dropped')).toMatchObject({ ok: true });
  });

  test('remembers as many answers as one node may wait for', () => {
    const state = freshState();
    const first = apply(state, { change: 'create-bucket', bucket: bucketNamed('a') }, 'first');
    for (let i = 1; i < LIMITS.maxBuckets; i++)
      apply(state, { change: 'update-bucket', name: 'default', changes: { ttlMs: i } });
    expect(apply(state, { change: 'create-bucket', bucket: bucketNamed('a') }, 'first')).toEqual(first);
  });

  test('goes on from what was encoded as it would have gone on itself', () => {
    const anyChange: fc.Arbitrary<MapChange> = fc.oneof(
      fc.record({
        change: fc.constant('create-bucket' as const),
        bucket: fc.constantFrom('a', 'b', 'c', '1', 'default').map((name) => bucketNamed(name)),
      }),
      fc.record({
        change: fc.constant('update-bucket' as const),
        name: fc.constantFrom('a', 'b', 'c'),
        changes: fc.record({ ttlMs: fc.nat(1000) }),
      }),
      fc.record({ change: fc.constant('drop-bucket' as const), name: fc.constantFrom('a', 'b', 'default') }),
    );
    const anyRequest = fc.tuple(fc.nat(15), anyChange);
    fc.assert(
      fc.property(fc.array(anyRequest), fc.array(anyRequest), (before, after) => {
        const state = freshState();
        for (const [id, change] of before) apply(state, change, `r${id}`);
        const restored = freshState();
        restored.restore(state.encode());
        expect(restored.map).toEqual(state.map);
        for (const [id, change] of after)
          expect(apply(restored, change, `r${id}`)).toEqual(apply(state, change, `r${id}`));
        expect(restored.encode().equals(state.encode())).toBe(true);
      }),
      { seed: 1, numRuns: 60 },
    );
  });
});

describe('an eventual bucket', () => {
  const eventual = (changes: Partial<BucketSpecification> = {}): BucketSpecification =>
    bucketNamed('e', { replication: 'quorum', ...changes });

  function createEventual(state: MapState, changes: Partial<BucketSpecification> = {}): MapAnswer {
    return apply(state, { change: 'create-bucket', bucket: eventual(changes) });
  }

  function update(state: MapState, changes: BucketChanges): MapAnswer {
    return apply(state, { change: 'update-bucket', name: 'e', changes });
  }

  const ON = { readRepair: true, hintedHandoff: true, antiEntropy: true, flushedThrough: 0 };

  test.each([
    [1, { n: 1, r: 1, w: 1 }],
    [2, { n: 2, r: 2, w: 2 }],
    [3, { n: 3, r: 2, w: 2 }],
    [5, { n: 3, r: 2, w: 2 }],
  ])('of %i nodes has up to three copies and majorities unless told otherwise', (nodes, policy) => {
    expect(createEventual(freshState(nodes))).toMatchObject({ bucket: { quorum: { ...policy, ...ON } } });
  });

  test('fills in what its policy leaves open', () => {
    const wanted = { w: 1, n: 2, hintedHandoff: false };
    expect(createEventual(freshState(3), { quorum: wanted })).toMatchObject({
      bucket: { engine: 'memory', quorum: { ...ON, n: 2, r: 2, w: 1, hintedHandoff: false } },
    });
  });

  test.each([
    ['more copies than a group has members', { quorum: { n: 4 } }, /^n must be a whole number from 1 to 3/],
    ['no copies', { quorum: { n: 0 } }, /^n must be/],
    ['parts of a copy', { quorum: { n: 1.5 } }, /^n must be/],
    ['r above n', { quorum: { n: 2, r: 3 } }, /^r must be a whole number from 1 to 2/],
    ['w above n', { quorum: { w: 4 } }, /^w must be a whole number from 1 to 3/],
    ['w of nobody', { quorum: { w: 0 } }, /^w must be/],
    [
      'a switch that is no switch',
      { quorum: { readRepair: 1 as never } },
      /^readRepair must be true or false/,
    ],
    [
      'a quorum without being one',
      { replication: 'raft', quorum: { w: 1 } },
      /^w belongs to buckets of quorum/,
    ],
    [
      'bounds with an engine on disk',
      { engine: 'lmdb', retention: { maxIdleMs: 5, maxMemoryBytes: 0, eviction: 'noeviction' } },
      /^maxIdle needs the engine memory/,
    ],
    [
      'eviction without a bound',
      { retention: { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'lru' } },
      /eviction lru needs maxMemory/,
    ],
    [
      'an idle time in parts of a millisecond',
      { retention: { maxIdleMs: 0.5, maxMemoryBytes: 0, eviction: 'noeviction' } },
      /^maxIdle must be a whole number/,
    ],
    [
      'an eviction of nobody',
      { retention: { maxIdleMs: 0, maxMemoryBytes: 9, eviction: 'random' as 'lru' } },
      /^eviction must be one of/,
    ],
  ] as const)('refuses %s', (_what, changes, message) => {
    const state = freshState(3);
    const answer = createEventual(state, changes);
    expect(answer).toMatchObject({ ok: false, message: expect.stringMatching(message) });
    expect(state.map.epoch).toBe(1);
  });

  test('changes what can be changed while data is in it', () => {
    const state = freshState(3);
    createEventual(state);
    const changes = {
      ttlMs: 5,
      maxIdleMs: 6,
      maxMemoryBytes: 7,
      eviction: 'lfu',
      r: 1,
      w: 3,
      readRepair: false,
      hintedHandoff: false,
      antiEntropy: false,
    } as const;
    const { ttlMs, maxIdleMs, maxMemoryBytes, eviction, ...quorum } = changes;
    expect(update(state, changes)).toEqual({
      ok: true,
      bucket: {
        id: 1,
        name: 'e',
        replication: 'quorum',
        engine: 'memory',
        ttlMs,
        retention: { maxIdleMs, maxMemoryBytes, eviction },
        quorum: { n: 3, ...quorum, flushedThrough: 0 },
      },
    });
    const freed = update(state, { maxIdleMs: 0, maxMemoryBytes: 0 });
    expect(freed).toMatchObject({ bucket: { quorum: { r: 1, w: 3 } } });
    expect(freed.ok && 'bucket' in freed && freed.bucket.retention).toBeUndefined();
  });

  test.each(['id', 'name', 'replication', 'engine', 'n'])('refuses to change its %s', (key) => {
    const state = freshState(3);
    createEventual(state);
    expect(codeOf(update(state, { [key]: 2 }))).toBe('BUCKET_UNCHANGEABLE');
    expect(state.map.epoch).toBe(2);
  });

  test('refuses changes that break its rules, and of what it does not have', () => {
    const state = freshState(3);
    createEventual(state, { engine: 'lmdb' });
    const wrong: readonly (readonly [BucketChanges, string])[] = [
      [{ r: 4 }, 'WRONG_ARGUMENTS'],
      [{ w: 0 }, 'WRONG_ARGUMENTS'],
      [{ maxIdleMs: 5 }, 'NOT_SUPPORTED'],
      [{ ttlMs: -1 }, 'WRONG_ARGUMENTS'],
      [{ colour: 1 } as BucketChanges, 'WRONG_ARGUMENTS'],
    ];
    for (const [changes, code] of wrong) expect(codeOf(update(state, changes))).toBe(code);
    const ofRaft = apply(state, { change: 'update-bucket', name: 'default', changes: { r: 1 } });
    expect(codeOf(ofRaft)).toBe('WRONG_ARGUMENTS');
    expect(state.map.epoch).toBe(2);
  });

  test('is flushed through the highest version that was asked for', () => {
    const state = freshState(3);
    createEventual(state);
    const flush = (version: number, name = 'e'): MapAnswer =>
      apply(state, { change: 'flush-bucket', name, version });
    expect(flush(700)).toMatchObject({ bucket: { quorum: { flushedThrough: 700 } } });
    expect(flush(500)).toMatchObject({ bucket: { quorum: { flushedThrough: 700 } } });
    expect(state.map.epoch).toBe(3);
    expect([flush(-1), flush(2 ** 53), flush(9, 'x'), flush(9, 'default')].map(codeOf)).toEqual([
      'WRONG_ARGUMENTS',
      'WRONG_ARGUMENTS',
      'UNKNOWN_BUCKET',
      'NOT_SUPPORTED',
    ]);
    expect(update(state, { r: 1 })).toMatchObject({ bucket: { quorum: { flushedThrough: 700 } } });
  });
});

describe('a node that comes back', () => {
  test('with a new data directory is known by it, at its addresses, and as one that forgot', () => {
    const state = freshState(3);
    const before = state.map.nodes[1]!;
    const back = { ...before, incarnation: 'fresh', resp: 'elsewhere:1', weight: 9, roles: ['log'] as const };
    const answer = apply(state, { change: 'renew-node', node: back });
    const renewed = { ...before, incarnation: 'fresh', resp: 'elsewhere:1', forgot: true };
    expect(answer).toEqual({ ok: true, node: renewed });
    expect(unwrapNode(answer)).toEqual(renewed);
    expect(() => unwrapAnswer(answer)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
    expect(state.map.nodes.map(({ id }) => id)).toEqual(['n1', 'n2', 'n3']);
    expect(state.map.nodes[1]).toEqual(renewed);
    expect(state.map.epoch).toBe(2);
    expect(decodeMap(encodeMap(state.map))).toEqual(state.map);
  });

  test('twice is not shut out by the first renewal when that comes late', () => {
    const state = freshState(3);
    const before = state.map.nodes[1]!;
    const renew = (incarnation: string, replaces?: string): MapAnswer =>
      apply(state, {
        change: 'renew-node',
        node: { ...before, incarnation },
        ...(replaces === undefined ? {} : { replaces }),
      });
    expect(renew('second', before.incarnation)).toMatchObject({ ok: true });
    expect(codeOf(renew('first', before.incarnation))).toBe('WRONG_ARGUMENTS');
    expect(state.map.nodes[1]).toMatchObject({ incarnation: 'second', forgot: true });
    expect(renew('third', 'second')).toMatchObject({ ok: true });
    // As a log of before has it.
    expect(renew('fourth')).toMatchObject({ ok: true });
    expect(state.map.nodes[1]).toMatchObject({ incarnation: 'fourth' });
  });

  test('with the same, or that nobody knows, changes nothing', () => {
    const state = freshState(3);
    const [known] = state.map.nodes;
    const renew = (changes: Partial<NodeDescription>): string =>
      codeOf(apply(state, { change: 'renew-node', node: { ...known!, ...changes } }));
    expect([renew({}), renew({ incarnation: '' }), renew({ id: 'n9', incarnation: 'x' })]).toEqual([
      'WRONG_ARGUMENTS',
      'WRONG_ARGUMENTS',
      'NOT_FOUND',
    ]);
    expect(state.map.epoch).toBe(1);
  });
});

describe('an answer of group 0', () => {
  test('is the bucket or the error that it stands for', () => {
    const state = freshState();
    expect(unwrapAnswer(create(state, 'a'))).toMatchObject({ name: 'a' });
    expect(() => unwrapAnswer(create(state, 'a'))).toThrow(
      expect.objectContaining({ code: 'BUCKET_EXISTS' }),
    );
  });
});
