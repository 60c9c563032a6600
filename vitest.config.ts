/**
 * Two projects in one run. `fast`: everything in one process, files in parallel. `process`: real nodes, killed and paused, one
 * file after the other once the fast ones are through, so that they have the machine to themselves.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // A hung test must end the run with its name, not the run's own time limit without one.
    teardownTimeout: 10_000,
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/process/**'],
          testTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'process',
          include: ['test/process/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
