/**
 * The replica groups as this node takes part in them: a replica for each group it is a member of, and a route for the
 * requests to every group.
 */
import type { ClusterMap } from '../cluster/map.js';
import { MapState } from '../cluster/map-state.js';
import type { EngineHost } from '../engine/engine-host.js';
import type { NodeId } from '../protocol/raft/types.js';
import { DataReplica, type DataReplicaHost } from '../replica/data-replica.js';
import { MapReplica } from '../replica/map-replica.js';
import { slotRangesOf } from '../store/slot-ranges.js';
import { createStateMachine } from '../store/state-machine.js';
import { GroupRoute, type RouteHost } from './group-route.js';
import type { Leaders, LedGroup } from './leaders.js';
import { recoverGroup } from './recovery.js';
import type { GroupStatus } from './types.js';

export class Groups {
  readonly replicas = new Map<number, DataReplica | MapReplica>();
  readonly routes = new Map<number, GroupRoute>();
  readonly #host: DataReplicaHost;
  readonly #routeHost: RouteHost;
  readonly #engines: EngineHost;

  constructor(host: DataReplicaHost, routeHost: RouteHost, engines: EngineHost) {
    this.#host = host;
    this.#routeHost = routeHost;
    this.#engines = engines;
  }

  /**
   * Recovers this node's replicas. `onMap` is told every newer map that group 0 decides, or had decided. A node that has
   * forgotten what it promised has none: it must not vote, nor acknowledge, what it may have promised otherwise before.
   * `firstMap`: the one that the log of group 0 changes, from its beginning on.
   */
  open(map: ClusterMap, firstMap: ClusterMap, onMap: (map: ClusterMap) => void): void {
    const forgot = map.nodes.some((node) => node.id === this.#host.self && node.forgot === true);
    for (const { id, members } of map.groups) {
      if (id !== 0) this.routes.set(id, new GroupRoute(id, this.#routeHost));
      if (forgot || !members.includes(this.#host.self)) continue;
      const replica =
        id === 0 ? this.#openMapReplica(firstMap, members, onMap) : this.#openDataReplica(map, id, members);
      this.replicas.set(id, replica);
    }
  }

  map(): MapReplica | undefined {
    const replica = this.replicas.get(0);
    return replica instanceof MapReplica ? replica : undefined;
  }

  data(group: number): DataReplica | undefined {
    const replica = this.replicas.get(group);
    return replica instanceof DataReplica ? replica : undefined;
  }

  *allData(): Iterable<DataReplica> {
    for (const replica of this.replicas.values()) if (replica instanceof DataReplica) yield replica;
  }

  led(): LedGroup[] {
    return [...this.replicas.values()].filter((replica) => replica.leading);
  }

  tick(nowMs: number): void {
    for (const replica of this.replicas.values()) replica.tick(nowMs);
    for (const route of this.routes.values()) route.tick(nowMs);
  }

  /** A link to this peer is new, or broke: what was sent to it may be lost. */
  peerReset(peer: NodeId): void {
    for (const route of this.routes.values()) route.peerReset(peer);
  }

  peerDead(peer: NodeId): void {
    for (const replica of this.replicas.values()) replica.peerDead(peer);
    this.peerReset(peer);
  }

  /** Room was made: replicas that waited to apply may go on. */
  resumeApplying(): void {
    for (const replica of this.replicas.values()) {
      if (replica.applyBacklog) this.#host.pump.markDirty(replica);
    }
  }

  /** Takes a dropped bucket's engine away once no group here has it open any more. */
  dropEngines(buckets: Set<number>): void {
    for (const id of buckets) {
      let open = false;
      for (const replica of this.allData()) open ||= replica.machine.buckets.has(id);
      if (open) continue;
      buckets.delete(id);
      this.#engines.drop({ id });
    }
  }

  stopRoutes(): void {
    for (const route of this.routes.values()) route.stop();
  }

  status(map: ClusterMap, leaders: Leaders): GroupStatus[] {
    return map.groups.map(({ id, members }) => {
      const replica = this.replicas.get(id);
      return { group: id, members, leader: leaders.of(id), local: replica && localStatus(replica) };
    });
  }

  #openMapReplica(
    firstMap: ClusterMap,
    members: readonly NodeId[],
    onMap: (map: ClusterMap) => void,
  ): MapReplica {
    const state = new MapState(firstMap);
    const start = recoverGroup({
      engines: this.#engines,
      log: this.#host.log,
      group: 0,
      members,
      restoreHead: (head) => state.restore(head),
    });
    onMap(state.map);
    return new MapReplica(this.#host, start, state, onMap);
  }

  #openDataReplica(map: ClusterMap, group: number, members: readonly NodeId[]): DataReplica {
    const machine = createStateMachine({
      group,
      slots: slotRangesOf(map.slotOwners, group),
      engines: this.#engines,
    });
    const start = recoverGroup({
      engines: this.#engines,
      log: this.#host.log,
      group,
      members,
      restoreHead: (head) => machine.restoreHead(head),
    });
    return new DataReplica(this.#host, start, machine);
  }
}

function localStatus(replica: DataReplica | MapReplica): NonNullable<GroupStatus['local']> {
  const { role, term, commitIndex, lastIndex, matchIndexes } = replica.status();
  return {
    role,
    term,
    commitIndex,
    appliedIndex: replica.appliedIndex,
    lastIndex,
    durableIndex: replica.durableIndex,
    pendingRequests: replica instanceof DataReplica ? replica.pendingRequests : 0,
    matchIndexes: Object.fromEntries(matchIndexes),
  };
}
