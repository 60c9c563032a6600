/**
 * A node: everything that one process of a cluster does below its front doors. It recovers its state, finds its cluster,
 * runs its replicas turn by turn, and carries requests to the group they concern.
 *
 * Phases: starting → serving → stopping, or → failed when the disk has failed or an invariant is broken: then nothing
 * is acknowledged any more, and `state()` says why.
 */
import { ByteReader } from '../base/bytes.js';
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Logger } from '../base/logger.js';
import type { BucketSpecification, ClusterMap, NodeDescription } from '../cluster/map.js';
import { decodeMap, encodeMap } from '../cluster/map-codec.js';
import { type MapChange, MapState } from '../cluster/map-state.js';
import { EngineHost } from '../engine/engine-host.js';
import type { DiskStore } from '../engine/types.js';
import type { Env, Timer } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import { openLog } from '../log/write-ahead-log.js';
import type { NodeId } from '../protocol/raft/types.js';
import { Checkpointer } from '../replica/checkpointer.js';
import { DataReplica, type DataReplicaHost } from '../replica/data-replica.js';
import { decodeGroupNote, groupNoteName } from '../replica/group-note.js';
import { MapReplica } from '../replica/map-replica.js';
import { MESSAGE, type MessageKind } from '../replica/peers/frame.js';
import type { Hello } from '../replica/peers/hello.js';
import { PeerHub } from '../replica/peers/peer-hub.js';
import { Pump } from '../replica/pump.js';
import type { ReplicaStart } from '../replica/replica.js';
import { ErrorReply } from '../store/reply.js';
import { slotRangesOf } from '../store/slot-ranges.js';
import { createStateMachine } from '../store/state-machine.js';
import type { BucketDescription } from '../store/types.js';
import { Administration } from './administration.js';
import type { NodeConfiguration } from './configuration/types.js';
import { Formation } from './formation.js';
import { decodeForwardedReply, RemoteRequest } from './forwarding.js';
import { GroupRoute, type RouteHost } from './group-route.js';
import { type Identity, openIdentity } from './identity.js';
import { Router } from './router.js';
import type { GroupStatus, NodeCounters, NodeServer, Request } from './types.js';
import { VERSION } from './version.js';

/** How often cores are ticked, deadlines looked at and waiting requests tried again. */
const TICK_MS = 20;
/** How often leaders say that they lead, for nodes that are no members. */
const LEADERS_INTERVAL_MS = 1000;
const MAP_FILE = 'cluster.json';

export interface NodeDependencies {
  readonly env: Env;
  readonly logger: Logger;
  /** Opens the home of the disk engines in this directory. */
  readonly openDiskStore: (directory: string) => DiskStore;
  /** Told once when the node has failed: it acknowledges nothing any more and should be stopped. */
  readonly onFailed?: (error: Error) => void;
}

type Phase = ReturnType<NodeServer['state']>['phase'];
type AnyReplica = DataReplica | MapReplica;

/** Starts a node. Rejects when the configuration or the data directory does not allow it. */
export async function createNode(
  configuration: NodeConfiguration,
  dependencies: NodeDependencies,
): Promise<Node> {
  const { env } = dependencies;
  const directory = configuration.node.dataDir;
  env.disk.makeDirectory(directory);
  const lock = env.disk.lock(directory);
  let log: WriteAheadLog | undefined;
  let engines: EngineHost | undefined;
  try {
    const identity = openIdentity(env, directory, configuration.node.id, configuration.cluster.name);
    log = openLog(env.disk, env.clock, `${directory}/log`, {
      syncStrategy: configuration.storage.syncStrategy,
    });
    const storeDirectory = `${directory}/store`;
    env.disk.makeDirectory(storeDirectory);
    engines = new EngineHost({
      openDiskStore: () => dependencies.openDiskStore(storeDirectory),
      clock: env.clock,
    });
    const node = new Node(configuration, dependencies, identity, log, engines, () => lock.release());
    await node.open();
    return node;
  } catch (error) {
    log?.close();
    await engines?.close();
    lock.release();
    throw error;
  }
}

export class Node implements NodeServer {
  readonly id: NodeId;
  readonly version = VERSION;
  readonly #configuration: NodeConfiguration;
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #log: WriteAheadLog;
  readonly #engines: EngineHost;
  readonly #releaseLock: () => void;
  readonly #onFailed: (error: Error) => void;
  readonly #self: NodeDescription;
  readonly #peers: PeerHub;
  readonly #pump: Pump;
  readonly #checkpointer: Checkpointer;
  readonly #formation: Formation;
  readonly #router: Router;
  readonly #administration: Administration;
  readonly #host: DataReplicaHost;
  readonly #routeHost: RouteHost;
  readonly #replicas = new Map<number, AnyReplica>();
  readonly #routes = new Map<number, GroupRoute>();
  /** Newest word on who leads which group. */
  readonly #leaders = new Map<number, { readonly leader: NodeId | undefined; readonly term: number }>();
  readonly #startedAtMs: number;
  #map: ClusterMap | undefined;
  #bucketsById: ReadonlyMap<number, BucketDescription> = new Map();
  #bucketsByName: ReadonlyMap<string, BucketDescription> = new Map();
  #phase: Phase = 'starting';
  #reason = 'recovering';
  #tickTimer: Timer | undefined;
  #nextLeadersMs = 0;
  #waiters: { readonly check: () => boolean; readonly wake: () => void }[] = [];
  #commandsProcessed = 0;
  #commandsForwarded = 0;
  #reads = 0;
  #writes = 0;
  #elections = 0;

  constructor(
    configuration: NodeConfiguration,
    dependencies: NodeDependencies,
    identity: Identity,
    log: WriteAheadLog,
    engines: EngineHost,
    releaseLock: () => void,
  ) {
    const { env, logger } = dependencies;
    this.id = configuration.node.id;
    this.#configuration = configuration;
    this.#env = env;
    this.#logger = logger;
    this.#log = log;
    this.#engines = engines;
    this.#releaseLock = releaseLock;
    this.#onFailed = dependencies.onFailed ?? (() => {});
    this.#startedAtMs = env.clock.wallMs();
    this.#self = describe(configuration, identity);
    this.#peers = new PeerHub(env, this.id, identity.incarnation, {
      hello: (peer, wantsAnswer) => this.#hello(peer, wantsAnswer),
      onHello: (hello) => this.#onHello(hello),
      knows: (node, incarnation) =>
        this.#map?.nodes.some((known) => known.id === node && known.incarnation === incarnation) ?? false,
      onMessage: (from, kind, group, body) => this.#onMessage(from, kind, group, body),
      onNewerEpoch: (from) => {
        this.#peers.sendMessage(from, MESSAGE.mapRequest, 0, Buffer.alloc(0));
        this.#pump.schedule();
      },
      onPeerUp: (peer) => this.#onPeerUp(peer),
      onPeerDead: (peer) => this.#onPeerDead(peer),
    });
    this.#pump = new Pump(env.clock, log, this.#peers, (error) => this.#fail(error));
    this.#checkpointer = new Checkpointer({
      clock: env.clock,
      engines,
      log,
      replicas: () => this.#replicas.values(),
      intervalMs: configuration.storage.checkpointIntervalMs,
      onDone: () => {
        for (const replica of this.#replicas.values())
          if (replica.applyBacklog) this.#pump.markDirty(replica);
      },
      onFailure: (error) => this.#fail(error),
    });
    this.#formation = new Formation({
      clusterName: configuration.cluster.name,
      self: this.#self,
      join: configuration.cluster.join,
      replicas: configuration.cluster.replicas,
      buckets: configuration.buckets,
      onMap: (map) => this.#adoptMap(map),
      onFailure: (error) => this.#fail(error),
    });
    this.#router = new Router(
      () => this.#routes,
      () => this.#map?.slotOwners,
    );
    this.#administration = new Administration({
      env,
      self: this.id,
      peers: this.#peers,
      replica: () => this.#mapReplica(),
      leader: () => this.#leaders.get(0)?.leader,
    });
    const { cluster } = configuration;
    this.#host = {
      env,
      self: this.id,
      log,
      peers: this.#peers,
      pump: this.#pump,
      timing: {
        electionTimeoutMs: cluster.electionTimeoutMs,
        heartbeatIntervalMs: cluster.heartbeatIntervalMs,
        leaseReads: cluster.leaseReads,
        maxAppendBytes: LIMITS.maxAppendBytes,
        maxInflightAppends: LIMITS.maxInflightAppends,
        maxUncommittedBytes: LIMITS.maxUncommittedBytes,
      },
      bucketsById: () => this.#bucketsById,
      mayApply: () => this.#checkpointer.mayApply(),
      requestCheckpoint: (onDurable) => this.#checkpointer.request(onDurable),
      onLeadership: (group, leader, term) => this.#onLeadership(group, leader, term),
      onFatal: (group, error) =>
        this.#fail(new Error(`group ${group}: ${messageOf(error)}`, { cause: error })),
    };
    this.#routeHost = {
      self: this.id,
      peers: this.#peers,
      replica: (group) => this.#dataReplica(group),
      monotonicMs: () => env.clock.monotonicMs(),
      scheduleFlush: () => this.#pump.schedule(),
      noteForwarded: () => {
        this.#commandsForwarded++;
      },
      knowsBucket: (id) => this.#bucketsById.has(id),
    };
  }

  /** Opens the peer door and begins to look for the cluster. Called once, by `createNode`. */
  async open(): Promise<void> {
    await this.#peers.listen(this.#configuration.listen.grpc);
    this.#tickTimer = this.#env.clock.setTimer(TICK_MS, this.#tick);
    const stored = this.#storedMap();
    if (stored !== undefined) {
      this.#adoptMap(stored);
    } else {
      this.#reason = 'waiting for the other nodes of cluster.join';
      this.#peers.introduce(this.#formation.missing);
      this.#formation.begin();
    }
  }

  map(): ClusterMap | undefined {
    return this.#map;
  }

  self(): NodeDescription {
    return this.#self;
  }

  state(): ReturnType<NodeServer['state']> {
    const missing = this.#phase === 'starting' ? this.#formation.missing : [];
    const reason = missing.length > 0 ? `waiting for ${missing.join(', ')}` : this.#reason;
    return { phase: this.#phase, reason };
  }

  ready(): boolean {
    if (this.#phase !== 'serving' || this.#map === undefined) return false;
    return this.#map.groups.every((group) => this.#leaders.get(group.id)?.leader !== undefined);
  }

  submit(request: Request): void {
    this.#commandsProcessed++;
    if (request.definition.isWrite) this.#writes++;
    else this.#reads++;
    if (this.#phase === 'serving') this.#router.submit(request);
    else request.completion.complete(this.#unavailable());
  }

  bucketByName(name: string): BucketDescription | undefined {
    return this.#bucketsByName.get(name);
  }

  bucketById(id: number): BucketDescription | undefined {
    return this.#bucketsById.get(id);
  }

  locate(slot: number): { readonly group: number; readonly leader: NodeId | undefined } {
    const group = this.#map?.slotOwners[slot] ?? 0;
    return { group, leader: this.#leaders.get(group)?.leader };
  }

  groupStatus(): GroupStatus[] {
    return (this.#map?.groups ?? []).map((group) => {
      const replica = this.#replicas.get(group.id);
      const status = replica?.status();
      return {
        group: group.id,
        members: group.members,
        leader: this.#leaders.get(group.id)?.leader,
        local:
          replica === undefined || status === undefined
            ? undefined
            : {
                role: status.role,
                term: status.term,
                commitIndex: status.commitIndex,
                appliedIndex: replica.appliedIndex,
                lastIndex: status.lastIndex,
                durableIndex: replica.durableIndex,
                pendingRequests: replica instanceof DataReplica ? replica.pendingRequests : 0,
                matchIndexes: Object.fromEntries(status.matchIndexes),
              },
      };
    });
  }

  counters(): NodeCounters {
    const log = this.#log.statistics();
    const peers = this.#peers.statistics();
    let entriesApplied = 0;
    for (const replica of this.#dataReplicas()) entriesApplied += replica.entriesApplied;
    return {
      startedAtMs: this.#startedAtMs,
      commandsProcessed: this.#commandsProcessed,
      commandsForwarded: this.#commandsForwarded,
      reads: this.#reads,
      writes: this.#writes,
      entriesApplied,
      elections: this.#elections,
      framesSent: peers.framesSent,
      framesReceived: this.#peers.framesReceived,
      peerBytesSent: peers.bytesSent,
      peerBytesReceived: this.#peers.bytesReceived,
      logBytes: log.sizeBytes,
      logSyncs: log.syncs,
      logSyncMs: log.syncMs,
      memoryBytes: this.#engines.memoryBytes(),
      dataBytes: this.#engines.dataBytes(),
    };
  }

  peerConnected(node: NodeId): boolean {
    return node === this.id || this.#peers.connected(node);
  }

  digestOfSlot(slot: number): number {
    return this.#dataReplica(this.locate(slot).group)?.machine.digestOfSlot(slot) ?? 0;
  }

  async createBucket(specification: BucketSpecification): Promise<BucketDescription> {
    return this.#changeMap({ change: 'create-bucket', bucket: specification }, (bucket) =>
      this.#bucketsById.has(bucket.id),
    );
  }

  async updateBucket(name: string, changes: { readonly ttlMs?: number }): Promise<BucketDescription> {
    return this.#changeMap(
      { change: 'update-bucket', name, changes },
      (bucket) => this.#bucketsById.get(bucket.id)?.ttlMs === bucket.ttlMs,
    );
  }

  async dropBucket(name: string): Promise<void> {
    await this.#changeMap({ change: 'drop-bucket', name }, (bucket) => !this.#bucketsById.has(bucket.id));
  }

  async waitForReplicas(slot: number, replicas: number, timeoutMs: number): Promise<number> {
    const { group } = this.locate(slot);
    const replica = this.#dataReplica(group);
    // What was acknowledged is on a majority; only the leader knows of more.
    const guaranteed = Math.floor(
      (replica?.members.length ?? this.#map?.groups.find(({ id }) => id === group)?.members.length ?? 1) / 2,
    );
    if (replica === undefined || !replica.leading) return guaranteed;
    const target = replica.status().commitIndex;
    const count = (): number =>
      [...replica.status().matchIndexes.values()].filter((index) => index >= target).length;
    await this.#until(() => count() >= replicas || !replica.leading, timeoutMs);
    return replica.leading ? count() : guaranteed;
  }

  async stop(): Promise<void> {
    if (this.#phase === 'stopping') return;
    const clean = this.#phase === 'serving';
    this.#phase = 'stopping';
    this.#reason = 'stopping';
    if (clean) await this.#handOver();
    this.#tickTimer?.cancel();
    for (const route of this.#routes.values()) route.stop();
    this.#administration.stop();
    this.#pump.stop();
    await this.#peers.close();
    this.#log.close();
    await this.#engines.close();
    this.#releaseLock();
  }

  readonly #tick = (): void => {
    if (this.#phase === 'stopping' || this.#phase === 'failed') return;
    const nowMs = this.#env.clock.monotonicMs();
    for (const replica of this.#replicas.values()) replica.tick(nowMs);
    for (const route of this.#routes.values()) route.tick(nowMs);
    this.#checkpointer.tick(nowMs);
    this.#administration.tick(nowMs);
    if (nowMs >= this.#nextLeadersMs) this.#announceLeaders(nowMs);
    this.#wakeWaiters();
    this.#tickTimer = this.#env.clock.setTimer(TICK_MS, this.#tick);
  };

  #wakeWaiters(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ check }) => !check());
    for (const waiter of waiters) if (!this.#waiters.includes(waiter)) waiter.wake();
  }

  /** Resolves true once `condition` holds, looked at every tick; false when the time is up. */
  #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    const deadlineMs = this.#env.clock.monotonicMs() + timeoutMs;
    return new Promise((resolve) => {
      const expired = (): boolean => this.#env.clock.monotonicMs() >= deadlineMs || this.#phase !== 'serving';
      this.#waiters.push({ check: () => condition() || expired(), wake: () => resolve(condition()) });
    });
  }

  async #changeMap(
    change: MapChange,
    visible: (bucket: BucketDescription) => boolean,
  ): Promise<BucketDescription> {
    if (this.#phase !== 'serving') throw new QuoinError('STARTING', this.#reason);
    const bucket = await this.#administration.submit(change);
    // Wait until this node and the peers it can reach see it, so that the next request anywhere does too.
    await this.#until(() => visible(bucket), LIMITS.requestTimeoutMs);
    const epoch = this.#map?.epoch ?? 0;
    const peers = (): NodeId[] => this.#peers.peerIds().filter((peer) => this.#peers.connected(peer));
    await this.#until(() => peers().every((peer) => this.#peers.epochOf(peer) >= epoch), 1000);
    return bucket;
  }

  #unavailable(): ErrorReply {
    if (this.#phase === 'failed') return ErrorReply.of('SYNC_FAILED', this.#reason);
    if (this.#phase === 'stopping') return ErrorReply.of('SHUTTING_DOWN', 'the node is stopping');
    return ErrorReply.of('STARTING', this.state().reason);
  }

  /** Before leaving: gives leadership away and lets what was proposed finish, for as long as that makes sense. */
  async #handOver(): Promise<void> {
    const led = [...this.#replicas.values()].filter((replica) => replica.leading);
    const nowMs = this.#env.clock.monotonicMs();
    for (const replica of led) replica.handOver(nowMs);
    const deadlineMs = nowMs + this.#configuration.cluster.electionTimeoutMs;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        const now = this.#env.clock.monotonicMs();
        for (const replica of this.#replicas.values()) replica.tick(now);
        const busy = led.some((replica) => replica.leading && replica.members.length > 1);
        if (!busy || now >= deadlineMs) resolve();
        else this.#env.clock.setTimer(TICK_MS, look);
      };
      look();
    });
  }

  #fail(error: Error): void {
    if (this.#phase === 'failed' || this.#phase === 'stopping') return;
    this.#phase = 'failed';
    this.#reason = error.message;
    this.#logger.error(
      { error: error.message, code: error instanceof QuoinError ? error.code : 'INTERNAL' },
      'the node has failed and acknowledges nothing any more',
    );
    this.#pump.stop();
    this.#tickTimer?.cancel();
    for (const route of this.#routes.values()) route.stop();
    this.#administration.stop();
    // Peers shall see at once that this node is gone.
    void this.#peers.close();
    this.#onFailed(error);
  }

  #mapReplica(): MapReplica | undefined {
    const replica = this.#replicas.get(0);
    return replica instanceof MapReplica ? replica : undefined;
  }

  #dataReplica(group: number): DataReplica | undefined {
    const replica = this.#replicas.get(group);
    return replica instanceof DataReplica ? replica : undefined;
  }

  *#dataReplicas(): Iterable<DataReplica> {
    for (const replica of this.#replicas.values()) if (replica instanceof DataReplica) yield replica;
  }

  #mapPath(): string {
    return `${this.#configuration.node.dataDir}/${MAP_FILE}`;
  }

  /** The first map, as this node has stored it. Later maps come from the note of group 0, its log, or peers. */
  #storedMap(): ClusterMap | undefined {
    const path = this.#mapPath();
    return this.#env.disk.exists(path) ? decodeMap(this.#env.disk.read(path)) : undefined;
  }

  #adoptMap(map: ClusterMap): void {
    if (this.#map !== undefined && map.epoch <= this.#map.epoch) return;
    const first = this.#map === undefined;
    this.#map = map;
    this.#bucketsById = new Map(map.buckets.map((bucket) => [bucket.id, bucket]));
    this.#bucketsByName = new Map(map.buckets.map((bucket) => [bucket.name, bucket]));
    this.#peers.setCluster(map.clusterId, map.epoch);
    if (first) {
      try {
        this.#begin(map);
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
        return;
      }
    } else {
      // Any frame tells the peers that there is a newer map.
      this.#announceLeaders(this.#env.clock.monotonicMs());
    }
    this.#wakeWaiters();
  }

  /** The cluster is known: recovers this node's replicas and begins to serve. */
  #begin(map: ClusterMap): void {
    if (!this.#env.disk.exists(this.#mapPath())) this.#env.disk.replace(this.#mapPath(), encodeMap(map));
    for (const { id, members } of map.groups) {
      if (id !== 0) this.#routes.set(id, new GroupRoute(id, this.#routeHost));
      if (members.includes(this.id))
        this.#replicas.set(
          id,
          id === 0 ? this.#openMapReplica(map, members) : this.#openDataReplica(map, id, members),
        );
    }
    this.#peers.setPeers(map.nodes);
    this.#phase = 'serving';
    this.#reason = 'serving';
    this.#logger.info(
      { epoch: map.epoch, nodes: map.nodes.length, groups: map.groups.length },
      'the node serves',
    );
  }

  #openMapReplica(map: ClusterMap, members: readonly NodeId[]): MapReplica {
    const state = new MapState(map);
    const start = this.#recover(0, members, (head) => state.restore(head));
    const replica = new MapReplica(this.#host, start, state, (newer) => this.#adoptMap(newer));
    if (state.map.epoch > map.epoch) this.#adoptMap(state.map);
    return replica;
  }

  #openDataReplica(map: ClusterMap, group: number, members: readonly NodeId[]): DataReplica {
    const slots = slotRangesOf(map.slotOwners, group);
    const machine = createStateMachine({ group, slots, engines: this.#engines });
    const start = this.#recover(group, members, (head) => machine.restoreHead(head));
    return new DataReplica(this.#host, start, machine);
  }

  #recover(group: number, members: readonly NodeId[], restoreHead: (head: Buffer) => void): ReplicaStart {
    const stored = this.#engines.note(groupNoteName(group));
    const { recovered } = this.#log.group(group);
    if (stored === undefined) {
      if (recovered.compactedIndex > 0) {
        throw new QuoinError(
          'CHECKPOINT_DAMAGED',
          `group ${group} has a log from index ${recovered.compactedIndex + 1} on but no state`,
        );
      }
      return { group, members, appliedIndex: 0, stateMissing: false };
    }
    const note = decodeGroupNote(group, stored);
    if (note.stateMissing)
      return { group, members, appliedIndex: recovered.compactedIndex, stateMissing: true };
    restoreHead(note.head);
    if (note.appliedIndex < recovered.compactedIndex) {
      throw new QuoinError(
        'CHECKPOINT_DAMAGED',
        `group ${group} has state as of index ${note.appliedIndex} but a log from ${recovered.compactedIndex + 1} on`,
      );
    }
    if (
      note.appliedIndex > recovered.compactedIndex &&
      this.#log.group(group).term(note.appliedIndex) !== note.appliedTerm
    ) {
      // A snapshot was made durable, and the node stopped before its log was taken on from there.
      this.#log.resetTo(group, note.appliedIndex, note.appliedTerm);
    }
    return { group, members, appliedIndex: note.appliedIndex, stateMissing: false };
  }

  #hello(peer: NodeId | undefined, wantsAnswer: boolean): Hello {
    return {
      clusterName: this.#configuration.cluster.name,
      map: this.#map === undefined ? '' : encodeMap(this.#map).toString('utf8'),
      node: this.#self,
      join: this.#formation.join,
      wantsAnswer,
      knownIncarnation: this.#map?.nodes.find((node) => node.id === peer)?.incarnation ?? '',
    };
  }

  #onHello(hello: Hello): boolean {
    if (this.#map === undefined) return this.#formation.receive(hello);
    return hello.clusterName === this.#configuration.cluster.name;
  }

  #onPeerUp(peer: NodeId): void {
    this.#logger.debug({ peer }, 'peer connected');
    for (const route of this.#routes.values()) route.peerReset(peer);
    this.#sendLeaders([peer]);
    this.#pump.schedule();
  }

  #onPeerDead(peer: NodeId): void {
    this.#logger.warn({ peer }, 'peer is gone');
    for (const replica of this.#replicas.values()) replica.peerDead(peer);
    for (const route of this.#routes.values()) route.peerReset(peer);
  }

  #onLeadership(group: number, leader: NodeId | undefined, term: number): void {
    if (leader === this.id && this.#leaders.get(group)?.leader !== this.id) {
      this.#elections++;
      this.#logger.info({ group, term }, 'leads');
    }
    this.#noteLeader(group, leader, term);
    // Those who are no members learn it from the leader.
    if (leader === this.id) this.#nextLeadersMs = 0;
  }

  #noteLeader(group: number, leader: NodeId | undefined, term: number): void {
    const known = this.#leaders.get(group);
    if (known !== undefined && (term < known.term || (term === known.term && leader === undefined))) return;
    this.#leaders.set(group, { leader, term });
    this.#routes.get(group)?.noteLeader(leader, term);
  }

  #announceLeaders(nowMs: number): void {
    this.#nextLeadersMs = nowMs + LEADERS_INTERVAL_MS;
    this.#sendLeaders(this.#peers.peerIds());
    this.#pump.schedule();
  }

  #sendLeaders(peers: readonly NodeId[]): void {
    for (const peer of peers) {
      const writer = this.#peers.beginMessage(peer, MESSAGE.leaders, 0);
      if (writer === undefined) continue;
      const led = [...this.#replicas.values()].filter((replica) => replica.leading);
      writer.varint(led.length);
      for (const replica of led) {
        writer.varint(replica.group);
        writer.varint(replica.term);
      }
      this.#peers.endMessage(peer);
    }
  }

  #onMessage(from: NodeId, kind: MessageKind, group: number, body: Buffer): void {
    switch (kind) {
      case MESSAGE.raft:
      case MESSAGE.heartbeat:
        this.#replicas.get(group)?.receive(from, body);
        return;
      case MESSAGE.forwardRequests: {
        const request = new RemoteRequest(this.#peers, from, group, body);
        const replica = this.#dataReplica(group);
        if (replica === undefined) request.refuse('not-leader');
        else replica.enqueue(request);
        this.#pump.schedule();
        return;
      }
      case MESSAGE.forwardReplies: {
        const answer = decodeForwardedReply(body, this.#peers.boot);
        if (answer !== undefined)
          this.#routes.get(group)?.replied(answer.sequence, answer.refusal, answer.reply);
        return;
      }
      case MESSAGE.mapRequest:
        if (this.#map !== undefined) this.#peers.sendMessage(from, MESSAGE.mapReply, 0, encodeMap(this.#map));
        this.#pump.schedule();
        return;
      case MESSAGE.mapReply:
        this.#adoptMap(decodeMap(body));
        return;
      case MESSAGE.leaders:
        this.#receiveLeaders(from, body);
        return;
      case MESSAGE.snapshotChunk:
        this.#replicas.get(group)?.receiveSnapshotChunk(from, body);
        return;
      case MESSAGE.snapshotAcknowledgement:
        this.#replicas.get(group)?.receiveSnapshotAcknowledgement(from, body);
        return;
      case MESSAGE.snapshotWanted:
        this.#replicas.get(group)?.snapshotRequested(from);
        return;
      case MESSAGE.administration:
        this.#administration.receive(from, body);
        return;
      case MESSAGE.administrationReply:
        this.#administration.receiveReply(body);
        return;
      case MESSAGE.hello:
      case MESSAGE.piece:
        // The hub has dealt with these.
        return;
    }
  }

  #receiveLeaders(from: NodeId, body: Buffer): void {
    const reader = new ByteReader(body);
    for (let left = reader.varint(); left > 0; left--) {
      const group = reader.varint();
      const term = reader.varint();
      // Members know from the protocol itself.
      if (!this.#replicas.has(group)) this.#noteLeader(group, from, term);
    }
  }
}

function describe(configuration: NodeConfiguration, identity: Identity): NodeDescription {
  const { node, listen, advertise } = configuration;
  const reachable = (address: string): string =>
    `${advertise}:${address.slice(address.lastIndexOf(':') + 1)}`;
  return {
    id: node.id,
    resp: reachable(listen.resp),
    http: reachable(listen.http),
    grpc: reachable(listen.grpc),
    roles: node.roles,
    zone: node.zone,
    weight: node.weight,
    incarnation: identity.incarnation,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
