/**
 * A small network of quorum cores under one seed: messages are lost, repeated, delayed and reordered, links break, pairs are
 * cut, nodes crash and come back with what their journal had synced, wall clocks disagree. Hints wait for the end. Every operation
 * is written down with its beginning and its end, for the checks in `history.ts`.
 */
import { ByteReader, ByteWriter } from '../../../src/base/bytes.js';
import { VERSION_EPOCH_MS } from '../../../src/protocol/quorum/clock.js';
import {
  decodeQuorumMessage,
  encodeQuorumMessage,
  forEachMutation,
} from '../../../src/protocol/quorum/codec.js';
import { QuorumCore } from '../../../src/protocol/quorum/core.js';
import {
  DELETED_MS,
  type MutationBatch,
  type NodeId,
  type OutgoingQuorumMessage,
  type QuorumTiming,
  type ReplicaSet,
} from '../../../src/protocol/quorum/types.js';
import type { ReadRecord, WriteRecord } from './history.js';
import { MemoryQuorumStore } from './memory-store.js';

/** Mulberry32: a seeded source of floats in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface NetworkFaults {
  /** Share of messages. */
  readonly lossRate: number;
  readonly repeatRate: number;
  readonly maxDelayMs: number;
  /** Events a second of virtual time, over the whole network. */
  readonly resetsPerSecond: number;
  readonly cutsPerSecond: number;
  readonly crashesPerSecond: number;
}

const CALM: NetworkFaults = {
  lossRate: 0,
  repeatRate: 0,
  maxDelayMs: 2,
  resetsPerSecond: 0,
  cutsPerSecond: 0,
  crashesPerSecond: 0,
};

export interface NetworkOptions {
  readonly seed: number;
  readonly faults: NetworkFaults;
  /** Wall clocks are off by up to so much, either way. */
  readonly maxSkewMs: number;
  readonly readRepairChance: number;
  /** Wraps what the core sees and does; for planted bugs. */
  readonly makeStore?: () => MemoryQuorumStore;
}

interface Journaled {
  readonly batch: MutationBatch;
}

interface SimulatedNode {
  readonly id: NodeId;
  readonly ordinal: number;
  readonly skewMs: number;
  core: QuorumCore;
  store: MemoryQuorumStore;
  /** Counts the node's processes: what an earlier one has scheduled is void. */
  life: number;
  up: boolean;
  journal: Journaled[];
  synced: number;
  lastSyncMs: number;
  turnScheduled: boolean;
  readonly hints: { readonly target: NodeId; readonly batch: MutationBatch }[];
  /** Highest version this node has given or stored, as a node keeps it durably. */
  lastVersion: number;
}

interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export const TIMING: QuorumTiming = {
  timeoutMs: 200,
  maxClockDriftMs: 500,
  speculationQuantile: 0.99,
  minSpeculationMs: 5,
  readRepairChance: 0,
};

const REPLICAS = 3;
const TICK_MS = 10;
const WALL_START_MS = VERSION_EPOCH_MS + 50_000_000_000;
const BUCKET = 1;

export class QuorumNetwork {
  readonly ids: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4', 'n5'];
  readonly keys: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f'];
  readonly writes: WriteRecord[] = [];
  readonly reads: ReadRecord[] = [];
  nowMs = 0;
  delivered = 0;
  crashes = 0;
  #faults: NetworkFaults;
  readonly #options: NetworkOptions;
  readonly #random: () => number;
  readonly #nodes = new Map<NodeId, SimulatedNode>();
  readonly #sets = new Map<string, ReplicaSet>();
  readonly #cut = new Set<string>();
  /** Counts the breaks of each link: what was on its way before is void. */
  readonly #breaks = new Map<string, number>();
  readonly #writer = new ByteWriter();
  #events: ScheduledEvent[] = [];
  #order = 0;
  #operations = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.#faults = options.faults;
    this.#random = seededRandom(options.seed);
    for (const [ordinal, id] of this.ids.entries()) {
      const skewMs = Math.round((this.#random() * 2 - 1) * options.maxSkewMs);
      const store = this.#makeStore();
      const node: SimulatedNode = {
        id,
        ordinal,
        skewMs,
        store,
        core: this.#makeCore(ordinal, id, store, 0),
        life: 0,
        up: true,
        journal: [],
        synced: 0,
        lastSyncMs: 0,
        turnScheduled: false,
        hints: [],
        lastVersion: 0,
      };
      this.#nodes.set(id, node);
    }
    for (const node of this.#nodes.values()) this.#refreshReachability(node);
    this.#tickForever();
    this.#disturbForever();
  }

  #makeStore(): MemoryQuorumStore {
    return this.#options.makeStore?.() ?? new MemoryQuorumStore();
  }

  #makeCore(ordinal: number, self: NodeId, store: MemoryQuorumStore, lastVersion: number): QuorumCore {
    return new QuorumCore({
      self,
      ordinal,
      store,
      random: this.#random,
      timing: { ...TIMING, readRepairChance: this.#options.readRepairChance },
      lastVersion,
      maxUnackedBytes: 1 << 20,
    });
  }

  // Events

  #after(delayMs: number, run: () => void): void {
    this.#events.push({ atMs: this.nowMs + delayMs, order: this.#order++, run });
  }

  /** Lets virtual time pass. */
  run(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      let next: ScheduledEvent | undefined;
      for (const event of this.#events) {
        if (event.atMs > endMs) continue;
        if (
          next === undefined ||
          event.atMs < next.atMs ||
          (event.atMs === next.atMs && event.order < next.order)
        )
          next = event;
      }
      if (next === undefined) break;
      const chosen = next;
      this.#events = this.#events.filter((event) => event !== chosen);
      this.nowMs = Math.max(this.nowMs, chosen.atMs);
      chosen.run();
    }
    this.nowMs = endMs;
  }

  wallOf(node: SimulatedNode): number {
    return WALL_START_MS + Math.floor(this.nowMs) + node.skewMs;
  }

  #tickForever(): void {
    this.#after(TICK_MS, () => {
      for (const node of this.#nodes.values()) {
        if (!node.up) continue;
        node.core.tick(this.nowMs, this.wallOf(node));
        this.#endTurnSoon(node);
      }
      this.#tickForever();
    });
  }

  #endTurnSoon(node: SimulatedNode): void {
    if (node.turnScheduled || !node.core.hasEffects()) return;
    node.turnScheduled = true;
    const { life } = node;
    this.#after(this.#random() * 0.5, () => {
      if (node.life === life) this.#endTurn(node);
    });
  }

  #endTurn(node: SimulatedNode): void {
    node.turnScheduled = false;
    const effects = node.core.takeEffects();
    for (const batch of effects.journal) {
      node.journal.push({ batch });
      forEachMutation(batch.bytes, (_bucket, _key, _value, version) => {
        node.lastVersion = Math.max(node.lastVersion, version);
      });
    }
    for (const { to, message } of effects.messages) {
      if (message.kind === 'mutate')
        forEachMutation(message.batch.bytes, (_bucket, _key, _value, version) => {
          node.lastVersion = Math.max(node.lastVersion, version);
        });
      this.#send(node, { to, message });
    }
    node.hints.push(...effects.hints);
    const written = node.journal.length;
    const { life } = node;
    const syncMs = Math.max(node.lastSyncMs, this.nowMs + this.#random() * 3);
    node.lastSyncMs = syncMs;
    this.#after(syncMs - this.nowMs, () => {
      if (node.life !== life) return;
      node.synced = Math.max(node.synced, written);
      if (effects.persistToken !== 0) node.core.persisted(effects.persistToken);
      for (const outgoing of effects.messagesAfterPersist) this.#send(node, outgoing);
      this.#endTurnSoon(node);
    });
    this.#endTurnSoon(node);
  }

  // Links

  #pair(one: NodeId, other: NodeId): string {
    return one < other ? `${one}-${other}` : `${other}-${one}`;
  }

  #connected(one: NodeId, other: NodeId): boolean {
    return this.#nodes.get(one)!.up && this.#nodes.get(other)!.up && !this.#cut.has(this.#pair(one, other));
  }

  #send(from: SimulatedNode, { to, message }: OutgoingQuorumMessage): void {
    encodeQuorumMessage(this.#writer, message);
    const bytes = this.#writer.take();
    if (this.#random() < this.#faults.lossRate) return;
    const copies = this.#random() < this.#faults.repeatRate ? 2 : 1;
    const pair = this.#pair(from.id, to);
    const breaks = this.#breaks.get(pair) ?? 0;
    for (let copy = 0; copy < copies; copy++)
      this.#after(0.05 + this.#random() ** 2 * this.#faults.maxDelayMs, () => {
        if ((this.#breaks.get(pair) ?? 0) !== breaks || !this.#connected(from.id, to)) return;
        const receiver = this.#nodes.get(to)!;
        this.delivered++;
        receiver.core.step(
          from.id,
          decodeQuorumMessage(new ByteReader(bytes)),
          this.nowMs,
          this.wallOf(receiver),
        );
        this.#endTurnSoon(receiver);
      });
  }

  #refreshReachability(node: SimulatedNode): void {
    if (!node.up) return;
    for (const other of this.ids)
      if (other !== node.id) node.core.setReachable(other, this.#connected(node.id, other));
  }

  #breakLink(one: NodeId, other: NodeId): void {
    const pair = this.#pair(one, other);
    this.#breaks.set(pair, (this.#breaks.get(pair) ?? 0) + 1);
    for (const [id, peer] of [
      [one, other],
      [other, one],
    ] as const) {
      const node = this.#nodes.get(id)!;
      if (!node.up) continue;
      this.#refreshReachability(node);
      node.core.peerReset(peer);
      this.#endTurnSoon(node);
    }
  }

  // Faults

  #anyNode(): SimulatedNode {
    return this.#nodes.get(this.ids[Math.floor(this.#random() * this.ids.length)]!)!;
  }

  #disturbForever(): void {
    const { resetsPerSecond, cutsPerSecond, crashesPerSecond } = this.#faults;
    this.#after(TICK_MS, () => {
      const happens = (perSecond: number): boolean => this.#random() < (perSecond * TICK_MS) / 1000;
      if (happens(resetsPerSecond)) this.#breakLink(...this.#anyPair());
      if (happens(cutsPerSecond)) this.#cutFor(this.#random() * 400);
      if (happens(crashesPerSecond)) this.#crash(this.#anyNode(), this.#random() * 300);
      this.#disturbForever();
    });
  }

  #anyPair(): [NodeId, NodeId] {
    const one = this.#anyNode();
    let other = this.#anyNode();
    while (other === one) other = this.#anyNode();
    return [one.id, other.id];
  }

  #cutFor(durationMs: number): void {
    const [one, other] = this.#anyPair();
    const pair = this.#pair(one, other);
    if (this.#cut.has(pair)) return;
    this.#cut.add(pair);
    // The cut is noticed a little later: until then both send into nothing.
    this.#after(this.#random() * 50, () => {
      if (this.#cut.has(pair)) this.#breakLink(one, other);
    });
    this.#after(durationMs, () => {
      this.#cut.delete(pair);
      this.#breakLink(one, other);
    });
  }

  #crash(node: SimulatedNode, downMs: number): void {
    if (!node.up) return;
    this.crashes++;
    node.up = false;
    node.life++;
    node.journal.length = node.synced;
    for (const operation of [...this.writes, ...this.reads])
      if (operation.coordinator === node.id && operation.endMs === undefined) operation.abandoned = true;
    for (const other of this.ids) if (other !== node.id) this.#breakLink(node.id, other);
    this.#after(downMs, () => this.#restart(node));
  }

  #restart(node: SimulatedNode): void {
    if (node.up) return;
    node.up = true;
    node.turnScheduled = false;
    node.lastSyncMs = this.nowMs;
    node.store = this.#makeStore();
    for (const { batch } of node.journal)
      forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
        node.store.merge(bucketId, key, value, version, expiresAtMs, this.wallOf(node));
      });
    node.core = this.#makeCore(node.ordinal, node.id, node.store, node.lastVersion);
    for (const other of this.ids) if (other !== node.id) this.#breakLink(node.id, other);
  }

  // Operations

  /** The replicas of a key: three nodes in a row. */
  membersOf(key: string): NodeId[] {
    const first = this.keys.indexOf(key);
    return Array.from({ length: REPLICAS }, (_, i) => this.ids[(first + i) % this.ids.length]!);
  }

  #setOf(key: string, coordinator: NodeId): ReplicaSet {
    const members = this.membersOf(key);
    const name = `${coordinator}:${members.join()}`;
    let set = this.#sets.get(name);
    if (set === undefined) {
      const others = members.filter((member) => member !== coordinator);
      set = { members, others, includesSelf: others.length < members.length };
      this.#sets.set(name, set);
    }
    return set;
  }

  write(coordinator: NodeId, key: string, w: number, durable: boolean, deletes = false): void {
    const node = this.#nodes.get(coordinator)!;
    if (!node.up) return;
    const record: WriteRecord = {
      id: this.#operations++,
      key,
      coordinator,
      quorum: w,
      durable,
      startMs: this.nowMs,
      endMs: undefined,
      calls: 0,
      abandoned: false,
      version: 0,
      failure: undefined,
    };
    this.writes.push(record);
    node.core.write(
      {
        bucketId: BUCKET,
        key: Buffer.from(key),
        value: deletes ? Buffer.alloc(0) : Buffer.from(`${record.id}`),
        expiresAtMs: deletes ? DELETED_MS : 0,
        replicas: this.#setOf(key, coordinator),
        w,
        durable,
        hinted: true,
        written: (outcome) => {
          record.calls++;
          record.endMs = this.nowMs;
          if (outcome.ok) record.version = outcome.version;
          else record.failure = outcome.reason;
        },
      },
      this.nowMs,
      this.wallOf(node),
    );
    this.#endTurnSoon(node);
  }

  read(coordinator: NodeId, key: string, r: number, repair = true): void {
    const node = this.#nodes.get(coordinator)!;
    if (!node.up) return;
    const record: ReadRecord = {
      id: this.#operations++,
      key,
      coordinator,
      quorum: r,
      repair,
      startMs: this.nowMs,
      endMs: undefined,
      calls: 0,
      abandoned: false,
      version: 0,
      failure: undefined,
    };
    this.reads.push(record);
    node.core.read(
      {
        bucketId: BUCKET,
        key: Buffer.from(key),
        replicas: this.#setOf(key, coordinator),
        r,
        repair,
        found: (found) => {
          record.calls++;
          record.endMs = this.nowMs;
          record.version = found?.version ?? 0;
        },
        failed: (reason) => {
          record.calls++;
          record.endMs = this.nowMs;
          record.failure = reason;
        },
      },
      this.nowMs,
      this.wallOf(node),
    );
    this.#endTurnSoon(node);
  }

  /** Reads and writes at random for so long. */
  load(durationMs: number, operationsPerSecond: number): void {
    const endMs = this.nowMs + durationMs;
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(this.#random() * items.length)]!;
    while (this.nowMs < endMs) {
      const coordinator = pick(this.ids);
      const key = pick(this.keys);
      if (this.#random() < 0.5)
        this.write(coordinator, key, pick([1, 2, 2, 2, 3]), this.#random() < 0.7, this.#random() < 0.2);
      else this.read(coordinator, key, pick([1, 2, 2, 2, 3]), this.#random() < 0.8);
      this.run((this.#random() * 2000) / operationsPerSecond);
    }
  }

  // The end

  /** No more faults: links heal, nodes come back, what is under way ends. */
  heal(): void {
    this.#faults = CALM;
    this.#cut.clear();
    for (const node of this.#nodes.values()) if (!node.up) this.#restart(node);
    for (const one of this.ids) for (const other of this.ids) if (one < other) this.#breakLink(one, other);
    this.run(TIMING.timeoutMs * 3);
    // Clocks that were too far behind for a version have caught up with it.
    this.run(2 * this.#options.maxSkewMs);
  }

  /** Hands over all hints. */
  replayHints(): void {
    for (const node of this.#nodes.values())
      for (const { target, batch } of node.hints.splice(0)) {
        const message = { kind: 'mutate' as const, id: 1, purpose: 'hint' as const, durable: true, batch };
        this.#send(node, { to: target, message });
      }
    this.run(100);
  }

  /** Reads each key from all of its replicas. */
  repairAll(): void {
    for (const key of this.keys) this.read(this.membersOf(key)[0]!, key, REPLICAS);
    this.run(TIMING.timeoutMs * 2);
  }

  /** What each replica of a key holds; equal texts for equal records. */
  replicasOf(key: string): string[] {
    return this.membersOf(key).map((id) => {
      const record = this.#nodes.get(id)!.store.read(BUCKET, Buffer.from(key));
      return record === undefined
        ? 'nothing'
        : `${record.version} ${record.expiresAtMs} ${record.value.toString()}`;
    });
  }

  statistics(): { restamped: number; hinted: number; readRepairs: number; speculativeReads: number } {
    const sum = { restamped: 0, hinted: 0, readRepairs: 0, speculativeReads: 0 };
    for (const { core } of this.#nodes.values()) {
      const { restamped, hinted, readRepairs, speculativeReads } = core.statistics();
      sum.restamped += restamped;
      sum.hinted += hinted;
      sum.readRepairs += readRepairs;
      sum.speculativeReads += speculativeReads;
    }
    return sum;
  }
}
