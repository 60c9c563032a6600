/**
 * A simulated network: reliable ordered links, as streams over TCP are, between addresses of nodes.
 *
 * Faults of the network that the contract of `Link` allows: latency of any length, one-way and two-way partitions (what
 * was sent waits; after the keepalive time the link is reset), resets, refused and unreachable dials, slow receivers.
 * Besides, for the sake of protocols that must bear more, the message faults: single frames dropped, repeated or overtaken by
 * later ones, in defiance of the contract, when the swarm turns them on.
 *
 * Invariants: no event reaches a process that is dead; nothing is told after `onClose`; a frame is delivered in an event
 * of its own.
 */
import { QuoinError } from '../src/base/errors.js';
import type { Link, LinkEvents, Listener, Network } from '../src/env/env.js';
import { Connection } from './connection.js';
import type { SeededRandom } from './random.js';
import type { Scheduler, SimulatedProcess } from './scheduler.js';

export interface NetworkFaults {
  readonly minimumLatencyMs: number;
  readonly meanExtraLatencyMs: number;
  /** Probability that a frame takes `slowFrameMs` longer (and those behind it wait, as in a stream). */
  readonly slowFrameRate: number;
  readonly slowFrameMs: number;
  /** Probability, for each frame, that its link is reset. */
  readonly resetRate: number;
  readonly dropRate: number;
  readonly duplicateRate: number;
  readonly reorderRate: number;
}

export const CALM_NETWORK: NetworkFaults = {
  minimumLatencyMs: 0.1,
  meanExtraLatencyMs: 0.3,
  slowFrameRate: 0,
  slowFrameMs: 0,
  resetRate: 0,
  dropRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
};

export interface NetworkCounters {
  frames: number;
  drops: number;
  duplicates: number;
  reorders: number;
  resets: number;
}

interface Binding {
  readonly process: SimulatedProcess;
  readonly accept: (link: Link) => LinkEvents;
  readonly links: Set<Connection>;
}

/** The whole network. */
export class SimulatedFabric {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly counters: NetworkCounters = { frames: 0, drops: 0, duplicates: 0, reorders: 0, resets: 0 };
  faults: NetworkFaults = CALM_NETWORK;
  readonly bindings = new Map<string, Binding>();
  readonly #nodes: number;
  /** `from * nodes + to`: 1 when nothing passes that way. */
  readonly #blocked: Uint8Array;
  readonly connections = new Set<Connection>();

  constructor(scheduler: Scheduler, random: SeededRandom, nodes: number) {
    this.scheduler = scheduler;
    this.random = random;
    this.#nodes = nodes;
    this.#blocked = new Uint8Array(nodes * nodes);
  }

  view(process: SimulatedProcess): Network {
    return new NetworkView(this, process);
  }

  isBlocked(from: number, to: number): boolean {
    return this.#blocked[from * this.#nodes + to] === 1;
  }

  /** Stops all frames from one node to another; what is under way arrives no more until the way is free. */
  block(from: number, to: number): void {
    if (from !== to) this.#blocked[from * this.#nodes + to] = 1;
  }

  /** Frees all ways; what waited is delivered. */
  healAll(): void {
    this.#blocked.fill(0);
    for (const connection of this.connections) connection.resume();
  }

  latencyMs(): number {
    const { minimumLatencyMs, meanExtraLatencyMs, slowFrameRate, slowFrameMs } = this.faults;
    const ms = minimumLatencyMs + this.random.exponential(meanExtraLatencyMs);
    return this.random.chance(slowFrameRate) ? ms + this.random.float() * slowFrameMs : ms;
  }

  /** The process is gone: its sockets are closed by its system, which the other sides hear. */
  processKilled(process: SimulatedProcess): void {
    for (const [address, binding] of this.bindings)
      if (binding.process === process) this.bindings.delete(address);
    for (const connection of [...this.connections]) connection.processKilled(process);
  }
}

class NetworkView implements Network {
  readonly #fabric: SimulatedFabric;
  readonly #process: SimulatedProcess;

  constructor(fabric: SimulatedFabric, process: SimulatedProcess) {
    this.#fabric = fabric;
    this.#process = process;
  }

  listen(address: string, accept: (link: Link) => LinkEvents): Promise<Listener> {
    const { bindings } = this.#fabric;
    if (bindings.has(address))
      return Promise.reject(new QuoinError('ADDRESS_IN_USE', `${address} is in use`));
    const binding: Binding = { process: this.#process, accept, links: new Set() };
    if (this.#process.alive) bindings.set(address, binding);
    return Promise.resolve({
      address,
      close: () => {
        if (bindings.get(address) === binding) bindings.delete(address);
        for (const connection of [...binding.links]) connection.closeByListener();
        return Promise.resolve();
      },
    });
  }

  dial(address: string, events: LinkEvents): Link {
    return new Connection(this.#fabric, this.#process, address, events).dialled;
  }
}
