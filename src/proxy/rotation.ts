/**
 * Which coordinators take requests, and whose turn it is ('In-Memory Distributed Key Value Store', section Overview: the
 * proxy balances the load over all coordinators in a round-robin fashion).
 *
 * Invariants:
 * - a coordinator that has not answered since it was learnt of, or whose last answers failed, is not handed out;
 * - while one is ready, none is handed out that waits for leaders: it serves only part of the keys. While none is, those
 *   that wait are better than nothing: eventual buckets need no leader.
 *
 * Departure: the paper's proxy drops a coordinator at the first heartbeat that fails. Here a refused connection counts at
 * once, but silence only the second time in a row, because a busy event loop may be late once.
 */

/** As the cluster map describes it. */
export interface Coordinator {
  readonly id: string;
  /** `host:port` of each door. */
  readonly resp: string;
  readonly http: string;
  readonly grpc: string;
}

/** How a heartbeat ended. `waiting`: it serves, and knows no leader of some group. `unfit`: it answers that it does not serve. */
export type HeartbeatOutcome = 'ready' | 'waiting' | 'unfit' | 'refused' | 'silent';

/** What is known of a coordinator. `unknown`: it has not answered yet. */
export type CoordinatorState = 'unknown' | 'ready' | 'waiting' | 'down';

export interface RotationEntry extends Coordinator {
  readonly state: CoordinatorState;
  /** Since when, on the clock of whoever reports. */
  readonly sinceMs: number;
}

interface Member {
  coordinator: Coordinator;
  state: CoordinatorState;
  sinceMs: number;
  silences: number;
  /** The newest heartbeat that was answered: what an older one says comes too late. */
  answeredBeat: number;
}

const SILENCES_TO_LEAVE = 2;

export class Rotation {
  /** By id, in the order of the map. */
  #members = new Map<string, Member>();
  #turn = 0;

  /** The coordinators of the present map. Known ones keep their state, unless they have moved. */
  setCoordinators(coordinators: readonly Coordinator[], nowMs: number): void {
    const members = new Map<string, Member>();
    for (const coordinator of coordinators) {
      const known = this.#members.get(coordinator.id);
      const kept = known !== undefined && known.coordinator.http === coordinator.http;
      if (kept) known.coordinator = coordinator;
      members.set(
        coordinator.id,
        kept ? known : { coordinator, state: 'unknown', sinceMs: nowMs, silences: 0, answeredBeat: -1 },
      );
    }
    this.#members = members;
  }

  get coordinators(): Coordinator[] {
    return [...this.#members.values()].map(({ coordinator }) => coordinator);
  }

  /** How a heartbeat to a coordinator ended; `beat` grows with each. True when its state is another now. */
  note(id: string, beat: number, outcome: HeartbeatOutcome, nowMs: number): boolean {
    const member = this.#members.get(id);
    if (member === undefined || beat <= member.answeredBeat) return false;
    if (outcome === 'silent') {
      member.silences++;
      return member.silences >= SILENCES_TO_LEAVE && become(member, 'down', nowMs);
    }
    member.answeredBeat = beat;
    member.silences = 0;
    return become(member, outcome === 'ready' || outcome === 'waiting' ? outcome : 'down', nowMs);
  }

  /** The coordinator whose turn it is; undefined when none is healthy. */
  next(): Coordinator | undefined {
    const members = [...this.#members.values()];
    const best = members.some(({ state }) => state === 'ready') ? 'ready' : 'waiting';
    const healthy = members.filter(({ state }) => state === best);
    return healthy[this.#turn++ % healthy.length]?.coordinator;
  }

  /** True when `next` has somebody to hand out. */
  get healthy(): boolean {
    return [...this.#members.values()].some(({ state }) => state === 'ready' || state === 'waiting');
  }

  entries(): RotationEntry[] {
    return [...this.#members.values()].map(({ coordinator, state, sinceMs }) => ({
      ...coordinator,
      state,
      sinceMs,
    }));
  }
}

function become(member: Member, state: CoordinatorState, nowMs: number): boolean {
  if (member.state === state) return false;
  member.state = state;
  member.sinceMs = nowMs;
  return true;
}
