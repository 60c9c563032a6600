/**
 * What one slow replica does to reads (paper 002's wish for load-aware reads; "The Tail at Scale", Dean and Barroso 2013). It is
 * stopped for `STOPPED_MS` every `PERIOD_MS`; reads go at a fixed rate through the other nodes, and latency counts from
 * when a read was due. There is no switch for choosing the fastest replica and speculating past it: reads that need all three
 * replicas, and so can do neither, are the contrast.
 */
import { runLoad } from '../load/generator.js';
import type { LoadOptions } from '../load/options.js';
import { portOf, QuoinCluster } from '../support/quoin-cluster.js';
import { speculativeReadsOf } from './figures.js';

const STOPPED_MS = 50;
const PERIOD_MS = 200;
const KEYS = 10_000;
const CLIENTS = 16;
const RATE_PER_SECOND = 1000;

export interface SlowReplicaFigures {
  readonly slowed: boolean;
  /** Replicas that must answer a read. */
  readonly r: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly reads: number;
  readonly speculative: number;
}

const RUNS = [
  { slowed: false, r: 2 },
  { slowed: true, r: 2 },
  { slowed: false, r: 3 },
  { slowed: true, r: 3 },
] as const;

/** Stops and continues a process until told to end. */
function slowDown(pid: number): () => void {
  let wake: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    process.kill(pid, 'SIGSTOP');
    clearTimeout(wake);
    wake = setTimeout(() => process.kill(pid, 'SIGCONT'), STOPPED_MS);
  }, PERIOD_MS);
  return () => {
    clearInterval(timer);
    clearTimeout(wake);
    process.kill(pid, 'SIGCONT');
  };
}

export async function measureSlowReplica(seconds: number): Promise<SlowReplicaFigures[]> {
  const cluster = await QuoinCluster.start({ args: ['--preset', 'memory', '--coordinators', '0'] });
  try {
    const [first, second, slow] = cluster.nodes;
    if (first === undefined || second === undefined || slow === undefined)
      throw new Error('three nodes are needed');
    const asked = [first, second];
    const load: LoadOptions = {
      targets: asked.map(({ resp }) => ({ host: '127.0.0.1', port: portOf(resp) })),
      bucket: undefined,
      clients: CLIENTS,
      pipeline: 1,
      requests: RATE_PER_SECOND * seconds,
      keys: KEYS,
      valueBytes: 64,
      readRatio: 1,
      ratePerSecond: RATE_PER_SECOND,
      seed: 1,
      json: false,
    };
    // Filled and warmed up: most keys are there and every path has been taken.
    await runLoad({ ...load, requests: 3 * KEYS, readRatio: 0.5, ratePerSecond: 0 });
    const all: SlowReplicaFigures[] = [];
    for (const { slowed, r } of RUNS) {
      await cluster.changeBucket('default', { r });
      const speculativeReads = async (): Promise<number> =>
        (await Promise.all(asked.map(speculativeReadsOf))).reduce((sum, count) => sum + count);
      const before = await speculativeReads();
      const restore = slowed ? slowDown(slow.pid) : undefined;
      try {
        const { latencyMs, requests, errors } = await runLoad(load);
        if (errors > 0) throw new Error(`${errors} of ${requests} reads failed at r = ${r}`);
        const speculative = (await speculativeReads()) - before;
        const { p50: p50Ms, p99: p99Ms, max: maxMs } = latencyMs;
        all.push({ slowed, r, p50Ms, p99Ms, maxMs, reads: requests, speculative });
      } finally {
        restore?.();
      }
    }
    return all;
  } finally {
    await cluster.stop();
  }
}
