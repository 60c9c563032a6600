/** A clock that stands still until told, and runs deferred callbacks when told. */
import type { Clock, Timer } from '../../src/env/env.js';

export class ManualClock implements Clock {
  nowMs = 1_700_000_000_000;
  #deferred: (() => void)[] = [];

  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(): Timer {
    throw new Error('the log sets no timers');
  }
  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }
  get deferred(): number {
    return this.#deferred.length;
  }
  /** Runs one turn's deferred callbacks. */
  turn(): void {
    const batch = this.#deferred;
    this.#deferred = [];
    for (const callback of batch) callback();
  }
  /** Runs turns until nothing is deferred. */
  run(): void {
    while (this.#deferred.length > 0) this.turn();
  }
  /** A crash: what was deferred never runs. */
  clear(): void {
    this.#deferred = [];
  }
}
