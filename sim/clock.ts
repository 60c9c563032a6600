/**
 * A node's clocks. Monotonic time drifts against virtual time by a fixed ratio; wall time is skewed besides, and jumps when
 * the simulator says so. While a process is busy with a blocking call its clocks show the time at which the call ends.
 *
 * The clock outlives the process, as a machine's does.
 */
import type { Clock, Timer } from '../src/env/env.js';
import type { SeededRandom } from './random.js';
import type { Scheduler, SimulatedProcess } from './scheduler.js';

/** Wall time at which every simulation begins: an arbitrary day after the one from which versions are counted. */
const EPOCH_WALL_MS = 1_750_000_000_000;

/** How one machine's clocks differ from virtual time. */
export class MachineClock {
  /** Added to the wall clock; changed by jumps. */
  skewMs: number;
  /** Added besides while the clock is wrong. */
  aheadMs = 0;
  wasWrong = false;
  /** Ratio of this machine's monotonic time to virtual time. */
  readonly rate: number;
  readonly originMs: number;

  constructor(skewMs: number, rate: number, originMs: number) {
    this.skewMs = skewMs;
    this.rate = rate;
    this.originMs = originMs;
  }

  /** Wall time at this virtual time. */
  wallMs(virtualMs: number): number {
    return Math.floor(EPOCH_WALL_MS + virtualMs * this.rate + this.skewMs + this.aheadMs);
  }
}

/** Longest gathering of one turn of the event loop; the true length is drawn for each turn. */
const TURN_MAX_MS = 0.08;

/** A real timer is late by some part of a millisecond, never early. */
const TIMER_LATENESS_MAX_MS = 0.3;

/** One process's view of its machine's clocks, and its event loop. */
export class SimulatedClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #machine: MachineClock;
  readonly #process: SimulatedProcess;
  readonly #random: SeededRandom;
  #deferred: (() => void)[] = [];
  readonly #runDeferred: () => void;

  constructor(scheduler: Scheduler, machine: MachineClock, process: SimulatedProcess, random: SeededRandom) {
    this.#scheduler = scheduler;
    this.#machine = machine;
    this.#process = process;
    this.#random = random;
    this.#runDeferred = () => {
      const callbacks = this.#deferred;
      this.#deferred = [];
      for (const callback of callbacks) if (process.alive) callback();
    };
  }

  #virtualMs(): number {
    return Math.max(this.#scheduler.nowMs, this.#process.busyUntilMs);
  }

  wallMs(): number {
    return this.#machine.wallMs(this.#virtualMs());
  }

  monotonicMs(): number {
    return this.#machine.originMs + this.#virtualMs() * this.#machine.rate;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const busyMs = this.#virtualMs() - this.#scheduler.nowMs;
    return this.#scheduler.schedule(
      busyMs + Math.max(0, delayMs) / this.#machine.rate + this.#random.float() * TIMER_LATENESS_MAX_MS,
      this.#process,
      callback,
    );
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
    if (this.#deferred.length === 1)
      this.#scheduler.schedule(this.#random.float() * TURN_MAX_MS, this.#process, this.#runDeferred);
  }
}
