/**
 * Suspects and how long they have to contradict. Source: SWIM, section 4.2; Lifeguard's "dynamic suspicion timeouts".
 *
 * A suspicion starts long, for one accuser may be the one that is ill, and shrinks with each further accuser, since
 * several are hardly ill at once:
 *
 *   timeout = max(min, max - (max - min) * log(confirmations + 1) / log(wanted + 1))
 *
 * Where nobody is left who could confirm, it is short from the start.
 */
import type { NodeId } from './types.js';

interface Suspicion {
  readonly startedMs: number;
  readonly accusers: Set<NodeId>;
  readonly minMs: number;
  readonly maxMs: number;
  /** Further accusers that make it shortest. */
  readonly wanted: number;
  deadlineMs: number;
}

export class Suspicions {
  readonly #suspicions = new Map<NodeId, Suspicion>();
  /** No suspicion runs out before this. */
  #nextMs = Number.POSITIVE_INFINITY;

  get nextDeadlineMs(): number {
    return this.#nextMs;
  }

  start(
    suspect: NodeId,
    accuser: NodeId,
    timing: { readonly minMs: number; readonly maxMs: number; readonly wanted: number },
    nowMs: number,
  ): void {
    const { minMs, maxMs, wanted } = timing;
    const deadlineMs = nowMs + (wanted <= 0 ? minMs : maxMs);
    this.#suspicions.set(suspect, {
      startedMs: nowMs,
      accusers: new Set([accuser]),
      minMs,
      maxMs,
      wanted,
      deadlineMs,
    });
    this.#nextMs = Math.min(this.#nextMs, deadlineMs);
  }

  /** Another member has missed the suspect too. True when that is news worth spreading. */
  confirm(suspect: NodeId, accuser: NodeId): boolean {
    const suspicion = this.#suspicions.get(suspect);
    if (suspicion === undefined) return false;
    const { accusers, wanted, minMs, maxMs, startedMs } = suspicion;
    if (accusers.size > wanted || accusers.has(accuser)) return false;
    accusers.add(accuser);
    const share = Math.log(accusers.size) / Math.log(wanted + 1);
    suspicion.deadlineMs = startedMs + Math.max(minMs, maxMs - (maxMs - minMs) * share);
    this.#nextMs = Math.min(this.#nextMs, suspicion.deadlineMs);
    return true;
  }

  end(suspect: NodeId): void {
    this.#suspicions.delete(suspect);
  }

  /** Up to `maximum` suspects that this accuser has missed itself. */
  accusedBy(accuser: NodeId, maximum: number): NodeId[] {
    const suspects: NodeId[] = [];
    for (const [suspect, { accusers }] of this.#suspicions) {
      if (suspects.length >= maximum) break;
      if (accusers.has(accuser)) suspects.push(suspect);
    }
    return suspects;
  }

  /** Those whose time is up. They stay until `end`. */
  expired(nowMs: number): NodeId[] {
    const expired: NodeId[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [suspect, { deadlineMs }] of this.#suspicions) {
      if (deadlineMs <= nowMs) expired.push(suspect);
      else if (deadlineMs < nextMs) nextMs = deadlineMs;
    }
    this.#nextMs = nextMs;
    return expired;
  }
}
