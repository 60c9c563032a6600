/** The figures of one run, and their forms: text for a terminal, Markdown for the documentation. */
import type { RepairCost, RepairFigures } from '../repair/repair.js';
import type { SlowReplicaFigures } from '../repair/slow-replica.js';
import { percentile, summarize } from '../support/statistics.js';
import type { Sample, SystemName } from '../systems/system.js';
import { THROUGHPUT_MEASURES, type ThroughputName } from './measures.js';
import { repairCostTable, repairTables, slowReplicaTable } from './repair-tables.js';
import { renderMarkdownTable, renderTextTable, type Table, thousands } from './table.js';

export interface CompareResults {
  readonly machine: string;
  readonly command: string;
  readonly rounds: number;
  readonly systems: readonly { readonly name: SystemName; readonly description: string }[];
  /** Samples of each round by measure and system. */
  readonly throughput: Partial<Record<ThroughputName, Partial<Record<SystemName, Sample[]>>>>;
  /** Outages in milliseconds, one for each kill. */
  readonly failover: Partial<Record<'quoin' | 'etcd', number[]>>;
  /** One for each way of repair. */
  repair?: RepairFigures[];
  repairCost?: RepairCost;
  slowReplica?: readonly SlowReplicaFigures[];
  /** What the memory benchmark printed. */
  memory?: string;
  simulator?: { readonly seeds: number; readonly steps: number; readonly seedsPerMinute: number };
  /** What could not be measured, and why. */
  readonly missing: string[];
}

function rateCell(samples: readonly Sample[] | undefined): string {
  if (samples === undefined || samples.length === 0) return '–';
  const { median, min, max, count } = summarize(samples.map(({ ratePerSecond }) => ratePerSecond));
  return count === 1 ? thousands(median) : `${thousands(median)} (${thousands(min)} to ${thousands(max)})`;
}

function latencyCell(samples: readonly Sample[] | undefined): string {
  if (samples === undefined || samples.length === 0) return '–';
  const p50 = summarize(samples.map(({ p50Ms }) => p50Ms)).median;
  const p99 = summarize(samples.map(({ p99Ms }) => p99Ms)).median;
  return `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
}

function throughputTables(results: CompareResults): Table[] {
  const measured = THROUGHPUT_MEASURES.filter(({ name }) => results.throughput[name] !== undefined);
  if (measured.length === 0) return [];
  const systems = results.systems
    .map(({ name }) => name)
    .filter((system) => measured.some(({ name }) => results.throughput[name]?.[system] !== undefined));
  const table = (title: string, cell: (samples: readonly Sample[] | undefined) => string): Table => ({
    title,
    rows: [
      ['', ...systems],
      ...measured.map(({ name, title: row }) => [
        row,
        ...systems.map((system) => cell(results.throughput[name]?.[system])),
      ]),
    ],
  });
  const what =
    results.rounds === 1 ? 'one round' : `median of ${results.rounds} interleaved rounds (least to greatest)`;
  return [
    table(`Requests a second, ${what}`, rateCell),
    table('Latency in ms, p50 / p99, median of the rounds', latencyCell),
  ];
}

function ratioTable(results: CompareResults): Table[] {
  const rate = (measure: ThroughputName, system: SystemName): number => {
    const samples = results.throughput[measure]?.[system];
    return samples === undefined
      ? Number.NaN
      : summarize(samples.map(({ ratePerSecond }) => ratePerSecond)).median;
  };
  const ratios: readonly (readonly [string, number])[] = [
    ['SET: Quoin to etcd', rate('set', 'quoin') / rate('set', 'etcd')],
    ['GET: Quoin to etcd', rate('get', 'quoin') / rate('get', 'etcd')],
    ['SET: Quoin to Redis with 2 replicas', rate('set', 'quoin') / rate('set', 'redis-replicated')],
    ...(['eventual-r1w1', 'eventual-r2w2'] as const).flatMap((system): [string, number][] => [
      [`SET: ${system} to Redis Cluster`, rate('set', system) / rate('set', 'redis-cluster')],
      [`GET: ${system} to Redis Cluster`, rate('get', system) / rate('get', 'redis-cluster')],
    ]),
    [
      'SET: one node that forwards to clients that know the leaders',
      rate('set-plain', 'quoin') / rate('set', 'quoin'),
    ],
    [
      'GET: one node that forwards to clients that know the leaders',
      rate('get-plain', 'quoin') / rate('get', 'quoin'),
    ],
    [
      'SET pipelined: Quoin to the bare server',
      rate('set-pipelined', 'quoin') / rate('set-pipelined', 'bare'),
    ],
  ];
  const known = ratios.filter(([, ratio]) => Number.isFinite(ratio));
  if (known.length === 0) return [];
  return [
    {
      title: 'Ratios of medians',
      rows: [['', 'ratio'], ...known.map(([name, ratio]) => [name, ratio.toFixed(2)])],
    },
  ];
}

function failoverTable(results: CompareResults): Table[] {
  const rows = (['quoin', 'etcd'] as const).flatMap((system) => {
    const outages = results.failover[system];
    if (outages === undefined || outages.length === 0) return [];
    const ms = (value: number): string => String(Math.round(value));
    const { min, max, count } = summarize(outages);
    return [
      [system, String(count), ms(percentile(outages, 0.5)), ms(percentile(outages, 0.99)), ms(min), ms(max)],
    ];
  });
  if (rows.length === 0) return [];
  return [
    {
      title: 'Leader killed with SIGKILL: ms until all that it led takes writes again',
      rows: [['', 'kills', 'p50', 'p99', 'least', 'greatest'], ...rows],
    },
  ];
}

function simulatorTable({ simulator }: CompareResults): Table[] {
  if (simulator === undefined) return [];
  return [
    {
      title: 'Simulator, one process',
      rows: [
        ['seeds', 'steps each', 'seeds a minute'],
        [String(simulator.seeds), String(simulator.steps), simulator.seedsPerMinute.toFixed(1)],
      ],
    },
  ];
}

const tablesOf = (results: CompareResults): Table[] => [
  ...throughputTables(results),
  ...ratioTable(results),
  ...failoverTable(results),
  ...repairTables(results.repair),
  ...repairCostTable(results.repairCost),
  ...slowReplicaTable(results.slowReplica),
  ...simulatorTable(results),
];

export function renderResults(results: CompareResults, format: 'text' | 'markdown'): string {
  const markdown = format === 'markdown';
  const bullet = markdown ? '- ' : '  ';
  const parts = [
    `Machine: ${results.machine}`,
    `Command: ${markdown ? `\`${results.command}\`` : results.command}`,
    results.systems.map(({ name, description }) => `${bullet}${name}: ${description}`).join('\n'),
    ...tablesOf(results).map(markdown ? renderMarkdownTable : renderTextTable),
  ];
  if (results.memory !== undefined)
    parts.push(
      markdown
        ? `**Memory engine**\n\n\`\`\`\n${results.memory}\n\`\`\``
        : `Memory engine\n${results.memory}`,
    );
  if (results.missing.length > 0)
    parts.push(`Not measured:\n${results.missing.map((reason) => `${bullet}${reason}`).join('\n')}`);
  return parts.filter((part) => part !== '').join('\n\n');
}
