/**
 * The leader's side of log replication (Raft section 5.3, 5.4.2), pipelined (thesis 10.2.1).
 *
 * Invariants:
 * - only an entry of the leader's own term is committed by counting; older ones are committed with it (5.4.2);
 * - the leader counts itself only up to what its own disk has (`persistedIndex`), though followers get entries at once;
 * - a heartbeat carries no commit index beyond what its receiver is known to hold.
 *
 * Departures: appends of one turn are gathered and sent when effects are taken. What was lost is found by time: when an
 * answer is overdue by a heartbeat, an empty append asks how far the follower is, and its refusal says where to go on.
 */
import { invariant } from '../../base/errors.js';
import { NO_ENTRIES } from './outbox.js';
import type { Progress } from './progress.js';
import type { LeaderReads } from './reads.js';
import type { Roles } from './roles.js';
import type { RaftState } from './state.js';
import type { Transfer } from './transfer.js';
import type { LogEntry, NodeId, ProposeOutcome, RaftMessage } from './types.js';

type AppendResponse = Extract<RaftMessage, { kind: 'append-response' }>;
type HeartbeatResponse = Extract<RaftMessage, { kind: 'heartbeat-response' }>;

export class Replication {
  readonly #state: RaftState;
  readonly #roles: Roles;
  readonly #reads: LeaderReads;
  readonly #transfer: Transfer;
  #nextBeatMs = Number.NEGATIVE_INFINITY;
  readonly #matchOf = (id: NodeId): number =>
    id === this.#state.id ? this.#state.persistedIndex : (this.#state.progress.get(id)?.matchIndex ?? 0);
  readonly #isHeard = (id: NodeId): boolean => {
    if (id === this.#state.id) return true;
    const progress = this.#state.progress.get(id);
    return progress !== undefined && this.#state.isActive(progress);
  };

  constructor(state: RaftState, roles: Roles, reads: LeaderReads, transfer: Transfer) {
    this.#state = state;
    this.#roles = roles;
    this.#reads = reads;
    this.#transfer = transfer;
  }

  propose(payload: Buffer): ProposeOutcome {
    const state = this.#state;
    if (state.role !== 'leader') return { accepted: false, reason: 'not-leader' };
    if (this.#transfer.target !== undefined) return { accepted: false, reason: 'transferring' };
    if (!state.uncommitted.admits(payload.length, state.options.maxUncommittedBytes))
      return { accepted: false, reason: 'overloaded' };
    const index = state.log.lastIndex + 1;
    state.log.append({ index, term: state.term, payload });
    state.uncommitted.add(payload.length);
    state.sendPending = true;
    return { accepted: true, index, term: state.term };
  }

  /** Sends what is due to followers. Called before effects are taken. */
  pump(): void {
    const state = this.#state;
    if (!state.sendPending) return;
    state.sendPending = false;
    if (state.role !== 'leader' || !this.#termIsDurable()) return;
    if (this.#reads.wantsRound) this.#sendRound();
    for (const progress of state.progress.values()) this.#sendAppends(progress);
  }

  /**
   * May followers hear of this term? Where others voted, the vote requests waited for the disk. A leader that elected itself
   * has to wait for its first entry: else it could die and lead the same term again with other entries.
   */
  #termIsDurable(): boolean {
    const state = this.#state;
    return !state.selfIsQuorum || state.persistedIndex >= state.termStartIndex;
  }

  #sendAppends(progress: Progress): void {
    const { log, options } = this.#state;
    while (progress.canSend(options.maxInflightAppends)) {
      const next = progress.nextIndex;
      if (next > log.lastIndex && (progress.mode === 'replicate' || progress.matchIndex === next - 1)) return;
      const previousTerm = log.term(next - 1);
      if (previousTerm < 0) {
        this.#wantSnapshot(progress);
        return;
      }
      const entries =
        next <= log.lastIndex ? log.entries(next, log.lastIndex + 1, options.maxAppendBytes) : NO_ENTRIES;
      if (!progress.awaitsAnswer) progress.retryAtMs = this.#state.nowMs + options.heartbeatIntervalMs;
      this.#sendAppend(progress, next - 1, previousTerm, entries);
      progress.sent(next - 1 + entries.length);
    }
  }

  #sendAppend(
    progress: Progress,
    previousIndex: number,
    previousTerm: number,
    entries: readonly LogEntry[],
  ): void {
    const state = this.#state;
    progress.lastSentMs = state.nowMs;
    progress.sentCommitIndex = Math.max(
      progress.sentCommitIndex,
      Math.min(state.commitIndex, previousIndex + entries.length),
    );
    state.outbox.send(progress.id, {
      kind: 'append-request',
      term: state.term,
      previousIndex,
      previousTerm,
      commitIndex: state.commitIndex,
      entries,
    });
  }

  /** Asks how far the follower is: what was sent may have been lost. */
  #askAgain(progress: Progress): void {
    const state = this.#state;
    progress.retryAtMs = state.nowMs + state.options.heartbeatIntervalMs;
    const previousIndex = progress.nextIndex - 1;
    const previousTerm = state.log.term(previousIndex);
    if (previousTerm < 0) this.#wantSnapshot(progress);
    else this.#sendAppend(progress, previousIndex, previousTerm, NO_ENTRIES);
  }

  /** The log no longer holds what the follower needs. One that is not heard from would not take a snapshot either. */
  #wantSnapshot(progress: Progress): void {
    const state = this.#state;
    if (state.nowMs < progress.snapshotRetryAtMs || !state.isActive(progress)) {
      // The next tick asks again.
      progress.becomeProbe(progress.nextIndex);
      return;
    }
    progress.becomeSnapshot();
    state.outbox.wantSnapshot(progress.id);
  }

  #sendHeartbeat(progress: Progress): void {
    const state = this.#state;
    const commitIndex = Math.min(progress.matchIndex, state.commitIndex);
    progress.lastSentMs = state.nowMs;
    progress.lastHeartbeatMs = state.nowMs;
    progress.sentCommitIndex = Math.max(progress.sentCommitIndex, commitIndex);
    state.outbox.send(progress.id, {
      kind: 'heartbeat',
      term: state.term,
      commitIndex,
      readRound: this.#reads.round,
    });
  }

  #sendRound(): void {
    this.#reads.openRound();
    for (const progress of this.#state.progress.values()) if (progress.voter) this.#sendHeartbeat(progress);
  }

  handleAppendResponse(from: NodeId, message: AppendResponse): void {
    const state = this.#state;
    const progress = state.role === 'leader' ? state.progress.get(from) : undefined;
    if (progress === undefined) return;
    progress.lastHeardMs = state.nowMs;
    if (message.success) this.#accepted(progress, message.index);
    else if (progress.isGenuineRejection(message.index)) {
      const next = state.log.findByTerm(message.hintIndex, message.hintTerm) + 1;
      // Never the refused place again.
      progress.becomeProbe(Math.min(next, message.index));
      state.sendPending = true;
    }
  }

  #accepted(progress: Progress, index: number): void {
    const state = this.#state;
    invariant(index <= state.log.lastIndex, 'a follower acknowledges only what its leader has');
    const news = progress.acknowledge(index);
    if (progress.mode === 'snapshot' && progress.matchIndex + 1 >= state.log.firstIndex())
      progress.becomeReplicate();
    state.sendPending = true;
    if (!news) return;
    progress.retryAtMs = state.nowMs + state.options.heartbeatIntervalMs;
    if (progress.voter) this.advanceCommit();
    this.#transfer.proceed();
  }

  handleHeartbeatResponse(from: NodeId, message: HeartbeatResponse): void {
    const state = this.#state;
    const progress = state.role === 'leader' ? state.progress.get(from) : undefined;
    if (progress === undefined) return;
    progress.lastHeardMs = state.nowMs;
    if (message.readRound <= progress.acknowledgedRound) return;
    invariant(message.readRound <= this.#reads.round, 'only a round that was opened is acknowledged');
    progress.acknowledgedRound = message.readRound;
    this.#reads.roundAcknowledged();
  }

  /** May an index that a majority holds be committed? Only in the leader's own term (section 5.4.2, figure 8). */
  mayCommit(index: number): boolean {
    return this.#state.log.term(index) === this.#state.term;
  }

  /** A match index has grown, or the own disk has caught up. */
  advanceCommit(): void {
    const state = this.#state;
    if (state.role !== 'leader') return;
    const index = state.voters.committedIndex(this.#matchOf);
    const before = state.commitIndex;
    if (index <= before || !this.mayCommit(index)) return;
    state.commitTo(index);
    state.uncommitted.committed(index - Math.max(before, state.termStartIndex));
    this.#reads.release();
  }

  /** The own disk has caught up. */
  persisted(): void {
    const state = this.#state;
    if (state.role !== 'leader') return;
    if (state.selfIsQuorum) state.sendPending = true;
    this.advanceCommit();
  }

  /** Has a majority been heard from within an election time-out? (check-quorum, thesis 6.2) */
  hearsQuorum(): boolean {
    return this.#state.voters.hasMajority(this.#isHeard);
  }

  tick(mayStepDown: boolean): void {
    const state = this.#state;
    if (mayStepDown && !this.hearsQuorum()) {
      this.#roles.becomeFollower(state.term, undefined);
      return;
    }
    this.#transfer.tick();
    if (!this.#termIsDurable()) return;
    const beat = state.nowMs >= this.#nextBeatMs;
    if (beat) {
      this.#nextBeatMs = state.nowMs + state.options.heartbeatIntervalMs;
      // Opens a round anew when one was lost, and keeps the lease.
      if (this.#reads.waiting > 0 || state.options.leaseReads) this.#sendRound();
    }
    for (const progress of state.progress.values()) this.#tickPeer(progress, beat);
    state.sendPending = true;
  }

  #tickPeer(progress: Progress, beat: boolean): void {
    const state = this.#state;
    const intervalMs = state.options.heartbeatIntervalMs;
    if (progress.mode === 'replicate' && !state.isActive(progress)) this.#suspect(progress);
    if (progress.awaitsAnswer && state.nowMs >= progress.retryAtMs) this.#askAgain(progress);
    const isQuiet =
      state.nowMs - progress.lastSentMs >= intervalMs || state.nowMs - progress.lastHeardMs >= intervalMs;
    // A silent follower gets heartbeats even while appends go to it: those it answers only after its disk.
    if (beat && isQuiet && progress.lastHeartbeatMs !== state.nowMs) this.#sendHeartbeat(progress);
    else if (Math.min(progress.matchIndex, state.commitIndex) > progress.sentCommitIndex)
      this.#sendHeartbeat(progress);
  }

  /** What is under way to this peer is probably lost: ask before sending more. */
  #suspect(progress: Progress): void {
    // While it is probed the match index says nothing yet: to begin at the first entry would ask for a snapshot.
    progress.becomeProbe(progress.mode === 'replicate' ? progress.matchIndex + 1 : progress.nextIndex);
    progress.probeSent = true;
    progress.retryAtMs = this.#state.nowMs + this.#state.options.heartbeatIntervalMs;
  }

  connectionLost(peer: NodeId): void {
    const progress = this.#state.progress.get(peer);
    if (progress !== undefined && progress.mode !== 'snapshot') this.#suspect(progress);
  }

  /** The peer's snapshot has ended: with the state as of `index`, or in vain. */
  snapshotFinished(peer: NodeId, index: number | undefined): void {
    const state = this.#state;
    const progress = state.role === 'leader' ? state.progress.get(peer) : undefined;
    if (progress === undefined || progress.mode !== 'snapshot') return;
    // Should the probe show that it was in vain, the next one does not follow at once.
    progress.snapshotRetryAtMs = state.nowMs + state.options.electionTimeoutMs;
    progress.becomeProbe(index === undefined ? progress.matchIndex + 1 : index + 1);
    state.sendPending = true;
  }
}
