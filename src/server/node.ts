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
import type { BucketChanges, BucketSpecification, ClusterMap, NodeDescription } from '../cluster/map.js';
import { encodeMap } from '../cluster/map-codec.js';
import type { EngineHost } from '../engine/engine-host.js';
import type { DiskStore } from '../engine/types.js';
import type { Env, Timer } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import type { NodeId } from '../protocol/raft/types.js';
import { type Checkpointed, Checkpointer } from '../replica/checkpointer.js';
import type { DataReplicaHost } from '../replica/data-replica.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { Hello } from '../replica/peers/hello.js';
import { PeerHub } from '../replica/peers/peer-hub.js';
import { Pump } from '../replica/pump.js';
import type { BucketDescription } from '../store/types.js';
import { Administration } from './administration.js';
import { Conditions } from './conditions.js';
import type { NodeConfiguration } from './configuration/types.js';
import { EventualBuckets } from './eventual-buckets.js';
import { Formation } from './formation.js';
import { ForwardGate } from './forward-gate.js';
import { Groups } from './groups.js';
import { KnownMap } from './known-map.js';
import { Leaders, sendLeaders } from './leaders.js';
import { LoadMeter } from './load-meter.js';
import { MapChanges } from './map-changes.js';
import { Membership } from './membership.js';
import { dispatchMessage, type MessageTargets } from './peer-messages.js';
import { Renewals } from './renewals.js';
import { RequestDoor } from './request-door.js';
import { Router } from './router.js';
import type {
  EventualStatistics,
  GroupStatus,
  MemberStatus,
  NodeCounters,
  NodeServer,
  Request,
} from './types.js';
import { VERSION } from './version.js';

/** How often cores are ticked, deadlines looked at and waiting requests tried again. */
const TICK_MS = 20;

export interface NodeDependencies {
  readonly env: Env;
  readonly logger: Logger;
  /** Opens the home of the disk engines in this directory. */
  readonly openDiskStore: (directory: string) => DiskStore;
  /** Told once when the node has failed: it acknowledges nothing any more and should be stopped. */
  readonly onFailed?: (error: Error) => void;
  /** Asked before anything is written to the data directory: whoever opens front doors may still refuse. */
  readonly beforeWriting?: () => Promise<void>;
}

type Phase = ReturnType<NodeServer['state']>['phase'];

/** What `createNode` has opened; the node closes it. */
export interface NodeParts {
  readonly self: NodeDescription;
  readonly log: WriteAheadLog;
  readonly engines: EngineHost;
  readonly releaseDirectory: () => void;
}

export class Node implements NodeServer {
  readonly id: NodeId;
  readonly version = VERSION;
  readonly #configuration: NodeConfiguration;
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #log: WriteAheadLog;
  readonly #engines: EngineHost;
  readonly #releaseDirectory: () => void;
  readonly #onFailed: (error: Error) => void;
  readonly #self: NodeDescription;
  readonly #peers: PeerHub;
  readonly #pump: Pump;
  readonly #checkpointer: Checkpointer;
  readonly #formation: Formation;
  readonly #leaders: Leaders;
  readonly #groups: Groups;
  readonly #membership: Membership;
  readonly #loadMeter: LoadMeter;
  readonly #eventual: EventualBuckets;
  readonly #door: RequestDoor;
  readonly #administration: Administration;
  readonly #mapChanges: MapChanges;
  readonly #renewals: Renewals;
  readonly #conditions: Conditions;
  readonly #startedAtMs: number;
  readonly #known: KnownMap;
  readonly #messageTargets: MessageTargets;
  #failure: Error | undefined;
  #phase: Phase = 'starting';
  #reason = 'recovering';
  /** Whoever started this node has it, and not an error instead. */
  #opened = false;
  #tickTimer: Timer | undefined;
  #commandsForwarded = 0;
  #elections = 0;

  constructor(
    configuration: NodeConfiguration,
    dependencies: NodeDependencies,
    { self, log, engines, releaseDirectory }: NodeParts,
  ) {
    const { env, logger } = dependencies;
    this.id = configuration.node.id;
    this.#configuration = configuration;
    this.#env = env;
    this.#logger = logger;
    this.#log = log;
    this.#engines = engines;
    this.#releaseDirectory = releaseDirectory;
    this.#onFailed = dependencies.onFailed ?? (() => {});
    this.#startedAtMs = env.clock.wallMs();
    this.#self = self;
    this.#known = new KnownMap(env.disk, configuration.node.dataDir);
    this.#conditions = new Conditions(env.clock);
    this.#peers = this.#openPeers();
    this.#pump = new Pump(env.clock, log, this.#peers, (error) => this.#fail(error));
    this.#checkpointer = new Checkpointer({
      clock: env.clock,
      engines,
      log,
      replicas: () => this.#checkpointed(),
      intervalMs: configuration.storage.checkpointIntervalMs,
      onDone: () => {
        this.#groups.resumeApplying();
        this.#groups.dropEngines(this.#known.droppedBuckets);
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
        knowsBucket: (id) => this.#known.bucketsById.has(id),
      },
      engines,
    );
    this.#membership = new Membership({ env, self: this.id, peers: this.#peers });
    this.#membership.onChange(({ node, state, reachable }) => {
      this.#logger.debug({ peer: node, state, reachable }, 'member');
      this.#eventual.setReachable(node, reachable);
      if (!reachable) this.#leaders.forget(node, (group) => this.#groups.replicas.has(group));
    });
    this.#eventual = new EventualBuckets({
      env,
      self: this.id,
      peers: this.#peers,
      pump: this.#pump,
      log,
      engines,
      settings: configuration.quorum,
      reachable: (node) => this.#membership.reachable(node),
      mayApply: () => this.#checkpointer.mayApply(),
    });
    this.#loadMeter = new LoadMeter(
      {
        commands: () => this.#door.requests,
        memoryBytes: () => engines.memoryBytes(),
        readP99Ms: () => this.#eventual.readP99Ms(),
        epoch: () => this.#known.epoch,
      },
      TICK_MS,
      env.clock.monotonicMs(),
    );
    const router = new Router(
      (bucket) => (bucket.quorum === undefined ? this.#groups.routes : this.#eventual.routes),
      () => this.#known.current?.slotOwners,
    );
    this.#administration = new Administration({
      env,
      self: this.id,
      peers: this.#peers,
      replica: () => this.#groups.map(),
      leader: () => this.#leaders.of(0),
    });
    this.#mapChanges = new MapChanges({
      administration: this.#administration,
      conditions: this.#conditions,
      known: this.#known,
      peers: this.#peers,
      notServing: () => (this.#phase === 'serving' ? undefined : this.#reason),
    });
    this.#door = new RequestDoor({
      self: this.id,
      coordinates: self.roles.includes('coordinator'),
      router,
      flush: {
        fence: () => this.#eventual.fence(),
        buckets: () => this.#known.bucketsById.values(),
        flushBucket: (name, version) => this.#mapChanges.flush(name, version),
        submitToGroups: (request) => router.submit(request),
      },
      state: () => this.state(),
      failure: () => this.#failure,
      map: () => this.#known.current,
      connected: (peer) => this.#peers.connected(peer),
    });
    this.#renewals = new Renewals({
      known: (node) => this.#known.current?.nodes.find(({ id }) => id === node),
      silentMs: (node) => this.#peers.silentMs(node),
      renew: (node, replaces) => this.#administration.renewNode(node, replaces),
      logger,
    });
    this.#messageTargets = {
      peers: this.#peers,
      administration: this.#administration,
      leaders: this.#leaders,
      forwardGate: new ForwardGate(),
      membership: this.#membership,
      eventual: this.#eventual,
      replica: (id) => this.#groups.replicas.get(id),
      dataReplica: (id) => this.#groups.data(id),
      route: (id) => this.#groups.routes.get(id),
      sendMap: (to) => this.#sendMap(to),
      adoptMap: (map) => this.#adoptMap(map),
      scheduleFlush: () => this.#pump.schedule(),
    };
  }

  /**
   * Opens the peer door and begins to look for the cluster. Called once, by `createNode`. Rejects when what is stored here
   * cannot be opened: nobody has been told of this node yet, so nobody is told that it has failed either.
   */
  async open(): Promise<void> {
    // Read before anything is opened: when it is damaged nothing is left behind.
    const stored = this.#known.stored();
    await this.#peers.listen(this.#configuration.listen.grpc);
    this.#tickTimer = this.#env.clock.setTimer(TICK_MS, this.#tick);
    if (stored !== undefined) {
      this.#adoptMap(stored.newest, stored.first);
    } else {
      this.#reason = 'waiting for the other nodes of cluster.join';
      this.#peers.introduce(this.#formation.missing);
      this.#formation.begin();
    }
    if (this.#failure !== undefined) throw this.#failure;
    this.#opened = true;
  }

  map(): ClusterMap | undefined {
    return this.#known.current;
  }

  self(): NodeDescription {
    return this.#self;
  }

  state(): ReturnType<NodeServer['state']> {
    return { phase: this.#phase, reason: this.#phase === 'starting' ? this.#startingReason() : this.#reason };
  }

  #startingReason(): string {
    if (this.#formation.lostDisk)
      return 'this node has lost its data directory and waits for a majority of the others to let it in again';
    const { missing } = this.#formation;
    return missing.length > 0 ? `waiting for ${missing.join(', ')}` : this.#reason;
  }

  ready(): boolean {
    const map = this.#known.current;
    if (this.#phase !== 'serving' || map === undefined) return false;
    return map.groups.every((group) => this.#leaders.of(group.id) !== undefined);
  }

  submit(request: Request): void {
    this.#door.submit(request, this.#phase === 'serving');
  }

  bucketByName(name: string): BucketDescription | undefined {
    return this.#known.bucketsByName.get(name);
  }

  bucketById(id: number): BucketDescription | undefined {
    return this.#known.bucketsById.get(id);
  }

  locate(slot: number): { readonly group: number; readonly leader: NodeId | undefined } {
    const group = this.#known.current?.slotOwners[slot] ?? 0;
    return { group, leader: this.#leaders.of(group) };
  }

  groupStatus(): GroupStatus[] {
    const map = this.#known.current;
    return map === undefined ? [] : this.#groups.status(map, this.#leaders);
  }

  counters(): NodeCounters {
    const log = this.#log.statistics();
    const peers = this.#peers.statistics();
    let entriesApplied = 0;
    for (const replica of this.#groups.allData()) entriesApplied += replica.entriesApplied;
    return {
      startedAtMs: this.#startedAtMs,
      commandsProcessed: this.#door.requests,
      commandsForwarded: this.#commandsForwarded,
      reads: this.#door.reads,
      writes: this.#door.writes,
      entriesApplied,
      elections: this.#elections,
      framesSent: peers.framesSent,
      framesReceived: this.#peers.framesReceived,
      peerBytesSent: peers.bytesSent,
      peerBytesReceived: this.#peers.bytesReceived,
      logBytes: log.sizeBytes,
      logWrittenBytes: log.bytesWritten,
      logSyncs: log.syncs,
      logSyncMs: log.syncMs,
      logTotalSyncMs: log.totalSyncMs,
      memoryBytes: this.#engines.memoryBytes(),
      dataBytes: this.#engines.dataBytes(),
    };
  }

  eventualStatistics(): EventualStatistics | undefined {
    return this.#eventual.statistics();
  }

  members(): readonly MemberStatus[] {
    return this.#membership.states();
  }

  peerConnected(node: NodeId): boolean {
    return node === this.id || this.#peers.connected(node);
  }

  digestOfSlot(slot: number): number {
    return this.#groups.data(this.locate(slot).group)?.machine.digestOfSlot(slot) ?? 0;
  }

  eventualDigestOfSlot(slot: number): number {
    return this.#eventual.digestOfSlot(slot);
  }

  createBucket(specification: BucketSpecification): Promise<BucketDescription> {
    return this.#mapChanges.create(specification);
  }

  updateBucket(name: string, changes: BucketChanges): Promise<BucketDescription> {
    return this.#mapChanges.update(name, changes);
  }

  dropBucket(name: string): Promise<void> {
    return this.#mapChanges.drop(name);
  }

  async waitForReplicas(slot: number, replicas: number, timeoutMs: number): Promise<number> {
    const { group } = this.locate(slot);
    const replica = this.#groups.data(group);
    // What was acknowledged is on a majority; only the leader knows of more.
    const guaranteed = Math.floor(
      (replica?.members.length ??
        this.#known.current?.groups.find(({ id }) => id === group)?.members.length ??
        1) / 2,
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
    this.#eventual.stop();
    this.#conditions.stop();
    this.#administration.stop();
    if (clean) await this.#eventual.finish();
    this.#pump.stop();
    this.#checkpointer.stop();
    await this.#peers.close();
    this.#log.close();
    await this.#engines.close();
    this.#releaseDirectory();
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
      bucketsById: () => this.#known.linearizableBuckets,
      nextBucketId: () => this.#known.current?.nextBucketId ?? 0,
      mayApply: () => this.#checkpointer.mayApply(),
      requestCheckpoint: (onDurable) => this.#checkpointer.request(onDurable),
      onLeadership: (group, leader, term) => this.#onLeadership(group, leader, term),
      onFatal: (group, error) =>
        this.#fail(new Error(`group ${group}: ${messageOf(error)}`, { cause: error })),
    };
  }

  #openPeers(): PeerHub {
    return new PeerHub(this.#env, this.id, this.#self.incarnation, {
      hello: (peer, wantsAnswer) => this.#hello(peer, wantsAnswer),
      onHello: (hello) => this.#onHello(hello),
      knows: (node, incarnation) => this.#known.knows(node, incarnation),
      onMessage: (from, kind, group, body) => dispatchMessage(this.#messageTargets, from, kind, group, body),
      onNewerEpoch: (from) => {
        this.#peers.sendMessage(from, MESSAGE.mapRequest, 0, Buffer.alloc(0));
        this.#pump.schedule();
      },
      onPeerUp: (peer) => {
        this.#logger.debug({ peer }, 'peer connected');
        this.#groups.peerReset(peer);
        this.#membership.peerUp(peer);
        this.#eventual.peerReset(peer);
        this.#eventual.setReachable(peer, this.#membership.reachable(peer));
        sendLeaders(this.#peers, [peer], this.#groups.led());
        this.#pump.schedule();
      },
      onPeerDown: (peer) => {
        this.#eventual.setReachable(peer, false);
        this.#eventual.peerReset(peer);
      },
      onPeerDead: (peer) => {
        this.#logger.warn({ peer }, 'peer is gone');
        this.#membership.peerDead(peer);
        this.#eventual.peerReset(peer);
        this.#groups.peerDead(peer);
      },
    });
  }

  readonly #tick = (): void => {
    if (this.#phase === 'stopping' || this.#phase === 'failed') return;
    const nowMs = this.#env.clock.monotonicMs();
    this.#groups.tick(nowMs);
    const load = this.#loadMeter.tick(nowMs);
    if (load !== undefined) this.#membership.setLoad(load);
    this.#membership.tick(nowMs);
    this.#eventual.tick(nowMs);
    this.#checkpointer.tick(nowMs);
    this.#administration.tick(nowMs);
    this.#leaders.tick(nowMs, this.#peers, () => this.#groups.led());
    this.#conditions.look();
    this.#pump.schedule();
    this.#tickTimer = this.#env.clock.setTimer(TICK_MS, this.#tick);
  };

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
    this.#failure = error;
    if (this.#opened) {
      this.#logger.error(
        { error: error.message, code: error instanceof QuoinError ? error.code : 'INTERNAL' },
        'the node has failed and acknowledges nothing any more',
      );
    }
    this.#pump.stop();
    this.#tickTimer?.cancel();
    this.#groups.stopRoutes();
    this.#eventual.stop();
    this.#conditions.stop();
    this.#administration.stop();
    // Peers shall see at once that this node is gone.
    void this.#peers.close();
    if (this.#opened) this.#onFailed(error);
  }

  /** `firstMap`: the first one that this node ever had, when it begins with a newer one. */
  #adoptMap(map: ClusterMap, firstMap = map): void {
    if (this.#phase === 'failed') return;
    const begins = this.#known.current === undefined;
    if (!this.#known.adopt(map)) return;
    this.#peers.setCluster(map.clusterId, map.epoch);
    try {
      if (begins) this.#begin(map, firstMap);
      else this.#follow(map);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#conditions.look();
  }

  #follow(map: ClusterMap): void {
    this.#known.storeNewest();
    this.#membership.setMembers(map.nodes);
    this.#eventual.follow(map);
    // Any frame tells the peers that there is a newer map.
    this.#leaders.announceSoon();
    this.#leaders.tick(this.#env.clock.monotonicMs(), this.#peers, () => this.#groups.led());
    this.#pump.schedule();
  }

  /** The cluster is known: recovers this node's replicas and begins to serve. */
  #begin(map: ClusterMap, firstMap: ClusterMap): void {
    this.#known.storeFirst(firstMap);
    this.#groups.open(map, firstMap, (newer) => this.#adoptMap(newer));
    // A newer map that group 0 had decided could not be stored.
    if (this.#failure !== undefined) return;
    this.#peers.setPeers(map.nodes);
    this.#membership.setMembers(map.nodes);
    this.#eventual.open(this.#known.current ?? map);
    this.#phase = 'serving';
    this.#reason = 'serving';
    this.#logger.info(
      { epoch: map.epoch, nodes: map.nodes.length, groups: map.groups.length },
      'the node serves',
    );
  }

  *#checkpointed(): Iterable<Checkpointed> {
    yield* this.#groups.replicas.values();
    yield* this.#eventual.checkpointed();
  }

  #sendMap(to: NodeId): void {
    const map = this.#known.current;
    if (map !== undefined) this.#peers.sendMessage(to, MESSAGE.mapReply, 0, encodeMap(map));
    this.#pump.schedule();
  }

  #hello(peer: NodeId | undefined, wantsAnswer: boolean): Hello {
    const map = this.#known.current;
    return {
      clusterName: this.#configuration.cluster.name,
      map: map === undefined ? '' : encodeMap(map).toString('utf8'),
      node: this.#self,
      join: this.#formation.join,
      settings: this.#formation.settings,
      wantsAnswer,
      knownIncarnation: peer === undefined ? '' : this.#known.incarnationOf(peer),
    };
  }

  #onHello(hello: Hello): boolean {
    if (this.#known.current === undefined) return this.#formation.receive(hello);
    if (hello.clusterName !== this.#configuration.cluster.name) return false;
    this.#renewals.consider(hello);
    return true;
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
