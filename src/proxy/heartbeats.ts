/**
 * Keeps a `Rotation` true: asks every coordinator how it is, five times a second, and the cluster who its coordinators are
 * ('In-Memory Distributed Key Value Store', Results: the proxy removes a coordinator by the heartbeat's result).
 *
 * Invariants:
 * - heartbeats go out at their time whether earlier ones were answered or not, so that a coordinator that has died or hangs is out
 *   of the rotation after BEAT_MS * 2 + BEAT_TIMEOUT_MS, which is below a second;
 * - under way are at most BEAT_TIMEOUT_MS / BEAT_MS + 1 heartbeats to one coordinator, and one look at the cluster.
 */
import type { Clock, Timer } from '../env/env.js';
import type { Coordinator, HeartbeatOutcome, Rotation } from './rotation.js';

const BEAT_MS = 200;
const BEAT_TIMEOUT_MS = 400;
/** How often the cluster is asked for its coordinators while one of them is healthy; else at each heartbeat. */
const LOOK_MS = 1000;
const LOOK_TIMEOUT_MS = 1000;

/** What a look at a node tells of its cluster. */
export interface ClusterView {
  readonly clusterId: string;
  readonly epoch: number;
  readonly coordinators: readonly Coordinator[];
}

/** The requests of the proxy itself; `address` is the `host:port` of a node's HTTP door. Neither ever rejects. */
export interface ProxyNetwork {
  /** How a coordinator's `/readyz` answers. */
  beat(address: string, timeoutMs: number): Promise<HeartbeatOutcome>;
  /** What a node's `/v1/cluster` tells; undefined when it does not answer or knows no map yet. */
  look(address: string, timeoutMs: number): Promise<ClusterView | undefined>;
}

export interface HeartbeatOptions {
  readonly rotation: Rotation;
  /** Addresses to begin with, and to fall back on. */
  readonly seeds: readonly string[];
  readonly network: ProxyNetwork;
  readonly clock: Clock;
  /** A coordinator entered or left the rotation, or the first were learnt of. */
  readonly onChange: () => void;
}

export class Heartbeats {
  readonly #options: HeartbeatOptions;
  #timer: Timer | undefined;
  #beat = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking = false;
  #known: { readonly clusterId: string; readonly epoch: number } | undefined;
  #stopped = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #tick(): void {
    if (this.#stopped) return;
    const { rotation, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#timer = clock.setTimer(BEAT_MS, () => this.#tick());
    const beat = this.#beat++;
    for (const coordinator of rotation.coordinators) void this.#ask(coordinator, beat);
    const due = !rotation.healthy || nowMs - this.#lookedMs >= LOOK_MS;
    if (due && !this.#looking) {
      this.#lookedMs = nowMs;
      void this.#look();
    }
  }

  async #ask(coordinator: Coordinator, beat: number): Promise<void> {
    const { rotation, network, clock, onChange } = this.#options;
    const outcome = await network.beat(coordinator.http, BEAT_TIMEOUT_MS);
    if (!this.#stopped && rotation.note(coordinator.id, beat, outcome, clock.wallMs())) onChange();
  }

  /** One healthy coordinator knows enough; without one, whoever answers first. */
  async #look(): Promise<void> {
    const { rotation, seeds, network, clock, onChange } = this.#options;
    this.#looking = true;
    const healthy = rotation.entries().filter(({ state }) => state === 'ready' || state === 'waiting');
    const asked = healthy[this.#beat % healthy.length];
    const addresses =
      asked === undefined
        ? new Set([...seeds, ...rotation.coordinators.map(({ http }) => http)])
        : [asked.http];
    const views = await Promise.all([...addresses].map((one) => network.look(one, LOOK_TIMEOUT_MS)));
    this.#looking = false;
    if (this.#stopped) return;
    const newest = views
      .filter((view) => view !== undefined)
      .sort((left, right) => right.epoch - left.epoch)[0];
    if (newest === undefined || !this.#isNews(newest)) return;
    this.#known = { clusterId: newest.clusterId, epoch: newest.epoch };
    rotation.setCoordinators(newest.coordinators, clock.wallMs());
    onChange();
    // At once, not at the next beat: the first coordinators are waited for.
    const beat = this.#beat++;
    for (const coordinator of rotation.coordinators) void this.#ask(coordinator, beat);
  }

  /** A node that is behind must not bring coordinators back that have gone; a cluster that was made anew counts from 1 again. */
  #isNews({ clusterId, epoch }: ClusterView): boolean {
    return this.#known === undefined || this.#known.clusterId !== clusterId || epoch > this.#known.epoch;
  }
}
