/**
 * A small network of membership cores under one seed: messages are encoded, lost, repeated, delayed and so reordered, links
 * are cut one way or both, processes pause, die and come back with nothing but a clock. What must hold at every moment is
 * checked as it runs.
 */
import { ByteReader, ByteWriter } from '../../../src/base/bytes.js';
import { decodeSwimMessage, encodeSwimMessage } from '../../../src/protocol/swim/codec.js';
import { SwimCore } from '../../../src/protocol/swim/core.js';
import { SWIM_TIMING, type SwimTiming } from '../../../src/protocol/swim/options.js';
import type { MemberState, NodeId } from '../../../src/protocol/swim/types.js';
import { seededRandom } from '../raft/network.js';

export const TICK_MS = 20;

export interface SwimNetworkOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly timing?: Partial<SwimTiming>;
}

export interface SwimFaults {
  readonly lossRate: number;
  readonly repeatRate: number;
  readonly maxDelayMs: number;
}

const NO_FAULTS: SwimFaults = { lossRate: 0, repeatRate: 0, maxDelayMs: 4 };

interface SimulatedMember {
  readonly id: NodeId;
  /** Distance of its clock from the network's. */
  readonly clockOffsetMs: number;
  core: SwimCore;
  up: boolean;
  paused: boolean;
  /** What has arrived while it was paused. */
  readonly unread: { readonly from: NodeId; readonly bytes: Buffer }[];
  /** Highest incarnation that it has seen of each member: it must never see a lower one later. */
  readonly seen: Map<NodeId, number>;
}

export class SwimNetwork {
  readonly members = new Map<NodeId, SimulatedMember>();
  readonly ids: readonly NodeId[];
  readonly random: () => number;
  faults: SwimFaults = NO_FAULTS;
  nowMs = 0;
  /** Who has declared whom dead, since the last look. */
  deaths: { readonly observer: NodeId; readonly member: NodeId }[] = [];
  /** Running hash of all that happened. */
  trace = 0;
  readonly #timing: SwimTiming;
  readonly #writer = new ByteWriter();
  readonly #cut = new Set<string>();
  readonly #due = new Map<number, { from: NodeId; to: NodeId; bytes: Buffer }[]>();

  constructor({ seed, nodes, timing }: SwimNetworkOptions) {
    this.random = seededRandom(seed);
    this.#timing = { ...SWIM_TIMING, ...timing };
    this.ids = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
    for (const id of this.ids) {
      const clockOffsetMs = Math.floor(this.random() * 1e6);
      this.members.set(id, {
        id,
        clockOffsetMs,
        core: this.#makeCore(id, clockOffsetMs, 1000),
        up: true,
        paused: false,
        unread: [],
        seen: new Map(),
      });
    }
  }

  run(ms: number): void {
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) this.#millisecond();
  }

  /** Runs until `condition` holds; the time that took. Throws when that is longer than `limitMs`. */
  runUntil(condition: () => boolean, limitMs: number): number {
    const fromMs = this.nowMs;
    while (!condition()) {
      if (this.nowMs - fromMs >= limitMs) throw new Error(`not so within ${limitMs} ms: ${this.describe()}`);
      this.run(TICK_MS);
    }
    return this.nowMs - fromMs;
  }

  /** Cuts the way from one to the other, one way. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  partition(left: readonly NodeId[], right: readonly NodeId[]): void {
    for (const one of left)
      for (const other of right) {
        this.cut(one, other);
        this.cut(other, one);
      }
  }

  crash(id: NodeId): void {
    const member = this.members.get(id)!;
    member.up = false;
    member.paused = false;
    member.unread.length = 0;
  }

  /** A new process under the old name; its wall clock may stand anywhere. */
  restart(id: NodeId, firstIncarnation: number): void {
    const member = this.members.get(id)!;
    member.core = this.#makeCore(id, member.clockOffsetMs, firstIncarnation);
    member.seen.clear();
    member.up = true;
  }

  pause(id: NodeId): void {
    this.members.get(id)!.paused = true;
  }

  /** Its timer fires before it reads what has arrived meanwhile. */
  resume(id: NodeId): void {
    const member = this.members.get(id)!;
    if (!member.paused) return;
    member.paused = false;
    member.core.tick(this.#clock(member));
    this.#carryOut(member);
    for (const { from, bytes } of member.unread.splice(0)) this.#deliver(member, from, bytes);
  }

  /** Ends all faults; those who are down come back. */
  heal(): void {
    this.faults = NO_FAULTS;
    this.#cut.clear();
    for (const { id, up } of this.members.values()) {
      this.resume(id);
      if (!up) this.restart(id, Math.floor(this.random() * 3000));
    }
  }

  stateOf(observer: NodeId, member: NodeId): MemberState | undefined {
    return this.members.get(observer)!.core.stateOf(member);
  }

  /** Do all who run see exactly those alive who run, and all others dead? */
  isAgreed(): boolean {
    for (const observer of this.members.values()) {
      if (!observer.up || observer.paused) continue;
      for (const { id, up } of this.members.values()) {
        if (observer.core.stateOf(id) !== (up ? 'alive' : 'dead')) return false;
      }
    }
    return true;
  }

  describe(): string {
    return [...this.members.values()]
      .map(({ id, up, core }) =>
        up
          ? `${id}: ${core
              .members()
              .map((one) => `${one.id}=${one.state}@${one.incarnation}`)
              .join(' ')}`
          : `${id} down`,
      )
      .join('\n');
  }

  #makeCore(id: NodeId, clockOffsetMs: number, firstIncarnation: number): SwimCore {
    const core = new SwimCore({
      self: id,
      random: seededRandom(Math.floor(this.random() * 2 ** 32)),
      nowMs: this.nowMs + clockOffsetMs,
      firstIncarnation,
      timing: this.#timing,
    });
    core.setMembers(this.ids);
    return core;
  }

  #clock(member: SimulatedMember): number {
    return this.nowMs + member.clockOffsetMs;
  }

  #millisecond(): void {
    this.nowMs++;
    const due = this.#due.get(this.nowMs) ?? [];
    this.#due.delete(this.nowMs);
    for (const { from, to, bytes } of due) {
      const member = this.members.get(to)!;
      if (!member.up) continue;
      if (member.paused) member.unread.push({ from, bytes });
      else this.#deliver(member, from, bytes);
    }
    let phase = 0;
    for (const member of this.members.values()) {
      if ((this.nowMs + phase++) % TICK_MS !== 0 || !member.up || member.paused) continue;
      member.core.tick(this.#clock(member));
      this.#carryOut(member);
    }
  }

  #deliver(member: SimulatedMember, from: NodeId, bytes: Buffer): void {
    const reader = new ByteReader(bytes);
    const message = decodeSwimMessage(reader);
    reader.end();
    member.core.step(from, message, this.#clock(member));
    this.#carryOut(member);
  }

  #carryOut(member: SimulatedMember): void {
    const { messages, events } = member.core.takeEffects();
    for (const { kind, node } of events) {
      this.trace = (Math.imul(this.trace, 31) + this.nowMs + kind.length + node.length) >>> 0;
      if (kind === 'dead') this.deaths.push({ observer: member.id, member: node });
    }
    for (const { id, incarnation } of member.core.members()) {
      const before = member.seen.get(id) ?? 0;
      if (incarnation < before)
        throw new Error(`${member.id} saw ${id} go back from ${before} to ${incarnation}`);
      member.seen.set(id, incarnation);
    }
    for (const { to, message } of messages) {
      encodeSwimMessage(this.#writer, message);
      const bytes = this.#writer.take();
      const { lossRate, repeatRate } = this.faults;
      if (this.#cut.has(`${member.id}>${to}`) || this.random() < lossRate) continue;
      this.#schedule(member.id, to, bytes);
      if (this.random() < repeatRate) this.#schedule(member.id, to, bytes);
    }
  }

  #schedule(from: NodeId, to: NodeId, bytes: Buffer): void {
    const atMs = this.nowMs + 1 + Math.floor(this.random() * this.faults.maxDelayMs);
    const due = this.#due.get(atMs);
    if (due === undefined) this.#due.set(atMs, [{ from, to, bytes }]);
    else due.push({ from, to, bytes });
  }
}
