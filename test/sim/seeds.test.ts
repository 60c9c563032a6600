/** Whole clusters of real nodes under seeds: every promise holds, and a seed always tells the same story. */
import { describe, expect, it } from 'vitest';
import { runSimulation } from '../../sim/run.js';
import type { Focus } from '../../sim/swarm.js';

const TIMEOUT_MS = 240_000;

const QUIET: Focus = { crashEveryMs: 0, awayEveryMs: 0, powerLossRate: 0, healOnlyMajority: false };

/** What few seeds draw by themselves. */
const AIMED: readonly (readonly [name: string, focus: Focus])[] = [
  ['when a disk is replaced by an empty one', { wipeWithinMs: 2000, thinkMeanMs: 10 }],
  [
    'when one node loses its disk again and again',
    { wipeWithinMs: 1500, wipeAgainMeanMs: 1500, eventualClients: 8, thinkMeanMs: 5 },
  ],
  [
    'when records are written back all the time, and power is lost meanwhile',
    {
      checkpointIntervalMs: 500,
      limits: { journalWriteBackMs: 500, journalWriteBackBytes: 4096 },
      crashEveryMs: 300,
      powerLossRate: 1,
      downMeanMs: 50,
      eventualClients: 10,
    },
  ],
  ['when nodes are away for longer than hints live', { awayEveryMs: 1000, awayMeanMs: 4000 }],
  ['when a clock runs ahead', { wrongClockMs: 5000, quorum: { maxClockDriftMs: 500 } }],
  [
    'by hints alone',
    {
      ...QUIET,
      clockSkewMaxMs: 0,
      clockDriftMax: 0,
      disk: { syncFailureRate: 0 },
      partitionEveryMs: 500,
      quorum: {
        hintedHandoff: true,
        antiEntropy: false,
        maxHintAgeMs: 3_600_000,
        tombstoneGraceMs: 3_600_000,
        maxHintBytes: 1e9,
        maxClockDriftMs: 20_000,
      },
    },
  ],
  [
    'without hints and read repair',
    { partitionEveryMs: 500, quorum: { hintedHandoff: false, readRepair: false } },
  ],
];

/** Seeds that have found something. */
const KEPT: readonly (readonly [what: string, seed: string, steps: number, focus: Focus])[] = [
  [
    'a renewal that comes after a later one',
    '100375',
    100_000,
    {
      crashEveryMs: 0,
      awayEveryMs: 0,
      powerLossRate: 0,
      eventualClients: 16,
      looseClients: 0,
      registerClients: 0,
      wipeWithinMs: 3000,
      wipeAgainMeanMs: 2000,
      thinkMeanMs: 20,
      network: { dropRate: 0.15 },
      quorum: { readRepair: false, hintedHandoff: false, repairIntervalMs: 10_000 },
    },
  ],
];

describe('a simulated cluster', () => {
  it.each(Array.from({ length: 20 }, (_, i) => String(100 + i)))(
    'keeps its promises under seed %s',
    async (seed) => {
      const result = await runSimulation({ seed, steps: 30_000, nodes: 5 });
      expect(result.violation).toBeUndefined();
      expect(result.operations).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  it.each(KEPT)(
    'keeps its promises in spite of %s (seed %s)',
    async (_what, seed, steps, focus) => {
      const result = await runSimulation({ seed, steps, nodes: 5, focus });
      expect(result.violation).toBeUndefined();
    },
    TIMEOUT_MS,
  );

  it.each([1, 2, 3, 7])(
    'keeps its promises with %i nodes',
    async (nodes) => {
      const result = await runSimulation({ seed: 'sizes', steps: 20_000, nodes });
      expect(result.violation).toBeUndefined();
    },
    TIMEOUT_MS,
  );

  it.each(AIMED.flatMap(([name, focus]) => ['1', '2', '3'].map((seed) => [name, seed, focus] as const)))(
    'keeps its promises %s, under seed %s',
    async (_name, seed, focus) => {
      const result = await runSimulation({ seed, steps: 20_000, nodes: 5, focus });
      expect(result.violation).toBeUndefined();
    },
    TIMEOUT_MS,
  );

  it.each(['1', '2', '3'])(
    'leaves the same trace whenever seed %s is run',
    async (seed) => {
      const first = await runSimulation({ seed, steps: 20_000, nodes: 5 });
      const second = await runSimulation({ seed, steps: 20_000, nodes: 5 });
      expect(second).toEqual(first);
      const other = await runSimulation({ seed: `${seed}0`, steps: 20_000, nodes: 5 });
      expect(other.trace).not.toBe(first.trace);
    },
    TIMEOUT_MS,
  );
});
