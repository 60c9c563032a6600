/** Waiting for a condition that is looked at every tick, with a deadline. */
import type { Clock } from '../env/env.js';

interface Waiter {
  readonly condition: () => boolean;
  readonly deadlineMs: number;
  readonly resolve: (held: boolean) => void;
}

export class Conditions {
  readonly #clock: Clock;
  #waiters: Waiter[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True once the condition holds; false when the time is up or the node stops first. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
    return new Promise((resolve) => {
      this.#waiters.push({ condition, deadlineMs, resolve });
    });
  }

  look(): void {
    if (this.#waiters.length === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#waiters = this.#waiters.filter(({ condition, deadlineMs, resolve }) => {
      const held = condition();
      if (!held && nowMs < deadlineMs) return true;
      resolve(held);
      return false;
    });
  }

  /** Nothing will change any more. */
  stop(): void {
    for (const { condition, resolve } of this.#waiters) resolve(condition());
    this.#waiters = [];
  }
}
