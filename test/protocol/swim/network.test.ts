/** Membership over a network that fails: what must hold at the end, whatever has happened. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SWIM_TIMING } from '../../../src/protocol/swim/options.js';
import { SwimNetwork, TICK_MS } from './network.js';

const { periodMs, suspicionMultiplier, suspicionMaxMultiplier } = SWIM_TIMING;
/** Of up to ten members. */
const LONGEST_SUSPICION_MS = suspicionMultiplier * suspicionMaxMultiplier * periodMs;
/** Two rounds of probes as slow as local health makes them, and a suspicion. */
const settledMs = (nodes: number): number => 2 * nodes * 9 * periodMs + LONGEST_SUSPICION_MS;

describe('a network of members', () => {
  test('agrees that all live, and goes on doing so', () => {
    const network = new SwimNetwork({ seed: 1, nodes: 7 });
    network.run(30_000);
    expect(network.isAgreed()).toBe(true);
    expect(network.deaths).toEqual([]);
  });

  test('learns everywhere that one has died, within two rounds and a suspicion', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const network = new SwimNetwork({ seed, nodes: 7 });
      network.run(3000);
      network.crash('n3');
      const tookMs = network.runUntil(() => network.isAgreed(), 2 * 7 * periodMs + LONGEST_SUSPICION_MS);
      expect(tookMs).toBeGreaterThanOrEqual(suspicionMultiplier * periodMs);
    }
  });

  test.each([0, 999, 1_000_000])('takes one back that returns with incarnation %d', (incarnation) => {
    const network = new SwimNetwork({ seed: 2, nodes: 5 });
    network.run(1000);
    network.crash('n2');
    network.runUntil(() => network.isAgreed(), settledMs(5));
    network.restart('n2', incarnation);
    network.runUntil(() => network.isAgreed(), 3 * 5 * periodMs);
  });

  test('tells one that has just started of the dead', () => {
    const network = new SwimNetwork({ seed: 3, nodes: 5 });
    network.run(1000);
    network.crash('n2');
    network.runUntil(() => network.isAgreed(), settledMs(5));
    network.run(20_000);
    network.crash('n4');
    network.restart('n4', 5000);
    network.runUntil(() => network.isAgreed(), 2 * periodMs);
  });

  test('keeps a member alive that can be reached through others alone', () => {
    const network = new SwimNetwork({ seed: 4, nodes: 5 });
    network.run(1000);
    network.cut('n1', 'n2');
    network.cut('n2', 'n1');
    network.run(60_000);
    expect(network.deaths).toEqual([]);
  });

  test('finds together again after each side has declared the other dead', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const network = new SwimNetwork({ seed, nodes: 6 });
      network.run(1000);
      network.partition(['n1', 'n2', 'n3'], ['n4', 'n5', 'n6']);
      network.runUntil(
        () => network.stateOf('n1', 'n5') === 'dead' && network.stateOf('n6', 'n2') === 'dead',
        settledMs(6),
      );
      network.run(20_000);
      network.heal();
      network.runUntil(() => network.isAgreed(), settledMs(6));
    }
  });

  test('does not lose those who can hear but not speak for good, nor those who can speak but not hear', () => {
    for (const way of ['in', 'out'] as const) {
      const network = new SwimNetwork({ seed: 5, nodes: 5 });
      network.run(1000);
      for (const other of ['n2', 'n3', 'n4', 'n5']) {
        if (way === 'in') network.cut(other, 'n1');
        else network.cut('n1', other);
      }
      network.run(20_000);
      expect(network.stateOf('n2', 'n1')).toBe('dead');
      network.heal();
      network.runUntil(() => network.isAgreed(), settledMs(5));
    }
  });

  test('hears no accusation from a process that was paused', () => {
    const network = new SwimNetwork({ seed: 6, nodes: 5 });
    network.run(2000);
    for (let i = 0; i < 10; i++) {
      network.pause('n3');
      network.run(30_000);
      network.resume('n3');
      network.run(5000);
    }
    const accusers = new Set(network.deaths.map(({ observer }) => observer));
    expect(accusers.has('n3')).toBe(false);
    expect(new Set(network.deaths.map(({ member }) => member))).toEqual(new Set(['n3']));
    expect(network.isAgreed()).toBe(true);
  });

  test('wrongs nobody because of a process whose loop is always slow', () => {
    const network = new SwimNetwork({ seed: 7, nodes: 5 });
    network.run(2000);
    for (let i = 0; i < 300; i++) {
      network.pause('n3');
      network.run(300);
      network.resume('n3');
      network.run(TICK_MS);
    }
    expect(network.deaths.filter(({ member }) => member !== 'n3')).toEqual([]);
  });

  test('does the same whenever the seed is the same', () => {
    const trace = (seed: number): number => {
      const network = new SwimNetwork({ seed, nodes: 6 });
      network.faults = { lossRate: 0.3, repeatRate: 0.1, maxDelayMs: 100 };
      network.run(20_000);
      network.crash('n1');
      network.run(10_000);
      return network.trace;
    };
    expect(trace(11)).toBe(trace(11));
    expect(trace(11)).not.toBe(trace(12));
  });
});

type Mischief = 'crash' | 'restart' | 'pause' | 'resume' | 'cut' | 'partition' | 'lossy';

const anyMischief = fc.array(
  fc.record({
    what: fc.constantFrom<Mischief>('crash', 'restart', 'pause', 'resume', 'cut', 'partition', 'lossy'),
    who: fc.nat(),
    other: fc.nat(),
    forMs: fc.integer({ min: 20, max: 6000 }),
  }),
  { maxLength: 20 },
);

function wreak(network: SwimNetwork, what: Mischief, who: string, other: string): void {
  switch (what) {
    case 'crash':
      network.crash(who);
      return;
    case 'restart':
      if (!network.members.get(who)!.up) network.restart(who, Math.floor(network.random() * 2000));
      return;
    case 'pause':
      if (network.members.get(who)!.up) network.pause(who);
      return;
    case 'resume':
      network.resume(who);
      return;
    case 'cut':
      network.cut(who, other);
      return;
    case 'partition': {
      const place = network.ids.indexOf(who);
      network.partition(network.ids.slice(0, place), network.ids.slice(place));
      return;
    }
    case 'lossy':
      network.faults = { lossRate: 0.4, repeatRate: 0.2, maxDelayMs: 300 };
      return;
  }
}

describe('after any mischief', () => {
  // Incarnations that go back are caught by the network as it runs.
  test('all who live are seen alive by all within a bounded time, and the dead are dead everywhere', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 2, max: 7 }), anyMischief, (seed, nodes, mischief) => {
        const network = new SwimNetwork({ seed, nodes });
        network.run(500);
        for (const { what, who, other, forMs } of mischief) {
          const member = network.ids[who % nodes]!;
          wreak(network, what, member, network.ids[other % nodes]!);
          network.run(forMs);
        }
        network.heal();
        network.runUntil(() => network.isAgreed(), settledMs(nodes));
        network.crash(network.ids[seed % nodes]!);
        network.runUntil(() => network.isAgreed(), settledMs(nodes));
      }),
      { seed: 4, numRuns: 150 },
    );
  });

  test('digests of load are the newest everywhere once no more are given', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const network = new SwimNetwork({ seed, nodes: 6 });
      network.faults = { lossRate: 0.2, repeatRate: 0.1, maxDelayMs: 50 };
      for (let round = 1; round <= 5; round++) {
        for (const { core } of network.members.values())
          core.setLoad({ loopLagMs: 1, requestsPerSecond: round, memoryBytes: 0, readP99Ms: 0, epoch: 1 });
        network.run(1000);
      }
      network.faults = { lossRate: 0, repeatRate: 0, maxDelayMs: 5 };
      network.run(10 * periodMs);
      for (const { core } of network.members.values())
        for (const id of network.ids) expect(core.loadOf(id)?.requestsPerSecond).toBe(5);
    }
  });
});
