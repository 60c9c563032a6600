/** Tables of repair on and off, of what it costs, and of reads beside a slow replica. */
import type { RepairCost, RepairFigures } from '../repair/repair.js';
import type { SlowReplicaFigures } from '../repair/slow-replica.js';
import { median } from '../support/statistics.js';
import { type Table, thousands } from './table.js';

const share = (value: number): string => `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

function movedCell({ counters, differingBytes, bytesPerRecord }: RepairFigures): string {
  const bytes = counters.antiEntropyBytes + (counters.hintsReplayed + counters.readRepairs) * bytesPerRecord;
  return `${megabytes(bytes)} (${(bytes / differingBytes).toFixed(2)})`;
}

/** What each way of repair does after a node's return. */
export function repairTables(repair: readonly RepairFigures[] | undefined): Table[] {
  const first = repair?.[0];
  if (repair === undefined || first === undefined) return [];
  return [
    {
      title: `A node misses ${megabytes(first.differingBytes)} of keys and values: stale answers at r = 1 once it is back`,
      rows: [
        ['repaired by', 'at once', 'after reads at r = 2', 'after reads at r = 3'],
        ...repair.map(({ mode, staleAtOnce, staleAfterTwo, staleAfterThree }) => [
          mode,
          share(staleAtOnce),
          share(staleAfterTwo),
          share(staleAfterThree),
        ]),
      ],
    },
    {
      title: 'Until all replicas are equal',
      rows: [
        [
          'repaired by',
          'ms',
          'moved for it (to what differs)',
          'hints',
          'read repairs',
          'records in comparisons',
          'all between nodes',
        ],
        ...repair.map((figures) => [
          figures.mode,
          figures.convergedMs === null
            ? `never within ${figures.limitMs / 1000} s`
            : String(Math.round(figures.convergedMs)),
          movedCell(figures),
          String(figures.counters.hintsReplayed),
          String(figures.counters.readRepairs),
          String(figures.counters.antiEntropyKeys),
          megabytes(figures.counters.peerBytes),
        ]),
      ],
    },
  ];
}

/** Rates with all of it off and on, while nothing is wrong. */
export function repairCostTable(cost: RepairCost | undefined): Table[] {
  if (cost === undefined) return [];
  const row = (title: string, operation: 'set' | 'get'): string[] => {
    const [off, on] = [cost.off[operation], cost.on[operation]].map((samples) =>
      median(samples.map(({ ratePerSecond }) => ratePerSecond)),
    ) as [number, number];
    return [title, thousands(off), thousands(on), (on / off).toFixed(2)];
  };
  const rounds = cost.on.set.length;
  return [
    {
      title: `Requests a second while nothing is wrong, r = w = 2, median of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`,
      rows: [
        ['', 'repair off', 'all three on', 'ratio'],
        row('SET, 256 clients', 'set'),
        row('GET, 256 clients', 'get'),
      ],
    },
  ];
}

/** Latencies of reads with and without a slow replica. */
export function slowReplicaTable(figures: readonly SlowReplicaFigures[] | undefined): Table[] {
  if (figures === undefined || figures.length === 0) return [];
  return [
    {
      title: 'Reads through two nodes, the third replica stopped for 50 ms every 200 ms: latency in ms',
      rows: [
        ['', 'p50', 'p99', 'greatest', 'speculative reads'],
        ...figures.map(({ slowed, r, p50Ms, p99Ms, maxMs, reads, speculative }) => [
          `r = ${r}, ${slowed ? 'one replica slowed' : 'none slowed'}`,
          p50Ms.toFixed(1),
          p99Ms.toFixed(1),
          maxMs.toFixed(1),
          `${speculative} of ${reads}`,
        ]),
      ],
    },
  ];
}
