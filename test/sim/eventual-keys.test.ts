/** The checker of eventual buckets: what it must refuse, and what it must let pass. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EventualKeys, type EventualWrite } from '../../sim/checkers/eventual-keys.js';

const MEMBERS = ['n1', 'n2', 'n3'];

let history: { nowMs: number; kills: number; lostDisks: { node: string; atMs: number }[] };
let keys: EventualKeys;

beforeEach(() => {
  history = { nowMs: 100, kills: 0, lostDisks: [] };
  keys = create(true, 0);
});

function create(readRepair: boolean, clockDifferenceMs: number): EventualKeys {
  return new EventualKeys({
    bucket: 'b',
    readRepair,
    history,
    membersOf: () => MEMBERS,
    clockDifferenceMs: () => clockDifferenceMs,
  });
}

function written(value: string | null, version: number, w = 2, ttlMs = 0): EventualWrite {
  const write = keys.callWrite('k', value, ttlMs, w);
  keys.acknowledged(write, version);
  return write;
}

function read(r: number, value: string | null, version: number): () => void {
  const open = keys.callRead('k', r);
  return () => keys.answered(open, value, version);
}

describe('a read whose quorum overlaps that of an acknowledged write', () => {
  it('must find it, or something newer', () => {
    written('a', 10);
    written('b', 20);
    expect(read(2, 'b', 20)).not.toThrow();
    expect(read(2, 'a', 10)).toThrow(/missed 'b' \(w 2\), version 20/);
    const later = keys.callWrite('k', 'c', 0, 2);
    expect(read(2, 'c', 30)).not.toThrow();
    expect(later.version).toBeUndefined();
  });

  it('may miss what was acknowledged after it began', () => {
    written('a', 10);
    const open = keys.callRead('k', 2);
    written('b', 20);
    expect(() => keys.answered(open, 'a', 10)).not.toThrow();
  });

  it('must not find nothing, unless a deletion or an end of life explains it', () => {
    written('a', 10);
    expect(read(2, null, 0)).toThrow(/found nothing and missed 'a'/);
    keys.callWrite('k', null, 0, 2);
    expect(read(2, null, 0)).not.toThrow();
  });

  it('must not take an older deletion for an explanation', () => {
    written(null, 5);
    written('a', 10);
    expect(read(2, null, 0)).toThrow(/found nothing/);
  });

  it('must not find what was deleted', () => {
    written('a', 10);
    written(null, 20);
    expect(read(2, null, 0)).not.toThrow();
    expect(read(2, 'a', 10)).toThrow(/missed a deletion/);
  });

  it('may find nothing only once the life of the value may have ended', () => {
    written('a', 10, 2, 1000);
    expect(read(2, null, 0)).toThrow(/found nothing/);
    history.nowMs = 1101;
    expect(read(2, null, 0)).not.toThrow();
    history.nowMs = 1200;
    expect(read(2, 'a', 10)).toThrow(/has expired/);
  });

  it('is not missed before as many of its replicas as acknowledged it have lost their disks since', () => {
    written('a', 10);
    written('b', 20);
    history.lostDisks.push({ node: 'n9', atMs: 150 });
    expect(read(2, 'a', 10)).toThrow(/missed/);
    history.lostDisks.push({ node: 'n3', atMs: 150 });
    expect(read(2, 'a', 10)).toThrow(/missed/);
    history.lostDisks.push({ node: 'n3', atMs: 155 });
    expect(read(2, 'a', 10)).toThrow(/missed/);
    history.lostDisks.push({ node: 'n2', atMs: 160 });
    expect(read(2, 'a', 10)).not.toThrow();
    expect(read(3, 'a', 10)).not.toThrow();
    history.nowMs = 200;
    written('c', 30);
    expect(read(2, 'b', 20)).toThrow(/missed 'c'/);
  });

  it('is counted without writes in the memory of one replica once a process has died', () => {
    written('a', 10, 1);
    expect(read(3, null, 0)).toThrow(/found nothing/);
    history.kills++;
    expect(read(3, null, 0)).not.toThrow();
  });
});

describe('a read of few replicas', () => {
  it('may be stale, but finds only what was written, under its version', () => {
    written('a', 10);
    written('b', 20);
    expect(read(1, 'a', 10)).not.toThrow();
    expect(read(1, null, 0)).not.toThrow();
    expect(read(1, 'x', 10)).toThrow(/nobody wrote/);
    expect(read(1, 'a', 11)).toThrow(/its version is 10/);
    expect(read(1, 'a', 20)).toThrow(/its version is 10/);
  });

  it('never finds what was said not to have happened', () => {
    keys.failed(keys.callWrite('k', 'a', 0, 2));
    expect(read(1, 'a', 10)).toThrow(/nothing was done/);
  });
});

describe('versions', () => {
  it('are given once, but for what a crash made a clock forget', () => {
    written('a', 10, 1);
    const twice = keys.callWrite('k', 'b', 0, 1);
    expect(() => keys.acknowledged(twice, 10)).toThrow(/version 10 is of/);
    history.kills++;
    const again = keys.callWrite('k', 'c', 0, 1);
    expect(() => keys.acknowledged(again, 10)).not.toThrow();
  });

  it('grow from one acknowledged write to the next when their quorums overlap', () => {
    const under = keys.callWrite('k', 'z', 0, 2);
    written('a', 10);
    const after = keys.callWrite('k', 'b', 0, 2);
    expect(() => keys.acknowledged(under, 5)).not.toThrow();
    expect(() => keys.acknowledged(after, 9)).toThrow(/not above 10/);
    expect(() => written('c', 8, 1)).not.toThrow();
  });
});

describe('with read repair', () => {
  it('no quorum read goes back behind another, while no node crashes', () => {
    keys.callWrite('k', 'a', 0, 2);
    keys.callWrite('k', 'b', 0, 2);
    expect(read(2, 'b', 20)).not.toThrow();
    expect(read(2, 'a', 10)).toThrow(/after one of 2 had found 20/);
    expect(read(2, null, 0)).toThrow(/after one of 2 had found 20/);
    history.kills++;
    expect(read(2, 'a', 10)).not.toThrow();
  });

  it('alone: without it they may', () => {
    keys = create(false, 0);
    keys.callWrite('k', 'a', 0, 2);
    keys.callWrite('k', 'b', 0, 2);
    expect(read(2, 'b', 20)).not.toThrow();
    expect(read(2, 'a', 10)).not.toThrow();
  });
});

describe('what all nodes answer in the end', () => {
  it('is what all replicas together know', () => {
    written('a', 10);
    written('b', 20);
    expect(() => keys.converged('k', 'b', 20, 'n1')).not.toThrow();
    expect(() => keys.converged('k', 'a', 10, 'n2')).toThrow(/missed 'b'/);
  });

  it('is the same everywhere', () => {
    keys.callWrite('k', 'a', 0, 2);
    keys.callWrite('k', 'b', 0, 2);
    keys.converged('k', 'b', 20, 'n1');
    history.kills++;
    expect(() => keys.converged('k', 'a', 10, 'n2')).toThrow(/n1 has version 20 .* n2 has 10/);
  });

  it('lacks a write only when as many of its replicas as acknowledged it have lost their disks', () => {
    written('a', 10);
    history.lostDisks.push({ node: 'n1', atMs: 150 });
    expect(() => keys.converged('k', null, 0, 'n1')).toThrow(/found nothing/);
    history.lostDisks.push({ node: 'n2', atMs: 150 });
    expect(() => keys.converged('k', null, 0, 'n1')).not.toThrow();
  });
});
