/** One membership core in a test's hand: time, chance and all messages come from the test. */
import { SwimCore } from '../../../src/protocol/swim/core.js';
import { SWIM_TIMING, type SwimTiming } from '../../../src/protocol/swim/options.js';
import type {
  MemberEvent,
  MemberLoad,
  MemberState,
  MemberUpdate,
  NodeId,
  OutgoingSwimMessage,
  SwimMessage,
} from '../../../src/protocol/swim/types.js';
import { seededRandom } from '../raft/network.js';

export const TICK_MS = 20;
const START_MS = 5000;

export interface Sent {
  readonly to: NodeId;
  readonly message: SwimMessage;
}

export class Single {
  readonly core: SwimCore;
  readonly events: MemberEvent[] = [];
  nowMs = START_MS;
  #sent: OutgoingSwimMessage[] = [];
  /** Pings that nobody has answered so far. */
  #open: OutgoingSwimMessage[] = [];

  /** The core of node `a`, with these others. */
  constructor(others: readonly NodeId[], timing: Partial<SwimTiming> = {}, firstIncarnation = 1) {
    this.core = new SwimCore({
      self: 'a',
      random: seededRandom(7),
      nowMs: START_MS,
      firstIncarnation,
      timing: { ...SWIM_TIMING, ...timing },
    });
    this.core.setMembers(['a', ...others]);
    this.core.tick(START_MS);
    this.#collect();
  }

  /** Lets time pass in ticks. `answering`: members that answer each ping at once, those sent before too. */
  advance(ms: number, answering: readonly NodeId[] = []): void {
    this.#answer(answering);
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + TICK_MS);
      this.core.tick(this.nowMs);
      this.#collect(answering);
    }
  }

  /** Ticks until `condition` holds; the time that took. */
  advanceUntil(condition: () => boolean, answering: readonly NodeId[] = [], limitMs = 60_000): number {
    const fromMs = this.nowMs;
    while (!condition()) {
      if (this.nowMs - fromMs > limitMs) throw new Error(`not so within ${limitMs} ms`);
      this.advance(TICK_MS, answering);
    }
    return this.nowMs - fromMs;
  }

  /** The process stands still, then its timer fires. */
  stall(ms: number): void {
    this.nowMs += ms;
    this.core.tick(this.nowMs);
    this.#collect();
  }

  hear(
    from: NodeId,
    kind: 'ping' | 'ack' | 'nack',
    changes: {
      readonly sequence?: number;
      readonly incarnation?: number;
      readonly updates?: readonly MemberUpdate[];
      readonly loads?: readonly MemberLoad[];
    } = {},
  ): void {
    const message = { kind, sequence: 0, incarnation: 0, updates: [], loads: [], ...changes };
    this.core.step(from, message, this.nowMs);
    this.#collect();
  }

  hearRequest(from: NodeId, sequence: number, target: NodeId, updates: readonly MemberUpdate[] = []): void {
    const message = { kind: 'ping-request' as const, sequence, incarnation: 0, target, updates, loads: [] };
    this.core.step(from, message, this.nowMs);
    this.#collect();
  }

  /** What has been sent since the last look. */
  sent(): Sent[] {
    return this.#sent.splice(0);
  }

  /** The same, of one kind. */
  sentOf(kind: SwimMessage['kind']): Sent[] {
    return this.sent().filter(({ message }) => message.kind === kind);
  }

  stateOf(node: NodeId): MemberState | undefined {
    return this.core.stateOf(node);
  }

  incarnationOf(node: NodeId): number {
    return this.core.members().find(({ id }) => id === node)!.incarnation;
  }

  #collect(answering: readonly NodeId[] = []): void {
    const { messages, events } = this.core.takeEffects();
    this.events.push(...events);
    this.#sent.push(...messages);
    this.#open.push(...messages.filter(({ message }) => message.kind === 'ping'));
    if (messages.length > 0) this.#answer(answering);
  }

  #answer(answering: readonly NodeId[]): void {
    const answered = this.#open.filter(({ to }) => answering.includes(to));
    this.#open = this.#open.filter(({ to }) => !answering.includes(to));
    for (const { to, message } of answered) {
      const { sequence } = message;
      this.core.step(to, { kind: 'ack', sequence, incarnation: 0, updates: [], loads: [] }, this.nowMs);
    }
    if (answered.length > 0) this.#collect(answering);
  }
}

export function update(member: NodeId, state: MemberState, incarnation: number, accuser = ''): MemberUpdate {
  return { member, state, incarnation, accuser };
}
