/**
 * The comparison: Quoin, etcd and Redis in one run on one machine. In each round every system has its turn, alone and freshly
 * started: all keys are written once, and before each measurement the same requests go unmeasured for a while, so that what is
 * compiled while it runs is compiled. Rounds are interleaved, so that a machine that slows down or speeds up meanwhile does
 * so for all.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startEtcdFailover } from '../failover/etcd.js';
import { type FailoverTarget, measureFailover } from '../failover/failover.js';
import { startQuoinFailover } from '../failover/quoin.js';
import { UsageError } from '../load/options.js';
import {
  measureRepair,
  measureRepairCost,
  REPAIR_MODES,
  type RepairFigures,
  type RepairOptions,
} from '../repair/repair.js';
import { measureSlowReplica } from '../repair/slow-replica.js';
import { QUOIN, ROOT } from '../support/checkout.js';
import { machineLine } from '../support/machine.js';
import { runProcess } from '../support/processes.js';
import { bare } from '../systems/bare.js';
import { etcd } from '../systems/etcd.js';
import { eventualOne, eventualTwo, quoin } from '../systems/quoin.js';
import { redisCluster, redisReplicated } from '../systems/redis.js';
import type { System } from '../systems/system.js';
import { THROUGHPUT_MEASURES } from './measures.js';
import { COMPARE_USAGE, type CompareOptions, parseCompareOptions } from './options.js';
import { type CompareResults, renderResults } from './results.js';

const SYSTEMS: readonly System[] = [
  quoin,
  eventualOne,
  eventualTwo,
  etcd,
  redisCluster,
  redisReplicated,
  bare,
];
const PIPELINED_FACTOR = 4;

/** How one sees that a Debian package is there. */
const PACKAGE_FILES: Readonly<Record<string, string>> = {
  'redis-tools': '/usr/bin/redis-benchmark',
  'redis-server': '/usr/bin/redis-server',
  'etcd-server': '/usr/bin/etcd',
  'golang-go': '/usr/bin/go',
  'golang-etcd-server-dev': '/usr/share/gocode/src/go.etcd.io/etcd/clientv3',
};

class Comparison {
  readonly #options: CompareOptions;
  readonly #results: CompareResults;
  readonly #systems: readonly System[];

  constructor(options: CompareOptions, args: readonly string[]) {
    this.#options = options;
    const absent = (name: string): boolean => !existsSync(PACKAGE_FILES[name] ?? '/');
    const chosen = SYSTEMS.filter(({ name }) => options.systems.has(name));
    const missing = chosen.flatMap(({ name, packages }) => {
      const packagesMissing = packages.filter(absent);
      return packagesMissing.length === 0
        ? []
        : [`${name}: Debian packages missing: ${packagesMissing.join(' ')}`];
    });
    this.#systems = chosen.filter(({ packages }) => !packages.some(absent));
    this.#results = {
      machine: machineLine(),
      command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
      rounds: options.rounds,
      systems: this.#systems.map(({ name, description }) => ({ name, description })),
      throughput: {},
      failover: {},
      missing,
    };
  }

  async run(): Promise<CompareResults> {
    for (let round = 1; round <= this.#options.rounds; round++)
      for (const system of this.#systems) await this.#throughput(system, round);
    await this.#failover('quoin', startQuoinFailover, this.#options.kills);
    await this.#failover('etcd', startEtcdFailover, this.#options.etcdKills);
    await this.#repair();
    await this.#slowReplica();
    await this.#memory();
    await this.#simulator();
    return this.#results;
  }

  #say(line: string): void {
    if (this.#options.progress) process.stderr.write(`${line}\n`);
  }

  /** One system's failure is part of the result; the others are measured all the same. */
  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const reason = `${what}: ${error instanceof Error ? error.message : String(error)}`;
      this.#results.missing.push(reason);
      this.#say(`failed: ${reason}`);
    }
  }

  async #throughput(system: System, round: number): Promise<void> {
    const measures = THROUGHPUT_MEASURES.filter(
      ({ name, systems }) => this.#options.only.has(name) && systems.some((each) => each === system.name),
    );
    if (measures.length === 0) return;
    await this.#attempt(system.name, async () => {
      const running = await system.start();
      try {
        const { requests, warmUpRequests } = this.#options;
        const first = THROUGHPUT_MEASURES[0].workload;
        await running.run({ ...first, requests: Math.max(requests, first.keys) });
        for (const { name, title, workload } of measures) {
          const factor = workload.pipeline > 1 ? PIPELINED_FACTOR : 1;
          if (warmUpRequests > 0) await running.run({ ...workload, requests: warmUpRequests * factor });
          const sample = await running.run({ ...workload, requests: requests * factor });
          if (sample === undefined) continue;
          const bySystem = this.#results.throughput[name] ?? {};
          bySystem[system.name] = [...(bySystem[system.name] ?? []), sample];
          this.#results.throughput[name] = bySystem;
          this.#say(
            `round ${round}/${this.#options.rounds}  ${system.name.padEnd(16)}  ${title.padEnd(46)}  ${Math.round(sample.ratePerSecond)}/s`,
          );
        }
      } finally {
        await running.stop();
      }
    });
  }

  async #failover(
    name: 'quoin' | 'etcd',
    start: () => Promise<FailoverTarget>,
    kills: number,
  ): Promise<void> {
    if (!this.#options.only.has('failover') || !this.#systems.some((system) => system.name === name)) return;
    await this.#attempt(`${name} failover`, async () => {
      const outages: number[] = [];
      this.#results.failover[name] = outages;
      await measureFailover(await start(), kills, (outageMs) => {
        outages.push(outageMs);
        this.#say(`kill ${outages.length}/${kills}  ${name}  ${Math.round(outageMs)} ms`);
      });
    });
  }

  async #repair(): Promise<void> {
    if (!this.#options.only.has('repair')) return;
    const { repairKeys: keys, repairLimitMs: limitMs, rounds, requests } = this.#options;
    const options: RepairOptions = { keys, limitMs, costRounds: rounds, costRequests: requests };
    const all: RepairFigures[] = [];
    this.#results.repair = all;
    for (const mode of REPAIR_MODES)
      await this.#attempt(`repair by ${mode.name}`, async () => {
        const figures = await measureRepair(mode, options);
        all.push(figures);
        const outcome =
          figures.convergedMs === null ? 'never equal' : `equal after ${Math.round(figures.convergedMs)} ms`;
        this.#say(`repair  ${mode.name.padEnd(16)}  ${outcome}`);
      });
    await this.#attempt('the cost of repair', async () => {
      this.#say('the cost of repair ...');
      this.#results.repairCost = await measureRepairCost(options);
    });
  }

  async #slowReplica(): Promise<void> {
    if (!this.#options.only.has('slow-replica')) return;
    await this.#attempt('slow replica', async () => {
      this.#say('a slow replica ...');
      this.#results.slowReplica = await measureSlowReplica(this.#options.slowReplicaSeconds);
    });
  }

  async #memory(): Promise<void> {
    if (!this.#options.only.has('memory')) return;
    await this.#attempt('memory', async () => {
      this.#say('memory engine ...');
      const script = join(ROOT, 'dist', 'bench', 'memory-engine.js');
      this.#results.memory = (await runProcess(process.execPath, [script])).trim();
    });
  }

  async #simulator(): Promise<void> {
    if (!this.#options.only.has('simulator')) return;
    const { seeds, seedSteps: steps } = this.#options;
    await this.#attempt('simulator', async () => {
      this.#say(`simulator, ${seeds} seeds of ${steps} steps ...`);
      const started = performance.now();
      await runProcess(process.execPath, [
        ...[QUOIN, 'sim', '--json', '--seed', '1'],
        ...['--seeds', String(seeds), '--steps', String(steps)],
      ]);
      const minutes = (performance.now() - started) / 60_000;
      this.#results.simulator = { seeds, steps, seedsPerMinute: seeds / minutes };
    });
  }
}

/** Returns the exit code: 1 when something that was asked for could not be measured. */
export async function runCompareCommand(args: readonly string[]): Promise<number> {
  let options: CompareOptions | undefined;
  try {
    options = parseCompareOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`USAGE ${error.message}; see npm run bench -- --help\n`);
    return 2;
  }
  if (options === undefined) {
    process.stdout.write(`${COMPARE_USAGE}\n`);
    return 0;
  }
  const results = await new Comparison(options, args).run();
  const text = options.format === 'json' ? JSON.stringify(results) : renderResults(results, options.format);
  process.stdout.write(`${text}\n`);
  return results.missing.length === 0 ? 0 : 1;
}
