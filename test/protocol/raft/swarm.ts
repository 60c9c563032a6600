/**
 * One seed's life of a `RaftNetwork`: faults drawn from the seed, then healing, then progress.
 */
import { type NetworkFaults, RaftNetwork, seededRandom } from './network.js';

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

/** Throws when a property is violated, or when nothing moves after healing. */
export function runSeed(seed: number): RaftNetwork {
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
  if (!network.runUntil(() => network.leader() !== undefined, 5000))
    throw new Error('no leader after healing');
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
  if (!network.runUntil(everybodyHasIt, 5000)) throw new Error('no progress after healing');
  network.checkLogMatching();
  return network;
}
