/**
 * The command `quoin sim`: one run under a seed, or a campaign over many. Exit 0 when every promise held, 1 on a
 * violation (with the command that replays it), 2 on wrong usage.
 */
import { parseArgs } from 'node:util';
import { MUTATIONS, mutationByName } from './mutations.js';
import { type RunResult, runSimulation } from './run.js';

const USAGE = `Usage: quoin sim [options]

Runs a cluster of real nodes under virtual time, breaks what can break, and checks every promise.

  --seed S          seed of the run, or of the first run of a campaign (default 1)
  --seeds COUNT     run so many seeds, counting up from --seed
  --steps N         events per run (default 100000)
  --nodes N         nodes of the cluster (default 5)
  --mutation NAME   plant a bug; 'list' names them
  --json            one JSON line per run
  --help            this text`;

const DEFAULT_STEPS = 100_000;
const DEFAULT_NODES = 5;
const MAX_NODES = 15;

interface Settings {
  readonly seed: string;
  readonly seeds: number;
  readonly steps: number;
  readonly nodes: number;
  readonly mutation: string | undefined;
  readonly json: boolean;
}

class UsageError extends Error {}

function count(name: string, text: string | undefined, fallback: number, low: number, high: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || value > high)
    throw new UsageError(`--${name} must be an integer from ${low} to ${high}`);
  return value;
}

function readSettings(args: string[]): Settings | 'help' {
  let values: Record<string, string | boolean | undefined>;
  try {
    values = parseArgs({
      args,
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        steps: { type: 'string' },
        nodes: { type: 'string' },
        mutation: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return 'help';
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const seeds = count('seeds', text('seeds'), 1, 1, 1_000_000);
  const seed = text('seed') ?? '1';
  if (seeds > 1 && !/^\d+$/.test(seed))
    throw new UsageError('--seeds counts up from a --seed that is a number');
  const mutation = text('mutation');
  if (mutation !== undefined && mutation !== 'list' && mutationByName(mutation) === undefined)
    throw new UsageError(`no mutation ${mutation}; --mutation list names them`);
  return {
    seed,
    seeds,
    steps: count('steps', text('steps'), DEFAULT_STEPS, 1_000, 1_000_000_000),
    nodes: count('nodes', text('nodes'), DEFAULT_NODES, 1, MAX_NODES),
    mutation,
    json: values.json === true,
  };
}

/** The command that repeats a run exactly. */
export function replayCommand(seed: string, steps: number, nodes: number, mutation?: string): string {
  const planted = mutation === undefined ? '' : ` --mutation ${mutation}`;
  return `quoin sim --seed ${seed} --steps ${steps} --nodes ${nodes}${planted}`;
}

export async function runSimCommand(args: string[]): Promise<number> {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  let settings: Settings | 'help';
  try {
    settings = readSettings(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`quoin: USAGE: ${error.message}. See --help.\n`);
    return 2;
  }
  if (settings === 'help') {
    print(USAGE);
    return 0;
  }
  if (settings.mutation === 'list') {
    for (const { name, sentence } of MUTATIONS) print(`${name.padEnd(34)} ${sentence}`);
    return 0;
  }
  const { steps, nodes, mutation, json } = settings;
  const planted = mutation === undefined ? undefined : mutationByName(mutation);
  const restore = planted?.apply() ?? (() => {});
  let failures = 0;
  try {
    for (let i = 0; i < settings.seeds; i++) {
      const seed = settings.seeds === 1 ? settings.seed : String(BigInt(settings.seed) + BigInt(i));
      const result = await runSimulation({ seed, steps, nodes, focus: planted?.focus ?? {} });
      const replay = replayCommand(seed, steps, nodes, mutation);
      print(json ? jsonLine(result, replay) : textLines(result, replay));
      if (!result.ok) failures++;
    }
  } finally {
    restore();
  }
  if (settings.seeds > 1 && !json) print(`${settings.seeds - failures} of ${settings.seeds} seeds held`);
  return failures === 0 ? 0 : 1;
}

function jsonLine(result: RunResult, replay: string): string {
  const { violation, ...rest } = result;
  return JSON.stringify(violation === undefined ? rest : { ...rest, violation, replay });
}

function textLines(result: RunResult, replay: string): string {
  const { ok, seed, steps, operations, simulatedMs, trace, swarm, faults, violation } = result;
  const pairs = (values: object): string =>
    Object.entries(values)
      .filter(([, value]) => value !== 0)
      .map(([name, value]) => `${name}=${String(value)}`)
      .join(' ');
  const lines = [
    `seed ${seed}: ${ok ? 'ok' : 'VIOLATION'}, ${steps} steps, ${operations} operations, ${(simulatedMs / 1000).toFixed(1)} s simulated, trace ${trace}`,
    `  swarm: ${pairs(swarm)}`,
    `  seen: ${pairs(faults)}`,
  ];
  if (violation !== undefined) lines.push(`  ${violation.message}`, `  replay: ${replay}`);
  return lines.join('\n');
}
