/**
 * The machine's clock.
 *
 * Invariants: callbacks run in the order of registration, never inside the registering call; a timer never fires
 * early and never keeps the process alive. Departure from plain timers: `setTimeout` takes at most 2^31 - 1 ms (and
 * fires at once beyond), so longer delays are waited for in pieces.
 */
import { performance } from 'node:perf_hooks';
import type { Clock, Timer } from '../env.js';

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

class RealTimer implements Timer {
  readonly #callback: () => void;
  readonly #dueMs: number;
  #handle: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#callback = callback;
    this.#dueMs = performance.now() + delayMs;
    this.#handle = this.#wait(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  #wait(remainingMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#fire(), Math.min(Math.max(0, remainingMs), LONGEST_TIMEOUT_MS)).unref();
  }

  #fire(): void {
    // Node's timers count whole milliseconds and may fire a fraction early.
    const remainingMs = this.#dueMs - performance.now();
    if (remainingMs > 0) this.#handle = this.#wait(Math.ceil(remainingMs));
    else this.#callback();
  }
}

export class RealClock implements Clock {
  #deferred: (() => void)[] = [];
  readonly #runDeferred = (): void => this.#run();

  wallMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return new RealTimer(delayMs, callback);
  }

  /**
   * One `setImmediate` for all callbacks of a turn: it runs after the turn's input, and after the HTTP/2 sessions have
   * handed their frames to the sockets, so that what a deferred callback blocks on does not hold back what was sent.
   */
  defer(callback: () => void): void {
    if (this.#deferred.push(callback) === 1) setImmediate(this.#runDeferred);
  }

  #run(): void {
    const batch = this.#deferred;
    this.#deferred = [];
    let next = 0;
    try {
      while (next < batch.length) batch[next++]!();
    } finally {
      // A callback that throws must not take the others with it.
      if (next < batch.length) {
        if (this.#deferred.length === 0) setImmediate(this.#runDeferred);
        this.#deferred.unshift(...batch.slice(next));
      }
    }
  }
}
