/**
 * Leadership transfer (thesis 3.10): the leader brings the chosen voter up to date, refuses proposals meanwhile, and
 * tells it to campaign at once. It gives up after an election time-out and goes on leading.
 *
 * Invariant: once `timeout-now` may be on its way, the lease of this term is gone, whatever becomes of the transfer.
 */
import type { LeaderReads } from './reads.js';
import type { RaftState } from './state.js';
import type { NodeId } from './types.js';

export class Transfer {
  readonly #state: RaftState;
  readonly #reads: LeaderReads;
  #target: NodeId | undefined = undefined;
  #deadlineMs = 0;
  #resendAtMs = Number.NEGATIVE_INFINITY;

  constructor(state: RaftState, reads: LeaderReads) {
    this.#state = state;
    this.#reads = reads;
  }

  get target(): NodeId | undefined {
    return this.#target;
  }

  /** False when it cannot be: not the leader, not another voter, unreachable, or a transfer is under way. */
  start(to: NodeId): boolean {
    const state = this.#state;
    if (state.role !== 'leader' || to === state.id || !state.voters.has(to)) return false;
    if (this.#target !== undefined) return this.#target === to;
    const progress = state.progress.get(to);
    if (progress === undefined || progress.mode === 'snapshot' || !state.isActive(progress)) return false;
    this.#target = to;
    this.#deadlineMs = state.nowMs + state.options.electionTimeoutMs;
    this.#resendAtMs = Number.NEGATIVE_INFINITY;
    this.proceed();
    return true;
  }

  /** Sends `timeout-now` once the target has all of the log; again when that seems lost. */
  proceed(): void {
    const state = this.#state;
    if (this.#target === undefined || state.nowMs < this.#resendAtMs) return;
    if (state.progress.get(this.#target)?.matchIndex !== state.log.lastIndex) return;
    this.#reads.forfeitLease();
    this.#resendAtMs = state.nowMs + state.options.heartbeatIntervalMs;
    state.outbox.send(this.#target, { kind: 'timeout-now', term: state.term });
  }

  tick(): void {
    if (this.#target === undefined) return;
    if (this.#state.nowMs >= this.#deadlineMs) this.clear();
    else this.proceed();
  }

  clear(): void {
    this.#target = undefined;
  }
}
