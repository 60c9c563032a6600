/** Whole clusters of real nodes under seeds: every promise holds, and a seed always tells the same story. */
import { describe, expect, it } from 'vitest';
import { runSimulation } from '../../sim/run.js';

const TIMEOUT_MS = 240_000;

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

  it.each([1, 2, 3, 7])(
    'keeps its promises with %i nodes',
    async (nodes) => {
      const result = await runSimulation({ seed: 'sizes', steps: 20_000, nodes });
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
