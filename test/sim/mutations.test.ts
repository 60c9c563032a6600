/** Every planted bug is caught, and the same runs without it hold. */
import { describe, expect, it } from 'vitest';
import { MUTATIONS } from '../../sim/mutations.js';
import { runSimulation } from '../../sim/run.js';

const STEPS = 30_000;
/** Seeds within which a bug must be found; most are found by the first or second. */
const MAX_SEEDS = 60;
const TIMEOUT_MS = 240_000;

describe('the simulator catches', () => {
  it.each(MUTATIONS.map(({ name, sentence }) => [name, sentence] as const))(
    '%s: %s',
    async (name) => {
      const mutation = MUTATIONS.find((candidate) => candidate.name === name)!;
      const restore = mutation.apply();
      try {
        for (let seed = 1; seed <= MAX_SEEDS; seed++) {
          const { focus } = mutation;
          const result = await runSimulation({ seed: String(seed), steps: STEPS, nodes: 5, focus });
          if (!result.ok) return;
        }
      } finally {
        restore();
      }
      expect.fail(`not found within ${MAX_SEEDS} seeds`);
    },
    TIMEOUT_MS,
  );
});

describe('runs aimed at planted bugs', () => {
  const focuses = [...new Set(MUTATIONS.map(({ focus }) => focus))];
  it.each(focuses.map((focus, i) => [i + 1, focus] as const))(
    'hold when there is no bug, with focus %i',
    async (_number, focus) => {
      const result = await runSimulation({ seed: '1', steps: STEPS, nodes: 5, focus });
      expect(result.violation).toBeUndefined();
    },
    TIMEOUT_MS,
  );
});

describe('the list of planted bugs', () => {
  it('has ten at least, each with a name of its own and a sentence', () => {
    expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(10);
    for (const { sentence } of MUTATIONS) expect(sentence).toMatch(/^[A-Z].*\.$/);
  });
});
