/** What is measured: the rows of the table. */
import type { SystemName, Workload } from '../systems/system.js';

const BASE = { clients: 256, keys: 100_000, valueBytes: 64 } as const;
const PIPELINE = 16;

export interface ThroughputMeasure {
  readonly name: string;
  readonly title: string;
  readonly workload: Omit<Workload, 'requests'>;
  readonly systems: readonly SystemName[];
}

const EVENTUAL: readonly SystemName[] = ['eventual-r1w1', 'eventual-r2w2'];
const PIPELINED: readonly SystemName[] = ['quoin', ...EVENTUAL, 'redis-cluster', 'redis-replicated', 'bare'];
const EVERYONE: readonly SystemName[] = [...PIPELINED, 'etcd'];

/** In the order in which they run against a freshly started system, after all keys have been written once. */
export const THROUGHPUT_MEASURES = [
  {
    name: 'set',
    title: 'SET, 256 clients',
    workload: { ...BASE, operation: 'set', mode: 'routed', pipeline: 1 },
    systems: EVERYONE,
  },
  {
    name: 'get',
    title: 'GET, 256 clients',
    workload: { ...BASE, operation: 'get', mode: 'routed', pipeline: 1 },
    systems: EVERYONE,
  },
  {
    name: 'set-plain',
    title: 'SET, all clients on one node',
    workload: { ...BASE, operation: 'set', mode: 'plain', pipeline: 1 },
    systems: ['quoin', ...EVENTUAL],
  },
  {
    name: 'get-plain',
    title: 'GET, all clients on one node',
    workload: { ...BASE, operation: 'get', mode: 'plain', pipeline: 1 },
    systems: ['quoin', ...EVENTUAL],
  },
  {
    name: 'set-pipelined',
    title: 'SET, pipelined by 16',
    workload: { ...BASE, operation: 'set', mode: 'routed', pipeline: PIPELINE },
    systems: PIPELINED,
  },
  {
    name: 'get-pipelined',
    title: 'GET, pipelined by 16',
    workload: { ...BASE, operation: 'get', mode: 'routed', pipeline: PIPELINE },
    systems: PIPELINED,
  },
  {
    name: 'set-plain-pipelined',
    title: 'SET, pipelined by 16, all clients on one node',
    workload: { ...BASE, operation: 'set', mode: 'plain', pipeline: PIPELINE },
    systems: ['quoin'],
  },
] as const satisfies readonly ThroughputMeasure[];

export type ThroughputName = (typeof THROUGHPUT_MEASURES)[number]['name'];

export const MEASURE_NAMES = [
  ...THROUGHPUT_MEASURES.map(({ name }) => name),
  'failover' as const,
  'repair' as const,
  'slow-replica' as const,
  'memory' as const,
  'simulator' as const,
];

export type MeasureName = (typeof MEASURE_NAMES)[number];
