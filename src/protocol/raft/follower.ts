/**
 * The follower's side of log replication (Raft section 5.3; figure 2, AppendEntries).
 *
 * Invariants:
 * - an append is accepted only where the entry before it matches, and acknowledged only once it is durable;
 * - the commit index follows the leader's no further than the log is verified to agree with that leader's;
 * - what is committed is never cut: a leader that contradicts it breaks leader completeness, and this replica stops.
 */
import { invariant } from '../../base/errors.js';
import type { Roles } from './roles.js';
import type { RaftState } from './state.js';
import type { NodeId, RaftMessage } from './types.js';

type AppendRequest = Extract<RaftMessage, { kind: 'append-request' }>;
type Heartbeat = Extract<RaftMessage, { kind: 'heartbeat' }>;

export class Follower {
  readonly #state: RaftState;
  readonly #roles: Roles;

  constructor(state: RaftState, roles: Roles) {
    this.#state = state;
    this.#roles = roles;
  }

  /** A message that only the present term's leader sends. */
  #heardFromLeader(from: NodeId): void {
    const state = this.#state;
    invariant(state.role !== 'leader', 'there is one leader per term');
    if (state.role !== 'follower' || state.leader !== from) this.#roles.becomeFollower(state.term, from);
    state.lastLeaderContactMs = state.nowMs;
    state.resetElectionDeadline();
  }

  handleHeartbeat(from: NodeId, message: Heartbeat): void {
    const state = this.#state;
    this.#heardFromLeader(from);
    this.#commitUpTo(message.commitIndex);
    state.outbox.send(from, {
      kind: 'heartbeat-response',
      term: state.term,
      readRound: message.readRound,
    });
  }

  handleAppend(from: NodeId, message: AppendRequest): void {
    const state = this.#state;
    this.#heardFromLeader(from);
    const { previousIndex, entries } = message;
    if (previousIndex > state.commitIndex && state.log.term(previousIndex) !== message.previousTerm) {
      this.#reject(from, message);
      return;
    }
    // Everything up to the commit index agrees with every later leader, whether or not it can still be read.
    const end = previousIndex + entries.length;
    const fresh = this.#firstFresh(message);
    if (fresh < entries.length) state.replaceLog(entries, fresh);
    const matched = Math.max(end, state.commitIndex);
    if (matched > state.verifiedIndex) state.verifiedIndex = matched;
    this.#commitUpTo(message.commitIndex);
    state.outbox.sendAfterPersist(from, {
      kind: 'append-response',
      term: state.term,
      success: true,
      index: matched,
      hintIndex: 0,
      hintTerm: 0,
    });
  }

  /** Position of the first entry that this log lacks or contradicts. */
  #firstFresh(message: AppendRequest): number {
    const { log, commitIndex } = this.#state;
    const { entries, previousIndex } = message;
    let at = 0;
    for (; at < entries.length; at++) {
      const index = previousIndex + 1 + at;
      if (index > log.lastIndex) break;
      const term = log.term(index);
      if (term === entries[at]!.term) continue;
      if (index > commitIndex) break;
      // -1: dropped from the log, so applied long ago.
      invariant(term === -1, 'a leader holds every committed entry');
    }
    return at;
  }

  #reject(from: NodeId, message: AppendRequest): void {
    const { log, outbox, term } = this.#state;
    const hintIndex = log.findByTerm(message.previousIndex, message.previousTerm);
    outbox.send(from, {
      kind: 'append-response',
      term,
      success: false,
      index: message.previousIndex,
      hintIndex,
      hintTerm: Math.max(0, log.term(hintIndex)),
    });
  }

  #commitUpTo(index: number): void {
    const state = this.#state;
    const verified = Math.min(index, state.verifiedIndex);
    if (verified > state.commitIndex) state.commitTo(verified);
  }

  /** Tells the leader how far this node is, after a snapshot. */
  acknowledge(): void {
    const state = this.#state;
    if (state.leader === undefined || state.leader === state.id) return;
    state.outbox.sendAfterPersist(state.leader, {
      kind: 'append-response',
      term: state.term,
      success: true,
      index: state.commitIndex,
      hintIndex: 0,
      hintTerm: 0,
    });
  }
}
