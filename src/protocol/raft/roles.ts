/**
 * Roles and the passages between them (Raft figure 4, with thesis 9.6's pre-candidate), all in this one place.
 *
 *   follower      -> follower       a newer term, or a leader made itself known
 *   follower      -> pre-candidate  no leader heard for an election time-out
 *   follower      -> candidate      told to by a leader that hands over; or alone in its group
 *   pre-candidate -> pre-candidate  no answer: asks again
 *   pre-candidate -> candidate      a majority would vote for it
 *   candidate     -> pre-candidate  no majority within a time-out
 *   candidate     -> leader         a majority voted for it
 *   any but leader-> follower       a leader of this term, a newer term, a majority of refusals
 *   leader        -> follower       a newer term, or no majority heard for an election time-out
 */
import { invariant } from '../../base/errors.js';
import { Progress } from './progress.js';
import type { ForwardedReads, LeaderReads } from './reads.js';
import type { RaftState } from './state.js';
import type { Transfer } from './transfer.js';
import type { NodeId, Role } from './types.js';

const PASSAGES: Readonly<Record<Role, readonly Role[]>> = {
  follower: ['follower', 'pre-candidate', 'candidate'],
  'pre-candidate': ['follower', 'pre-candidate', 'candidate'],
  candidate: ['follower', 'pre-candidate', 'leader'],
  leader: ['follower'],
};

const EMPTY = Buffer.alloc(0);

export class Roles {
  readonly #state: RaftState;
  readonly #reads: LeaderReads;
  readonly #forwarded: ForwardedReads;
  readonly #transfer: Transfer;

  constructor(state: RaftState, reads: LeaderReads, forwarded: ForwardedReads, transfer: Transfer) {
    this.#state = state;
    this.#reads = reads;
    this.#forwarded = forwarded;
    this.#transfer = transfer;
  }

  #pass(to: Role): void {
    const state = this.#state;
    invariant(PASSAGES[state.role].includes(to), `there is no passage from ${state.role} to ${to}`);
    state.role = to;
  }

  /** Follows in `term`, which may be newer than ours; `leader` undefined: not known yet. */
  becomeFollower(term: number, leader: NodeId | undefined): void {
    const state = this.#state;
    const before = state.role;
    const leaderBefore = state.leader;
    this.#pass('follower');
    // Reads are refused in the term in which they were asked.
    if (before === 'leader') this.#leaveLeadership();
    if (term > state.term) state.advanceTerm(term);
    if (leader === undefined) state.leader = undefined;
    else state.recognizeLeader(leader);
    if (leaderBefore !== state.leader) this.#forwarded.refuseAll();
    if (before !== 'follower') state.resetElectionDeadline();
  }

  /** Asks whether it would be elected, without a new term. */
  becomePreCandidate(): void {
    this.#pass('pre-candidate');
    this.#state.leader = undefined;
    this.#forwarded.refuseAll();
  }

  /** Opens a new term and votes for itself. */
  becomeCandidate(): void {
    const state = this.#state;
    invariant(state.isVoter, 'only voters campaign');
    this.#pass('candidate');
    state.leader = undefined;
    this.#forwarded.refuseAll();
    state.advanceTerm(state.term + 1);
    state.vote(state.id);
    state.resetElectionDeadline();
  }

  /** Takes the lead and opens its term with a no-op (section 8). */
  becomeLeader(): void {
    const state = this.#state;
    this.#pass('leader');
    state.recognizeLeader(state.id);
    state.progress.clear();
    const next = state.log.lastIndex + 1;
    for (const peer of state.peers)
      state.progress.set(peer, new Progress(peer, state.voters.has(peer), next, state.nowMs));
    this.#reads.reset();
    this.#transfer.clear();
    state.uncommitted.reset();
    state.termStartIndex = next;
    state.log.append({ index: next, term: state.term, payload: EMPTY });
    state.sendPending = true;
  }

  #leaveLeadership(): void {
    this.#reads.reset();
    this.#transfer.clear();
    this.#state.progress.clear();
    this.#state.sendPending = false;
  }
}
