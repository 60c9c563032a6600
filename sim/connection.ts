/**
 * One connection of the simulated network, from its dial to its end: two endpoints, and the frames on their way to each.
 *
 * Invariants: frames arrive in order (but for the message faults); what was sent before one side closed or died still
 * arrives; nothing is told after `onClose`, and nothing to the side that closed.
 */
import type { Link, LinkCloseReason, LinkEvents } from '../src/env/env.js';
import { nodeOfAddress } from './addresses.js';
import type { SimulatedFabric } from './network.js';
import type { ScheduledEvent, SimulatedProcess } from './scheduler.js';

/** A dial that gets no answer fails after so long. */
const DIAL_TIMEOUT_MS = 2_000;
/** A peer that cannot be reached for so long is given up (HTTP/2 keepalive). */
const KEEPALIVE_MS = 5_000;
/** Queued bytes of one link above which `send` answers false. */
const HIGH_WATER_BYTES = 1024 * 1024;
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
