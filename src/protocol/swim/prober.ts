/**
 * Probes: one member in each period, directly, then through others; and the probes that this node does for others. Source:
 * SWIM, section 3.1 (ping, ping-request, ack) and 4.3 (round robin); Lifeguard's nack.
 *
 *   period begins        ping the member whose turn it is
 *   + pingTimeout        no ack: ask some others to ping it
 *   + period             no ack at all: it has been missed; the next period begins
 *
 * Departures: when others are asked, the member itself is pinged once more too. A dead member keeps its turn. It is pinged in passing, nothing follows from its silence, and another member
 * has the period; so those who took each other for dead find each other again. And whoever has missed a member goes on
 * pinging it while it is suspect, so that the suspect hears of the suspicion at once, not by gossip alone.
 */
import { LIMITS } from '../../base/limits.js';
import type { LocalHealth } from './local-health.js';
import type { SwimTiming } from './options.js';
import type { ProbeOrder } from './probe-order.js';
import type { MemberState, NodeId } from './types.js';

/** Suspects that are pinged besides the probe, in one period. */
const MAX_APPEALS = 3;

/** What probes need of the rest of the core. */
export interface ProberHost {
  ping(to: NodeId, sequence: number): void;
  requestPing(proxy: NodeId, sequence: number, target: NodeId): void;
  /** Tells an asker how the probe went that it asked for, and news of some member, if any. */
  answer(asker: NodeId, kind: 'ack' | 'nack', sequence: number, about: NodeId | undefined): void;
  stateOf(member: NodeId): MemberState | undefined;
  /** The suspects that this node itself has missed. */
  accused(maximum: number): readonly NodeId[];
  /** A member has not answered, neither directly nor through others. */
  missed(member: NodeId): void;
}

interface Probe {
  readonly target: NodeId;
  readonly sequence: number;
  /** When others are asked. */
  readonly indirectAtMs: number;
  /** Those who have been asked; undefined: not yet. */
  proxies: readonly NodeId[] | undefined;
  /** Those of them that have not said a word. */
  readonly silent: Set<NodeId>;
  answered: boolean;
}

interface Relay {
  readonly asker: NodeId;
  readonly askerSequence: number;
  readonly target: NodeId;
  /** The asker holds the target for suspect: it wants to hear what the target says to that. */
  readonly isSuspected: boolean;
  readonly deadlineMs: number;
}

export class Prober {
  readonly #host: ProberHost;
  readonly #order: ProbeOrder;
  readonly #timing: SwimTiming;
  readonly #health: LocalHealth;
  #probe: Probe | undefined;
  #periodEndMs = 0;
  #nextSequence: number;
  /** By own sequence; in the order of their deadlines. */
  readonly #relays = new Map<number, Relay>();

  constructor(
    host: ProberHost,
    order: ProbeOrder,
    timing: SwimTiming,
    health: LocalHealth,
    firstSequence: number,
  ) {
    this.#host = host;
    this.#order = order;
    this.#timing = timing;
    this.#health = health;
    this.#nextSequence = firstSequence;
  }

  /** When `tick` has something to do. */
  get nextDeadlineMs(): number {
    let deadlineMs = this.#periodEndMs;
    if (this.#isWaiting(this.#probe)) deadlineMs = Math.min(deadlineMs, this.#probe.indirectAtMs);
    for (const relay of this.#relays.values()) {
      deadlineMs = Math.min(deadlineMs, relay.deadlineMs);
      break;
    }
    return deadlineMs;
  }

  tick(awakeMs: number): void {
    this.#expireRelays(awakeMs);
    if (awakeMs >= this.#periodEndMs) {
      this.#endPeriod();
      this.#beginPeriod(awakeMs);
    } else if (this.#isWaiting(this.#probe) && awakeMs >= this.#probe.indirectAtMs) {
      this.#askOthers(this.#probe);
    }
  }

  /** A ping besides the probes, from whose silence nothing follows. */
  ping(member: NodeId): void {
    this.#host.ping(member, this.#sequence());
  }

  /** `asker` wants to know whether `target` answers this node. */
  relay(asker: NodeId, askerSequence: number, target: NodeId, isSuspected: boolean, awakeMs: number): void {
    if (this.#host.stateOf(target) === undefined || this.#relays.size >= LIMITS.maxSwimRelays) return;
    const sequence = this.#sequence();
    const deadlineMs = awakeMs + this.#timing.pingTimeoutMs;
    this.#relays.set(sequence, { asker, askerSequence, target, isSuspected, deadlineMs });
    this.#host.ping(target, sequence);
  }

  acknowledged(from: NodeId, sequence: number): void {
    const relay = this.#relays.get(sequence);
    if (relay !== undefined) {
      if (relay.target !== from) return;
      this.#relays.delete(sequence);
      const { asker, askerSequence, target, isSuspected } = relay;
      this.#host.answer(asker, 'ack', askerSequence, isSuspected ? target : undefined);
      return;
    }
    const probe = this.#probe;
    if (probe?.sequence !== sequence || probe.answered) return;
    if (from !== probe.target && probe.proxies?.includes(from) !== true) return;
    probe.answered = true;
    this.#health.better();
  }

  refused(from: NodeId, sequence: number): void {
    if (this.#probe?.sequence === sequence) this.#probe.silent.delete(from);
  }

  #isWaiting(probe: Probe | undefined): probe is Probe {
    return probe !== undefined && !probe.answered && probe.proxies === undefined;
  }

  #sequence(): number {
    return this.#nextSequence++;
  }

  #expireRelays(awakeMs: number): void {
    for (const [sequence, { asker, askerSequence, deadlineMs }] of this.#relays) {
      if (deadlineMs > awakeMs) return;
      this.#relays.delete(sequence);
      this.#host.answer(asker, 'nack', askerSequence, undefined);
    }
  }

  #beginPeriod(awakeMs: number): void {
    const { periodMs, pingTimeoutMs } = this.#timing;
    const { factor } = this.#health;
    this.#periodEndMs = awakeMs + periodMs * factor;
    for (const suspect of this.#host.accused(MAX_APPEALS)) this.ping(suspect);
    const target = this.#nextTarget();
    if (target === undefined) return;
    const sequence = this.#sequence();
    const indirectAtMs = awakeMs + pingTimeoutMs * factor;
    this.#probe = {
      target,
      sequence,
      indirectAtMs,
      proxies: undefined,
      silent: new Set(),
      answered: false,
    };
    this.#host.ping(target, sequence);
  }

  /** The next member that is not dead; one of the dead before it is pinged in passing. */
  #nextTarget(): NodeId | undefined {
    let passed = false;
    for (let left = this.#order.length; left > 0; left--) {
      const member = this.#order.next();
      if (member === undefined) return undefined;
      if (this.#host.stateOf(member) !== 'dead') return member;
      if (!passed) this.ping(member);
      passed = true;
    }
    return undefined;
  }

  #askOthers(probe: Probe): void {
    const proxies = this.#order.sample(
      this.#timing.indirectProbes,
      (member) => member !== probe.target && this.#host.stateOf(member) === 'alive',
    );
    probe.proxies = proxies;
    for (const proxy of proxies) {
      probe.silent.add(proxy);
      this.#host.requestPing(proxy, probe.sequence, probe.target);
    }
    this.#host.ping(probe.target, probe.sequence);
  }

  #endPeriod(): void {
    const probe = this.#probe;
    this.#probe = undefined;
    if (probe === undefined || probe.answered) return;
    // It may have left the map, or have died in the meantime on other evidence.
    const state = this.#host.stateOf(probe.target);
    if (state === undefined || state === 'dead') return;
    const proxies = probe.proxies ?? [];
    // Others who were silent too point at this node itself.
    this.#health.worse(proxies.length === 0 ? 1 : probe.silent.size);
    this.#host.missed(probe.target);
  }
}
