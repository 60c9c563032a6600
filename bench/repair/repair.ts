/**
 * Repair on and off (paper 000, section 5): a node dies, all keys are written anew with w = 2 meanwhile, the node comes back
 * with what it had. How stale are its answers, how long until all replicas are equal again, and how many bytes does that take?
 * Measured with every means of repair switched off, with each alone, and with all; and what all of them cost when nothing
 * is wrong.
 *
 * The keys are cut in three parts, so that no measurement disturbs the next (a read at r = 1 may mend, too): a quarter is checked on
 * the returned node at once, a half is read with r = 2 through another node before it is checked, a quarter with r = 3.
 */
import { MutationEncoder } from '../../src/protocol/quorum/codec.js';
import { THROUGHPUT_MEASURES } from '../compare/measures.js';
import { QuoinCluster } from '../support/quoin-cluster.js';
import { redisBenchmark } from '../support/redis-benchmark.js';
import { waitFor } from '../support/wait.js';
import type { Sample } from '../systems/system.js';
import {
  addCounters,
  areConverged,
  countersOf,
  metricOf,
  metricsOf,
  type RepairCounters,
} from './figures.js';
import { KEY_AND_VALUE_BYTES, KeyClient, type KeyRange, keyOf, valueOfKey } from './key-client.js';

/** What a bucket is told about repair. */
export interface RepairSwitches {
  readonly readRepair: boolean;
  readonly hintedHandoff: boolean;
  readonly antiEntropy: boolean;
}

const NOTHING: RepairSwitches = { readRepair: false, hintedHandoff: false, antiEntropy: false };
const EVERYTHING: RepairSwitches = { readRepair: true, hintedHandoff: true, antiEntropy: true };

export interface RepairMode {
  readonly name: string;
  readonly switches: RepairSwitches;
}

export const REPAIR_MODES: readonly RepairMode[] = [
  { name: 'nothing', switches: NOTHING },
  { name: 'read repair', switches: { ...NOTHING, readRepair: true } },
  { name: 'hinted handoff', switches: { ...NOTHING, hintedHandoff: true } },
  { name: 'anti-entropy', switches: { ...NOTHING, antiEntropy: true } },
  { name: 'all three', switches: EVERYTHING },
];

/** Of one mode. Shares are 0 to 1, of answers at r = 1 by the node that came back. */
export interface RepairFigures {
  readonly mode: string;
  readonly staleAtOnce: number;
  /** Of keys that were read with r = 2 through another node before. */
  readonly staleAfterTwo: number;
  /** The same with r = 3. */
  readonly staleAfterThree: number;
  /** From the node's first answer until all replicas are equal; null: not within `limitMs`. */
  readonly convergedMs: number | null;
  readonly limitMs: number;
  /** Keys and values that the node had missed. */
  readonly differingBytes: number;
  /** Of one record as hints and repairs carry it. */
  readonly bytesPerRecord: number;
  /** From the node's return until then. */
  readonly counters: RepairCounters;
}

/** Rates of one round each, nothing being wrong. */
export interface RepairCost {
  readonly off: { readonly set: Sample[]; readonly get: Sample[] };
  readonly on: { readonly set: Sample[]; readonly get: Sample[] };
}

export interface RepairOptions {
  readonly keys: number;
  /** How long equal replicas are waited for. */
  readonly limitMs: number;
  readonly costRounds: number;
  readonly costRequests: number;
}

const RETURN_LIMIT_MS = 60_000;
const POLL_MS = 25;
const CLUSTER_ARGS = ['--preset', 'memory', '--coordinators', '0'];
const SETTLED_LIMIT_MS = 10_000;
const [SET, GET] = THROUGHPUT_MEASURES;
const BYTES_PER_RECORD = encodedRecordBytes();

function encodedRecordBytes(): number {
  const encoder = new MutationEncoder();
  encoder.add(0, keyOf(0), valueOfKey(0, 1), Number.MAX_SAFE_INTEGER, 0);
  return encoder.take().bytes.length;
}

/**
 * The memory preset's three nodes and default bucket: n = 3, r = 2, w = 2, in memory. The bucket is made with these switches: a
 * node that has just come back may go by those it was made with for a moment.
 */
async function withCluster<T>(
  switches: RepairSwitches,
  work: (cluster: QuoinCluster) => Promise<T>,
): Promise<T> {
  const settings = Object.entries(switches).map(([name, on]) => `buckets[0].${name}=${String(on)}`);
  const cluster = await QuoinCluster.start({ args: [...CLUSTER_ARGS, '--set', ...settings] });
  try {
    return await work(cluster);
  } finally {
    await cluster.stop();
  }
}

async function withClient<T>(
  address: string,
  quorum: { readonly r?: number; readonly w?: number },
  work: (client: KeyClient) => Promise<T>,
): Promise<T> {
  const client = await KeyClient.connect(address, quorum);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** Resolves when a node answers reads with so many replicas. */
async function waitUntilAnswers(address: string, r: number): Promise<void> {
  await waitFor(
    `${address} answers reads at r = ${r}`,
    RETURN_LIMIT_MS,
    async () => {
      await withClient(address, { r }, (client) => client.probe());
      return true;
    },
    POLL_MS,
  );
}

/** Milliseconds until all are equal; null when time is up. */
async function timeToConverge(cluster: QuoinCluster, limitMs: number): Promise<number | null> {
  const started = performance.now();
  try {
    await waitFor(
      'all replicas are equal',
      limitMs,
      async () => ((await areConverged(cluster.nodes)) ? true : undefined),
      POLL_MS,
    );
  } catch {
    return null;
  }
  return performance.now() - started;
}

/** One mode on a fresh cluster. */
export async function measureRepair(
  { name, switches }: RepairMode,
  { keys, limitMs }: RepairOptions,
): Promise<RepairFigures> {
  return await withCluster(switches, async (cluster) => {
    const [first, second, victim] = cluster.nodes;
    if (first === undefined || second === undefined || victim === undefined)
      throw new Error('three nodes are needed');
    const all: KeyRange = { from: 0, to: keys };
    await withClient(first.resp, { w: 3 }, (client) => client.write(all, 1));
    if ((await timeToConverge(cluster, limitMs)) === null)
      throw new Error('the replicas differ before anything happened to them');
    await cluster.kill(victim);

    const half = Math.floor(keys / 2);
    await Promise.all([
      withClient(first.resp, { w: 2 }, (client) => client.write({ from: 0, to: half }, 2)),
      withClient(second.resp, { w: 2 }, (client) => client.write({ from: half, to: keys }, 2)),
    ]);
    const before = await countersOf([first, second]);
    await cluster.revive(victim);
    await waitUntilAnswers(victim.resp, 1);
    const converged = timeToConverge(cluster, limitMs);

    const staleShare = async (range: KeyRange): Promise<number> =>
      (await withClient(victim.resp, { r: 1 }, (client) => client.countStale(range, 2))) /
      (range.to - range.from);
    const quarter = Math.floor(keys / 4);
    const staleAtOnce = await staleShare({ from: 0, to: quarter });
    await waitUntilAnswers(first.resp, 3);
    const staleAfter = async (r: number, range: KeyRange): Promise<number> => {
      await withClient(first.resp, { r }, (client) => client.countStale(range, 2));
      return await staleShare(range);
    };
    const staleAfterTwo = await staleAfter(2, { from: quarter, to: quarter + half });
    const staleAfterThree = await staleAfter(3, { from: quarter + half, to: keys });
    const convergedMs = await converged;

    // Hints count as handed over once that has been acknowledged, a little after the replicas are equal.
    if (convergedMs !== null)
      await waitFor('all hints are acknowledged', SETTLED_LIMIT_MS, async () => {
        const kept = await Promise.all([first, second].map(metricsOf));
        return kept.every((metrics) => metricOf(metrics, 'quoin_hint_bytes') === 0) ? true : undefined;
      });
    return {
      mode: name,
      staleAtOnce,
      staleAfterTwo,
      staleAfterThree,
      convergedMs,
      limitMs,
      differingBytes: keys * KEY_AND_VALUE_BYTES,
      bytesPerRecord: BYTES_PER_RECORD,
      // The returned node counts from its return on.
      counters: addCounters(await countersOf(cluster.nodes), before, -1),
    };
  });
}

/** Rates with all off and all on, in turns on one cluster. */
export async function measureRepairCost({ costRounds, costRequests }: RepairOptions): Promise<RepairCost> {
  return await withCluster(NOTHING, async (cluster) => {
    const run = (workload: typeof SET.workload | typeof GET.workload, requests: number): Promise<Sample> =>
      redisBenchmark(cluster.basePort, { ...workload, requests });
    await run(SET.workload, Math.max(costRequests, SET.workload.keys));
    const cost: RepairCost = { off: { set: [], get: [] }, on: { set: [], get: [] } };
    for (let round = 0; round < costRounds; round++) {
      for (const which of ['off', 'on'] as const) {
        await cluster.changeBucket('default', { ...(which === 'on' ? EVERYTHING : NOTHING) });
        cost[which].set.push(await run(SET.workload, costRequests));
        cost[which].get.push(await run(GET.workload, costRequests));
      }
    }
    return cost;
  });
}
