/**
 * The Raft core of one replica group on one node: no I/O, no clock, no timers. See `types.ts` for what the caller owes.
 *
 * Source: Ongaro and Ousterhout 2014, figure 2; Ongaro's thesis 2014 for what goes beyond. This file takes calls in,
 * applies the rule about terms that holds for every message (section 5.1), and gives effects out. The parts:
 * `election` (votes), `roles` (who is what), `replication` (leader), `follower`, `reads`, `transfer`, `quorum`.
 *
 * Departure: after the event loop itself has stood still for half an election time-out, time-outs wait for one heartbeat
 * interval more. What others sent meanwhile lies unread, and its absence proves nothing.
 */
import { invariant } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import { Election } from './election.js';
import { Follower } from './follower.js';
import type { RaftOptions } from './options.js';
import { NO_ENTRIES } from './outbox.js';
import { ForwardedReads, LeaderReads } from './reads.js';
import { Replication } from './replication.js';
import { Roles } from './roles.js';
import { RaftState } from './state.js';
import { Transfer } from './transfer.js';
import type {
  LogEntry,
  NodeId,
  ProposeOutcome,
  RaftEffects,
  RaftMessage,
  RaftStatus,
  Role,
} from './types.js';

/**
 * What to do with the log when a snapshot as of some index is complete:
 * - `ignore`: the state here is as new; drop the snapshot;
 * - `keep-log`: the log holds that entry: take the state, leave the log alone (what follows in it may have been
 *   acknowledged, and must not be lost);
 * - `reset-log`: take the state and start the log anew behind it.
 * In the last two cases call `restore` afterwards.
 */
export type RestorePlan = 'ignore' | 'keep-log' | 'reset-log';

export class RaftCore {
  readonly #state: RaftState;
  readonly #reads: LeaderReads;
  readonly #forwarded: ForwardedReads;
  readonly #transfer: Transfer;
  readonly #roles: Roles;
  readonly #election: Election;
  readonly #replication: Replication;
  readonly #follower: Follower;
  readonly #members: ReadonlySet<NodeId>;
  #lastTickMs: number;
  #stalled = false;
  #graceUntilMs = Number.NEGATIVE_INFINITY;
  // As of the last effects
  #toldRole: Role = 'follower';
  #toldTerm: number;
  #toldLeader: NodeId | undefined = undefined;

  constructor(options: RaftOptions) {
    this.#state = new RaftState(options);
    this.#reads = new LeaderReads(this.#state);
    this.#forwarded = new ForwardedReads(this.#state);
    this.#transfer = new Transfer(this.#state, this.#reads);
    this.#roles = new Roles(this.#state, this.#reads, this.#forwarded, this.#transfer);
    this.#election = new Election(this.#state, this.#roles);
    this.#replication = new Replication(this.#state, this.#roles, this.#reads, this.#transfer);
    this.#follower = new Follower(this.#state, this.#roles);
    this.#members = new Set(this.#state.peers);
    this.#lastTickMs = options.nowMs;
    this.#toldTerm = this.#state.term;
  }

  /** Takes one message. Late, repeated and reordered ones are harmless; strangers are not listened to. */
  step(from: NodeId, message: RaftMessage, nowMs: number): void {
    if (!this.#members.has(from)) return;
    this.#advanceTime(nowMs);
    if (message.term > this.#state.term) {
      if (!this.#admitNewerTerm(from, message)) return;
    } else if (message.term < this.#state.term && !this.#admitOlderTerm(from, message)) return;
    switch (message.kind) {
      case 'append-request':
        this.#follower.handleAppend(from, message);
        break;
      case 'append-response':
        this.#replication.handleAppendResponse(from, message);
        break;
      case 'heartbeat':
        this.#follower.handleHeartbeat(from, message);
        break;
      case 'heartbeat-response':
        this.#replication.handleHeartbeatResponse(from, message);
        break;
      case 'read-index-request':
        this.#readRequested(from, message.id);
        break;
      case 'read-index-response':
        this.#forwarded.answered(message.id, message.index);
        break;
      case 'pre-vote-request':
        this.#election.handlePreVoteRequest(from, message);
        break;
      case 'vote-request':
        this.#election.handleVoteRequest(from, message);
        break;
      case 'pre-vote-response':
      case 'vote-response':
        this.#election.handleVoteResponse(from, message);
        break;
      case 'timeout-now':
        this.#election.handleTimeoutNow(from);
        break;
    }
  }

  /** Section 5.1: whoever sees a newer term follows in it. False when the message goes no further. */
  #admitNewerTerm(from: NodeId, message: RaftMessage): boolean {
    switch (message.kind) {
      case 'pre-vote-request':
        return true;
      case 'pre-vote-response':
        // Granted for a term that has not begun; refused by a voter that is ahead.
        if (!message.granted) this.#roles.becomeFollower(message.term, undefined);
        return true;
      case 'vote-request':
        if (this.#election.isSticky(message.force)) return false;
        this.#roles.becomeFollower(message.term, undefined);
        return true;
      case 'append-request':
      case 'heartbeat':
        this.#roles.becomeFollower(message.term, from);
        return true;
      default:
        this.#roles.becomeFollower(message.term, undefined);
        return true;
    }
  }

  /** A message of an older term: tells a stale leader or candidate so. False when it goes no further. */
  #admitOlderTerm(from: NodeId, message: RaftMessage): boolean {
    const { outbox, term } = this.#state;
    switch (message.kind) {
      case 'append-request':
        outbox.send(from, {
          kind: 'append-response',
          term,
          success: false,
          index: message.previousIndex,
          hintIndex: 0,
          hintTerm: 0,
        });
        return false;
      case 'heartbeat':
        outbox.send(from, { kind: 'heartbeat-response', term, readRound: 0 });
        return false;
      case 'vote-request':
        outbox.send(from, { kind: 'vote-response', term, granted: false });
        return false;
      // A refusal of a pre-vote comes in the voter's own term. A read's answer was true when it was given, after the
      // question. A read's question is answered in the present term.
      case 'pre-vote-request':
      case 'pre-vote-response':
      case 'read-index-request':
      case 'read-index-response':
        return true;
      default:
        return false;
    }
  }

  #readRequested(from: NodeId, id: number): void {
    if (this.#state.role === 'leader') this.#reads.register(id, from);
    else
      this.#state.outbox.send(from, { kind: 'read-index-response', term: this.#state.term, id, index: -1 });
  }

  /** Lets time pass. Call it every 10 to 25 ms; what happens depends on the time alone. */
  tick(nowMs: number): void {
    this.#advanceTime(nowMs);
    const state = this.#state;
    const { electionTimeoutMs, heartbeatIntervalMs } = state.options;
    const stalled = state.nowMs - this.#lastTickMs > electionTimeoutMs / 2;
    // Once: a loop that is always this slow must act all the same.
    if (stalled && !this.#stalled) this.#graceUntilMs = state.nowMs + heartbeatIntervalMs;
    this.#stalled = stalled;
    this.#lastTickMs = state.nowMs;
    const mayTimeOut = state.nowMs >= this.#graceUntilMs;
    if (state.role === 'leader') this.#replication.tick(mayTimeOut);
    else {
      this.#forwarded.expire();
      if (mayTimeOut) this.#election.tick();
    }
  }

  /** Appends to the replicated log, when this node leads. The payload is kept, not copied. */
  propose(payload: Buffer, nowMs: number): ProposeOutcome {
    this.#advanceTime(nowMs);
    return this.#replication.propose(payload);
  }

  /**
   * Asks for a point at which reads are linearizable; the outcome is in `readsReady`. Works on every member. `id` is the
   * caller's; use it once. One call for each turn's batch of reads.
   */
  requestRead(id: number, nowMs: number): void {
    this.#advanceTime(nowMs);
    if (this.#state.role === 'leader') this.#reads.register(id, undefined);
    else this.#forwarded.forward(id);
  }

  /** Hands leadership to another voter. False when that cannot be tried; else watch `status`. */
  transferLeadership(to: NodeId, nowMs: number): boolean {
    this.#advanceTime(nowMs);
    return this.#transfer.start(to);
  }

  /** The connection to a peer broke: a dead process closes its connections, so a dead leader is missed early. */
  peerConnectionLost(peer: NodeId, nowMs: number): void {
    this.#advanceTime(nowMs);
    const state = this.#state;
    if (state.role === 'leader') {
      this.#replication.connectionLost(peer);
      return;
    }
    if (state.leader !== peer) return;
    state.leader = undefined;
    this.#forwarded.refuseAll();
    let campaignAtMs = state.nowMs + state.hasteMs();
    // With leases the promise not to vote holds whatever becomes of the connection: the leader may live.
    if (state.options.leaseReads)
      campaignAtMs = Math.max(campaignAtMs, state.lastLeaderContactMs + state.options.electionTimeoutMs);
    else state.lastLeaderContactMs = Number.NEGATIVE_INFINITY;
    state.electionDeadlineMs = Math.min(state.electionDeadlineMs, campaignAtMs);
  }

  /** The log is durable up to `index`, whose entry has `term`. Reports from before a truncation change nothing. */
  persisted(index: number, term: number): void {
    const state = this.#state;
    if (index <= state.persistedIndex || state.log.term(index) !== term) return;
    state.persistedIndex = index;
    this.#replication.persisted();
  }

  /** The state machine reflects all entries up to `index`. */
  applied(index: number): void {
    const state = this.#state;
    invariant(index >= state.appliedIndex, 'what is applied never goes back');
    invariant(index <= state.handedIndex, 'only what was handed out as committed is applied');
    state.appliedIndex = index;
  }

  /** Leader: a peer now holds the state as of `index`; undefined: its snapshot failed and may be wanted again. */
  snapshotFinished(peer: NodeId, index: number | undefined): void {
    this.#replication.snapshotFinished(peer, index);
  }

  /** Asked before the log is touched for a snapshot that is complete: what to do with the log. */
  planRestore(index: number, term: number): RestorePlan {
    const state = this.#state;
    if (index <= state.appliedIndex || state.role === 'leader') return 'ignore';
    return state.log.term(index) === term ? 'keep-log' : 'reset-log';
  }

  /**
   * The state was replaced by a snapshot as of `index`, and the log dealt with as `planRestore` said. Tells the leader.
   * Of a snapshot that is not newer than the state only the leader is told.
   */
  restore(index: number, term: number): void {
    const state = this.#state;
    invariant(state.role !== 'leader', 'a leader restores no snapshot');
    if (index > state.appliedIndex) {
      if (state.log.firstIndex() === index + 1 || state.log.term(index) !== term) {
        invariant(index >= state.commitIndex, 'no committed entry is cut off');
        state.log.reload();
        state.persistedIndex = index;
        state.verifiedIndex = index;
      }
      invariant(
        state.log.term(index) === term && state.log.firstIndex() <= index + 1,
        'the log continues the restored state',
      );
      state.appliedIndex = index;
      if (index > state.handedIndex) state.handedIndex = index;
      if (index > state.verifiedIndex) state.verifiedIndex = index;
      if (index > state.commitIndex) state.commitTo(index);
    }
    this.#follower.acknowledge();
  }

  /** True when `takeEffects` may have something to give. */
  hasEffects(): boolean {
    const state = this.#state;
    return (
      state.sendPending ||
      state.hardStateDirty ||
      state.log.hasTail ||
      state.handedIndex < state.applicableIndex ||
      !state.outbox.isEmpty ||
      this.#leadershipChanged()
    );
  }

  /** Hands out what is to be done now. Carry it out in the order that `RaftEffects` demands. */
  takeEffects(): RaftEffects {
    this.#replication.pump();
    const state = this.#state;
    const committed = state.handedIndex < state.applicableIndex ? this.#takeCommitted() : NO_ENTRIES;
    const entries = state.log.hasTail ? state.log.takeTail() : NO_ENTRIES;
    const leadershipChanged = this.#leadershipChanged();
    if (leadershipChanged) {
      this.#toldRole = state.role;
      this.#toldTerm = state.term;
      this.#toldLeader = state.leader;
    }
    return state.outbox.take(state.takeHardState(), entries, committed, leadershipChanged);
  }

  /** A long backlog comes in portions; `hasEffects` says that there is more. */
  #takeCommitted(): readonly LogEntry[] {
    const state = this.#state;
    const committed = state.log.entries(
      state.handedIndex + 1,
      state.applicableIndex + 1,
      LIMITS.maxCommittedBytesPerTurn,
    );
    state.handedIndex += committed.length;
    return committed;
  }

  #leadershipChanged(): boolean {
    const state = this.#state;
    return (
      state.role !== this.#toldRole || state.term !== this.#toldTerm || state.leader !== this.#toldLeader
    );
  }

  status(): RaftStatus {
    const state = this.#state;
    const matchIndexes = new Map<NodeId, number>();
    const activePeers = new Set<NodeId>();
    for (const progress of state.progress.values()) {
      matchIndexes.set(progress.id, progress.matchIndex);
      if (state.isActive(progress)) activePeers.add(progress.id);
    }
    return {
      role: state.role,
      term: state.term,
      leader: state.leader,
      commitIndex: state.commitIndex,
      appliedIndex: state.appliedIndex,
      lastIndex: state.log.lastIndex,
      matchIndexes,
      activePeers,
    };
  }

  #advanceTime(nowMs: number): void {
    if (nowMs > this.#state.nowMs) this.#state.nowMs = nowMs;
  }
}
