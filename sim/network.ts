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
import type { Link, LinkCloseReason, LinkEvents, Listener, Network } from '../src/env/env.js';
import type { SeededRandom } from './random.js';
import type { ScheduledEvent, Scheduler, SimulatedProcess } from './scheduler.js';

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

/** Queued bytes of one link above which `send` answers false. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** A peer that cannot be reached for so long is given up (HTTP/2 keepalive). */
const KEEPALIVE_MS = 5_000;
/** A dial that gets no answer fails after so long. */
const DIAL_TIMEOUT_MS = 2_000;

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

/** One end of a connection: what its process holds, and the frames on their way to it. */
class Endpoint implements Link {
  readonly remoteAddress: string;
  readonly connection: Connection;
  process: SimulatedProcess;
  events: LinkEvents | undefined;
  peer!: Endpoint;
  open = false;
  closed = false;
  /** Frames on their way to this end, in order, and when each is due. */
  readonly #incoming: Uint8Array[] = [];
  readonly #dueMs: number[] = [];
  #head = 0;
  #timer: ScheduledEvent | undefined;
  #queuedBytes = 0;
  #lastDueMs = 0;
  #senderWaits = false;
  /** Why the link ends once the frames under way have arrived. */
  #ending: LinkCloseReason | undefined;
  readonly #deliver: () => void;

  constructor(
    connection: Connection,
    process: SimulatedProcess,
    remoteAddress: string,
    events: LinkEvents | undefined,
  ) {
    this.connection = connection;
    this.process = process;
    this.remoteAddress = remoteAddress;
    this.events = events;
    this.#deliver = () => this.#deliverNext();
  }

  send(frame: Uint8Array): boolean {
    if (this.closed || !this.process.alive) return true;
    return this.peer.#accept(frame);
  }

  close(): void {
    if (this.closed) return;
    this.connection.closeFrom(this, 'closed');
  }

  /** Takes a frame from the other end; false when too much is on its way. */
  #accept(frame: Uint8Array): boolean {
    const { fabric } = this.connection;
    const { random, faults, counters } = fabric;
    counters.frames++;
    if (random.chance(faults.resetRate)) {
      counters.resets++;
      this.connection.resetLater();
      return true;
    }
    if (random.chance(faults.dropRate)) {
      counters.drops++;
      return true;
    }
    const copies = random.chance(faults.duplicateRate) ? 2 : 1;
    if (copies === 2) counters.duplicates++;
    for (let copy = 0; copy < copies; copy++) {
      const dueMs = fabric.scheduler.nowMs + fabric.latencyMs();
      if (copy === 1 || random.chance(faults.reorderRate)) {
        counters.reorders++;
        this.#deliverAside(frame, dueMs + random.float() * 20);
        continue;
      }
      this.#lastDueMs = Math.max(this.#lastDueMs, dueMs);
      this.#incoming.push(frame);
      this.#dueMs.push(this.#lastDueMs);
      this.#queuedBytes += frame.length;
      this.arm();
    }
    if (this.#queuedBytes <= HIGH_WATER_BYTES) return true;
    this.#senderWaits = true;
    return false;
  }

  /** Schedules the next delivery, unless one is due already or the way is blocked. */
  arm(): void {
    if (this.#timer !== undefined || !this.open || this.closed) return;
    const dueMs = this.#dueMs[this.#head];
    if (dueMs === undefined) return;
    const { fabric } = this.connection;
    if (fabric.isBlocked(this.peer.process.node, this.process.node)) return;
    this.#timer = fabric.scheduler.schedule(dueMs - fabric.scheduler.nowMs, this.process, this.#deliver);
  }

  #deliverNext(): void {
    this.#timer = undefined;
    if (this.closed) return;
    const { fabric } = this.connection;
    if (fabric.isBlocked(this.peer.process.node, this.process.node)) {
      if (this.#ending !== undefined) this.end('reset', KEEPALIVE_MS);
      return;
    }
    const frame = this.#incoming[this.#head]!;
    this.#head++;
    const ending = this.#head === this.#incoming.length ? this.#ending : undefined;
    if (this.#head > 64 && this.#head * 2 > this.#incoming.length) {
      this.#incoming.splice(0, this.#head);
      this.#dueMs.splice(0, this.#head);
      this.#head = 0;
    }
    this.#queuedBytes -= frame.length;
    if (this.#senderWaits && this.#queuedBytes < HIGH_WATER_BYTES / 2) {
      this.#senderWaits = false;
      const sender = this.peer;
      fabric.scheduler.schedule(fabric.latencyMs(), sender.process, () => {
        if (!sender.closed) sender.events?.onDrain();
      });
    }
    if (ending === undefined) this.arm();
    this.#receive(frame);
    if (ending !== undefined) this.end(ending, 0);
  }

  #deliverAside(frame: Uint8Array, dueMs: number): void {
    const { scheduler } = this.connection.fabric;
    scheduler.schedule(dueMs - scheduler.nowMs, this.process, () => {
      if (!this.closed && !this.connection.fabric.isBlocked(this.peer.process.node, this.process.node))
        this.#receive(frame);
    });
  }

  #receive(frame: Uint8Array): void {
    this.connection.fabric.scheduler.trace.addBytes(frame);
    // The receiver owns its bytes, and a sender that changed its own afterwards must not be noticed here.
    this.events?.onFrame(Buffer.from(frame));
  }

  /** Its own side has closed it: nothing more is told to it. */
  dispose(): void {
    this.closed = true;
    this.#timer?.cancel();
  }

  /** What was sent before the other side closed, or died, still arrives; then the link ends. */
  endAfterFrames(reason: LinkCloseReason): void {
    const { fabric } = this.connection;
    if (fabric.isBlocked(this.peer.process.node, this.process.node)) this.end(reason, KEEPALIVE_MS);
    else if (this.#head === this.#incoming.length) this.end(reason, fabric.latencyMs());
    else this.#ending = reason;
  }

  /** Tells the owner, in an event of its own, that the link has ended. */
  end(reason: LinkCloseReason, delayMs: number): void {
    if (this.closed) return;
    this.dispose();
    this.connection.fabric.scheduler.schedule(delayMs, this.process, () => this.events?.onClose(reason));
  }
}

/** A connection from its dial to its end. */
export class Connection {
  readonly fabric: SimulatedFabric;
  readonly dialled: Endpoint;
  /** The far end; its process is known once it has accepted. */
  readonly accepted: Endpoint;
  readonly #address: string;
  #keepalive: ScheduledEvent | undefined;

  constructor(fabric: SimulatedFabric, process: SimulatedProcess, address: string, events: LinkEvents) {
    this.fabric = fabric;
    this.#address = address;
    this.dialled = new Endpoint(this, process, address, events);
    this.accepted = new Endpoint(this, process, `dialler-${process.node}`, undefined);
    this.dialled.peer = this.accepted;
    this.accepted.peer = this.dialled;
    if (!process.alive) {
      this.dialled.closed = true;
      return;
    }
    fabric.connections.add(this);
    fabric.scheduler.schedule(fabric.latencyMs(), undefined, () => this.#arrive());
  }

  /** The dial reaches the far side, or does not. */
  #arrive(): void {
    if (this.dialled.closed) return;
    const { fabric } = this;
    const { scheduler } = fabric;
    const node = nodeOfAddress(this.#address);
    const dialler = this.dialled.process;
    if (fabric.isBlocked(dialler.node, node) || fabric.isBlocked(node, dialler.node)) {
      this.#finish();
      this.dialled.end('unreachable', DIAL_TIMEOUT_MS);
      return;
    }
    const binding = fabric.bindings.get(this.#address);
    if (binding === undefined || !binding.process.alive) {
      this.#finish();
      this.dialled.end('refused', fabric.latencyMs());
      return;
    }
    this.accepted.process = binding.process;
    binding.links.add(this);
    this.accepted.open = true;
    scheduler.schedule(0, binding.process, () => {
      if (!this.accepted.closed) {
        this.accepted.events = binding.accept(this.accepted);
        this.accepted.arm();
      }
    });
    scheduler.schedule(fabric.latencyMs(), dialler, () => {
      if (this.dialled.closed) return;
      this.dialled.open = true;
      this.dialled.events?.onOpen?.();
      this.dialled.arm();
    });
    this.#watch();
  }

  /** Looks now and then whether the two can still reach each other. */
  #watch(): void {
    let blockedSinceMs = -1;
    const look = (): void => {
      const a = this.dialled.process.node;
      const b = this.accepted.process.node;
      const { scheduler } = this.fabric;
      if (!this.fabric.isBlocked(a, b) && !this.fabric.isBlocked(b, a)) blockedSinceMs = -1;
      else if (blockedSinceMs < 0) blockedSinceMs = scheduler.nowMs;
      else if (scheduler.nowMs - blockedSinceMs >= KEEPALIVE_MS) {
        this.reset();
        return;
      }
      this.#keepalive = scheduler.schedule(KEEPALIVE_MS / 2, undefined, look);
    };
    this.#keepalive = this.fabric.scheduler.schedule(KEEPALIVE_MS / 2, undefined, look);
  }

  /** One side closes; the other hears of it once the way is free, or by its keepalive. */
  closeFrom(side: Endpoint, reason: LinkCloseReason): void {
    this.#finish();
    side.dispose();
    side.peer.endAfterFrames(reason);
  }

  /** The accepting side's listener closes: both owners are told. */
  closeByListener(): void {
    this.#finish();
    this.accepted.end('closed', 0);
    this.dialled.endAfterFrames('closed');
  }

  reset(): void {
    this.#finish();
    this.dialled.end('reset', 0);
    this.accepted.end('reset', 0);
  }

  /** Resets the link in an event of its own: a sender is never told from within `send`. */
  resetLater(): void {
    this.fabric.scheduler.schedule(0, undefined, () => this.reset());
  }

  processKilled(process: SimulatedProcess): void {
    for (const end of [this.dialled, this.accepted]) {
      if (end.process !== process || end.closed || (end === this.accepted && !end.open)) continue;
      this.closeFrom(end, 'reset');
    }
  }

  /** The way may be free again. */
  resume(): void {
    this.dialled.arm();
    this.accepted.arm();
  }

  #finish(): void {
    this.#keepalive?.cancel();
    this.fabric.connections.delete(this);
    this.fabric.bindings.get(this.#address)?.links.delete(this);
  }
}

/** Addresses of simulated nodes are `node-<number>:<port>`. */
export function addressOfNode(node: number): string {
  return `node-${node}:9001`;
}

function nodeOfAddress(address: string): number {
  const match = /^node-(\d+):/.exec(address);
  if (match === null)
    throw new QuoinError('CONFIG_INVALID', `not an address of a simulated node: ${address}`);
  return Number(match[1]);
}
