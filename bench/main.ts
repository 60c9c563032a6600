/**
 * Benchmarks on the command line. `quoin bench` is the load generator for a cluster that runs; `quoin bench compare`, which
 * `npm run bench` calls, starts Quoin and its peers itself and measures them side by side.
 */
import { runCompareCommand } from './compare/main.js';
import { runLoadCommand } from './load/main.js';

/** Returns the exit code. */
export async function runBenchCommand(args: string[]): Promise<number> {
  return args[0] === 'compare' ? await runCompareCommand(args.slice(1)) : await runLoadCommand(args);
}
