/**
 * Holds back the answers of writes that this node's memory alone has taken (w = 1) while the other replicas lag behind.
 *
 * A client that is answered at once may go on faster than the others take what it wrote. Without a brake the distance grows until
 * acknowledgements time out, and every write becomes a hint as well, which is written to the journal and sent once more. So when
 * too much is unacknowledged the client waits a little, as a connection's sender does when the receiver's window is full.
 *
 * Invariants:
 * - an answer is held for `MAX_HELD_MS` at the longest: w = 1 waits for nobody, and a replica that hangs must not hold up what does
 *   not need it;
 * - answers are given once, in the order of their writes.
 */
import { LIMITS } from '../../base/limits.js';
import type { QuorumWrite } from './types.js';

const MAX_HELD_MS = 100;

interface Held {
  readonly write: QuorumWrite;
  readonly version: number;
  readonly existed: boolean;
  readonly untilMs: number;
}

export class LagBrake {
  #held: Held[] = [];

  /** Must the answer of a further write be held? */
  isOn(unackedBytes: number): boolean {
    return this.#held.length > 0 || unackedBytes > LIMITS.maxReplicaLagBytes;
  }

  hold(write: QuorumWrite, version: number, existed: boolean, nowMs: number): void {
    this.#held.push({ write, version, existed, untilMs: nowMs + MAX_HELD_MS });
  }

  /** The replicas have acknowledged something. */
  eased(unackedBytes: number): void {
    if (this.#held.length > 0 && unackedBytes <= LIMITS.maxReplicaLagBytes / 2) this.release();
  }

  tick(nowMs: number): void {
    let due = 0;
    while (due < this.#held.length && this.#held[due]!.untilMs <= nowMs) due++;
    if (due > 0) this.#answer(this.#held.splice(0, due));
  }

  /** Answers all that is held. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    this.#answer(held);
  }

  #answer(held: readonly Held[]): void {
    for (const { write, version, existed } of held) write.written({ ok: true, version, existed });
  }
}
