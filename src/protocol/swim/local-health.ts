/**
 * How well this node itself is. Source: Lifeguard, "self-awareness" and "local health multiplier".
 *
 * Two rules keep a slow node from accusing others:
 * - time counts only while the process runs. Between two calls at most `maxTickGapMs` pass: when the event loop stood still
 *   longer, the answers of others lie unread, and their absence proves nothing;
 * - a node that has signs of its own illness (its loop was late, its probes failed and those whom it asked for help were
 *   silent too, others suspect it) probes more slowly and waits longer for answers, up to nine times.
 */

/** Beyond it a node that is ill for long would take too long to notice that it is well again. */
const MAX_SCORE = 8;

export class LocalHealth {
  #score = 0;

  /** 0: well. */
  get score(): number {
    return this.#score;
  }

  /** What all time-outs of probes are multiplied by. */
  get factor(): number {
    return this.#score + 1;
  }

  worse(by: number): void {
    this.#score = Math.min(MAX_SCORE, this.#score + by);
  }

  better(): void {
    this.#score = Math.max(0, this.#score - 1);
  }
}

/** Time that this process was awake to see. */
export class AwakeClock {
  readonly #maxGapMs: number;
  #nowMs: number;
  #awakeMs = 0;
  #begun = false;

  constructor(nowMs: number, maxGapMs: number) {
    this.#nowMs = nowMs;
    this.#maxGapMs = maxGapMs;
  }

  /** Time as the caller counts it. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get awakeMs(): number {
    return this.#awakeMs;
  }

  /** True when the process was away for a while. */
  advance(nowMs: number): boolean {
    const gapMs = nowMs - this.#nowMs;
    // Between being made and the first call a node recovers what it has on disk.
    const isFirst = !this.#begun;
    this.#begun = true;
    if (gapMs <= 0) return false;
    this.#nowMs = nowMs;
    if (isFirst) return false;
    this.#awakeMs += Math.min(gapMs, this.#maxGapMs);
    return gapMs > this.#maxGapMs;
  }
}
