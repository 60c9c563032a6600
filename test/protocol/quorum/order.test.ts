/** In which order the requests of one turn leave. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { composeVersion } from '../../../src/protocol/quorum/clock.js';
import { forEachMutation } from '../../../src/protocol/quorum/codec.js';
import { BenchCore, replicaSet } from './bench-core.js';

const THREE = replicaSet('n1', 'n2', 'n3');
const ELSEWHERE = replicaSet('n2', 'n3', 'n4');

/** What goes to a peer, as the keys of each message. */
function sentTo(bench: BenchCore, peer: string): string[] {
  return bench.effects.messages
    .filter(({ to }) => to === peer)
    .map(({ message }) => {
      if (message.kind === 'read')
        return `read ${message.queries.map(({ key }) => key.toString()).join(' ')}`;
      if (message.kind !== 'mutate') return message.kind;
      const keys: string[] = [];
      forEachMutation(message.batch.bytes, (_bucketId, key) => keys.push(key.toString()));
      return `write ${keys.join(' ')}`;
    });
}

describe('the requests of one turn', () => {
  it('go as one message of writes and one of reads behind it, for different keys', () => {
    const bench = new BenchCore();
    for (const set of [THREE, ELSEWHERE]) {
      bench.read('a', { replicas: set, r: 2 });
      bench.write('b', '1', { replicas: set });
      bench.read('b', { replicas: set, r: 2 });
      bench.write('c', '1', { replicas: set });
      bench.take();
      expect(sentTo(bench, 'n2')).toEqual(['write b c', 'read a b']);
    }
  });

  it('keep their order for one key: a read does not see what is written behind it', () => {
    for (const set of [THREE, ELSEWHERE]) {
      const bench = new BenchCore();
      bench.write('a', '1', { replicas: set });
      bench.read('a', { replicas: set, r: 3 });
      bench.write('a', '2', { replicas: set });
      bench.read('a', { replicas: set, r: 3 });
      bench.write('b', '1', { replicas: set });
      bench.take();
      expect(sentTo(bench, 'n3')).toEqual(['write a', 'read a', 'write a b', 'read a']);
    }
  });

  it('send the writes first also when there are more questions than one message holds', () => {
    const bench = new BenchCore();
    bench.write('a', '1', { replicas: ELSEWHERE });
    for (let i = 0; i <= LIMITS.maxCommandsPerEntry; i++) bench.read(`k${i}`, { replicas: ELSEWHERE, r: 3 });
    bench.take();
    const sent = sentTo(bench, 'n2');
    expect(sent.map((message) => message.split(' ')[0])).toEqual(['write', 'read', 'read']);
  });
});

describe('a fence', () => {
  it('lies at or above all that was given by now, and what is given later lies above it', () => {
    const bench = new BenchCore();
    const before = bench.core.fence(bench.wallMs, 0);
    expect(before).toBeGreaterThanOrEqual(composeVersion(Math.floor(bench.wallMs), 63, 127));
    const ends = bench.write('a', '1', { replicas: THREE, w: 1, durable: false });
    const [end] = ends;
    const version = end?.ok === true ? end.version : 0;
    expect(version).toBeGreaterThan(before);
    expect(bench.core.fence(bench.wallMs, 0)).toBeGreaterThanOrEqual(version);
  });

  it('does not take the clock further ahead than the drift', () => {
    const bench = new BenchCore();
    const farAhead = composeVersion(Math.floor(bench.wallMs) + 3_600_000, 0, 5);
    expect(bench.core.fence(bench.wallMs, farAhead)).toBe(0);
    expect(bench.core.fence(bench.wallMs, 0)).toBeLessThan(farAhead);
  });
});
