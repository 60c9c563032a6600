/**
 * `quoin cluster status`: the map from one node, and from every node its own part. A node that does not answer is shown as
 * down; it does not make the command fail.
 */
import type { Command } from 'commander';
import { type ConnectionOptions, httpAddressOf, withHttp } from '../connection.js';
import { asList, asObject, httpRequest, type JsonObject } from '../http-client.js';
import { type CliContext, printJson, printLine } from '../io.js';
import { formatTable } from '../table.js';

interface StatusOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** How long a node may take before it is shown as down. */
const NODE_TIMEOUT_MS = 2000;

interface NodeStatus {
  readonly id: string;
  readonly up: boolean;
  readonly phase: string;
  readonly ready: boolean;
  readonly epoch: number | null;
  readonly leads: readonly number[];
  readonly roles: readonly string[];
  /** It came back without its disk, and holds eventual buckets alone. */
  readonly forgot: boolean;
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
}

interface GroupSummary {
  readonly id: number;
  readonly leader: string | null;
  readonly members: readonly string[];
  readonly slots: number;
  readonly term: number | null;
  readonly commitIndex: number | null;
  /** Entries that each follower is behind its leader; null when the leader did not say. */
  readonly lag: Readonly<Record<string, number>> | null;
}

interface ClusterStatus {
  readonly name: string;
  readonly epoch: number | null;
  readonly nodes: readonly NodeStatus[];
  readonly groups: readonly GroupSummary[];
  readonly buckets: readonly unknown[];
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const numberOrNull = (value: unknown): number | null => (typeof value === 'number' ? value : null);

function groupSummary(id: number, views: readonly JsonObject[]): GroupSummary {
  const groups = views.map(
    (view) =>
      asList(view.groups)
        .map(asObject)
        .find((group) => group.id === id) ?? {},
  );
  // The member with the highest term knows best who leads, and a leader best of all.
  const term = (group: JsonObject): number => Number(asObject(group.local).term ?? -1);
  const leads = (group: JsonObject): number => (asObject(group.local).role === 'leader' ? 1 : 0);
  const [best = {}] = groups.toSorted(
    (left, right) => term(right) - term(left) || leads(right) - leads(left),
  );
  const local = asObject(best.local);
  const leading = local.role === 'leader';
  const lag: Record<string, number> = {};
  for (const [node, entries] of Object.entries(asObject(best.lag)))
    if (typeof entries === 'number' && node !== best.leader) lag[node] = entries;
  return {
    id,
    leader: typeof best.leader === 'string' ? best.leader : null,
    members: asList(best.members).map(text),
    slots: Number(best.slotCount ?? 0),
    term: numberOrNull(local.term),
    commitIndex: numberOrNull(local.commitIndex),
    lag: leading ? lag : null,
  };
}

/** Asks one node for the map and every node for its part. */
async function clusterStatus(address: string, timeoutMs: number): Promise<ClusterStatus> {
  const first = asObject(await httpRequest(address, 'GET', '/v1/cluster', { timeoutMs }));
  const nodes = asList(first.nodes).map(asObject);
  const views = await Promise.all(
    nodes.map(async (node) => {
      if (node.self === true) return first;
      const request = { timeoutMs: Math.min(timeoutMs, NODE_TIMEOUT_MS) };
      return asObject(
        await httpRequest(text(node.http), 'GET', '/v1/cluster', request).catch(() => undefined),
      );
    }),
  );
  const ids = new Set<number>();
  for (const view of views)
    for (const group of asList(view.groups)) {
      const id = asObject(group).id;
      if (typeof id === 'number') ids.add(id);
    }
  const groups = [...ids].sort((left, right) => left - right).map((id) => groupSummary(id, views));
  return {
    name: text(first.name),
    epoch: numberOrNull(first.epoch),
    nodes: nodes.map((node, index) => {
      const view = views[index] ?? {};
      const up = view.self !== undefined;
      return {
        id: text(node.id),
        up,
        phase: up ? text(view.phase) : 'down',
        ready: view.ready === true,
        epoch: numberOrNull(view.epoch),
        leads: groups.filter((group) => group.leader === node.id).map((group) => group.id),
        roles: asList(node.roles).map(text),
        forgot: node.forgot === true,
        resp: text(node.resp),
        http: text(node.http),
        grpc: text(node.grpc),
      };
    }),
    groups,
    buckets: asList(first.buckets),
  };
}

function lagText(lag: GroupSummary['lag']): string {
  if (lag === null) return '?';
  const behind = Object.entries(lag).filter(([, entries]) => entries > 0);
  return behind.length === 0 ? '0' : behind.map(([node, entries]) => `${node}:${entries}`).join(' ');
}

/** The status as tables. */
function formatStatus(status: ClusterStatus): string {
  const dash = (value: string | number | null): string =>
    value === null || value === '' ? '-' : String(value);
  const nodes = formatTable(
    ['node', 'state', 'epoch', 'leads', 'roles', 'resp', 'http', 'grpc'],
    status.nodes.map((node) => [
      node.id,
      node.up && node.phase === 'serving' && !node.ready ? 'waiting' : node.phase,
      dash(node.epoch),
      dash(node.leads.join(' ')),
      dash([...node.roles, ...(node.forgot ? ['forgot'] : [])].join(' ')),
      node.resp,
      node.http,
      node.grpc,
    ]),
  );
  const groups = formatTable(
    ['group', 'leader', 'members', 'slots', 'term', 'commit', 'lag'],
    status.groups.map((group) => [
      group.id === 0 ? '0 (map)' : String(group.id),
      dash(group.leader),
      group.members.join(' '),
      String(group.slots),
      dash(group.term),
      dash(group.commitIndex),
      lagText(group.lag),
    ]),
  );
  return `cluster ${dash(status.name)}, epoch ${dash(status.epoch)}\n\n${nodes}\n\n${groups}`;
}

export function addClusterCommand(program: Command, { io }: CliContext): void {
  const cluster = program
    .command('cluster')
    .description('look at the cluster')
    .addHelpText('after', '\nExamples:\n  $ quoin cluster status');

  withHttp(cluster.command('status'))
    .description('nodes, groups, leaders, epochs and lag')
    .option('--json', 'print a JSON object')
    .addHelpText('after', '\nExamples:\n  $ quoin cluster status\n  $ quoin cluster status --json')
    .action(async (options: StatusOptions) => {
      const status = await clusterStatus(await httpAddressOf(options, io), options.timeout);
      if (options.json === true) printJson(io, status);
      else printLine(io.stdout, formatStatus(status));
    });
}
