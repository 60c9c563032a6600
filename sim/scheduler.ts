/**
 * Virtual time: a binary heap of events, executed one at a time in order of (time, order of scheduling).
 *
 * An event belongs to a process (one life of one node) or to the simulator itself. A process that has been killed
 * executes nothing more; one that is paused (SIGSTOP) or busy (a blocking sync) has its events put off until it goes on.
 *
 * Invariants:
 * - time never goes back, and a callback never runs inside the call that scheduled it;
 * - one executed event is one step; cancelled, orphaned and put-off events are none.
 */
import type { Timer } from '../src/env/env.js';
import type { Trace } from './trace.js';

/** One life of a node: from its start to its kill. */
export class SimulatedProcess {
  readonly node: number;
  alive = true;
  /** Nothing of this process runs before this time. */
  busyUntilMs = 0;

  constructor(node: number) {
    this.node = node;
  }
}

export class ScheduledEvent implements Timer {
  timeMs: number;
  order: number;
  readonly process: SimulatedProcess | undefined;
  callback: (() => void) | undefined;

  constructor(timeMs: number, order: number, process: SimulatedProcess | undefined, callback: () => void) {
    this.timeMs = timeMs;
    this.order = order;
    this.process = process;
    this.callback = callback;
  }

  cancel(): void {
    this.callback = undefined;
  }
}

/** Heap size from which cancelled events are swept out. */
const SWEEP_FROM = 4096;

export class Scheduler {
  readonly trace: Trace;
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  #heap: ScheduledEvent[] = [];
  #sweepAt = SWEEP_FROM;

  constructor(trace: Trace) {
    this.trace = trace;
  }

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events executed. */
  get steps(): number {
    return this.#steps;
  }

  /** Runs `callback` as an event of `process` (undefined: of the simulator) after `delayMs`. */
  schedule(delayMs: number, process: SimulatedProcess | undefined, callback: () => void): ScheduledEvent {
    const event = new ScheduledEvent(
      this.#nowMs + (delayMs > 0 ? delayMs : 0),
      this.#order++,
      process,
      callback,
    );
    if (this.#heap.length >= this.#sweepAt) this.#sweep();
    this.#push(event);
    return event;
  }

  /** Executes the next event; false when none is left. */
  step(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      const callback = event.callback;
      if (callback === undefined) continue;
      const process = event.process;
      if (process !== undefined) {
        if (!process.alive) continue;
        if (process.busyUntilMs > event.timeMs) {
          event.timeMs = process.busyUntilMs;
          this.#push(event);
          continue;
        }
      }
      this.#nowMs = event.timeMs;
      this.#steps++;
      event.callback = undefined;
      this.trace.addFloat(event.timeMs);
      this.trace.add(process === undefined ? -1 : process.node);
      callback();
      return true;
    }
  }

  static #before(a: ScheduledEvent, b: ScheduledEvent): boolean {
    return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent]!;
      if (!Scheduler.#before(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last !== undefined && last !== top) this.#sink(0, last);
    return top;
  }

  #sink(from: number, event: ScheduledEvent): void {
    const heap = this.#heap;
    const length = heap.length;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && Scheduler.#before(heap[child + 1]!, heap[child]!)) child++;
      const below = heap[child]!;
      if (!Scheduler.#before(below, event)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = event;
  }

  /** Drops what will never run: timers are cancelled far more often than they fire. */
  #sweep(): void {
    const kept = this.#heap.filter(
      (event) => event.callback !== undefined && (event.process === undefined || event.process.alive),
    );
    this.#heap = kept;
    for (let at = (kept.length >> 1) - 1; at >= 0; at--) this.#sink(at, kept[at]!);
    this.#sweepAt = Math.max(SWEEP_FROM, kept.length * 2);
  }
}
