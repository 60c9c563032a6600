/**
 * All that a node does for eventual buckets, put together: their records and journal, the quorum core with repair and
 * hand-off, and the ways of requests to them. `node.ts` tells it of maps, peers, time and messages.
 *
 * Invariants:
 * - the buckets open here are those of the newest map known here, with its policies;
 * - nothing is served before the journal has been replayed;
 * - a node that the map calls forgetful answers no reads from its own records before it has been filled once (`filling.ts`).
 */
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { ClusterMap } from '../cluster/map.js';
import type { EngineHost } from '../engine/engine-host.js';
import type { Env } from '../env/env.js';
import type { WriteAheadLog } from '../log/types.js';
import { AntiEntropy } from '../protocol/quorum/anti-entropy.js';
import { QuorumCore } from '../protocol/quorum/core.js';
import { Filling } from '../protocol/quorum/filling.js';
import type { ReplicaSet } from '../protocol/quorum/types.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { Checkpointed } from '../replica/checkpointer.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { Pump } from '../replica/pump.js';
import { EventualRetention } from '../replica/quorum/eventual-retention.js';
import { HintedHandoff } from '../replica/quorum/hinted-handoff.js';
import { Journal } from '../replica/quorum/journal.js';
import { Queries } from '../replica/quorum/queries.js';
import { QuorumReplica } from '../replica/quorum/quorum-replica.js';
import type { CommandDefinition } from '../store/command.js';
import { QuorumStore } from '../store/quorum/quorum-store.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import { SlotSet, slotRangesOf } from '../store/slot-ranges.js';
import type { QuorumConfiguration } from './configuration/types.js';
import { EarlyMessages } from './early-messages.js';
import { QuorumRoute } from './quorum-route.js';
import type { EventualStatistics } from './types.js';

/** A comparison of replicas ends when the other side is silent for so long. */
const REPAIR_ANSWER_TIMEOUT_MS = 5000;
/** A further replica is asked when an answer is later than so many of the recent ones, and than so long. */
const SPECULATION_QUANTILE = 0.99;
const MIN_SPECULATION_MS = 2;
/** Time-outs are noticed so late at most. */
const TIMEOUT_MARGIN_MS = 250;

/** Whoever asks turns to another replica. */
const BEING_FILLED = ErrorReply.of('STARTING', 'this node has lost its disk and is being filled');

export interface EventualBucketsOptions {
  readonly env: Env;
  readonly self: NodeId;
  readonly peers: PeerHub;
  readonly pump: Pump;
  readonly log: WriteAheadLog;
  readonly engines: EngineHost;
  readonly settings: QuorumConfiguration;
  /** May this node be asked, as far as links and gossip tell? */
  readonly reachable: (node: NodeId) => boolean;
  /** False when writes must wait: what is not written back yet has reached its bound. */
  readonly mayApply: () => boolean;
}

/** What exists once the cluster is known. */
interface Opened {
  readonly store: QuorumStore;
  readonly journal: Journal;
  readonly core: QuorumCore;
  readonly antiEntropy: AntiEntropy;
  readonly handoff: HintedHandoff;
  readonly retention: EventualRetention;
  readonly replica: QuorumReplica;
  /** Present when this node has lost its disk and was not known to be filled when it started. */
  readonly filling: Filling | undefined;
}

export class EventualBuckets {
  /** By group. */
  readonly routes = new Map<number, QuorumRoute>();
  readonly #options: EventualBucketsOptions;
  readonly #queries: Queries;
  readonly #early = new EarlyMessages();
  #opened: Opened | undefined;
  #map: ClusterMap | undefined;
  /** By the ids of the members. */
  readonly #replicaSets = new Map<string, ReplicaSet>();
  /** By group and n; emptied with each new map. */
  readonly #setsOfGroups = new Map<number, (ReplicaSet | undefined)[]>();
  readonly #slotsOfGroups = new Map<number, SlotSet>();

  constructor(options: EventualBucketsOptions) {
    this.#options = options;
    const { env, peers, pump } = options;
    this.#queries = new Queries({
      env,
      peers,
      timeoutMs: options.settings.timeoutMs,
      scheduleFlush: () => pump.schedule(),
      serve: (group, bucketId, definition, args) =>
        this.#isFilling() ? BEING_FILLED : this.#serve(group, bucketId, definition, args),
    });
  }

  /** Recovers the records of this node and begins to serve. */
  open(map: ClusterMap): void {
    const { env, self, peers, pump, log, engines, settings } = this.#options;
    // Positions of nodes in the map never change.
    const ordinals = new Map(map.nodes.map(({ id }, position) => [id, position]));
    const ordinal = ordinals.get(self);
    invariant(ordinal !== undefined, 'this node is in its map');
    const random = (): number => env.random.float();
    const store = new QuorumStore({ engines });
    const handoff = new HintedHandoff({
      engine: engines.openInternal('hints'),
      ordinalOf: (node) => ordinals.get(node) ?? -1,
      nodeOf: (at) => map.nodes[at]?.id,
      knowsBucket: (id) => store.buckets.has(id),
      random,
      maxHintBytes: settings.maxHintBytes,
      maxHintAgeMs: settings.maxHintAgeMs,
      bytesPerSecond: settings.hintBytesPerSecond,
      answerTimeoutMs: settings.timeoutMs,
    });
    const journal = new Journal({
      log,
      note: (name) => engines.note(name),
      encodeHead: () => store.encodeHead(),
      restoreHead: (head) => store.restoreHead(head),
      waitingBytes: () => engines.mergedLedgerBytes(),
    });
    for (const bucket of map.buckets) if (bucket.quorum !== undefined) store.openBucket(bucket);
    const wallMs = env.clock.wallMs();
    journal.replay({
      mutations: (bytes) => store.replay(bytes, wallMs),
      hints: (change) => handoff.replayChange(change),
    });
    const filling = this.#filling(map, store, journal);
    const core = new QuorumCore({
      self,
      ordinal,
      store,
      random,
      timing: {
        timeoutMs: settings.timeoutMs,
        maxClockDriftMs: settings.maxClockDriftMs,
        speculationQuantile: SPECULATION_QUANTILE,
        minSpeculationMs: MIN_SPECULATION_MS,
        readRepairChance: settings.readRepairChance,
      },
      lastVersion: store.highestVersion,
      filling,
      maxUnackedBytes: LIMITS.maxUncommittedBytes,
    });
    const antiEntropy = new AntiEntropy({
      self,
      contents: store.contents,
      random,
      intervalMs: settings.repairIntervalMs,
      maxBytesPerSecond: settings.repairBytesPerSecond,
      answerTimeoutMs: REPAIR_ANSWER_TIMEOUT_MS,
      graceMs: settings.tombstoneGraceMs,
      maxClockDriftMs: settings.maxClockDriftMs,
      filling,
    });
    const retention = new EventualRetention({
      bounded: store.bounded,
      peers,
      replicasOf: (bucketId, slot) => {
        const n = store.buckets.get(bucketId)?.quorum?.n;
        const group = this.#map?.slotOwners[slot];
        return n === undefined || group === undefined ? undefined : this.#replicaSet(group, n);
      },
    });
    const replica = new QuorumReplica({
      env,
      peers,
      pump,
      journal,
      core,
      antiEntropy,
      handoff,
      retention,
      mayApply: this.#options.mayApply,
    });
    this.#opened = { store, journal, core, antiEntropy, handoff, retention, replica, filling };
    for (const { id } of map.groups) if (id !== 0) this.routes.set(id, this.#route(id, replica));
    this.#take(map);
    for (const { id } of map.nodes) if (id !== self) replica.setReachable(id, this.#options.reachable(id));
  }

  /** What keeps this node from answering reads until it is filled; undefined: nothing is known to be missing. */
  #filling(map: ClusterMap, store: QuorumStore, journal: Journal): Filling | undefined {
    const { self, settings } = this.#options;
    const lostItsDisk = map.nodes.some(({ id, forgot }) => id === self && forgot === true);
    if (!lostItsDisk || store.filled) return undefined;
    const buckets = map.buckets.flatMap(({ id, quorum, retention }) => {
      if (quorum === undefined) return [];
      const evicts =
        retention !== undefined && (retention.eviction !== 'noeviction' || retention.maxIdleMs > 0);
      return [{ bucketId: id, n: quorum.n, w: quorum.w, evicts }];
    });
    return new Filling({
      self,
      buckets,
      settledMs: settings.timeoutMs + TIMEOUT_MARGIN_MS,
      knowsBucket: (id) => store.buckets.has(id),
      filled: () => {
        store.filled = true;
        journal.writeBackSoon();
      },
    });
  }

  #isFilling(): boolean {
    return this.#opened?.filling?.isFilling() ?? false;
  }

  /** A newer map: opens, changes and drops buckets as it says. */
  follow(map: ClusterMap): void {
    const opened = this.#opened;
    if (opened === undefined) return;
    const { store } = opened;
    const wanted = new Set<number>();
    for (const bucket of map.buckets) {
      if (bucket.quorum === undefined) continue;
      wanted.add(bucket.id);
      if (store.buckets.has(bucket.id)) store.updateBucket(bucket);
      else store.openBucket(bucket);
    }
    for (const id of [...store.buckets.keys()]) if (!wanted.has(id)) store.dropBucket(id);
    this.#take(map);
    this.#early.arrived(map.epoch);
  }

  #take(map: ClusterMap): void {
    this.#map = map;
    this.#setsOfGroups.clear();
    this.#slotsOfGroups.clear();
    const opened = this.#opened;
    if (opened === undefined) return;
    const groups = map.groups.filter(({ id }) => id !== 0);
    for (const { id } of groups) this.#slotsOfGroups.set(id, new SlotSet(slotRangesOf(map.slotOwners, id)));
    opened.antiEntropy.setGroups(
      groups.map(({ id, members }) => ({
        group: id,
        members,
        slots: [...this.#slotsOfGroups.get(id)!.members],
      })),
    );
  }

  /** Can this peer be asked, as far as links and gossip tell? */
  setReachable(peer: NodeId, reachable: boolean): void {
    this.#opened?.replica.setReachable(peer, reachable);
  }

  /** The link to this peer is new, or has ended: what was sent to it and not answered may be lost. */
  peerReset(peer: NodeId): void {
    this.#queries.peerReset(peer);
    this.#opened?.replica.peerReset(peer);
  }

  receive(from: NodeId, body: Buffer): void {
    const epoch = this.#newerEpochOf(from);
    if (epoch === 0 || !this.#waitsForMap(epoch, body, () => this.receive(from, body)))
      this.#opened?.replica.receive(from, body);
  }

  receiveRepair(from: NodeId, body: Buffer): void {
    const epoch = this.#newerEpochOf(from);
    if (epoch === 0 || !this.#waitsForMap(epoch, body, () => this.receiveRepair(from, body)))
      this.#opened?.replica.receiveRepair(from, body);
  }

  receiveRetention(body: Buffer): void {
    this.#opened?.replica.receiveRetention(body);
  }

  receiveQuery(from: NodeId, group: number, body: Buffer): void {
    const epoch = this.#newerEpochOf(from);
    if (epoch === 0 || !this.#waitsForMap(epoch, body, () => this.receiveQuery(from, group, body)))
      this.#queries.receive(from, group, body);
  }

  receiveQueryReply(from: NodeId, body: Buffer): void {
    this.#queries.receiveReply(from, body);
  }

  tick(nowMs: number): void {
    this.#queries.tick(nowMs);
    this.#early.tick(nowMs);
    this.#opened?.replica.tick(nowMs);
  }

  /** Fails everything under way. */
  stop(): void {
    this.#queries.stop();
    this.#opened?.replica.stop();
  }

  /** After `stop`: makes durable what was acknowledged from memory, and hints for what peers have not acknowledged. */
  async finish(): Promise<void> {
    if (this.#opened?.replica.finish() !== true) return;
    const { log, peers } = this.#options;
    peers.flush();
    await new Promise<void>((resolve) => {
      // A log that has failed says so in its own time, and there is nothing more to be done.
      log.commit(() => resolve());
    });
  }

  /** The map that the sender knows, when it is newer than the one here; else 0. */
  #newerEpochOf(from: NodeId): number {
    const epoch = this.#options.peers.epochOf(from);
    return this.#map !== undefined && epoch > this.#map.epoch ? epoch : 0;
  }

  /** Is the message kept until the sender's map has come? */
  #waitsForMap(epoch: number, body: Buffer, take: () => void): boolean {
    return this.#early.keep(epoch, body.length, this.#options.env.clock.monotonicMs(), take);
  }

  /**
   * A version at or above all that was given by now, as far as this node knows. What it writes from now on is newer, so a flush
   * up to this version does not take what comes behind it. 0: its clock runs too far behind what is stored here.
   */
  fence(): number {
    const opened = this.#opened;
    return opened?.core.fence(this.#options.env.clock.wallMs(), opened.store.highestVersion) ?? 0;
  }

  /** 99th percentile of recent answers to this node's reads, of the slowest replica. */
  readP99Ms(): number {
    const latencies = this.#opened?.core.statistics().latencies ?? {};
    return Math.max(0, ...Object.values(latencies).map(({ p99Ms }) => p99Ms));
  }

  /** Counters of coordination, repair and hand-off; undefined before the cluster is known. */
  statistics(): EventualStatistics | undefined {
    const opened = this.#opened;
    if (opened === undefined) return undefined;
    return {
      quorum: opened.core.statistics(),
      repair: opened.antiEntropy.statistics(),
      handoff: opened.handoff.statistics(),
      hintBytes: opened.handoff.keptBytes(),
      batchesShed: opened.replica.batchesShed,
      bounds: opened.retention.statistics(),
      filling: this.#isFilling(),
    };
  }

  *checkpointed(): Iterable<Checkpointed> {
    if (this.#opened !== undefined) yield this.#opened.journal;
  }

  /** Over all eventual buckets, as this node holds the slot. */
  digestOfSlot(slot: number): number {
    let digest = 0;
    const store = this.#opened?.store;
    if (store !== undefined) for (const id of store.buckets.keys()) digest ^= store.digestOfSlot(id, slot);
    return digest >>> 0;
  }

  #route(group: number, replica: QuorumReplica): QuorumRoute {
    const { env, reachable } = this.#options;
    return new QuorumRoute(group, {
      replica,
      queries: this.#queries,
      wallMs: () => env.clock.wallMs(),
      replicaSet: (id, n) => this.#replicaSet(id, n),
      reachable,
      knowsBucket: (id) => this.#opened?.store.buckets.has(id) ?? false,
      isFilling: () => this.#isFilling(),
      serve: (id, bucketId, definition, args) => this.#serve(id, bucketId, definition, args),
    });
  }

  #replicaSet(group: number, n: number): ReplicaSet {
    let sets = this.#setsOfGroups.get(group);
    if (sets === undefined) {
      sets = [];
      this.#setsOfGroups.set(group, sets);
    }
    const known = sets[n];
    if (known !== undefined) return known;
    const { self } = this.#options;
    const members = this.#map?.groups.find(({ id }) => id === group)?.members.slice(0, n) ?? [];
    // Groups of the same nodes share one set, whatever their order: the fastest replica is found by measuring.
    const name = [...members].sort().join(',');
    let set = this.#replicaSets.get(name);
    if (set === undefined) {
      set = {
        members,
        includesSelf: members.includes(self),
        others: members.filter((member) => member !== self),
      };
      this.#replicaSets.set(name, set);
    }
    sets[n] = set;
    return set;
  }

  /** A read over many keys, on what this node holds of a group. */
  #serve(group: number, bucketId: number, definition: CommandDefinition, args: readonly Buffer[]): Reply {
    const slots = this.#slotsOfGroups.get(group);
    const store = this.#opened?.store;
    const bucket = store?.buckets.get(bucketId);
    if (store === undefined || slots === undefined || bucket === undefined)
      return ErrorReply.of('STARTING', 'this node does not know the bucket yet');
    const { env } = this.#options;
    const nowMs = env.clock.wallMs();
    return definition.execute(
      {
        keyspace: store.keySpace(bucketId, slots, nowMs),
        nowMs,
        bucketId,
        seed: env.random.integer(2 ** 32),
      },
      args,
    );
  }
}
