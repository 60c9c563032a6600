/**
 * What a leader knows of one other member (Raft section 5.3: nextIndex and matchIndex; thesis 10.2.1 for pipelining).
 *
 * - probe: where the logs agree is not known; one append at a time.
 * - replicate: they agree; appends are sent optimistically, up to a window of unanswered ones.
 * - snapshot: the member needs what the log no longer holds; nothing is appended until its snapshot has ended.
 *
 * Invariants: matchIndex < nextIndex; matchIndex never goes back within a term; only `acknowledge` moves it.
 */
import { NumberQueue } from './number-queue.js';
import type { NodeId } from './types.js';

export type ProgressMode = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  readonly id: NodeId;
  readonly voter: boolean;
  mode: ProgressMode = 'probe';
  /** Highest index known to be durable there and equal to ours. */
  matchIndex = 0;
  /** Next index to send. */
  nextIndex: number;
  /** Probe mode: an append is under way. */
  probeSent = false;
  /** When to send an empty append to find out whether what was sent has been lost. */
  retryAtMs = 0;
  lastHeardMs: number;
  lastSentMs: number;
  lastHeartbeatMs = Number.NEGATIVE_INFINITY;
  /** Highest commit index that the member has been told and could use. */
  sentCommitIndex = 0;
  /** Highest read round it has acknowledged. */
  acknowledgedRound = 0;
  /** Not before then is a snapshot asked for again after one has failed. */
  snapshotRetryAtMs = Number.NEGATIVE_INFINITY;
  /** Last index of each append under way. */
  readonly #inflight = new NumberQueue();

  constructor(id: NodeId, voter: boolean, nextIndex: number, nowMs: number) {
    this.id = id;
    this.voter = voter;
    this.nextIndex = nextIndex;
    this.lastHeardMs = nowMs;
    this.lastSentMs = nowMs;
  }

  get inflightAppends(): number {
    return this.#inflight.size;
  }

  /** Something was sent whose answer is still out. */
  get awaitsAnswer(): boolean {
    return this.mode === 'probe' ? this.probeSent : this.#inflight.size > 0;
  }

  /** May another append with entries be sent now? */
  canSend(maxInflightAppends: number): boolean {
    if (this.mode === 'replicate') return this.#inflight.size < maxInflightAppends;
    return this.mode === 'probe' && !this.probeSent;
  }

  /** Entries up to `lastIndex` are on their way. */
  sent(lastIndex: number): void {
    if (this.mode === 'replicate') {
      this.#inflight.push(lastIndex);
      this.nextIndex = lastIndex + 1;
    } else this.probeSent = true;
  }

  /** The member holds our log up to `index`. False when that is no news. */
  acknowledge(index: number): boolean {
    const news = index > this.matchIndex;
    if (news) this.matchIndex = index;
    if (this.nextIndex <= this.matchIndex) this.nextIndex = this.matchIndex + 1;
    for (
      let first = this.#inflight.peek();
      first !== undefined && first <= index;
      first = this.#inflight.peek()
    )
      this.#inflight.shift();
    // Even an old acknowledgement proves that what follows matchIndex will be accepted.
    if (this.mode === 'probe' && index >= this.matchIndex) this.becomeReplicate();
    return news;
  }

  /** Does a refusal of `previousIndex` say something new, or is it an answer to what has been corrected since? */
  isGenuineRejection(previousIndex: number): boolean {
    if (this.mode === 'replicate') return previousIndex > this.matchIndex && previousIndex < this.nextIndex;
    return this.mode === 'probe' && previousIndex === this.nextIndex - 1;
  }

  becomeProbe(nextIndex: number): void {
    this.mode = 'probe';
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
    this.probeSent = false;
    this.#inflight.clear();
  }

  becomeReplicate(): void {
    this.mode = 'replicate';
    this.nextIndex = this.matchIndex + 1;
    this.probeSent = false;
    this.#inflight.clear();
  }

  becomeSnapshot(): void {
    this.mode = 'snapshot';
    this.probeSent = false;
    this.#inflight.clear();
  }
}
