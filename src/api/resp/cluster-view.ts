/**
 * The cluster map as Redis Cluster's clients see it: each group's leader is the master of the group's slots. A node may
 * lead several groups (one master with several runs of slots) or none (a replica in the groups that it belongs to, and in
 * `CLUSTER NODES`, which allows but one master, of the leader of the first of them).
 *
 * To these clients a node is a master or a replica, never both: ioredis and node-redis keep one connection for each
 * address, in one of the two roles, and go astray when it has both. So a node that leads anything is shown as a replica
 * nowhere, although it holds other groups' slots too.
 *
 * While a group has no known leader, its first connected member stands in: any node answers for any key, so a client
 * that goes there is served as soon as there is a leader. Nodes that store and do not coordinate refuse clients, so they
 * are masters and replicas of nothing here: another member stands in for them, or a coordinator where no member is one.
 *
 * Node ids are 40 hex digits, as clients expect: SHA-1 of Quoin's node id, the same on every node and at all times.
 */
import { createHash } from 'node:crypto';
import { SLOT_COUNT } from '../../base/slots.js';
import type { ClusterMap, GroupDescription, NodeDescription } from '../../cluster/map.js';
import type { NodeServer } from '../../server/types.js';

export interface SlotRange {
  readonly first: number;
  readonly last: number;
}

/** One group with slots: its runs of slots, its master and its replicas. */
export interface Shard {
  readonly group: GroupDescription;
  readonly ranges: readonly SlotRange[];
  readonly master: NodeDescription;
  readonly replicas: readonly NodeDescription[];
  /** False while nobody is known to lead the group. */
  readonly led: boolean;
}

const clusterIds = new Map<string, string>();

/** The 40 hex digits under which clients know a node. */
export function clusterNodeId(nodeId: string): string {
  let id = clusterIds.get(nodeId);
  if (id === undefined) {
    id = createHash('sha1').update(nodeId).digest('hex');
    clusterIds.set(nodeId, id);
  }
  return id;
}

export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}

export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** Does the node carry out clients' requests? */
export function coordinates(node: NodeDescription): boolean {
  return node.roles.includes('coordinator');
}

/** Who serves clients for a group: members, or else any coordinator, whereby `turn` spreads groups over them. */
function doorsOf(
  members: readonly NodeDescription[],
  map: ClusterMap,
  turn: number,
): readonly NodeDescription[] {
  const doors = members.filter(coordinates);
  if (doors.length > 0) return doors;
  const others = map.nodes.filter(coordinates);
  const first = turn % Math.max(1, others.length);
  return [...others.slice(first), ...others.slice(0, first)];
}

/** Runs of slots by group. */
function rangesByGroup(map: ClusterMap): Map<number, SlotRange[]> {
  const ranges = new Map<number, SlotRange[]>();
  let first = 0;
  for (let slot = 1; slot <= SLOT_COUNT; slot++) {
    const owner = map.slotOwners[first]!;
    if (slot < SLOT_COUNT && map.slotOwners[slot] === owner) continue;
    const run = { first, last: slot - 1 };
    const known = ranges.get(owner);
    if (known === undefined) ranges.set(owner, [run]);
    else known.push(run);
    first = slot;
  }
  return ranges;
}

/** All groups that hold slots, in the order of their first slot. */
export function shardsOf(node: NodeServer): Shard[] {
  const map = node.map();
  if (map === undefined) return [];
  const nodes = new Map(map.nodes.map((one) => [one.id, one]));
  const shards: (Omit<Shard, 'replicas'> & { readonly members: readonly NodeDescription[] })[] = [];
  for (const [groupId, ranges] of rangesByGroup(map)) {
    const group = map.groups.find((one) => one.id === groupId);
    if (group === undefined) continue;
    const members = doorsOf(
      group.members.flatMap((id) => nodes.get(id) ?? []),
      map,
      shards.length,
    );
    const { leader } = node.locate(ranges[0]!.first);
    const master =
      members.find((one) => one.id === leader) ??
      members.find((one) => node.peerConnected(one.id)) ??
      members[0];
    if (master === undefined) continue;
    shards.push({ group, ranges, master, members, led: leader !== undefined });
  }
  const masters = new Set(shards.map((shard) => shard.master));
  return shards.map(({ members, ...shard }) => ({
    ...shard,
    replicas: members.filter((one) => !masters.has(one)),
  }));
}

/** `CLUSTER NODES`: a line for each node. */
export function nodeLines(node: NodeServer): string {
  const map = node.map();
  if (map === undefined) return '';
  const shards = shardsOf(node);
  let lines = '';
  for (const one of map.nodes) {
    const led = shards.filter((shard) => shard.master === one);
    const followed = shards.find((shard) => shard.replicas.includes(one));
    const isMaster = led.length > 0 || followed === undefined;
    const isSelf = one.id === node.id;
    const connected = isSelf || node.peerConnected(one.id);
    let flags = isSelf ? 'myself,' : '';
    flags += isMaster ? 'master' : 'slave';
    if (!connected) flags += ',fail?';
    const masterId = isMaster ? '-' : clusterNodeId(followed.master.id);
    const ranges = led
      .flatMap((shard) => shard.ranges)
      .sort((left, right) => left.first - right.first)
      .map(({ first, last }) => (first === last ? ` ${first}` : ` ${first}-${last}`))
      .join('');
    const address = `${hostOf(one.resp)}:${portOf(one.resp)}@${portOf(one.grpc)}`;
    const link = connected ? 'connected' : 'disconnected';
    lines += `${clusterNodeId(one.id)} ${address} ${flags} ${masterId} 0 0 ${map.epoch} ${link}${ranges}\n`;
  }
  return lines;
}

/** `CLUSTER INFO`. */
export function clusterInfo(node: NodeServer): string {
  const map = node.map();
  const shards = shardsOf(node);
  const slotsOf = (some: readonly Shard[]): number =>
    some.reduce(
      (sum, shard) => sum + shard.ranges.reduce((size, one) => size + one.last - one.first + 1, 0),
      0,
    );
  const ok = slotsOf(shards.filter((shard) => shard.led));
  const assigned = slotsOf(shards);
  const { framesSent, framesReceived } = node.counters();
  const lines = [
    `cluster_state:${ok === SLOT_COUNT ? 'ok' : 'fail'}`,
    `cluster_slots_assigned:${assigned}`,
    `cluster_slots_ok:${ok}`,
    `cluster_slots_pfail:${assigned - ok}`,
    'cluster_slots_fail:0',
    `cluster_known_nodes:${map?.nodes.length ?? 1}`,
    `cluster_size:${new Set(shards.map((shard) => shard.master.id)).size}`,
    `cluster_current_epoch:${map?.epoch ?? 0}`,
    `cluster_my_epoch:${map?.epoch ?? 0}`,
    `cluster_stats_messages_sent:${framesSent}`,
    `cluster_stats_messages_received:${framesReceived}`,
    'total_cluster_links_buffer_limit_exceeded:0',
  ];
  return `${lines.join('\r\n')}\r\n`;
}
