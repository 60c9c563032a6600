/** What nodes tell of themselves, as far as repair goes: counters from `/metrics`, digests from `/v1/cluster`. */
import type { ClusterNode } from '../support/quoin-cluster.js';

const TIMEOUT_MS = 5000;

/** Sums over nodes, since they started. */
export interface RepairCounters {
  /** Stale replicas mended after a read. */
  readonly readRepairs: number;
  readonly hintsReplayed: number;
  readonly antiEntropyKeys: number;
  /** Bytes of all messages of anti-entropy. */
  readonly antiEntropyBytes: number;
  /** Bytes between nodes, whatever they are for. */
  readonly peerBytes: number;
}

const COUNTER_NAMES: Readonly<Record<keyof RepairCounters, string>> = {
  readRepairs: 'quoin_read_repairs_total',
  hintsReplayed: 'quoin_hints_replayed_total',
  antiEntropyKeys: 'quoin_repair_keys_total',
  antiEntropyBytes: 'quoin_repair_bytes_total',
  peerBytes: 'quoin_peer_sent_bytes_total',
};

/** One sample of Prometheus's text format, summed over its labels. Throws when there is none of that name. */
export function metricOf(text: string, name: string): number {
  let sum: number | undefined;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name)) continue;
    const match = /^(?:\{.*\})? (\S+)/.exec(line.slice(name.length));
    if (match !== null) sum = (sum ?? 0) + Number(match[1]);
  }
  if (sum === undefined) throw new Error(`/metrics has no ${name}`);
  return sum;
}

/** The counters in one node's `/metrics`. */
export function countersIn(metrics: string): RepairCounters {
  const of = (name: keyof RepairCounters): number => metricOf(metrics, COUNTER_NAMES[name]);
  return {
    readRepairs: of('readRepairs'),
    hintsReplayed: of('hintsReplayed'),
    antiEntropyKeys: of('antiEntropyKeys'),
    antiEntropyBytes: of('antiEntropyBytes'),
    peerBytes: of('peerBytes'),
  };
}

/** Adds two, or takes one from the other (`sign` -1). */
export function addCounters(one: RepairCounters, other: RepairCounters, sign: 1 | -1 = 1): RepairCounters {
  return {
    readRepairs: one.readRepairs + sign * other.readRepairs,
    hintsReplayed: one.hintsReplayed + sign * other.hintsReplayed,
    antiEntropyKeys: one.antiEntropyKeys + sign * other.antiEntropyKeys,
    antiEntropyBytes: one.antiEntropyBytes + sign * other.antiEntropyBytes,
    peerBytes: one.peerBytes + sign * other.peerBytes,
  };
}

async function get(node: ClusterNode, path: string): Promise<Response> {
  const answer = await fetch(`http://${node.http}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${node.id} answers ${path} with ${answer.status}`);
  return answer;
}

export async function metricsOf(node: ClusterNode): Promise<string> {
  return await (await get(node, '/metrics')).text();
}

export async function countersOf(nodes: readonly ClusterNode[]): Promise<RepairCounters> {
  const all = await Promise.all(nodes.map(async (node) => countersIn(await metricsOf(node))));
  return all.reduce((sum, counters) => addCounters(sum, counters));
}

/** Further replicas asked because an answer was late, over all reads that this node has coordinated. */
export async function speculativeReadsOf(node: ClusterNode): Promise<number> {
  const { eventual } = (await (await get(node, '/v1/nodes')).json()) as {
    readonly eventual: { readonly quorum: { readonly speculativeReads: number } } | null;
  };
  if (eventual === null) throw new Error(`${node.id} does not serve eventual buckets yet`);
  return eventual.quorum.speculativeReads;
}

/** `GET /v1/cluster?digests=yes`, as far as it matters here. */
export interface DigestReport {
  readonly groups: readonly { readonly id: number; readonly eventualDigest?: string }[];
}

/** True when all nodes show the same digest of every group that holds keys. */
export function areEqual(reports: readonly DigestReport[]): boolean {
  const shown = reports.map(({ groups }) =>
    groups
      .flatMap(({ id, eventualDigest }) =>
        id === 0 || eventualDigest === undefined ? [] : [`${id}=${eventualDigest}`],
      )
      .sort()
      .join(' '),
  );
  return shown.every((digests) => digests !== '' && digests === shown[0]);
}

/** Do all nodes, each of which holds every group, hold the same records? */
export async function areConverged(nodes: readonly ClusterNode[]): Promise<boolean> {
  return areEqual(
    await Promise.all(
      nodes.map(async (node) => (await (await get(node, '/v1/cluster?digests=yes')).json()) as DigestReport),
    ),
  );
}
