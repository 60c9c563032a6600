/** What the comparison is told on the command line. */
import { parseArgs } from 'node:util';
import { UsageError } from '../load/options.js';
import { SYSTEM_NAMES, type SystemName } from '../systems/system.js';
import { MEASURE_NAMES, type MeasureName } from './measures.js';

export interface CompareOptions {
  readonly only: ReadonlySet<MeasureName>;
  readonly systems: ReadonlySet<SystemName>;
  readonly rounds: number;
  /** Requests of an unpipelined run; pipelined runs take four times as many. */
  readonly requests: number;
  /** Requests of the same kind that go before each run and are not counted; of pipelined runs four times as many. */
  readonly warmUpRequests: number;
  readonly kills: number;
  readonly etcdKills: number;
  /** Keys of the measure `repair`, and how long it waits for equal replicas. */
  readonly repairKeys: number;
  readonly repairLimitMs: number;
  /** Of each run of the measure `slow-replica`. */
  readonly slowReplicaSeconds: number;
  readonly seeds: number;
  readonly seedSteps: number;
  readonly format: 'text' | 'json' | 'markdown';
  readonly progress: boolean;
}

export const COMPARE_USAGE = `Usage: npm run bench -- [options]

Measures Quoin side by side with etcd and Redis on this machine, in interleaved rounds.

  --quick             one short round, few kills and seeds: does it run, not how fast is it
  --rounds N          rounds (default 5; the table shows medians, least and greatest)
  --requests N        requests of a run (default 200000; four times as many when pipelined)
  --warm-up N         requests of the same kind before each run, not counted (default: as many as counted; 0: none)
  --only LIST         of: ${MEASURE_NAMES.join(',')}
  --systems LIST      of: ${SYSTEM_NAMES.join(',')}
  --json              all figures as one line of JSON
  --markdown          the tables of docs/benchmarks.md

Clients, value size and key space are fixed: 256 clients, 64 bytes, 100000 keys (repair: 20000, 4000 when quick).`;

export function parseCompareOptions(args: readonly string[]): CompareOptions | undefined {
  let values: Partial<Record<string, string | boolean>>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        requests: { type: 'string' },
        'warm-up': { type: 'string' },
        only: { type: 'string' },
        systems: { type: 'string' },
        json: { type: 'boolean' },
        markdown: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return undefined;
  if (values.json === true && values.markdown === true)
    throw new UsageError('--json and --markdown exclude each other');
  const quick = values.quick === true;
  const count = (name: string, fallback: number): number => {
    const text = values[name];
    if (typeof text !== 'string') return fallback;
    if (!/^[1-9]\d{0,8}$/.test(text))
      throw new UsageError(`--${name} must be a positive whole number, not '${text}'`);
    return Number(text);
  };
  const list = <Name extends string>(option: string, known: readonly Name[]): ReadonlySet<Name> => {
    const text = values[option];
    if (typeof text !== 'string') return new Set(known);
    const names = text.split(',').map((name) => {
      const found = known.find((each) => each === name);
      if (found === undefined) throw new UsageError(`--${option} knows ${known.join(', ')}, not '${name}'`);
      return found;
    });
    return new Set(names);
  };
  const requests = count('requests', quick ? 20_000 : 200_000);
  return {
    only: list('only', MEASURE_NAMES),
    systems: list('systems', SYSTEM_NAMES),
    rounds: count('rounds', quick ? 1 : 5),
    requests,
    warmUpRequests: values['warm-up'] === '0' ? 0 : count('warm-up', requests),
    kills: quick ? 3 : 30,
    etcdKills: quick ? 1 : 10,
    repairKeys: quick ? 4000 : 20_000,
    repairLimitMs: quick ? 8000 : 30_000,
    slowReplicaSeconds: quick ? 4 : 10,
    seeds: quick ? 2 : 20,
    seedSteps: quick ? 10_000 : 100_000,
    format: values.json === true ? 'json' : values.markdown === true ? 'markdown' : 'text',
    progress: process.stderr.isTTY === true || values.json !== true,
  };
}
