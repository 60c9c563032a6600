/**
 * A node for tests of the front doors: it has no log, no peers and no replicas, and carries out each command at once
 * on keys held in a Map. Everything above `NodeServer` is the real thing.
 *
 * Several fake nodes may share one store, so that they look like a cluster to a client: every node answers for every
 * key, and the map says who leads which slots. Tests may hold completions back and release them in any order.
 */

import { QuoinError } from '../../src/base/errors.js';
import { SLOT_COUNT, slotOf, tokenOf } from '../../src/base/slots.js';
import { bucketFrom, changedBucket, isRefusal, type PolicyRefusal } from '../../src/cluster/bucket-policy.js';
import type { ClusterMap, GroupDescription, NodeDescription } from '../../src/cluster/map.js';
import type { EngineRecord } from '../../src/engine/types.js';
import type {
  BucketChanges,
  BucketSpecification,
  GroupStatus,
  MemberStatus,
  NodeCounters,
  NodeServer,
  Request,
} from '../../src/server/types.js';
import type { ExecutionContext, GroupControl, KeySpace } from '../../src/store/command.js';
import { commandById } from '../../src/store/registry.js';
import { ErrorReply, type Reply } from '../../src/store/reply.js';
import type { BucketDescription } from '../../src/store/types.js';

interface Entry {
  readonly token: number;
  readonly key: Buffer;
  record: EngineRecord;
}

/** One bucket's keys in a Map; expired keys are absent as soon as they are asked for. */
class MapKeySpace implements KeySpace {
  readonly #entries = new Map<string, Entry>();
  readonly #store: FakeStore;
  bucket: BucketDescription;

  constructor(store: FakeStore, bucket: BucketDescription) {
    this.#store = store;
    this.bucket = bucket;
  }

  get version(): number {
    return this.#store.version;
  }

  get(key: Buffer): EngineRecord | undefined {
    const name = key.toString('latin1');
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    const { expiresAtMs } = entry.record;
    if (expiresAtMs !== 0 && expiresAtMs <= this.#store.nowMs()) {
      this.#entries.delete(name);
      return undefined;
    }
    return entry.record;
  }

  put(key: Buffer, value: Buffer, expiresAtMs: number): void {
    const record = { value: Buffer.from(value), version: this.version, expiresAtMs };
    const name = key.toString('latin1');
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { token: tokenOf(key), key: Buffer.from(key), record });
    else entry.record = record;
  }

  remove(key: Buffer): boolean {
    return this.get(key) !== undefined && this.#entries.delete(key.toString('latin1'));
  }

  setExpiry(key: Buffer, expiresAtMs: number): boolean {
    const record = this.get(key);
    if (record === undefined) return false;
    this.put(key, record.value, expiresAtMs);
    return true;
  }

  defaultExpiryMs(): number {
    return this.bucket.ttlMs === 0 ? 0 : this.#store.nowMs() + this.bucket.ttlMs;
  }

  scan(
    fromToken: number,
    toToken: number,
    visitor: (token: number, key: Buffer, record: EngineRecord) => boolean,
  ): void {
    const found = [...this.#entries.values()].filter((one) => one.token >= fromToken && one.token < toToken);
    found.sort((left, right) => left.token - right.token || Buffer.compare(left.key, right.key));
    for (const entry of found) {
      const record = this.get(entry.key);
      if (record !== undefined && !visitor(entry.token, entry.key, record)) return;
    }
  }

  keyCount(): number {
    return this.#entries.size;
  }

  keyCountInSlot(slot: number): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (slotOf(entry.key) === slot) count++;
    return count;
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** Members of each group, as far as buckets are asked. */
const GROUP_SIZE = 3;

function allowed(outcome: BucketDescription | PolicyRefusal): BucketDescription {
  if (isRefusal(outcome)) throw new QuoinError(outcome.code, outcome.message);
  return outcome;
}

/** What the fake nodes of one cluster share: buckets, keys and the number of the last write. */
export class FakeStore {
  readonly keyspaces = new Map<number, MapKeySpace>();
  buckets: BucketDescription[] = [];
  version = 0;
  epoch = 1;
  nextBucketId = 0;
  #seed = 0;
  /** The store's wall clock; a test may replace it. */
  nowMs: () => number = () => Date.now();

  constructor() {
    this.create({ name: 'default', replication: 'raft', engine: 'memory', ttlMs: 0 });
  }

  create(specification: BucketSpecification): BucketDescription {
    if (this.buckets.some((bucket) => bucket.name === specification.name)) {
      throw new QuoinError('BUCKET_EXISTS', `bucket '${specification.name}' exists`);
    }
    const bucket = allowed(bucketFrom(this.nextBucketId++, specification, GROUP_SIZE));
    this.buckets = [...this.buckets, bucket];
    this.keyspaces.set(bucket.id, new MapKeySpace(this, bucket));
    this.epoch++;
    return bucket;
  }

  update(name: string, changes: BucketChanges): BucketDescription {
    const bucket = allowed(changedBucket(this.bucket(name), changes, GROUP_SIZE));
    this.buckets = this.buckets.map((one) => (one.id === bucket.id ? bucket : one));
    const keyspace = this.keyspaces.get(bucket.id);
    if (keyspace !== undefined) keyspace.bucket = bucket;
    this.epoch++;
    return bucket;
  }

  drop(name: string): void {
    const { id } = this.bucket(name);
    this.buckets = this.buckets.filter((bucket) => bucket.id !== id);
    this.keyspaces.delete(id);
    this.epoch++;
  }

  bucket(name: string): BucketDescription {
    const found = this.buckets.find((bucket) => bucket.name === name);
    if (found === undefined) throw new QuoinError('UNKNOWN_BUCKET', `no bucket '${name}'`);
    return found;
  }

  execute(request: Request): Reply {
    const { definition, args } = request;
    const keyspace = this.keyspaces.get(request.bucket.id);
    if (keyspace === undefined)
      return ErrorReply.of('UNKNOWN_BUCKET', `no such bucket '${request.bucket.name}'`);
    if (definition.isWrite) this.version++;
    const reply = definition.execute(this.#context(request.bucket.id, keyspace), args);
    return definition.merge === undefined ? reply : definition.merge([reply], args);
  }

  #context(bucketId: number, keyspace: KeySpace): ExecutionContext {
    return { keyspace, nowMs: this.nowMs(), bucketId, seed: this.#seed++, control: this.#control };
  }

  /** What the state machine of a group offers to internal commands. */
  readonly #control: GroupControl = {
    openBucket: () => undefined,
    dropBucket: (bucketId) => this.keyspaces.delete(bucketId),
    isBucketOpen: (bucketId) => this.keyspaces.has(bucketId),
    clearAllBuckets: () => {
      for (const keyspace of this.keyspaces.values()) keyspace.clear();
    },
    removeExpired: () => false,
    evict: () => false,
    versionOf: (bucketId, key) => {
      const keyspace = this.keyspaces.get(bucketId);
      return keyspace === undefined ? undefined : (keyspace.get(key)?.version ?? 0);
    },
    execute: (bucketId, commandId, args) => {
      const keyspace = this.keyspaces.get(bucketId);
      const definition = commandById(commandId);
      if (keyspace === undefined || definition === undefined)
        return ErrorReply.of('INTERNAL', `no bucket ${bucketId} or command ${commandId}`);
      return definition.execute(this.#context(bucketId, keyspace), args);
    },
  };
}

export interface FakeNodeOptions {
  readonly id?: string;
  readonly store?: FakeStore;
  /** All nodes of the cluster, this one included; by default it is alone. */
  readonly nodes?: readonly NodeDescription[];
  /** Owner of each slot among `groups`; by default the groups get equal runs. */
  readonly slotOwners?: Uint16Array;
  /** By default one group for each node, led by it, with the others behind it in order. */
  readonly groups?: readonly GroupDescription[];
}

export function describeNode(id: string, resp = '127.0.0.1:0', http = '127.0.0.1:0'): NodeDescription {
  return {
    id,
    resp,
    http,
    grpc: '127.0.0.1:0',
    roles: ['storage', 'coordinator'],
    zone: '',
    weight: 1,
    incarnation: `${id}-incarnation`,
  };
}

/** A `NodeServer` that answers at once. Its public fields are for tests to change. */
export class FakeNode implements NodeServer {
  readonly id: string;
  readonly version = '0.0.0-fake';
  readonly store: FakeStore;
  nodes: readonly NodeDescription[];
  groups: readonly GroupDescription[];
  slotOwners: Uint16Array;
  phase: ReturnType<NodeServer['state']> = { phase: 'serving', reason: 'serving' };
  /** Leader of each group; absent: nobody known. */
  readonly leaders = new Map<number, string>();
  /** Peers that are not connected. */
  readonly disconnected = new Set<string>();
  /** While true, completions are kept in `held`. */
  holding = false;
  readonly held: { readonly request: Request; readonly reply: Reply }[] = [];
  /** Every request that was submitted, when `recording`. */
  recording = false;
  readonly requests: Request[] = [];
  replicasReached = 0;
  stopped = false;
  #map: ClusterMap | undefined;
  #reads = 0;
  #writes = 0;
  readonly #startedAtMs = Date.now();

  constructor(options: FakeNodeOptions = {}) {
    this.id = options.id ?? 'n1';
    this.store = options.store ?? new FakeStore();
    this.nodes = options.nodes ?? [describeNode(this.id)];
    const ids = this.nodes.map((node) => node.id);
    this.groups =
      options.groups ??
      ids.map((_, first) => ({
        id: first + 1,
        members: ids.map((__, offset) => ids[(first + offset) % ids.length]!),
      }));
    this.slotOwners = options.slotOwners ?? equalRuns(this.groups);
    for (const group of this.groups) {
      const leader = group.members[0];
      if (leader !== undefined) this.leaders.set(group.id, leader);
    }
  }

  map(): ClusterMap | undefined {
    if (this.phase.phase === 'starting') return undefined;
    const { epoch, buckets, nextBucketId } = this.store;
    const known = this.#map;
    if (
      known === undefined ||
      known.epoch !== epoch ||
      known.nodes !== this.nodes ||
      known.groups !== this.groups ||
      known.slotOwners !== this.slotOwners
    ) {
      this.#map = {
        epoch,
        clusterName: 'fake',
        clusterId: 'fake-cluster',
        nodes: this.nodes,
        groups: this.groups,
        slotOwners: this.slotOwners,
        buckets,
        nextBucketId,
      };
    }
    return this.#map;
  }

  self(): NodeDescription {
    return this.nodes.find((node) => node.id === this.id) ?? describeNode(this.id);
  }

  state(): ReturnType<NodeServer['state']> {
    return this.phase;
  }

  ready(): boolean {
    return this.phase.phase === 'serving' && this.groups.every((group) => this.leaders.has(group.id));
  }

  submit(request: Request): void {
    if (this.recording) this.requests.push(request);
    if (request.definition.isWrite) this.#writes++;
    else this.#reads++;
    const reply = this.#answer(request);
    if (this.holding) this.held.push({ request, reply });
    else request.completion.complete(reply);
  }

  #answer(request: Request): Reply {
    switch (this.phase.phase) {
      case 'starting':
        return ErrorReply.of('STARTING', this.phase.reason);
      case 'stopping':
        return ErrorReply.of('SHUTTING_DOWN', this.phase.reason);
      case 'failed':
        return ErrorReply.of('SYNC_FAILED', this.phase.reason);
      case 'serving':
        return this.store.execute(request);
    }
  }

  /** Completes what was held back, in the order given by `order` (default: as submitted). */
  release(order?: (held: FakeNode['held']) => FakeNode['held']): void {
    const held = this.held.splice(0);
    for (const { request, reply } of order === undefined ? held : order(held))
      request.completion.complete(reply);
  }

  bucketByName(name: string): BucketDescription | undefined {
    return this.store.buckets.find((bucket) => bucket.name === name);
  }

  bucketById(id: number): BucketDescription | undefined {
    return this.store.buckets.find((bucket) => bucket.id === id);
  }

  locate(slot: number): { readonly group: number; readonly leader: string | undefined } {
    const group = this.slotOwners[slot] ?? 0;
    return { group, leader: this.leaders.get(group) };
  }

  groupStatus(): GroupStatus[] {
    return this.groups.map((group) => {
      const leader = this.leaders.get(group.id);
      const isLeader = leader === this.id;
      const matchIndexes: Record<string, number> = {};
      if (isLeader) for (const member of group.members) matchIndexes[member] = this.store.version;
      return {
        group: group.id,
        members: group.members,
        leader,
        local: group.members.includes(this.id)
          ? {
              role: isLeader ? 'leader' : 'follower',
              term: 1,
              commitIndex: this.store.version,
              appliedIndex: this.store.version,
              lastIndex: this.store.version,
              durableIndex: this.store.version,
              pendingRequests: this.held.length,
              matchIndexes,
            }
          : undefined,
      };
    });
  }

  counters(): NodeCounters {
    return {
      startedAtMs: this.#startedAtMs,
      commandsProcessed: this.#reads + this.#writes,
      commandsForwarded: 0,
      reads: this.#reads,
      writes: this.#writes,
      entriesApplied: this.store.version,
      elections: 1,
      framesSent: 0,
      framesReceived: 0,
      peerBytesSent: 0,
      peerBytesReceived: 0,
      logBytes: 0,
      logWrittenBytes: 0,
      logSyncs: 0,
      logSyncMs: 0,
      logTotalSyncMs: 0,
      memoryBytes: 0,
      dataBytes: 0,
    };
  }

  eventualStatistics(): undefined {
    return undefined;
  }

  members(): readonly MemberStatus[] {
    return (this.map()?.nodes ?? []).map(({ id }) => ({
      id,
      state: this.disconnected.has(id) ? 'dead' : 'alive',
      reachable: !this.disconnected.has(id),
      stateAgeMs: 0,
      load: undefined,
    }));
  }

  eventualDigestOfSlot(_slot: number): number {
    return 0;
  }

  peerConnected(node: string): boolean {
    return !this.disconnected.has(node);
  }

  digestOfSlot(_slot: number): number {
    return 0;
  }

  async createBucket(specification: BucketSpecification): Promise<BucketDescription> {
    return this.store.create(specification);
  }

  async updateBucket(name: string, changes: BucketChanges): Promise<BucketDescription> {
    return this.store.update(name, changes);
  }

  async dropBucket(name: string): Promise<void> {
    this.store.drop(name);
  }

  async waitForReplicas(_slot: number, _replicas: number, _timeoutMs: number): Promise<number> {
    return this.replicasReached;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.phase = { phase: 'stopping', reason: 'the node is stopping' };
  }
}

/** Equal runs of slots for the groups, in order. */
function equalRuns(groups: readonly GroupDescription[]): Uint16Array {
  const owners = new Uint16Array(SLOT_COUNT);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    owners[slot] = groups[Math.floor((slot * groups.length) / SLOT_COUNT)]?.id ?? 0;
  }
  return owners;
}

/** Fake nodes `n1`... that share one store and know each other. Their addresses are filled in by `setAddresses`. */
export function createFakeCluster(size: number): FakeNode[] {
  const store = new FakeStore();
  const nodes = Array.from({ length: size }, (_, index) => describeNode(`n${index + 1}`));
  return nodes.map(({ id }) => new FakeNode({ id, store, nodes }));
}

/** Tells every node of a fake cluster under which addresses the nodes' RESP (and HTTP) doors are reached. */
export function setAddresses(
  cluster: readonly FakeNode[],
  resp: readonly string[],
  http?: readonly string[],
): void {
  const nodes = cluster.map((node, index) => describeNode(node.id, resp[index], http?.[index]));
  for (const node of cluster) node.nodes = nodes;
}
