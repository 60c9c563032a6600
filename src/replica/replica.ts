/**
 * A replica: one group's Raft core at work. It carries the core's effects to log, peers and state machine, and keeps
 * the requests that wait for them. What the entries mean is up to the subclass (`DataReplica`, `MapReplica`).
 *
 * Invariants:
 * - entries are applied in order, each once, and only when the group's state is there (`stateMissing` false);
 * - a read whose barrier has passed is answered before any entry proposed after it was registered is applied, so that
 *   a client that pipelines a read and then a write never sees the write in the read;
 * - when leadership or term changes, every request under way is given back (`refuse`); the router repeats it under the
 *   same session and sequence, and the session table makes sure that it happens once.
 */
import { ByteReader } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import type { Env } from '../env/env.js';
import type { GroupLog, WriteAheadLog } from '../log/types.js';
import { decodeRaftMessage, encodeRaftMessage } from '../protocol/raft/codec.js';
import { RaftCore } from '../protocol/raft/core.js';
import type { LogEntry, NodeId, OutgoingMessage, RaftMessage, RaftStatus } from '../protocol/raft/types.js';
import { MESSAGE } from './peers/frame.js';
import type { PeerHub } from './peers/peer-hub.js';
import type { AwaitingSync, Pump, Pumped } from './pump.js';

/** What every replica of a node shares. */
export interface ReplicaHost {
  readonly env: Env;
  readonly self: NodeId;
  readonly log: WriteAheadLog;
  readonly peers: PeerHub;
  readonly pump: Pump;
  readonly timing: RaftTiming;
  /** False while applied writes must wait because too much is not written back yet. */
  mayApply(): boolean;
  /** A replica's role, term or known leader changed. */
  onLeadership(group: number, leader: NodeId | undefined, term: number): void;
  /** An invariant is broken or state cannot be applied: this replica is done for. */
  onFatal(group: number, error: unknown): void;
}

export interface RaftTiming {
  readonly electionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly leaseReads: boolean;
  readonly maxAppendBytes: number;
  readonly maxInflightAppends: number;
  readonly maxUncommittedBytes: number;
}

/** A clock may run this much faster than another one: leases are shortened by it. */
const MAX_CLOCK_DRIFT = 0.1;

/** How a replica starts: what its durable state reflects. */
export interface ReplicaStart {
  readonly group: number;
  /** In order of preference for leading. */
  readonly members: readonly NodeId[];
  readonly appliedIndex: number;
  /** The state was being replaced when the node stopped: it must come whole from the leader before anything is applied. */
  readonly stateMissing: boolean;
}

interface WaitingReads<Read> {
  readonly id: number;
  readonly reads: readonly Read[];
}

export abstract class Replica<Read> implements Pumped {
  readonly group: number;
  readonly members: readonly NodeId[];
  protected readonly host: ReplicaHost;
  protected readonly core: RaftCore;
  protected readonly groupLog: GroupLog;
  protected stateMissing: boolean;
  #appliedIndex: number;
  #committed: LogEntry[] = [];
  #nextCommitted = 0;
  /** Reads whose barrier is under way, by the id given to the core, in order. */
  readonly #waitingReads = new Map<number, WaitingReads<Read>>();
  #readyReads: { readonly index: number; readonly reads: readonly Read[] }[] = [];
  #nextReadId = 1;
  #leading = false;
  #term = 0;
  #leader: NodeId | undefined;
  #failed = false;

  protected constructor(host: ReplicaHost, start: ReplicaStart) {
    this.host = host;
    this.group = start.group;
    this.members = start.members;
    this.stateMissing = start.stateMissing;
    this.#appliedIndex = start.appliedIndex;
    this.groupLog = host.log.group(start.group);
    const { timing } = host;
    this.core = new RaftCore({
      id: host.self,
      voters: start.members,
      learners: [],
      log: this.groupLog,
      hardState: this.groupLog.recovered.hardState,
      appliedIndex: start.appliedIndex,
      electionTimeoutMs: timing.electionTimeoutMs,
      heartbeatIntervalMs: timing.heartbeatIntervalMs,
      leaseReads: timing.leaseReads,
      maxClockDrift: MAX_CLOCK_DRIFT,
      maxAppendBytes: timing.maxAppendBytes,
      maxInflightAppends: timing.maxInflightAppends,
      maxUncommittedBytes: timing.maxUncommittedBytes,
      random: () => host.env.random.float(),
      nowMs: host.env.clock.monotonicMs(),
    });
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get leading(): boolean {
    return this.#leading;
  }

  get leader(): NodeId | undefined {
    return this.#leader;
  }

  get term(): number {
    return this.#term;
  }

  get failed(): boolean {
    return this.#failed;
  }

  status(): RaftStatus {
    return this.core.status();
  }

  tick(nowMs: number): void {
    if (this.#failed) return;
    this.core.tick(nowMs);
    this.housekeeping(nowMs);
    if (this.core.hasEffects()) this.host.pump.markDirty(this);
  }

  receive(from: NodeId, body: Buffer): void {
    if (this.#failed) return;
    this.guard(() => this.step(from, decodeRaftMessage(new ByteReader(body))));
  }

  protected step(from: NodeId, message: RaftMessage): void {
    this.core.step(from, message, this.host.env.clock.monotonicMs());
    this.host.pump.markDirty(this);
  }

  peerDead(node: NodeId): void {
    if (this.#failed || !this.members.includes(node)) return;
    this.core.peerConnectionLost(node, this.host.env.clock.monotonicMs());
    this.host.pump.markDirty(this);
  }

  gather(nowMs: number): void {
    if (this.#failed) return;
    this.guard(() => this.proposeGathered(nowMs));
  }

  collect(awaiting: AwaitingSync[]): void {
    if (this.#failed || !this.core.hasEffects()) return;
    const effects = this.core.takeEffects();
    for (const outgoing of effects.messages) this.#send(outgoing);
    const { entries, hardState, messagesAfterPersist } = effects;
    if (hardState !== undefined) this.host.log.saveHardState(this.group, hardState);
    if (entries.length > 0) this.host.log.append(this.group, entries);
    if (hardState !== undefined || entries.length > 0 || messagesAfterPersist.length > 0) {
      const last = entries[entries.length - 1];
      awaiting.push({
        replica: this,
        lastIndex: last?.index ?? 0,
        lastTerm: last?.term ?? 0,
        messages: messagesAfterPersist,
      });
    }
    if (effects.leadershipChanged) this.#noteLeadership();
    for (const { id, index } of effects.readsReady) this.#readReady(id, index);
    if (effects.committed.length > 0) {
      if (this.#nextCommitted >= this.#committed.length) {
        this.#committed = [...effects.committed];
        this.#nextCommitted = 0;
      } else {
        this.#committed.push(...effects.committed);
      }
    }
    for (const peer of effects.snapshotsWanted) this.sendSnapshot(peer);
  }

  applyCommitted(): void {
    if (this.#failed) return;
    this.guard(() => {
      this.#serveReads();
      while (this.#nextCommitted < this.#committed.length && !this.stateMissing && this.host.mayApply()) {
        const entry = this.#committed[this.#nextCommitted]!;
        this.#nextCommitted++;
        if (entry.index <= this.#appliedIndex) continue;
        invariant(entry.index === this.#appliedIndex + 1, `entry ${entry.index} follows applied ${this.#appliedIndex}`);
        this.applyEntry(entry);
        this.#appliedIndex = entry.index;
        this.#serveReads();
      }
      if (this.#nextCommitted >= this.#committed.length && this.#nextCommitted > 0) {
        this.#committed = [];
        this.#nextCommitted = 0;
      }
      this.core.applied(this.#appliedIndex);
    });
  }

  /** True while committed entries wait to be applied. */
  get applyBacklog(): boolean {
    return this.#nextCommitted < this.#committed.length;
  }

  sendAfterPersist(messages: readonly OutgoingMessage[]): void {
    if (this.#failed) return;
    for (const outgoing of messages) this.#send(outgoing);
  }

  persisted(index: number, term: number): void {
    if (this.#failed) return;
    this.guard(() => this.core.persisted(index, term));
  }

  /** Answers `reads` (through `serveRead`) once nobody else can have committed anything newer; or `refuseRead`s them. */
  protected registerReads(reads: readonly Read[], nowMs: number): void {
    const id = this.#nextReadId++;
    this.#waitingReads.set(id, { id, reads });
    this.core.requestRead(id, nowMs);
  }

  /** The state was replaced by a snapshot that reflects `index`. */
  protected restored(index: number, term: number): void {
    this.#committed = [];
    this.#nextCommitted = 0;
    this.#appliedIndex = index;
    this.stateMissing = false;
    this.core.restore(index, term);
    this.host.pump.markDirty(this);
  }

  /** Proposes what was gathered in this turn and registers its reads. */
  protected abstract proposeGathered(nowMs: number): void;
  protected abstract applyEntry(entry: LogEntry): void;
  protected abstract serveRead(read: Read): void;
  protected abstract refuseRead(read: Read): void;
  /** Gives back every request that waits for an entry. */
  protected abstract refusePending(): void;
  protected abstract sendSnapshot(peer: NodeId): void;
  /** Periodic duties beside the protocol's. */
  protected abstract housekeeping(nowMs: number): void;

  /** A broken invariant or undecodable entry stops this replica, never the data. */
  protected guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#failed = true;
      this.refusePending();
      this.host.onFatal(this.group, error);
    }
  }

  /** A majority-confirmed wish of the operator or of the preference order; see thesis 3.10. */
  protected transferTo(node: NodeId, nowMs: number): void {
    if (this.core.transferLeadership(node, nowMs)) this.host.pump.markDirty(this);
  }

  #send({ to, message }: OutgoingMessage): void {
    const heartbeat = message.kind === 'heartbeat' || message.kind === 'heartbeat-response';
    const writer = this.host.peers.beginMessage(to, heartbeat ? MESSAGE.heartbeat : MESSAGE.raft, this.group);
    if (writer === undefined) return;
    encodeRaftMessage(writer, message);
    this.host.peers.endMessage(to);
  }

  #noteLeadership(): void {
    const { role, term, leader } = this.core.status();
    const leading = role === 'leader';
    if (this.#leading && (!leading || term !== this.#term)) this.refusePending();
    this.#leading = leading;
    this.#term = term;
    this.#leader = leader;
    this.host.onLeadership(this.group, leader, term);
  }

  #readReady(id: number, index: number): void {
    const waiting = this.#waitingReads.get(id);
    if (waiting === undefined) return;
    this.#waitingReads.delete(id);
    if (index >= 0) this.#readyReads.push({ index, reads: waiting.reads });
    else for (const read of waiting.reads) this.refuseRead(read);
  }

  #serveReads(): void {
    if (this.#readyReads.length === 0 || this.stateMissing) return;
    const ready = this.#readyReads;
    let kept = 0;
    for (const batch of ready) {
      if (batch.index <= this.#appliedIndex) for (const read of batch.reads) this.serveRead(read);
      else ready[kept++] = batch;
    }
    ready.length = kept;
  }
}
