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
import { ByteReader, ByteWriter } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Env } from '../env/env.js';
import type { GroupLog, WriteAheadLog } from '../log/types.js';
import { decodeRaftMessage, encodeAppendHead, encodeRaftMessage } from '../protocol/raft/codec.js';
import { RaftCore } from '../protocol/raft/core.js';
import type { LogEntry, NodeId, OutgoingMessage, RaftMessage, RaftStatus } from '../protocol/raft/types.js';
import type { Checkpointed } from './checkpointer.js';
import type { GroupNote } from './group-note.js';
import { MESSAGE } from './peers/frame.js';
import type { PeerHub } from './peers/peer-hub.js';
import type { AwaitingSync, Pump, Pumped } from './pump.js';
import { type SnapshotState, SnapshotTransfers } from './snapshot-transfers.js';

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
  /** Calls back once everything applied until now is durable in the engines. */
  requestCheckpoint(onDurable: () => void): void;
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

/** How often a leader that is not the first choice looks whether the first choice could take over. */
const PREFERENCE_INTERVAL_MS = 2000;

const NO_ENTRIES: readonly LogEntry[] = [];

interface WaitingReads<Read> {
  readonly id: number;
  readonly reads: readonly Read[];
}

export abstract class Replica<Read> implements Pumped, Checkpointed {
  readonly group: number;
  readonly members: readonly NodeId[];
  protected readonly host: ReplicaHost;
  protected readonly core: RaftCore;
  protected readonly groupLog: GroupLog;
  #stateMissing: boolean;
  /** A snapshot is whole in the engines and being made durable: nothing is applied or read until it is. */
  #installing = false;
  /** Term of the entry that the snapshot being installed ends with. */
  #installedTerm = 0;
  readonly #snapshots: SnapshotTransfers;
  #durableIndex: number;
  #nextPreferenceMs = 0;
  #appliedIndex: number;
  #committed: readonly LogEntry[] = NO_ENTRIES;
  #nextCommitted = 0;
  /** Entries behind those are committed up to here; they wait in the log alone, so that a long wait costs no memory. */
  #committedUpTo = 0;
  /** Reads whose barrier is under way, by the id given to the core, in order. */
  readonly #waitingReads = new Map<number, WaitingReads<Read>>();
  #readyReads: { readonly index: number; readonly reads: readonly Read[] }[] = [];
  #nextReadId = 1;
  #leading = false;
  #term = 0;
  #leader: NodeId | undefined;
  #failed = false;

  protected constructor(host: ReplicaHost, start: ReplicaStart, state: SnapshotState) {
    this.host = host;
    this.group = start.group;
    this.members = start.members;
    this.#stateMissing = start.stateMissing;
    this.#appliedIndex = start.appliedIndex;
    this.#durableIndex = start.appliedIndex;
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
    this.#snapshots = new SnapshotTransfers({
      group: this.group,
      host,
      state,
      term: () => this.core.status().term,
      termOf: (index) => this.#termOf(index),
      appliedIndex: () => this.#appliedIndex,
      stateMissing: () => this.#stateMissing,
      begun: () => {
        this.#stateMissing = true;
      },
      complete: (index, term, done) => this.#installed(index, term, done),
      finished: (peer, index) => {
        this.core.snapshotFinished(peer, index);
        host.pump.markDirty(this);
      },
    });
  }

  /** Index up to which the state is durable in the engines. */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** The state is being replaced, or was when the node stopped: nothing can be read or applied. */
  get stateMissing(): boolean {
    return this.#stateMissing;
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
    this.guard(() => {
      this.core.tick(nowMs);
      this.#snapshots.tick(nowMs);
      if (this.#stateMissing) this.#seekState(nowMs);
      else if (this.#leading) {
        this.#yieldToPreferred(nowMs);
        this.lead(nowMs);
      }
    });
    if (this.core.hasEffects()) this.host.pump.markDirty(this);
  }

  /** Gives leadership to a member that has everything, because this node is leaving. */
  handOver(nowMs: number): void {
    if (this.#failed || !this.#leading) return;
    const { matchIndexes, activePeers } = this.core.status();
    let heir: NodeId | undefined;
    for (const [peer, index] of matchIndexes) {
      if (peer === this.host.self || !activePeers.has(peer)) continue;
      if (heir === undefined || index > (matchIndexes.get(heir) ?? 0)) heir = peer;
    }
    if (heir !== undefined && this.core.transferLeadership(heir, nowMs)) this.host.pump.markDirty(this);
  }

  receive(from: NodeId, body: Buffer): void {
    if (this.#failed) return;
    // Bytes that cannot be read are the link's fault, not the replica's.
    const message = decodeRaftMessage(new ByteReader(body));
    this.guard(() => this.step(from, message));
  }

  protected step(from: NodeId, message: RaftMessage): void {
    // Without its state a replica could lead but answer nothing, and a leader gets no snapshot.
    if (message.kind === 'timeout-now' && this.#paused) return;
    this.core.step(from, message, this.host.env.clock.monotonicMs());
    this.host.pump.markDirty(this);
  }

  peerDead(node: NodeId): void {
    if (this.#failed || !this.members.includes(node)) return;
    this.guard(() => this.core.peerConnectionLost(node, this.host.env.clock.monotonicMs()));
    this.host.pump.markDirty(this);
  }

  receiveSnapshotChunk(from: NodeId, body: Buffer): void {
    if (!this.#failed) this.guard(() => this.#snapshots.receiveChunk(from, body));
  }

  receiveSnapshotAcknowledgement(from: NodeId, body: Buffer): void {
    if (!this.#failed) this.guard(() => this.#snapshots.receiveAcknowledgement(from, body));
  }

  /** A member says that it needs the whole state. */
  snapshotRequested(from: NodeId, body: Buffer): void {
    if (this.#failed || !this.#leading || !this.members.includes(from)) return;
    this.guard(() => this.#snapshots.requested(from, body, this.#term));
  }

  note(): GroupNote {
    return {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#installing ? this.#installedTerm : this.#termOf(this.#appliedIndex),
      stateMissing: this.#stateMissing,
      head: this.encodeHead(),
    };
  }

  checkpointed(note: GroupNote): number {
    // While a snapshot waits for its checkpoint the log has not been taken on from there.
    if (note.stateMissing || this.#installing) return 0;
    this.#durableIndex = Math.max(this.#durableIndex, note.appliedIndex);
    return Math.min(this.#durableIndex - LIMITS.retainedLogEntries, this.#snapshots.compactableIndex);
  }

  gather(nowMs: number): void {
    if (this.#failed) return;
    this.guard(() => this.proposeGathered(nowMs));
  }

  collect(awaiting: AwaitingSync[]): void {
    if (!this.#failed && this.core.hasEffects()) this.guard(() => this.#carryOut(awaiting));
  }

  /** The caller's duties of `RaftEffects`, up to what must wait for the sync. */
  #carryOut(awaiting: AwaitingSync[]): void {
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
      if (this.applyBacklog) {
        this.#committedUpTo = effects.committed[effects.committed.length - 1]!.index;
      } else {
        this.#committed = effects.committed;
        this.#nextCommitted = 0;
      }
    }
    for (const peer of effects.snapshotsWanted) this.#snapshots.send(peer, this.#term);
    // A long backlog of committed entries comes in portions.
    if (this.core.hasEffects()) this.host.pump.markDirty(this);
  }

  applyCommitted(): void {
    if (this.#failed) return;
    const appliedBefore = this.#appliedIndex;
    this.guard(() => {
      this.#serveReads();
      while (this.#nextCommitted < this.#committed.length && !this.#paused && this.host.mayApply()) {
        const entry = this.#committed[this.#nextCommitted]!;
        this.#nextCommitted++;
        if (entry.index <= this.#appliedIndex) continue;
        invariant(
          entry.index === this.#appliedIndex + 1,
          `entry ${entry.index} follows applied ${this.#appliedIndex}`,
        );
        this.applyEntry(entry);
        this.#appliedIndex = entry.index;
        this.#serveReads();
      }
      if (this.#nextCommitted >= this.#committed.length) this.#nextPortion();
      if (this.#appliedIndex > appliedBefore) this.core.applied(this.#appliedIndex);
    });
  }

  /** True while committed entries wait to be applied. */
  get applyBacklog(): boolean {
    return this.#nextCommitted < this.#committed.length || this.#committedUpTo > this.#appliedIndex;
  }

  /** What was committed while entries waited is read back from the log, a portion each turn. */
  #nextPortion(): void {
    this.#committed = NO_ENTRIES;
    this.#nextCommitted = 0;
    if (this.#committedUpTo <= this.#appliedIndex) return;
    this.#committed = this.groupLog.entries(
      this.#appliedIndex + 1,
      this.#committedUpTo + 1,
      LIMITS.maxCommittedBytesPerTurn,
    );
    this.host.pump.markDirty(this);
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

  /** Proposes what was gathered in this turn and registers its reads. */
  protected abstract proposeGathered(nowMs: number): void;
  protected abstract applyEntry(entry: LogEntry): void;
  protected abstract serveRead(read: Read): void;
  protected abstract refuseRead(read: Read): void;
  /** Gives back every request that waits for an entry. */
  protected abstract refusePending(): void;
  /** Periodic duties of a leader beside the protocol's. */
  protected abstract lead(nowMs: number): void;
  /** The state that is not keys and values, for notes and snapshots. */
  protected abstract encodeHead(): Buffer;

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

  get #paused(): boolean {
    return this.#stateMissing || this.#installing;
  }

  #termOf(index: number): number {
    return Math.max(0, this.groupLog.term(index));
  }

  /** Hands leadership to the first member in order of preference once it has caught up (thesis 3.10). */
  #yieldToPreferred(nowMs: number): void {
    const preferred = this.members[0]!;
    if (nowMs < this.#nextPreferenceMs || preferred === this.host.self) return;
    this.#nextPreferenceMs = nowMs + PREFERENCE_INTERVAL_MS;
    const { activePeers, matchIndexes, commitIndex } = this.core.status();
    if (!activePeers.has(preferred) || !this.host.peers.connected(preferred)) return;
    if (this.#snapshots.isSendingTo(preferred)) return;
    if ((matchIndexes.get(preferred) ?? 0) >= commitIndex) this.core.transferLeadership(preferred, nowMs);
  }

  /** The state must come from a leader; a leader without state hands over to someone who may have it. */
  #seekState(nowMs: number): void {
    if (!this.#leading) {
      if (this.#leader !== undefined) this.#snapshots.seek(this.#leader, nowMs);
      return;
    }
    if (nowMs < this.#nextPreferenceMs) return;
    this.#nextPreferenceMs = nowMs + PREFERENCE_INTERVAL_MS;
    const peers = [...this.core.status().activePeers].filter((peer) => peer !== this.host.self);
    const heir = peers[this.host.env.random.integer(Math.max(1, peers.length))];
    if (heir !== undefined) this.core.transferLeadership(heir, nowMs);
  }

  /** A snapshot is in the engines: makes it durable, then takes the log on from there. */
  #installed(index: number, term: number, done: (ok: boolean) => void): void {
    this.#stateMissing = false;
    this.#installing = true;
    this.#installedTerm = term;
    this.#appliedIndex = index;
    this.host.requestCheckpoint(() => {
      if (this.#failed) return;
      this.guard(() => {
        this.#installing = false;
        const plan = this.core.planRestore(index, term);
        if (plan === 'ignore') {
          // The log here begins behind it, or this node leads by now: the state is still to come.
          this.#stateMissing = true;
          done(false);
          return;
        }
        if (plan === 'reset-log') this.host.log.resetTo(this.group, index, term);
        this.core.restore(index, term);
        this.#durableIndex = index;
        done(true);
        this.host.pump.markDirty(this);
      });
    });
  }

  #send({ to, message }: OutgoingMessage): void {
    if (message.kind === 'append-request') {
      const entry = message.entries[0];
      if (
        entry !== undefined &&
        entry.payload.length > LIMITS.maxFrameBytes &&
        message.entries.length === 1
      ) {
        const head = new ByteWriter(64);
        encodeAppendHead(head, message, entry);
        this.host.peers.sendLarge(to, MESSAGE.raft, this.group, head.take(), entry.payload);
        return;
      }
    }
    const heartbeat = message.kind === 'heartbeat' || message.kind === 'heartbeat-response';
    const writer = this.host.peers.beginMessage(to, heartbeat ? MESSAGE.heartbeat : MESSAGE.raft, this.group);
    if (writer === undefined) return;
    encodeRaftMessage(writer, message);
    this.host.peers.endMessage(to);
  }

  #noteLeadership(): void {
    const { role, term, leader } = this.core.status();
    const leading = role === 'leader';
    if (this.#leading && (!leading || term !== this.#term)) {
      this.#snapshots.abandon();
      this.refusePending();
    }
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
    if (this.#readyReads.length === 0 || this.#paused) return;
    const ready = this.#readyReads;
    let kept = 0;
    for (const batch of ready) {
      if (batch.index <= this.#appliedIndex) for (const read of batch.reads) this.serveRead(read);
      else ready[kept++] = batch;
    }
    ready.length = kept;
  }
}
