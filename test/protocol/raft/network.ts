/**
 * A small network of Raft cores under one seed: messages are lost, repeated, delayed and reordered, links are cut one
 * way, nodes crash and come back with what they had synced, logs are compacted so that snapshots are needed, clocks
 * start anywhere, and connections break without a death. The properties of Raft's figure 3 are checked as it runs.
 */
import { ByteReader, ByteWriter } from '../../../src/base/bytes.js';
import { decodeRaftMessage, encodeRaftMessage } from '../../../src/protocol/raft/codec.js';
import { RaftCore } from '../../../src/protocol/raft/core.js';
import type { LogEntry, NodeId, OutgoingMessage, RaftMessage } from '../../../src/protocol/raft/types.js';
import { MemoryLog } from './memory-log.js';

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
  readonly lossRate: number;
  readonly repeatRate: number;
  readonly maxDelayMs: number;
  readonly crashRate: number;
  readonly cutRate: number;
  readonly breakRate: number;
  readonly compactRate: number;
  readonly transferRate: number;
  readonly pauseRate: number;
}

const NO_FAULTS: NetworkFaults = {
  lossRate: 0,
  repeatRate: 0,
  maxDelayMs: 2,
  crashRate: 0,
  cutRate: 0,
  breakRate: 0,
  compactRate: 0,
  transferRate: 0,
  pauseRate: 0,
};

export interface NetworkOptions {
  readonly seed: number;
  readonly voters: number;
  readonly learners: number;
  readonly leaseReads: boolean;
  readonly faults: NetworkFaults;
}

interface Read {
  readonly id: number;
  /** The highest index that any node had committed when the read was asked for. */
  readonly committedBefore: number;
  readonly lastIndexBefore: number;
  readonly term: number;
}

interface SimulatedNode {
  readonly id: NodeId;
  readonly log: MemoryLog;
  /** Distance of its clock from the network's. */
  readonly clockOffsetMs: number;
  core: RaftCore;
  life: number;
  up: boolean;
  pausedUntilMs: number;
  /** State on disk: a digest of all applied entries, and the index it reflects. */
  applied: { index: number; digest: number };
  durableApplied: { index: number; digest: number };
  reads: Map<number, Read>;
  nextReadId: number;
}

interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

const ELECTION_TIMEOUT_MS = 150;
const HEARTBEAT_INTERVAL_MS = 30;
const TICK_MS = 10;

export class RaftNetwork {
  readonly nodes = new Map<NodeId, SimulatedNode>();
  readonly voters: NodeId[] = [];
  readonly learners: NodeId[] = [];
  nowMs = 0;
  faults: NetworkFaults;
  readsServed = 0;
  readsRefused = 0;
  snapshots = 0;
  elections = 0;
  /** Running hash of all that happened: equal seeds, equal traces. */
  trace = 0;
  readonly #options: NetworkOptions;
  readonly #random: () => number;
  readonly #writer = new ByteWriter();
  #events: ScheduledEvent[] = [];
  #order = 0;
  readonly #cut = new Set<string>();
  readonly #leaders = new Map<number, NodeId>();
  /** What was committed first at each index: term and payload must never differ afterwards. */
  readonly #committed: LogEntry[] = [];
  /** The term of the node that was the first to know of it. */
  readonly #committedInTerm: number[] = [];
  /** Digest of the state after each index. */
  readonly #digests: number[] = [0];
  #proposals = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
    this.faults = options.faults;
    this.#random = seededRandom(options.seed);
    for (let i = 1; i <= options.voters; i++) this.voters.push(`n${i}`);
    for (let i = 1; i <= options.learners; i++) this.learners.push(`l${i}`);
    for (const id of [...this.voters, ...this.learners]) {
      const log = new MemoryLog();
      const clockOffsetMs = Math.floor(this.#random() * 1e6);
      const node: SimulatedNode = {
        id,
        log,
        clockOffsetMs,
        core: this.#makeCore(id, log, 0, clockOffsetMs),
        life: 1,
        up: true,
        pausedUntilMs: 0,
        applied: { index: 0, digest: 0 },
        durableApplied: { index: 0, digest: 0 },
        reads: new Map(),
        nextReadId: 1,
      };
      this.nodes.set(id, node);
      this.#scheduleTick(node);
    }
  }

  get committedIndex(): number {
    return this.#committed.length;
  }

  leader(): SimulatedNode | undefined {
    let best: SimulatedNode | undefined;
    for (const node of this.nodes.values()) {
      if (!node.up || node.core.status().role !== 'leader') continue;
      if (best === undefined || node.core.status().term > best.core.status().term) best = node;
    }
    return best;
  }

  /** Runs until `untilMs`, doing random mischief and random work on the way. */
  run(untilMs: number, work: boolean): void {
    while (this.nowMs < untilMs) {
      this.#stepOnce();
      if (work && this.#random() < 0.1) this.#work();
      if (this.#random() < 0.02) this.#mischief();
    }
  }

  /** Runs without faults until a condition holds; false when the deadline passes first. */
  runUntil(condition: () => boolean, limitMs: number): boolean {
    const untilMs = this.nowMs + limitMs;
    while (!condition()) {
      if (this.nowMs > untilMs) return false;
      this.#stepOnce();
    }
    return true;
  }

  heal(): void {
    this.faults = NO_FAULTS;
    this.#cut.clear();
    for (const node of this.nodes.values()) {
      node.pausedUntilMs = 0;
      if (!node.up) this.restart(node);
    }
  }

  propose(node: SimulatedNode): boolean {
    const payload = Buffer.from(`w${++this.#proposals}`.padEnd(4 + (this.#proposals % 40), '.'));
    const accepted = node.core.propose(payload, this.#clock(node)).accepted;
    this.pump(node);
    return accepted;
  }

  requestRead(node: SimulatedNode): number {
    const id = node.nextReadId++;
    const { lastIndex, term } = node.core.status();
    node.reads.set(id, { id, committedBefore: this.committedIndex, lastIndexBefore: lastIndex, term });
    node.core.requestRead(id, this.#clock(node));
    this.pump(node);
    return id;
  }

  crash(node: SimulatedNode): void {
    node.up = false;
    node.life++;
    node.log.crash();
    node.applied = node.durableApplied;
    node.reads = new Map();
    // A dead process closes its connections; half of the time that is noticed at once.
    for (const other of this.nodes.values()) if (other.up && this.#random() < 0.5) this.#lose(other, node.id);
  }

  restart(node: SimulatedNode): void {
    node.up = true;
    node.life++;
    // The state may have been saved when the log's new start was not.
    const { log, applied } = node;
    if (applied.index > log.lastIndex() || applied.index < log.firstIndex() - 1)
      log.resetTo(applied.index, this.#committed[applied.index - 1]?.term ?? 0);
    node.core = this.#makeCore(node.id, log, applied.index, node.clockOffsetMs);
    this.#scheduleTick(node);
  }

  #makeCore(id: NodeId, log: MemoryLog, appliedIndex: number, clockOffsetMs: number): RaftCore {
    return new RaftCore({
      id,
      voters: this.voters,
      learners: this.learners,
      log,
      hardState: log.hardState,
      appliedIndex,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      maxAppendBytes: 64,
      maxInflightAppends: 4,
      maxUncommittedBytes: 2000,
      leaseReads: this.#options.leaseReads,
      maxClockDrift: 0.1,
      random: this.#random,
      nowMs: this.nowMs + clockOffsetMs,
    });
  }

  #clock(node: SimulatedNode): number {
    return this.nowMs + node.clockOffsetMs;
  }

  #at(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, run };
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  #stepOnce(): void {
    const events = this.#events;
    const next = events[0];
    const last = events.pop();
    if (next === undefined || last === undefined) {
      // Everybody is down.
      this.nowMs += TICK_MS;
      return;
    }
    if (events.length > 0) {
      let at = 0;
      for (;;) {
        let child = at * 2 + 1;
        if (child >= events.length) break;
        if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
        if (!isBefore(events[child]!, last)) break;
        events[at] = events[child]!;
        at = child;
      }
      events[at] = last;
    }
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.run();
  }

  #scheduleTick(node: SimulatedNode): void {
    const { life } = node;
    this.#at(TICK_MS * (0.8 + 0.4 * this.#random()), () => {
      if (node.life !== life) return;
      if (node.pausedUntilMs <= this.nowMs) {
        node.core.tick(this.#clock(node));
        this.pump(node);
      }
      this.#scheduleTick(node);
    });
  }

  /** Carries out a core's effects in the order that they demand. */
  pump(node: SimulatedNode): void {
    while (node.core.hasEffects()) {
      const effects = node.core.takeEffects();
      this.#send(node, effects.messages);
      if (effects.hardState !== undefined) node.log.saveHardState(effects.hardState);
      node.log.append(effects.entries);
      this.#sync(node, effects.entries.at(-1), effects.messagesAfterPersist);
      for (const read of effects.readsReady) this.#readReady(node, read.id, read.index);
      for (const entry of effects.committed) this.#apply(node, entry);
      node.core.applied(node.applied.index);
      for (const peer of effects.snapshotsWanted) this.#sendSnapshot(node, peer);
      if (effects.leadershipChanged) this.#checkLeadership(node);
    }
    this.#checkCommitted(node);
  }

  #sync(node: SimulatedNode, last: LogEntry | undefined, promises: readonly OutgoingMessage[]): void {
    const finish = node.log.beginSync();
    const { life } = node;
    this.#at(this.#random() * this.faults.maxDelayMs * 0.5, () => {
      if (node.life !== life) return;
      finish();
      if (last !== undefined) node.core.persisted(last.index, last.term);
      this.#send(node, promises);
      this.pump(node);
    });
  }

  #send(node: SimulatedNode, messages: readonly OutgoingMessage[]): void {
    for (const { to, message } of messages) {
      this.trace = hash(this.trace, `${node.id}${to}${message.kind}${message.term}`);
      if (this.#cut.has(`${node.id}>${to}`) || this.#random() < this.faults.lossRate) continue;
      this.#deliver(node.id, to, message);
      if (this.#random() < this.faults.repeatRate) this.#deliver(node.id, to, message);
    }
  }

  #deliver(from: NodeId, to: NodeId, message: RaftMessage): void {
    encodeRaftMessage(this.#writer, message);
    const bytes = this.#writer.take();
    this.#at(this.#random() * this.faults.maxDelayMs, () => {
      const receiver = this.nodes.get(to)!;
      const waitMs = receiver.pausedUntilMs - this.nowMs;
      const arrive = (): void => {
        if (!receiver.up) return;
        const reader = new ByteReader(bytes);
        const decoded = decodeRaftMessage(reader);
        reader.end();
        receiver.core.step(from, decoded, this.#clock(receiver));
        this.pump(receiver);
      };
      if (waitMs > 0) this.#at(waitMs, arrive);
      else arrive();
    });
  }

  #sendSnapshot(node: SimulatedNode, peer: NodeId): void {
    const { index, digest } = node.applied;
    const term = node.log.term(index);
    const { life } = node;
    this.snapshots++;
    this.#at(this.#random() * 50, () => {
      const receiver = this.nodes.get(peer)!;
      const lost =
        !receiver.up || this.#cut.has(`${node.id}>${peer}`) || this.#random() < this.faults.lossRate;
      if (!lost) {
        const plan = receiver.core.planRestore(index, term);
        if (plan !== 'ignore') {
          receiver.applied = { index, digest };
          receiver.durableApplied = receiver.applied;
          if (plan === 'reset-log') receiver.log.resetTo(index, term);
        }
        if (receiver.core.status().role !== 'leader') receiver.core.restore(index, term);
        this.pump(receiver);
      }
      if (node.life !== life) return;
      node.core.snapshotFinished(peer, lost ? undefined : index);
      this.pump(node);
    });
  }

  #lose(node: SimulatedNode, peer: NodeId): void {
    this.#at(this.#random() * 5, () => {
      if (!node.up) return;
      node.core.peerConnectionLost(peer, this.#clock(node));
      this.pump(node);
    });
  }

  #pick(): SimulatedNode {
    const all = [...this.nodes.values()];
    return all[Math.floor(this.#random() * all.length)]!;
  }

  #work(): void {
    const node = this.#pick();
    if (!node.up || node.pausedUntilMs > this.nowMs) return;
    const leader = this.#random() < 0.8 ? (this.leader() ?? node) : node;
    if (leader.pausedUntilMs > this.nowMs) return;
    const choice = this.#random();
    if (choice < 0.5) this.propose(leader);
    else if (choice < 0.75) this.requestRead(leader);
    else this.requestRead(node);
  }

  #mischief(): void {
    const { faults } = this;
    const node = this.#pick();
    const other = this.#pick();
    if (this.#random() < faults.crashRate) {
      if (node.up) this.crash(node);
      else this.restart(node);
    } else if (!node.up && this.#random() < 0.3) this.restart(node);
    if (node.up && this.#random() < faults.pauseRate)
      node.pausedUntilMs = this.nowMs + this.#random() * 4 * ELECTION_TIMEOUT_MS;
    if (this.#random() < faults.cutRate) this.#cut.add(`${node.id}>${other.id}`);
    if (this.#random() < 0.3) this.#cut.clear();
    if (node.up && this.#random() < faults.breakRate) this.#lose(node, other.id);
    if (node.up && this.#random() < faults.compactRate) {
      node.durableApplied = node.applied;
      node.log.compact(node.applied.index);
    }
    const leader = this.leader();
    if (leader !== undefined && this.#random() < faults.transferRate) {
      leader.core.transferLeadership(node.id, this.#clock(leader));
      this.pump(leader);
    }
  }

  // The properties

  #checkLeadership(node: SimulatedNode): void {
    const { role, term } = node.core.status();
    if (role !== 'leader') return;
    const known = this.#leaders.get(term);
    if (known === undefined) {
      this.elections++;
      this.#checkLeaderCompleteness(node);
    } else if (known !== node.id)
      throw new Error(`election safety: ${known} and ${node.id} lead term ${term}`);
    this.#leaders.set(term, node.id);
  }

  /** Whatever was committed in an earlier term is in the log of each leader. (One may win an old term late.) */
  #checkLeaderCompleteness(node: SimulatedNode): void {
    for (let index = node.log.firstIndex(); index <= this.#committed.length; index++) {
      const expected = this.#committed[index - 1]!.term;
      if (this.#committedInTerm[index - 1]! >= node.core.status().term) return;
      if (node.log.term(index) !== expected)
        throw new Error(`leader completeness: ${node.id} lacks committed entry ${index} of term ${expected}`);
    }
  }

  /** Every entry that a node believes to be committed is the same everywhere. */
  #checkCommitted(node: SimulatedNode): void {
    const { commitIndex } = node.core.status();
    for (let index = this.#committed.length + 1; index <= commitIndex; index++) {
      const entry = node.log.entries(index, index + 1, 1 << 20)[0];
      // Handed out but not taken yet, or dropped: another node or a later call records it.
      if (entry === undefined) return;
      this.#committed.push(entry);
      this.#committedInTerm.push(node.core.status().term);
      this.#digests.push(hash(this.#digests[index - 1]!, `${entry.term}:${entry.payload.toString()}`));
    }
  }

  #apply(node: SimulatedNode, entry: LogEntry): void {
    if (entry.index !== node.applied.index + 1)
      throw new Error(`${node.id} was given entry ${entry.index} after ${node.applied.index}`);
    const digest = hash(node.applied.digest, `${entry.term}:${entry.payload.toString()}`);
    this.#checkCommitted(node);
    if (digest !== this.#digests[entry.index])
      throw new Error(`state machine safety: ${node.id} applied another entry ${entry.index}`);
    for (const read of node.reads.values())
      if (
        read.term === entry.term &&
        entry.index > read.lastIndexBefore &&
        node.core.status().role === 'leader'
      )
        throw new Error(
          `read order: ${node.id} committed entry ${entry.index} before it released an earlier read`,
        );
    node.applied = { index: entry.index, digest };
    if (this.#random() < 0.05) node.durableApplied = node.applied;
  }

  #readReady(node: SimulatedNode, id: number, index: number): void {
    const read = node.reads.get(id);
    if (read === undefined) throw new Error(`${node.id} answered read ${id} twice or unasked`);
    node.reads.delete(id);
    if (index === -1) {
      this.readsRefused++;
      return;
    }
    this.readsServed++;
    if (index < read.committedBefore)
      throw new Error(`linearizable reads: index ${index}, but ${read.committedBefore} was committed before`);
  }

  /** Logs agree wherever they hold an entry of the same index and term, and before it (log matching). */
  checkLogMatching(): void {
    const nodes = [...this.nodes.values()];
    for (const a of nodes)
      for (const b of nodes) {
        let agreed = false;
        const last = Math.min(a.log.lastIndex(), b.log.lastIndex());
        for (let index = last; index >= Math.max(a.log.firstIndex(), b.log.firstIndex()); index--) {
          const same = a.log.term(index) === b.log.term(index);
          if (agreed && !same)
            throw new Error(`log matching: ${a.id} and ${b.id} differ before a common entry`);
          if (!same) continue;
          agreed = true;
          const [left] = a.log.entries(index, index + 1, 1);
          const [right] = b.log.entries(index, index + 1, 1);
          if (!left!.payload.equals(right!.payload)) throw new Error(`log matching: entry ${index} differs`);
        }
      }
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function hash(start: number, text: string): number {
  let value = start ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
