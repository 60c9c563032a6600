/**
 * The state that the parts of the core share (Raft figure 2), and the few changes of it that carry invariants.
 *
 * Invariants, asserted here because every part goes through here:
 * - the term and the commit index never go back; a vote is given once per term;
 * - no committed entry is ever cut off or replaced;
 * - one leader per term, as far as this node sees;
 * - applied <= handed out <= commit <= last index, and handed out <= durable here: a state on disk is never ahead of the
 *   log it stands on.
 */
import { invariant } from '../../base/errors.js';
import { LogView } from './log-view.js';
import type { RaftOptions } from './options.js';
import { Outbox } from './outbox.js';
import type { Progress } from './progress.js';
import { VoterSet } from './quorum.js';
import type { LogEntry, NodeId, Role } from './types.js';
import { UncommittedBytes } from './uncommitted.js';

/** After the leader's connection broke, followers campaign within this span; apart, so that one is first. */
const HASTE_MIN_MS = 5;
const HASTE_SPAN_MS = 35;

export class RaftState {
  readonly options: RaftOptions;
  readonly id: NodeId;
  readonly voters: VoterSet;
  readonly isVoter: boolean;
  /** This node alone is a majority. */
  readonly selfIsQuorum: boolean;
  readonly peers: readonly NodeId[];
  readonly log: LogView;
  readonly outbox = new Outbox();

  role: Role = 'follower';
  leader: NodeId | undefined = undefined;
  nowMs: number;
  /** When a voter that has no leader by then campaigns. */
  electionDeadlineMs = 0;
  /** When a leader of the present or an earlier term was last heard: the base of leader stickiness. */
  lastLeaderContactMs: number;
  /** Highest index at which this log is known to agree with the present term's leader. */
  verifiedIndex: number;
  /** Own log is durable up to here. */
  persistedIndex: number;
  handedIndex: number;
  appliedIndex: number;

  // Leader only
  readonly progress = new Map<NodeId, Progress>();
  readonly uncommitted = new UncommittedBytes();
  /** Index of the entry that opened this leader's term. */
  termStartIndex = 0;
  /** Something may have to be sent to followers before effects are taken. */
  sendPending = false;

  #term: number;
  #votedFor: NodeId;
  #hardStateDirty = false;
  #commitIndex: number;
  #termLeader: NodeId | undefined = undefined;

  constructor(options: RaftOptions) {
    this.options = options;
    this.id = options.id;
    this.voters = new VoterSet(options.voters);
    this.isVoter = this.voters.has(options.id);
    this.selfIsQuorum = this.voters.hasMajority((id) => id === options.id);
    this.peers = [...new Set([...options.voters, ...options.learners])].filter((id) => id !== options.id);
    this.log = new LogView(options.log);
    this.nowMs = options.nowMs;
    this.#term = options.hardState.term;
    this.#votedFor = options.hardState.votedFor;
    this.#commitIndex = options.appliedIndex;
    this.appliedIndex = options.appliedIndex;
    this.handedIndex = options.appliedIndex;
    this.verifiedIndex = options.appliedIndex;
    this.persistedIndex = this.log.lastIndex;
    invariant(
      options.appliedIndex >= this.log.firstIndex() - 1 && options.appliedIndex <= this.log.lastIndex,
      'the recovered state lies within the recovered log',
    );
    // A log that was started behind a snapshot may be ahead of the term on disk. No vote was given in that term: it
    // would have been durable before it left.
    if (this.log.lastTerm > this.#term) this.advanceTerm(this.log.lastTerm);
    // A lease counts on promises that a restart forgets: keep quiet for as long as one could have been made.
    this.lastLeaderContactMs = options.leaseReads ? options.nowMs : Number.NEGATIVE_INFINITY;
    this.resetElectionDeadline();
  }

  get term(): number {
    return this.#term;
  }

  get votedFor(): NodeId {
    return this.#votedFor;
  }

  get commitIndex(): number {
    return this.#commitIndex;
  }

  /** How far entries may be handed out to be applied. */
  get applicableIndex(): number {
    return Math.min(this.#commitIndex, this.persistedIndex);
  }

  get hardStateDirty(): boolean {
    return this.#hardStateDirty;
  }

  takeHardState(): { term: number; votedFor: NodeId } | undefined {
    if (!this.#hardStateDirty) return undefined;
    this.#hardStateDirty = false;
    return { term: this.#term, votedFor: this.#votedFor };
  }

  advanceTerm(term: number): void {
    invariant(term > this.#term, 'the term never goes back');
    this.#term = term;
    this.#votedFor = '';
    this.#hardStateDirty = true;
    this.#termLeader = undefined;
    this.verifiedIndex = this.#commitIndex;
  }

  vote(candidate: NodeId): void {
    if (this.#votedFor === candidate) return;
    invariant(this.#votedFor === '', 'a vote is given once per term');
    this.#votedFor = candidate;
    this.#hardStateDirty = true;
  }

  /** Notes who leads the present term. */
  recognizeLeader(leader: NodeId): void {
    invariant(this.#termLeader === undefined || this.#termLeader === leader, 'there is one leader per term');
    this.#termLeader = leader;
    this.leader = leader;
  }

  commitTo(index: number): void {
    invariant(index >= this.#commitIndex, 'the commit index never goes back');
    invariant(index <= this.log.lastIndex, 'what is committed is in the log');
    this.#commitIndex = index;
  }

  /** Appends entries[start...] as a follower, cutting off what they contradict. */
  replaceLog(entries: readonly LogEntry[], start: number): void {
    const first = entries[start]!.index;
    invariant(first > this.#commitIndex, 'no committed entry is replaced');
    if (first <= this.persistedIndex) this.persistedIndex = first - 1;
    if (first <= this.verifiedIndex) this.verifiedIndex = first - 1;
    this.log.replaceFrom(entries, start);
  }

  /** Does this node's log end at or before the one that ends with (lastIndex, lastTerm)? (section 5.4.1) */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const ownTerm = this.log.lastTerm;
    return lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= this.log.lastIndex);
  }

  resetElectionDeadline(): void {
    const timeoutMs = this.options.electionTimeoutMs;
    this.electionDeadlineMs = this.nowMs + timeoutMs + this.options.random() * timeoutMs;
  }

  /** A short wait, different on every node, so that followers who lose a leader at once do not collide. */
  hasteMs(): number {
    return Math.min(HASTE_MIN_MS + this.options.random() * HASTE_SPAN_MS, this.options.electionTimeoutMs / 2);
  }

  /** Was a leader heard within the shortest election time-out? */
  heardLeaderLately(): boolean {
    return this.nowMs - this.lastLeaderContactMs < this.options.electionTimeoutMs;
  }

  isActive(progress: Progress): boolean {
    return this.nowMs - progress.lastHeardMs < this.options.electionTimeoutMs;
  }
}
