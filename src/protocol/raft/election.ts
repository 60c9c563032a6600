/**
 * Elections (Raft section 5.2 and 5.4.1), with pre-vote (thesis 9.6) and leader stickiness (thesis 4.2.3).
 *
 * Invariants:
 * - a vote leaves only when term and vote are durable; the request for votes too, so that every vote that a candidate
 *   counts comes after its own was durable;
 * - while a leader was heard within the shortest election time-out no vote and no pre-vote is given, unless the leader
 *   itself asked for the campaign (`force`).
 *
 * Departures from the papers, all of them about pre-votes, which bind nobody:
 * - of two pre-candidates with equal logs the one with the greater id goes first; the other stands back, so that they do not
 *   split the votes that follow;
 * - whoever gives a pre-vote holds its own campaign back for a moment;
 * - a pre-candidate asks again after a heartbeat or two instead of a whole election time-out: others may have
 *   noticed the leader's death a little later than it did.
 */
import type { Roles } from './roles.js';
import type { RaftState } from './state.js';
import type { NodeId, RaftMessage } from './types.js';

type VoteRequest = Extract<RaftMessage, { kind: 'vote-request' | 'pre-vote-request' }>;
type VoteResponse = Extract<RaftMessage, { kind: 'vote-response' | 'pre-vote-response' }>;

export class Election {
  readonly #state: RaftState;
  readonly #roles: Roles;
  readonly #votes = new Map<NodeId, boolean>();
  readonly #granted = (id: NodeId): boolean => this.#votes.get(id) === true;
  readonly #refused = (id: NodeId): boolean => this.#votes.get(id) === false;

  constructor(state: RaftState, roles: Roles) {
    this.#state = state;
    this.#roles = roles;
  }

  /** The election deadline has passed. */
  tick(): void {
    const state = this.#state;
    if (!state.isVoter) return;
    if (state.selfIsQuorum) this.campaign(false);
    else if (state.nowMs >= state.electionDeadlineMs) this.preCampaign();
  }

  preCampaign(): void {
    const state = this.#state;
    this.#roles.becomePreCandidate();
    const { heartbeatIntervalMs, electionTimeoutMs, random } = state.options;
    state.electionDeadlineMs =
      state.nowMs + Math.min(heartbeatIntervalMs * (1 + random()), electionTimeoutMs);
    this.#votes.clear();
    this.#votes.set(state.id, true);
    for (const voter of state.voters.members) {
      if (voter === state.id) continue;
      state.outbox.send(voter, {
        kind: 'pre-vote-request',
        term: state.term + 1,
        lastIndex: state.log.lastIndex,
        lastTerm: state.log.lastTerm,
        force: false,
      });
    }
  }

  campaign(force: boolean): void {
    const state = this.#state;
    this.#roles.becomeCandidate();
    this.#votes.clear();
    this.#votes.set(state.id, true);
    if (state.selfIsQuorum) {
      this.#roles.becomeLeader();
      return;
    }
    for (const voter of state.voters.members) {
      if (voter === state.id) continue;
      state.outbox.sendAfterPersist(voter, {
        kind: 'vote-request',
        term: state.term,
        lastIndex: state.log.lastIndex,
        lastTerm: state.log.lastTerm,
        force,
      });
    }
  }

  /** A leader that hands over has told this node to campaign at once. */
  handleTimeoutNow(from: NodeId): void {
    const state = this.#state;
    if (state.role === 'follower' && state.isVoter && state.leader === from) this.campaign(true);
  }

  /** Is this request to be left alone, because a leader is there? Asked before the term is looked at. */
  isSticky(force: boolean): boolean {
    return !force && (this.#state.role === 'leader' || this.#state.heardLeaderLately());
  }

  /** May this node vote for `from` in the present term? (figure 2, RequestVote) */
  mayVote(from: NodeId, message: VoteRequest): boolean {
    const state = this.#state;
    const free = state.votedFor === from || (state.votedFor === '' && state.leader === undefined);
    return free && state.isUpToDate(message.lastIndex, message.lastTerm);
  }

  /** A vote request of the present term. */
  handleVoteRequest(from: NodeId, message: VoteRequest): void {
    const state = this.#state;
    const granted = !this.isSticky(message.force) && this.mayVote(from, message);
    if (granted) {
      state.vote(from);
      state.resetElectionDeadline();
      state.outbox.sendAfterPersist(from, { kind: 'vote-response', term: state.term, granted: true });
    } else state.outbox.send(from, { kind: 'vote-response', term: state.term, granted: false });
  }

  /** A question of any term whether this node would vote. */
  handlePreVoteRequest(from: NodeId, message: VoteRequest): void {
    const state = this.#state;
    const granted =
      message.term > state.term &&
      !this.isSticky(message.force) &&
      state.isUpToDate(message.lastIndex, message.lastTerm) &&
      !this.#goesFirst(from, message);
    if (!granted) {
      state.outbox.send(from, { kind: 'pre-vote-response', term: state.term, granted: false });
      return;
    }
    if (state.role === 'pre-candidate') this.#roles.becomeFollower(state.term, undefined);
    state.electionDeadlineMs = Math.max(state.electionDeadlineMs, state.nowMs + state.hasteMs());
    state.outbox.send(from, { kind: 'pre-vote-response', term: message.term, granted: true });
  }

  /** Two ask at once for the same term with equal logs: does this node go first? */
  #goesFirst(from: NodeId, message: VoteRequest): boolean {
    const state = this.#state;
    if (state.role !== 'pre-candidate' || message.term !== state.term + 1 || state.id < from) return false;
    return message.lastTerm === state.log.lastTerm && message.lastIndex === state.log.lastIndex;
  }

  handleVoteResponse(from: NodeId, message: VoteResponse): void {
    if (!this.#answersQuestion(message)) return;
    const state = this.#state;
    if (!this.#votes.has(from)) this.#votes.set(from, message.granted);
    if (state.voters.hasMajority(this.#granted)) {
      if (state.role === 'pre-candidate') this.campaign(false);
      else this.#roles.becomeLeader();
    } else if (state.voters.hasMajority(this.#refused)) this.#lost();
  }

  /** Is this an answer to what is being asked now, rather than a late one? */
  #answersQuestion(message: VoteResponse): boolean {
    const state = this.#state;
    if (message.kind === 'vote-response') return state.role === 'candidate' && message.term === state.term;
    // A pre-vote is granted for the term to come and refused in the voter's own, which may be behind.
    return state.role === 'pre-candidate' && (!message.granted || message.term === state.term + 1);
  }

  /** A majority refused: stand back, and ask again before long should no leader appear. */
  #lost(): void {
    const state = this.#state;
    const retryAtMs = state.electionDeadlineMs;
    const asked = state.role;
    this.#roles.becomeFollower(state.term, undefined);
    if (asked === 'pre-candidate') state.electionDeadlineMs = retryAtMs;
  }
}
