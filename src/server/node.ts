/**
 * A node: everything that one process of a cluster does below its front doors. It recovers its state, finds its cluster,
 * runs its replicas turn by turn, and carries requests to the group they concern.
 *
 * Phases: starting → serving → stopping, or → failed when the disk has failed or an invariant is broken: then nothing
 * is acknowledged any more, and `state()` says why.
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Logger } from '../base/logger.js';
import type { BucketSpecification, ClusterMap, NodeDescription } from '../cluster/map.js';
import { decodeMap, encodeMap } from '../cluster/map-codec.js';
import type { MapChange } from '../cluster/map-state.js';
import { EngineHost } from '../engine/engine-host.js';
import type { DiskStore } from '../engine/types.js';
import type { Env, Timer } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import { openLog } from '../log/write-ahead-log.js';
import type { NodeId } from '../protocol/raft/types.js';
import { Checkpointer } from '../replica/checkpointer.js';
import type { DataReplicaHost } from '../replica/data-replica.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { Hello } from '../replica/peers/hello.js';
import { PeerHub } from '../replica/peers/peer-hub.js';
import { Pump } from '../replica/pump.js';
import { ErrorReply } from '../store/reply.js';
import type { BucketDescription } from '../store/types.js';
import { Administration } from './administration.js';
import { Conditions } from './conditions.js';
import type { NodeConfiguration } from './configuration/types.js';
import { Formation } from './formation.js';
import { Groups } from './groups.js';
import { type Identity, openIdentity } from './identity.js';
import { Leaders, sendLeaders } from './leaders.js';
import { dispatchMessage } from './peer-messages.js';
import { Router } from './router.js';
import type { GroupStatus, NodeCounters, NodeServer, Request } from './types.js';
import { VERSION } from './version.js';

/** How often cores are ticked, deadlines looked at and waiting requests tried again. */
const TICK_MS = 20;
/** How long a change of the map waits for the peers it can reach to know it. */
const MAP_SPREAD_MS = 1000;
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
  readonly #leaders: Leaders;
  readonly #groups: Groups;
  readonly #router: Router;
  readonly #administration: Administration;
  readonly #conditions: Conditions;
  readonly #startedAtMs: number;
  #map: ClusterMap | undefined;
  #bucketsById: ReadonlyMap<number, BucketDescription> = new Map();
  #bucketsByName: ReadonlyMap<string, BucketDescription> = new Map();
  /** Buckets that the map has lost, whose engines have not gone yet. */
  readonly #droppedBuckets = new Set<number>();
  #phase: Phase = 'starting';
  #reason = 'recovering';
  #tickTimer: Timer | undefined;
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
    this.#conditions = new Conditions(env.clock);
    this.#peers = this.#openPeers(identity);
    this.#pump = new Pump(env.clock, log, this.#peers, (error) => this.#fail(error));
    this.#checkpointer = new Checkpointer({
      clock: env.clock,
      engines,
      log,
      replicas: () => this.#groups.replicas.values(),
      intervalMs: configuration.storage.checkpointIntervalMs,
      onDone: () => {
        this.#groups.resumeApplying();
        this.#groups.dropEngines(this.#droppedBuckets);
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
    this.#leaders = new Leaders((group, leader, term) =>
      this.#groups.routes.get(group)?.noteLeader(leader, term),
    );
    this.#groups = new Groups(
      this.#replicaHost(),
      {
        self: this.id,
        peers: this.#peers,
        replica: (group) => this.#groups.data(group),
        monotonicMs: () => env.clock.monotonicMs(),
        scheduleFlush: () => this.#pump.schedule(),
        noteForwarded: () => {
          this.#commandsForwarded++;
        },
        knowsBucket: (id) => this.#bucketsById.has(id),
      },
      engines,
    );
    this.#router = new Router(
      () => this.#groups.routes,
      () => this.#map?.slotOwners,
    );
    this.#administration = new Administration({
      env,
      self: this.id,
      peers: this.#peers,
      replica: () => this.#groups.map(),
      leader: () => this.#leaders.of(0),
    });
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
    return this.#map.groups.every((group) => this.#leaders.of(group.id) !== undefined);
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
    return { group, leader: this.#leaders.of(group) };
  }

  groupStatus(): GroupStatus[] {
    return this.#map === undefined ? [] : this.#groups.status(this.#map, this.#leaders);
  }

  counters(): NodeCounters {
    const log = this.#log.statistics();
    const peers = this.#peers.statistics();
    let entriesApplied = 0;
    for (const replica of this.#groups.allData()) entriesApplied += replica.entriesApplied;
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
    return this.#groups.data(this.locate(slot).group)?.machine.digestOfSlot(slot) ?? 0;
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
    const replica = this.#groups.data(group);
    // What was acknowledged is on a majority; only the leader knows of more.
    const guaranteed = Math.floor(
      (replica?.members.length ?? this.#map?.groups.find(({ id }) => id === group)?.members.length ?? 1) / 2,
    );
    if (replica === undefined || !replica.leading) return guaranteed;
    const target = replica.status().commitIndex;
    const count = (): number =>
      [...replica.status().matchIndexes.values()].filter((index) => index >= target).length;
    await this.#conditions.until(() => count() >= replicas || !replica.leading, timeoutMs);
    return replica.leading ? count() : guaranteed;
  }

  async stop(): Promise<void> {
    if (this.#phase === 'stopping') return;
    const clean = this.#phase === 'serving';
    this.#phase = 'stopping';
    this.#reason = 'stopping';
    if (clean) await this.#handOver();
    this.#tickTimer?.cancel();
    this.#groups.stopRoutes();
    this.#conditions.stop();
    this.#administration.stop();
    this.#pump.stop();
    await this.#peers.close();
    this.#log.close();
    await this.#engines.close();
    this.#releaseLock();
  }

  /** What the replicas of this node share. */
  #replicaHost(): DataReplicaHost {
    const { cluster } = this.#configuration;
    return {
      env: this.#env,
      self: this.id,
      log: this.#log,
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
      nextBucketId: () => this.#map?.nextBucketId ?? 0,
      mayApply: () => this.#checkpointer.mayApply(),
      requestCheckpoint: (onDurable) => this.#checkpointer.request(onDurable),
      onLeadership: (group, leader, term) => this.#onLeadership(group, leader, term),
      onFatal: (group, error) =>
        this.#fail(new Error(`group ${group}: ${messageOf(error)}`, { cause: error })),
    };
  }

  #openPeers(identity: Identity): PeerHub {
    return new PeerHub(this.#env, this.id, identity.incarnation, {
      hello: (peer, wantsAnswer) => this.#hello(peer, wantsAnswer),
      onHello: (hello) => this.#onHello(hello),
      knows: (node, incarnation) =>
        this.#map?.nodes.some((known) => known.id === node && known.incarnation === incarnation) ?? false,
      onMessage: (from, kind, group, body) => {
        dispatchMessage(
          {
            peers: this.#peers,
            administration: this.#administration,
            leaders: this.#leaders,
            replica: (id) => this.#groups.replicas.get(id),
            dataReplica: (id) => this.#groups.data(id),
            route: (id) => this.#groups.routes.get(id),
            sendMap: (to) => this.#sendMap(to),
            receiveMap: (bytes) => this.#adoptMap(decodeMap(bytes)),
            scheduleFlush: () => this.#pump.schedule(),
          },
          from,
          kind,
          group,
          body,
        );
      },
      onNewerEpoch: (from) => {
        this.#peers.sendMessage(from, MESSAGE.mapRequest, 0, Buffer.alloc(0));
        this.#pump.schedule();
      },
      onPeerUp: (peer) => {
        this.#logger.debug({ peer }, 'peer connected');
        this.#groups.peerReset(peer);
        sendLeaders(this.#peers, [peer], this.#groups.led());
        this.#pump.schedule();
      },
      onPeerDead: (peer) => {
        this.#logger.warn({ peer }, 'peer is gone');
        this.#groups.peerDead(peer);
      },
    });
  }

  readonly #tick = (): void => {
    if (this.#phase === 'stopping' || this.#phase === 'failed') return;
    const nowMs = this.#env.clock.monotonicMs();
    this.#groups.tick(nowMs);
    this.#checkpointer.tick(nowMs);
    this.#administration.tick(nowMs);
    this.#leaders.tick(nowMs, this.#peers, () => this.#groups.led());
    this.#conditions.look();
    this.#pump.schedule();
    this.#tickTimer = this.#env.clock.setTimer(TICK_MS, this.#tick);
  };

  async #changeMap(
    change: MapChange,
    visible: (bucket: BucketDescription) => boolean,
  ): Promise<BucketDescription> {
    if (this.#phase !== 'serving') throw new QuoinError('STARTING', this.#reason);
    const bucket = await this.#administration.submit(change);
    // Wait until this node and the peers it can reach see it, so that the next request anywhere does too.
    await this.#conditions.until(() => visible(bucket), LIMITS.requestTimeoutMs);
    const epoch = this.#map?.epoch ?? 0;
    const peers = (): NodeId[] => this.#peers.peerIds().filter((peer) => this.#peers.connected(peer));
    await this.#conditions.until(
      () => peers().every((peer) => this.#peers.epochOf(peer) >= epoch),
      MAP_SPREAD_MS,
    );
    return bucket;
  }

  #unavailable(): ErrorReply {
    if (this.#phase === 'failed') return ErrorReply.of('SYNC_FAILED', this.#reason);
    if (this.#phase === 'stopping') return ErrorReply.of('SHUTTING_DOWN', 'the node is stopping');
    return ErrorReply.of('STARTING', this.state().reason);
  }

  /** Before leaving: gives leadership away and lets what was proposed finish, for as long as that makes sense. */
  async #handOver(): Promise<void> {
    const led = [...this.#groups.replicas.values()].filter((replica) => replica.leading);
    const nowMs = this.#env.clock.monotonicMs();
    for (const replica of led) replica.handOver(nowMs);
    const deadlineMs = nowMs + this.#configuration.cluster.electionTimeoutMs;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        const now = this.#env.clock.monotonicMs();
        for (const replica of this.#groups.replicas.values()) replica.tick(now);
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
    this.#groups.stopRoutes();
    this.#conditions.stop();
    this.#administration.stop();
    // Peers shall see at once that this node is gone.
    void this.#peers.close();
    this.#onFailed(error);
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
    for (const { id } of this.#map?.buckets ?? []) {
      if (!map.buckets.some((bucket) => bucket.id === id)) this.#droppedBuckets.add(id);
    }
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
      this.#leaders.announceSoon();
      this.#leaders.tick(this.#env.clock.monotonicMs(), this.#peers, () => this.#groups.led());
      this.#pump.schedule();
    }
    this.#conditions.look();
  }

  /** The cluster is known: recovers this node's replicas and begins to serve. */
  #begin(map: ClusterMap): void {
    if (!this.#env.disk.exists(this.#mapPath())) this.#env.disk.replace(this.#mapPath(), encodeMap(map));
    this.#groups.open(map, (newer) => this.#adoptMap(newer));
    this.#peers.setPeers(map.nodes);
    this.#phase = 'serving';
    this.#reason = 'serving';
    this.#logger.info(
      { epoch: map.epoch, nodes: map.nodes.length, groups: map.groups.length },
      'the node serves',
    );
  }

  #sendMap(to: NodeId): void {
    if (this.#map !== undefined) this.#peers.sendMessage(to, MESSAGE.mapReply, 0, encodeMap(this.#map));
    this.#pump.schedule();
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

  #onLeadership(group: number, leader: NodeId | undefined, term: number): void {
    if (leader === this.id && this.#leaders.of(group) !== this.id) {
      this.#elections++;
      this.#logger.info({ group, term }, 'leads');
    }
    this.#leaders.note(group, leader, term);
    // Those who are no members learn it from the leader.
    if (leader === this.id) this.#leaders.announceSoon();
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
