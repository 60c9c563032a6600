/**
 * A small network of replicas under one seed: plain coordinators with hinted handoff, anti-entropy and purging over Map-based
 * contents. Messages are lost, repeated and delayed, links are cut one way, nodes crash (what was not synced is gone, purges
 * come back) and stay away for less or more than the grace, one disk is lost, records are evicted. Afterwards all heals.
 *
 * What must hold then: all replicas are equal within a bounded time; no acknowledged write is lost to an older one, a deletion
 * least of all; and in the end no dead record is left anywhere.
 */
import { ByteWriter } from '../../../src/base/bytes.js';
import { slotOf } from '../../../src/base/slots.js';
import { MemoryEngine } from '../../../src/engine/memory/memory-engine.js';
import { AntiEntropy } from '../../../src/protocol/quorum/anti-entropy.js';
import type { RepairGroup } from '../../../src/protocol/quorum/anti-entropy-types.js';
import { HybridClock } from '../../../src/protocol/quorum/clock.js';
import { forEachMutation, MutationEncoder } from '../../../src/protocol/quorum/codec.js';
import {
  applyHintChange,
  decodeHintChange,
  encodeHintChange,
} from '../../../src/protocol/quorum/hint-codec.js';
import type { HintChange } from '../../../src/protocol/quorum/hint-types.js';
import { HintHandoff } from '../../../src/protocol/quorum/hints.js';
import { DELETED_MS, type MutationBatch, type NodeId } from '../../../src/protocol/quorum/types.js';
import { EngineHintStore } from '../../../src/store/quorum/hint-store.js';
import { seededRandom } from '../raft/network.js';
import { ModelContents } from './model-contents.js';

const WALL_START_MS = 1_780_000_000_000;
const TICK_MS = 20;
const SYNC_MS = 8;
const WRITE_TIMEOUT_MS = 400;
const INTERVAL_MS = 500;
const GRACE_MS = 3000;
const MAX_HINT_AGE_MS = 2800;
const MAX_DRIFT_MS = 200;
const ANSWER_TIMEOUT_MS = 300;
const BUCKET_ID = 3;
const KEYS = 24;
const NODES: readonly NodeId[] = ['n1', 'n2', 'n3', 'n4'];
const REPLICAS = 3;
const W = 2;

/** What two replicas say to each other besides anti-entropy. */
type Message =
  | { readonly kind: 'mutate'; readonly id: number; readonly hint: boolean; readonly batch: MutationBatch }
  | { readonly kind: 'mutated'; readonly id: number; readonly hint: boolean }
  | { readonly kind: 'repair'; readonly body: Buffer };

interface PendingWrite {
  readonly key: string;
  readonly version: number;
  readonly batch: MutationBatch;
  readonly missing: Set<NodeId>;
  readonly deadlineMs: number;
  acknowledged: number;
}

interface Node {
  readonly id: NodeId;
  readonly skewMs: number;
  up: boolean;
  /** Grows with every crash, so that what belongs to an earlier life is not carried out. */
  life: number;
  contents: ModelContents;
  /** What a crash leaves: a checkpoint and the synced journal behind it. */
  checkpoint: ModelContents;
  journal: MutationBatch[];
  hintChanges: Buffer[];
  core: AntiEntropy;
  handoff: HintHandoff;
  clock: HybridClock;
  readonly writes: Map<number, PendingWrite>;
}

interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export interface RepairNetworkOptions {
  readonly seed: number;
  readonly chaosMs: number;
}

export class RepairNetwork {
  nowMs = 0;
  readonly #random: () => number;
  readonly #nodes = new Map<NodeId, Node>();
  readonly #groups: RepairGroup[];
  readonly #keys: Buffer[] = [];
  readonly #cut = new Set<string>();
  /** The newest acknowledged version of each key. */
  readonly #acknowledged = new Map<string, number>();
  /** The newest deletion, or write with a time to live, of each key, acknowledged or not: from then on it may be gone. */
  readonly #mayBeGone = new Map<string, number>();
  readonly #chaosMs: number;
  readonly #writer = new ByteWriter();
  #events: ScheduledEvent[] = [];
  #order = 0;
  #nextId = 1;
  #faulty = true;
  #diskLost = false;
  readonly #lossRate: number;
  readonly #maxDelayMs: number;

  constructor({ seed, chaosMs }: RepairNetworkOptions) {
    this.#random = seededRandom(seed);
    this.#chaosMs = chaosMs;
    this.#lossRate = this.#random() < 0.3 ? 0 : this.#random() * 0.15;
    this.#maxDelayMs = 2 + this.#random() * 60;
    const slots: number[][] = NODES.map(() => []);
    for (let i = 0; i < KEYS; i++) {
      // Two keys to a slot, so that a purge meets live ones beside the dead.
      const key = Buffer.from(`{${i >> 1}}${i}`);
      this.#keys.push(key);
      const slot = slotOf(key);
      if (!slots[slot % NODES.length]!.includes(slot)) slots[slot % NODES.length]!.push(slot);
    }
    this.#groups = NODES.map((_, i) => ({
      group: i + 1,
      members: Array.from({ length: REPLICAS }, (_, place) => NODES[(i + place) % NODES.length]!),
      slots: slots[i]!,
    }));
    NODES.forEach((id) => {
      const contents = this.#emptyContents();
      const node: Node = {
        id,
        skewMs: Math.round((this.#random() - 0.5) * MAX_DRIFT_MS),
        up: true,
        life: 1,
        contents,
        checkpoint: contents.clone(),
        journal: [],
        hintChanges: [],
        writes: new Map(),
        ...this.#cores(id, contents, []),
      };
      this.#nodes.set(id, node);
      this.#startNode(node);
    });
  }

  #emptyContents(): ModelContents {
    return new ModelContents([{ bucketId: BUCKET_ID, n: REPLICAS, antiEntropy: true, flushedThrough: 0 }]);
  }

  #cores(
    id: NodeId,
    contents: ModelContents,
    hintChanges: readonly Buffer[],
  ): Pick<Node, 'core' | 'handoff' | 'clock'> {
    const core = new AntiEntropy({
      self: id,
      contents,
      random: this.#random,
      intervalMs: INTERVAL_MS,
      maxBytesPerSecond: 1e6,
      answerTimeoutMs: ANSWER_TIMEOUT_MS,
      graceMs: GRACE_MS,
      maxClockDriftMs: MAX_DRIFT_MS,
    });
    core.setGroups(this.#groups);
    const store = new EngineHintStore({
      engine: new MemoryEngine(),
      ordinalOf: (node) => NODES.indexOf(node),
      nodeOf: (ordinal) => NODES[ordinal],
      knowsBucket: () => true,
    });
    for (const change of hintChanges) applyHintChange(store, decodeHintChange(change));
    const handoff = new HintHandoff({
      store,
      random: this.#random,
      maxHintBytesPerTarget: 2000,
      maxHintAgeMs: MAX_HINT_AGE_MS,
      maxBytesPerSecond: 1e6,
      answerTimeoutMs: ANSWER_TIMEOUT_MS,
    });
    const highest = contents.all().reduce((version, record) => Math.max(version, record.version), 0);
    return { core, handoff, clock: new HybridClock(NODES.indexOf(id), MAX_DRIFT_MS, highest) };
  }

  #startNode(node: Node): void {
    for (const peer of NODES) if (peer !== node.id) this.#tellReachable(node, peer);
    const { life } = node;
    const tick = (): void => {
      if (!node.up || node.life !== life) return;
      this.#tick(node);
      this.#schedule(TICK_MS, tick);
    };
    this.#schedule(this.#random() * TICK_MS, tick);
  }

  #schedule(delayMs: number, run: () => void): void {
    this.#events.push({ atMs: this.nowMs + delayMs, order: this.#order++, run });
  }

  #wallMs(node: Node): number {
    return Math.floor(WALL_START_MS + this.nowMs + node.skewMs);
  }

  /** Monotonic clocks begin anywhere. */
  #monotonicMs(node: Node): number {
    return this.nowMs + 1000 * (1 + NODES.indexOf(node.id));
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    for (;;) {
      let next: ScheduledEvent | undefined;
      for (const event of this.#events)
        if (
          event.atMs <= endMs &&
          (next === undefined ||
            event.atMs < next.atMs ||
            (event.atMs === next.atMs && event.order < next.order))
        )
          next = event;
      if (next === undefined) break;
      this.#events.splice(this.#events.indexOf(next), 1);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = endMs;
  }

  #isCut(from: NodeId, to: NodeId): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** What links tell: both ways open and both up. */
  #tellReachable(node: Node, peer: NodeId): void {
    const other = this.#nodes.get(peer);
    const reachable =
      node.up && (other?.up ?? true) && !this.#isCut(node.id, peer) && !this.#isCut(peer, node.id);
    node.core.setReachable(peer, reachable);
    node.handoff.setReachable(peer, reachable);
  }

  /** Links notice with a delay. */
  #linksChanged(): void {
    for (const node of this.#nodes.values())
      for (const peer of NODES) {
        if (peer === node.id) continue;
        const { life } = node;
        this.#schedule(this.#random() * 200, () => {
          if (node.up && node.life === life) this.#tellReachable(node, peer);
        });
      }
  }

  #send(from: Node, to: NodeId, message: Message): void {
    const copies = this.#faulty && this.#random() < 0.03 ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#isCut(from.id, to) || (this.#faulty && this.#random() < this.#lossRate)) continue;
      const target = this.#nodes.get(to)!;
      const { life } = target;
      this.#schedule(1 + this.#random() * this.#maxDelayMs, () => {
        if (target.up && target.life === life) this.#receive(target, from.id, message);
      });
    }
  }

  #receive(node: Node, from: NodeId, message: Message): void {
    switch (message.kind) {
      case 'mutate': {
        forEachMutation(message.batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
          if (message.hint) node.contents.mergeHint(bucketId, key, value, version, expiresAtMs);
          else node.contents.merge(bucketId, key, value, version, expiresAtMs);
        });
        this.#journal(node, [message.batch], () =>
          this.#send(node, from, { kind: 'mutated', id: message.id, hint: message.hint }),
        );
        break;
      }
      case 'mutated':
        if (message.hint) node.handoff.replayed(from, message.id, []);
        else this.#acknowledge(node, from, message.id);
        break;
      case 'repair':
        node.core.step(from, message.body, this.#monotonicMs(node), this.#wallMs(node));
        break;
    }
    this.#carryOut(node);
  }

  /** Appends to the journal; `synced` is called once all of it is durable. */
  #journal(node: Node, batches: readonly MutationBatch[], synced: () => void): void {
    const { life } = node;
    this.#schedule(SYNC_MS, () => {
      if (!node.up || node.life !== life) return;
      node.journal.push(...batches);
      synced();
    });
  }

  #acknowledge(node: Node, from: NodeId, id: number): void {
    const write = node.writes.get(id);
    if (write === undefined || !write.missing.delete(from)) return;
    write.acknowledged++;
    if (write.acknowledged === W) this.#noteAcknowledged(write);
    if (write.missing.size === 0) node.writes.delete(id);
  }

  #noteAcknowledged({ key, version }: PendingWrite): void {
    this.#acknowledged.set(key, Math.max(version, this.#acknowledged.get(key) ?? 0));
  }

  #carryOut(node: Node): void {
    const effects = node.core.takeEffects();
    for (const { to, body } of effects.messages) this.#send(node, to, { kind: 'repair', body });
    const promises = effects.messagesAfterPersist;
    if (effects.journal.length > 0 || promises.length > 0)
      this.#journal(node, effects.journal, () => {
        for (const { to, body } of promises) this.#send(node, to, { kind: 'repair', body });
      });
    const { changes, replays, lacking } = node.handoff.takeEffects();
    for (const change of changes) this.#journalHint(node, change);
    for (const { id, target, batch } of replays)
      this.#send(node, target, { kind: 'mutate', id, hint: true, batch });
    for (const target of lacking) node.core.requestRound(target);
  }

  #journalHint(node: Node, change: HintChange): void {
    encodeHintChange(this.#writer, change);
    const bytes = this.#writer.take();
    const { life } = node;
    this.#schedule(SYNC_MS, () => {
      if (node.up && node.life === life) node.hintChanges.push(bytes);
    });
  }

  #tick(node: Node): void {
    const nowMs = this.#monotonicMs(node);
    const wallMs = this.#wallMs(node);
    for (const [id, write] of node.writes) {
      if (nowMs < write.deadlineMs) continue;
      node.writes.delete(id);
      for (const target of write.missing)
        if (target !== node.id) node.handoff.add(target, write.batch, wallMs);
    }
    node.core.tick(nowMs, wallMs);
    node.handoff.tick(nowMs, wallMs);
    if (this.#random() < 0.004) {
      node.checkpoint = node.contents.clone();
      node.journal = [];
    }
    this.#carryOut(node);
  }

  /** A client writes through any node that is up. */
  #write(): void {
    const node = this.#nodes.get(NODES[Math.floor(this.#random() * NODES.length)]!)!;
    if (!node.up) return;
    const key = this.#keys[Math.floor(this.#random() * this.#keys.length)]!;
    const version = node.clock.next(this.#wallMs(node), node.contents.read(BUCKET_ID, key)?.version ?? 0);
    if (version === 0) return;
    const kind = this.#random();
    const expiresAtMs = kind < 0.45 ? DELETED_MS : kind < 0.6 ? this.#wallMs(node) + 1500 : 0;
    if (expiresAtMs !== 0)
      this.#mayBeGone.set(key.toString(), Math.max(version, this.#mayBeGone.get(key.toString()) ?? 0));
    const encoder = new MutationEncoder();
    const value = expiresAtMs === DELETED_MS ? '' : `${version}`;
    encoder.add(BUCKET_ID, key, Buffer.from(value), version, expiresAtMs);
    const batch = encoder.take();
    const members = this.#groups.find(({ slots }) => slots.includes(slotOf(key)))!.members;
    const id = this.#nextId++;
    node.writes.set(id, {
      key: key.toString(),
      version,
      batch,
      missing: new Set(members),
      deadlineMs: this.#monotonicMs(node) + WRITE_TIMEOUT_MS,
      acknowledged: 0,
    });
    for (const member of members) {
      if (member === node.id) this.#receive(node, node.id, { kind: 'mutate', id, hint: false, batch });
      else this.#send(node, member, { kind: 'mutate', id, hint: false, batch });
    }
  }

  #crash(node: Node, losesDisk: boolean): void {
    node.up = false;
    node.life++;
    node.writes.clear();
    this.#linksChanged();
    if (!losesDisk) return;
    node.checkpoint = this.#emptyContents();
    node.journal = [];
    node.hintChanges = [];
  }

  #restart(node: Node): void {
    if (node.up) return;
    node.up = true;
    node.life++;
    node.contents = node.checkpoint.clone();
    for (const batch of node.journal)
      forEachMutation(batch.bytes, (bucketId, key, value, version, expiresAtMs) => {
        node.contents.merge(bucketId, key, value, version, expiresAtMs);
      });
    Object.assign(node, this.#cores(node.id, node.contents, node.hintChanges));
    for (const peer of this.#nodes.values()) {
      if (peer === node || !peer.up) continue;
      peer.core.peerReset(node.id);
      peer.handoff.peerReset(node.id);
    }
    this.#startNode(node);
    this.#linksChanged();
  }

  #fault(): void {
    const node = this.#nodes.get(NODES[Math.floor(this.#random() * NODES.length)]!)!;
    const kind = this.#random();
    // Away for a moment, or for longer than the grace.
    const awayMs = this.#random() < 0.5 ? this.#random() * 1000 : GRACE_MS * (0.5 + this.#random() * 3.5);
    if (kind < 0.35) {
      const losesDisk = !this.#diskLost && this.#random() < 0.15;
      // Another replica may lack what only this one and a third have: at most one is away when a disk goes.
      if (losesDisk && [...this.#nodes.values()].some((other) => !other.up)) return;
      this.#diskLost ||= losesDisk;
      if (!node.up) return;
      this.#crash(node, losesDisk);
      this.#schedule(awayMs, () => this.#restart(node));
    } else if (kind < 0.8) {
      const peer = NODES[Math.floor(this.#random() * NODES.length)]!;
      const links =
        this.#random() < 0.5 ? [`${node.id}>${peer}`] : [`${node.id}>${peer}`, `${peer}>${node.id}`];
      for (const link of links) this.#cut.add(link);
      this.#linksChanged();
      this.#schedule(awayMs, () => {
        for (const link of links) this.#cut.delete(link);
        this.#linksChanged();
      });
    } else if (kind < 0.9) {
      // Cut off from everybody.
      const links = NODES.flatMap((peer) => [`${node.id}>${peer}`, `${peer}>${node.id}`]);
      for (const link of links) this.#cut.add(link);
      this.#linksChanged();
      this.#schedule(awayMs, () => {
        for (const link of links) this.#cut.delete(link);
        this.#linksChanged();
      });
    }
  }

  /** Faults and writes, then writes alone come to an end. */
  chaos(): void {
    // Sometimes keys rest for long enough to be purged in between.
    const pauseMs = 15 + this.#random() * 250;
    for (let atMs = 0; atMs < this.#chaosMs; atMs += pauseMs) this.#schedule(atMs, () => this.#write());
    const faultPauseMs = 500 + this.#random() * 1500;
    for (let atMs = 500; atMs < this.#chaosMs; atMs += faultPauseMs)
      this.#schedule(atMs, () => this.#fault());
    this.run(this.#chaosMs);
  }

  /** Everything works again. */
  heal(): void {
    this.#faulty = false;
    this.#cut.clear();
    for (const node of this.#nodes.values()) this.#restart(node);
    this.#linksChanged();
    // Bodies of messages that were lost stay lost; time-outs of writes under way still make hints.
    this.run(WRITE_TIMEOUT_MS + 2 * TICK_MS);
  }

  /** Interval after interval until all replicas of all groups are equal; throws after too many. */
  converge(maxRounds: number): number {
    for (let round = 1; round <= maxRounds; round++) {
      this.run(INTERVAL_MS);
      if (this.#differing() === undefined) return round;
    }
    throw new Error(`replicas differ after ${maxRounds} rounds: ${this.#differing()}`);
  }

  #differing(): string | undefined {
    for (const { group, members, slots } of this.#groups) {
      const prints = members.map((id) => this.#nodes.get(id)!.contents.fingerprint(new Set(slots)));
      if (new Set(prints).size > 1) return `group ${group}\n${prints.join('\n--\n')}`;
    }
    return undefined;
  }

  /** Every acknowledged write, or a newer one, is on every replica; deleted keys have not come back. */
  checkAcknowledged(): void {
    for (const [name, version] of this.#acknowledged) {
      const key = Buffer.from(name);
      const mayBeGone = (this.#mayBeGone.get(name) ?? 0) >= version;
      const { members } = this.#groups.find(({ slots }) => slots.includes(slotOf(key)))!;
      for (const id of members) {
        const record = this.#nodes.get(id)!.contents.read(BUCKET_ID, key);
        if (record === undefined ? mayBeGone : record.version >= version) continue;
        throw new Error(
          `${id} has ${record === undefined ? 'nothing' : `version ${record.version}`} for ${name}, acknowledged was ${version}`,
        );
      }
    }
  }

  /** After the grace nothing dead is left. */
  purgeAll(): void {
    this.run(1500 + GRACE_MS + 2 * MAX_DRIFT_MS + ANSWER_TIMEOUT_MS + 1000 + 10 * INTERVAL_MS);
    for (const { id, contents } of this.#nodes.values()) {
      const dead = contents.all().filter(({ expiresAtMs }) => expiresAtMs !== 0);
      if (dead.length > 0)
        throw new Error(`${id} still holds dead records: ${dead.map(({ key }) => key.toString()).join(' ')}`);
    }
  }

  /** Hints left after everything has healed. */
  statistics(): { purged: number; mended: number; replayed: number; expired: number } {
    const total = { purged: 0, mended: 0, replayed: 0, expired: 0 };
    for (const { core, handoff } of this.#nodes.values()) {
      total.purged += core.statistics().purged;
      total.mended += core.statistics().keysMended;
      total.replayed += handoff.statistics().replayed;
      total.expired += handoff.statistics().expired;
    }
    return total;
  }
}

/** One seed through faults, healing, convergence and purging. */
export function runRepairSeed(seed: number): ReturnType<RepairNetwork['statistics']> {
  const network = new RepairNetwork({ seed, chaosMs: 40_000 });
  network.chaos();
  network.heal();
  network.converge(16);
  network.checkAcknowledged();
  network.purgeAll();
  network.converge(4);
  network.checkAcknowledged();
  return network.statistics();
}
