/**
 * An outside world that moves only when a test says so: time stands still, deferred callbacks and timers wait, links open,
 * carry and close as told. For tests of single parts; whole replicas are tested on the simulator's machines.
 */

import { SimulatedDisk } from '../../../sim/disk.js';
import { SeededRandom } from '../../../sim/random.js';
import { Scheduler, SimulatedProcess } from '../../../sim/scheduler.js';
import { Trace } from '../../../sim/trace.js';
import type {
  Clock,
  Disk,
  Env,
  Link,
  LinkCloseReason,
  LinkEvents,
  Listener,
  Network,
  Timer,
} from '../../../src/env/env.js';

interface ManualTimer extends Timer {
  readonly dueMs: number;
  callback: (() => void) | undefined;
}

export class ManualClock implements Clock {
  nowMs = 1_700_000_000_000;
  #deferred: (() => void)[] = [];
  #timers: ManualTimer[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: ManualTimer = {
      dueMs: this.nowMs + delayMs,
      callback,
      cancel: () => {
        timer.callback = undefined;
      },
    };
    this.#timers.push(timer);
    return timer;
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  get deferred(): number {
    return this.#deferred.length;
  }

  /** Delays of the timers that wait, shortest first. */
  get waitingMs(): number[] {
    return this.#timers
      .filter(({ callback }) => callback !== undefined)
      .map(({ dueMs }) => dueMs - this.nowMs)
      .sort((left, right) => left - right);
  }

  /** Runs one turn's deferred callbacks. */
  turn(): void {
    const callbacks = this.#deferred;
    this.#deferred = [];
    for (const callback of callbacks) callback();
  }

  /** Runs turns until nothing is deferred. */
  run(): void {
    while (this.#deferred.length > 0) this.turn();
  }

  /** Lets time pass; timers fire at their time, in order. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.#timers = this.#timers.filter(({ callback }) => callback !== undefined);
      let next: ManualTimer | undefined;
      for (const timer of this.#timers)
        if (timer.dueMs <= untilMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      const { callback } = next;
      next.callback = undefined;
      callback?.();
    }
    this.nowMs = untilMs;
  }
}

/** One end of a link, in a test's hand. */
export class ManualLink implements Link {
  readonly remoteAddress: string;
  readonly events: LinkEvents;
  /** What the owner has sent. */
  readonly sent: Buffer[] = [];
  /** True: the owner has closed it. */
  closed = false;
  /** Frames that `send` takes before it asks the sender to wait. */
  room = Number.POSITIVE_INFINITY;

  constructor(remoteAddress: string, events: LinkEvents) {
    this.remoteAddress = remoteAddress;
    this.events = events;
  }

  send(frame: Uint8Array): boolean {
    this.sent.push(Buffer.from(frame));
    this.room--;
    return this.room > 0;
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.events.onOpen?.();
  }

  deliver(frame: Uint8Array): void {
    this.events.onFrame(Buffer.from(frame));
  }

  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    this.events.onDrain();
  }

  end(reason: LinkCloseReason): void {
    this.events.onClose(reason);
  }
}

export class ManualNetwork implements Network {
  readonly dials: ManualLink[] = [];
  listening = false;
  #accept: ((link: Link) => LinkEvents) | undefined;

  listen(address: string, accept: (link: Link) => LinkEvents): Promise<Listener> {
    this.#accept = accept;
    this.listening = true;
    return Promise.resolve({
      address,
      close: () => {
        this.listening = false;
        return Promise.resolve();
      },
    });
  }

  dial(address: string, events: LinkEvents): Link {
    const link = new ManualLink(address, events);
    this.dials.push(link);
    return link;
  }

  /** The latest dial to an address. */
  dialled(address: string): ManualLink {
    const link = this.dials.filter(({ remoteAddress }) => remoteAddress === address).at(-1);
    if (link === undefined) throw new Error(`nobody has dialled ${address}`);
    return link;
  }

  dialsTo(address: string): number {
    return this.dials.filter(({ remoteAddress }) => remoteAddress === address).length;
  }

  /** Someone dials the node under test. */
  connect(): ManualLink {
    const accept = this.#accept;
    if (accept === undefined) throw new Error('nobody listens');
    const events: LinkEvents = {
      onFrame: (frame) => inner.onFrame(frame),
      onDrain: () => inner.onDrain(),
      onClose: (reason) => inner.onClose(reason),
    };
    const link = new ManualLink('stranger', events);
    const inner = accept(link);
    return link;
  }
}

/** A simulated disk for single parts: it works at once, and nothing of it fails. */
export function quietDisk(seed = 'quiet'): Disk {
  const disk = new SimulatedDisk(new Scheduler(new Trace()), new SeededRandom(seed), {
    syncFailureRate: 0,
    syncMeanMs: 0,
    slowSyncRate: 0,
  });
  return disk.view(new SimulatedProcess(0));
}

export interface ManualEnv extends Env {
  readonly clock: ManualClock;
  readonly network: ManualNetwork;
}

export function manualEnv(seed = 'manual', disk: Disk = quietDisk(seed)): ManualEnv {
  return {
    clock: new ManualClock(),
    random: new SeededRandom(seed),
    disk,
    network: new ManualNetwork(),
  };
}
