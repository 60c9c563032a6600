import { describe, expect, it } from 'vitest';
import { type NetworkFaults, RaftNetwork, seededRandom } from './network.js';

const SEEDS = 300;
const FAULTY_MS = 4000;

/** Swarm testing: each seed has its own mix of faults, some of them none. */
function faultsOf(seed: number): NetworkFaults {
  const random = seededRandom(seed * 7919);
  const rate = (most: number): number => (random() < 0.4 ? 0 : random() * most);
  return {
    lossRate: rate(0.3),
    repeatRate: rate(0.3),
    maxDelayMs: 1 + rate(80),
    crashRate: rate(0.3),
    cutRate: rate(0.5),
    breakRate: rate(0.3),
    compactRate: rate(0.5),
    transferRate: rate(0.1),
    pauseRate: rate(0.1),
  };
}

function runSeed(seed: number): RaftNetwork {
  const network = new RaftNetwork({
    seed,
    voters: [1, 2, 3, 3, 5][seed % 5]!,
    learners: seed % 4 === 0 ? 1 : 0,
    leaseReads: seed % 3 === 0,
    faults: faultsOf(seed),
  });
  network.run(FAULTY_MS, true);
  network.checkLogMatching();
  network.heal();
  expect(
    network.runUntil(() => network.leader() !== undefined, 5000),
    `seed ${seed}: no leader after healing`,
  ).toBe(true);
  // One more entry must reach everybody; a leader that was about to be replaced may lose its proposal.
  let target = { index: 0, term: -1 };
  const everybodyHasIt = (): boolean => {
    const leader = network.leader();
    const status = leader?.core.status();
    if (leader === undefined || status === undefined) return false;
    if (status.term !== target.term) {
      if (network.propose(leader)) target = { index: leader.core.status().lastIndex, term: status.term };
      return false;
    }
    return [...network.nodes.values()].every(
      (node) => node.up && node.applied.index >= target.index && node.reads.size === 0,
    );
  };
  expect(network.runUntil(everybodyHasIt, 5000), `seed ${seed}: no progress after healing`).toBe(true);
  network.checkLogMatching();
  return network;
}

describe('a faulty network of cores (Raft figure 3)', () => {
  it('keeps elections, logs, state machines and reads safe and goes on after healing', () => {
    let elections = 0;
    let reads = 0;
    let snapshots = 0;
    let committed = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      let network: RaftNetwork;
      try {
        network = runSeed(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
      elections += network.elections;
      reads += network.readsServed;
      snapshots += network.snapshots;
      committed += network.committedIndex;
    }
    // The faults must have left something to check.
    expect(elections).toBeGreaterThan(SEEDS * 2);
    expect(reads).toBeGreaterThan(SEEDS * 20);
    expect(snapshots).toBeGreaterThan(SEEDS / 10);
    expect(committed).toBeGreaterThan(SEEDS * 50);
  });

  it('leaves the same trace when the same seed is run again', () => {
    for (const seed of [3, 8, 19]) {
      const first = runSeed(seed);
      const second = runSeed(seed);
      expect(second.trace).toBe(first.trace);
      expect(second.committedIndex).toBe(first.committedIndex);
    }
  });
});
