/** Nodes as a proxy meets them, and the time that it lives in: both stand still until told. */
import type { Clock, Timer } from '../../src/env/env.js';
import type { ClusterView, ProxyNetwork } from '../../src/proxy/heartbeats.js';
import type { HeartbeatOutcome } from '../../src/proxy/rotation.js';

interface Waiting {
  readonly dueMs: number;
  readonly run: () => void;
}

export class StepClock implements Clock {
  nowMs = 0;
  #waiting: Waiting[] = [];

  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(delayMs: number, run: () => void): Timer {
    const waiting = { dueMs: this.nowMs + delayMs, run };
    this.#waiting.push(waiting);
    return { cancel: () => (this.#waiting = this.#waiting.filter((one) => one !== waiting)) };
  }
  defer(): void {
    throw new Error('the proxy defers nothing');
  }
  get timers(): number {
    return this.#waiting.length;
  }

  /** Lets time pass, timer by timer; what a timer sets off is settled before the next. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    await settled();
    for (;;) {
      const [next] = this.#waiting
        .filter(({ dueMs }) => dueMs <= endMs)
        .sort((left, right) => left.dueMs - right.dueMs);
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((one) => one !== next);
      this.nowMs = next.dueMs;
      next.run();
      await settled();
    }
    this.nowMs = endMs;
  }
}

/** All promises that can be settled are. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export class FakeNodes implements ProxyNetwork {
  /** By HTTP address; `hangs` answers never, which shows after the time-out. Absent: nobody is there. */
  readonly health = new Map<string, HeartbeatOutcome | 'hangs'>();
  /** What each node tells of the cluster. */
  readonly views = new Map<string, ClusterView>();
  readonly looks: string[] = [];
  beats = 0;
  underWay = 0;
  mostUnderWay = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  beat(address: string, timeoutMs: number): Promise<HeartbeatOutcome> {
    this.beats++;
    const outcome = this.health.get(address) ?? 'refused';
    if (outcome !== 'hangs') return Promise.resolve(outcome);
    this.underWay++;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    return new Promise((resolve) => {
      this.#clock.setTimer(timeoutMs, () => {
        this.underWay--;
        resolve('silent');
      });
    });
  }

  look(address: string): Promise<ClusterView | undefined> {
    this.looks.push(address);
    return Promise.resolve(this.health.has(address) ? this.views.get(address) : undefined);
  }
}

/** A cluster's view with coordinators at `<id>:80`. */
export function viewOf(epoch: number, ids: readonly string[], clusterId = 'one'): ClusterView {
  const coordinators = ids.map((id) => ({ id, resp: `${id}:70`, http: `${id}:80`, grpc: `${id}:90` }));
  return { clusterId, epoch, coordinators };
}
