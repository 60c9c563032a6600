import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { firstMap } from '../../src/cluster/formation.js';
import type { BucketSpecification } from '../../src/cluster/map.js';
import {
  encodeChange,
  type MapAnswer,
  type MapChange,
  MapState,
  unwrapAnswer,
} from '../../src/cluster/map-state.js';
import { describeNode } from '../support/fake-node.js';

function freshState(): MapState {
  return new MapState(
    firstMap({
      clusterName: 'test',
      nodes: [describeNode('n1')],
      replicas: 1,
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
    ['a replication of another version', bucketNamed('a', { replication: 'quorum' }), 'NOT_SUPPORTED'],
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
    expect(codeOf(apply(state, { change: 'drop-bucket', name: 'default' }))).toBe('BUCKET_UNCHANGEABLE');
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

describe('an answer of group 0', () => {
  test('is the bucket or the error that it stands for', () => {
    const state = freshState();
    expect(unwrapAnswer(create(state, 'a'))).toMatchObject({ name: 'a' });
    expect(() => unwrapAnswer(create(state, 'a'))).toThrow(
      expect.objectContaining({ code: 'BUCKET_EXISTS' }),
    );
  });
});
