import { describe, expect, it } from 'vitest';
import type { RaftNetwork } from './network.js';
import { runSeed } from './swarm.js';

const SEEDS = 300;

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
