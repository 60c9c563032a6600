import { describe, expect, it } from 'vitest';
import { endsOnce, laterWritesWin, readsNeverGoBack, readsSeeWrites } from './history.js';
import { MemoryQuorumStore } from './memory-store.js';
import { type NetworkFaults, type NetworkOptions, QuorumNetwork, seededRandom, TIMING } from './network.js';

const SEEDS = Array.from({ length: 25 }, (_, i) => i + 1);

/** Each fault is off in some seeds and up to its most in others. */
function swarm(seed: number, crashesPerSecond: number): NetworkFaults {
  const random = seededRandom(seed * 7919);
  const rate = (most: number): number => (random() < 0.35 ? 0 : random() * most);
  return {
    lossRate: rate(0.1),
    repeatRate: rate(0.2),
    maxDelayMs: 1 + rate(40),
    resetsPerSecond: rate(20),
    cutsPerSecond: rate(8),
    crashesPerSecond: rate(crashesPerSecond),
  };
}

function network(seed: number, options: Partial<NetworkOptions> = {}): QuorumNetwork {
  return new QuorumNetwork({
    seed,
    faults: swarm(seed, 0),
    maxSkewMs: TIMING.maxClockDriftMs * 0.4,
    readRepairChance: seed % 3 === 0 ? 0.5 : 0,
    ...options,
  });
}

describe('a network of quorum cores', () => {
  it.each(SEEDS)('under faults without crashes keeps all promises (seed %i)', (seed) => {
    const world = network(seed);
    world.load(2000, 400);
    world.heal();
    expect(endsOnce([...world.writes, ...world.reads])).toBeUndefined();
    expect(readsSeeWrites(world.writes, world.reads)).toBeUndefined();
    expect(laterWritesWin(world.writes)).toBeUndefined();
    expect(readsNeverGoBack(world.reads)).toBeUndefined();
    expect(world.writes.filter(({ failure }) => failure === undefined).length).toBeGreaterThan(50);
  });

  it.each(SEEDS)('keeps what was acknowledged as durable through crashes (seed %i)', (seed) => {
    const world = network(seed, { faults: swarm(seed, 6) });
    world.load(2000, 400);
    world.heal();
    const durable = world.writes.filter((write) => write.durable);
    expect(endsOnce([...world.writes, ...world.reads])).toBeUndefined();
    expect(readsSeeWrites(durable, world.reads)).toBeUndefined();
    expect(laterWritesWin(durable)).toBeUndefined();
  });

  it.each(SEEDS)(
    'keeps its promises to writes when clocks are further apart than allowed (seed %i)',
    (seed) => {
      const world = network(seed, { maxSkewMs: TIMING.maxClockDriftMs * 1.5 });
      world.load(2000, 400);
      world.heal();
      expect(endsOnce([...world.writes, ...world.reads])).toBeUndefined();
      expect(readsSeeWrites(world.writes, world.reads)).toBeUndefined();
      expect(laterWritesWin(world.writes)).toBeUndefined();
    },
  );

  it.each(SEEDS)('ends with equal replicas once hints and repairs have arrived (seed %i)', (seed) => {
    const world = network(seed, { faults: swarm(seed, 3) });
    world.load(1000, 400);
    world.heal();
    world.replayHints();
    world.repairAll();
    for (const key of world.keys) expect(new Set(world.replicasOf(key)).size, key).toBe(1);
    // What replicas agree on is nothing older than what was acknowledged.
    for (const key of world.keys) {
      const [version] = world.replicasOf(key)[0]!.split(' ');
      for (const write of world.writes)
        if (write.key === key && write.durable && write.quorum >= 2 && write.version > 0)
          expect(Number(version)).toBeGreaterThanOrEqual(write.version);
    }
  });

  it('needs no repair to be equal when nothing is lost', () => {
    const world = network(1, {
      faults: { ...swarm(1, 0), lossRate: 0, cutsPerSecond: 0, resetsPerSecond: 0 },
    });
    world.load(1000, 400);
    world.heal();
    for (const key of world.keys) expect(new Set(world.replicasOf(key)).size, key).toBe(1);
  });

  it('does the same again under the same seed', () => {
    const traces = [1, 2].map(() => {
      const world = network(11, { faults: swarm(11, 5) });
      world.load(1000, 400);
      return JSON.stringify([world.delivered, world.writes, world.reads, world.statistics()]);
    });
    expect(traces[0]).toBe(traces[1]);
  });

  it('exercises what it is there for', () => {
    const sum = { restamped: 0, hinted: 0, readRepairs: 0, speculativeReads: 0, crashes: 0 };
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const world = network(seed, { faults: swarm(seed, 6) });
      world.load(1000, 400);
      const { restamped, hinted, readRepairs, speculativeReads } = world.statistics();
      sum.restamped += restamped;
      sum.hinted += hinted;
      sum.readRepairs += readRepairs;
      sum.speculativeReads += speculativeReads;
      sum.crashes += world.crashes;
    }
    for (const [what, count] of Object.entries(sum)) expect(count, what).toBeGreaterThan(5);
  });
});

/** A store that claims to have taken what it has not, because something newer stood there. */
class SwallowingStore extends MemoryQuorumStore {
  override merge(...args: Parameters<MemoryQuorumStore['merge']>): ReturnType<MemoryQuorumStore['merge']> {
    const result = super.merge(...args);
    return result === 'older' ? 'equal' : result;
  }
}

/** A store that forgets one record in ten. */
class LeakyStore extends MemoryQuorumStore {
  #count = 0;
  override merge(...args: Parameters<MemoryQuorumStore['merge']>): ReturnType<MemoryQuorumStore['merge']> {
    return this.#count++ % 10 === 0 ? 'applied' : super.merge(...args);
  }
}

/** A store that takes whatever comes last. */
class LastCallStore extends MemoryQuorumStore {
  override merge(...args: Parameters<MemoryQuorumStore['merge']>): ReturnType<MemoryQuorumStore['merge']> {
    this.remove(args[0], args[1]);
    return super.merge(...args);
  }
}

describe('the checks of the network', () => {
  function violations(makeStore: () => MemoryQuorumStore): Set<string> {
    const caught = new Set<string>();
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const world = network(seed, { makeStore });
      world.load(1000, 400);
      world.heal();
      if (readsSeeWrites(world.writes, world.reads) !== undefined) caught.add('missed');
      if (laterWritesWin(world.writes) !== undefined) caught.add('hidden');
      if (readsNeverGoBack(world.reads) !== undefined) caught.add('back');
    }
    return caught;
  }

  it('catch a store that swallows writes in the name of newer ones', () => {
    expect(violations(() => new SwallowingStore())).toContain('hidden');
  });

  it('catch a store that forgets', () => {
    expect(violations(() => new LeakyStore())).toContain('missed');
  });

  it('catch a store that lets the last message win', () => {
    expect(violations(() => new LastCallStore())).toContain('back');
  });
});
