/** `quoin bench`: the load generator on the command line, which prints what is thrown here as it prints all errors. */
import { QuoinError } from '../../src/base/errors.js';
import { type LoadResult, runLoad } from './generator.js';
import { LOAD_USAGE, type LoadOptions, parseLoadOptions, UsageError } from './options.js';

function report(options: LoadOptions, result: LoadResult): string {
  const { latencyMs } = result;
  const number = (value: number, digits: number): string => value.toFixed(digits);
  const shape =
    options.ratePerSecond > 0 ? `open loop at ${options.ratePerSecond}/s` : `pipeline ${options.pipeline}`;
  return [
    `${options.clients} clients, ${shape}, ${Math.round(options.readRatio * 100)} % reads, ${options.valueBytes}-byte values, ${options.keys} keys`,
    `${Math.round(result.ratePerSecond)} requests/s  (${result.requests} in ${number(result.seconds, 2)} s, ${result.errors} errors)`,
    `latency ms  mean ${number(latencyMs.mean, 3)}  p50 ${number(latencyMs.p50, 3)}  p90 ${number(latencyMs.p90, 3)}  p99 ${number(latencyMs.p99, 3)}  p99.9 ${number(latencyMs.p999, 3)}  max ${number(latencyMs.max, 3)}`,
  ].join('\n');
}

/** Returns the exit code: 1 when any request was answered with an error. Throws USAGE, or what kept the load from being run. */
export async function runLoadCommand(args: readonly string[]): Promise<number> {
  let options: LoadOptions | undefined;
  try {
    options = parseLoadOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new QuoinError('USAGE', error.message, { cause: error, remedy: 'See quoin bench --help.' });
  }
  if (options === undefined) {
    process.stdout.write(`${LOAD_USAGE}\n`);
    return 0;
  }
  const result = await runLoad(options);
  process.stdout.write(`${options.json ? JSON.stringify(result) : report(options, result)}\n`);
  return result.errors === 0 ? 0 : 1;
}
