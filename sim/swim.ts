/**
 * Failure detection at the size of a large cluster: the membership cores of all nodes in one process, under one seed and
 * virtual time, with a network between them that delays and loses messages. Run by itself (`npx tsx sim/swim.ts`) it prints
 * the table of `docs/membership.md`.
 *
 * Measured in one run: after a warm-up all nodes are watched for a while, so that every death that is declared is wrong;
 * then some nodes crash one after the other, and it is measured how long it takes until the first and until all others know.
 */
import { fileURLToPath } from 'node:url';
import { ByteWriter } from '../src/base/bytes.js';
import { encodeSwimMessage } from '../src/protocol/swim/codec.js';
import { SwimCore } from '../src/protocol/swim/core.js';
import { SWIM_TIMING, type SwimTiming } from '../src/protocol/swim/options.js';
import type { NodeId, SwimMessage } from '../src/protocol/swim/types.js';
import { SeededRandom } from './random.js';

const TICK_MS = 20;
const LEAST_LATENCY_MS = 1;
const MOST_LATENCY_MS = 10;
/** Every so many messages one is encoded, for its size. */
const SAMPLE_EVERY = 97;

export interface SwimSimulationOptions {
  readonly seed: string;
  readonly nodes: number;
  /** Share of messages that are lost, 0 to 1. */
  readonly lossRate: number;
  /** Until all know all, and the queues have emptied. */
  readonly warmUpMs: number;
  /** How long the healthy cluster is watched. */
  readonly watchMs: number;
  readonly crashes: number;
  /** Longest that is waited until all know of one crash. */
  readonly crashPatienceMs: number;
  /** How often each node spreads a new load digest; 0: never. */
  readonly loadIntervalMs: number;
  readonly timing?: Partial<SwimTiming>;
}

export interface SwimReport {
  /** From each crash until the first other node, and until the last, holds the node dead. */
  readonly firstDetectedMs: readonly number[];
  readonly allDetectedMs: readonly number[];
  /** From the first who knows of a death to the last. */
  readonly disseminationMs: readonly number[];
  /** Crashes of which not all knew when patience ended. */
  readonly undetected: number;
  /** Of healthy nodes, while the cluster was watched. One node watched for an hour is a node-hour. */
  readonly suspicionsPerNodeHour: number;
  /** Distinct (member, incarnation) that somebody took for dead. */
  readonly falseDeathsPerNodeHour: number;
  /** Longest that somebody took a healthy member for dead. */
  readonly longestFalseDeathMs: number;
  /** Healthy members taken for dead by somebody at the end. */
  readonly falselyDeadAtEnd: number;
  readonly messagesPerNodePeriod: number;
  readonly meanMessageBytes: number;
  readonly largestMessageBytes: number;
}

interface SimulatedMember {
  readonly index: number;
  readonly id: NodeId;
  readonly core: SwimCore;
  up: boolean;
}

interface Delivery {
  readonly from: NodeId;
  readonly to: SimulatedMember;
  readonly message: SwimMessage;
}

interface Crash {
  readonly member: SimulatedMember;
  readonly atMs: number;
  readonly knowers: Set<number>;
  firstMs: number;
  lastMs: number;
}

class SwimSimulation {
  readonly #options: SwimSimulationOptions;
  readonly #timing: SwimTiming;
  readonly #network: SeededRandom;
  readonly #members: SimulatedMember[] = [];
  readonly #byId = new Map<NodeId, SimulatedMember>();
  /** Deliveries by millisecond, a ring. */
  readonly #due: Delivery[][] = Array.from({ length: MOST_LATENCY_MS + 1 }, () => []);
  readonly #crashes: Crash[] = [];
  /** Since when an observer takes a healthy member for dead. */
  readonly #wrongSince = new Map<string, number>();
  readonly #wrongDeaths = new Set<string>();
  readonly #writer = new ByteWriter();
  #nowMs = 0;
  #messages = 0;
  #sampled = 0;
  #sampledBytes = 0;
  #largestBytes = 0;
  #longestWrongMs = 0;

  constructor(options: SwimSimulationOptions) {
    this.#options = options;
    this.#timing = { ...SWIM_TIMING, ...options.timing };
    const random = new SeededRandom(options.seed);
    this.#network = random.fork('network');
    const ids = Array.from({ length: options.nodes }, (_, index) => `n${index + 1}`);
    for (const [index, id] of ids.entries()) {
      const chance = random.fork(id);
      const core = new SwimCore({
        self: id,
        random: () => chance.float(),
        nowMs: 0,
        firstIncarnation: 1,
        timing: this.#timing,
      });
      core.setMembers(ids);
      const member = { index, id, core, up: true };
      this.#members.push(member);
      this.#byId.set(id, member);
    }
  }

  run(): SwimReport {
    const { nodes, warmUpMs, watchMs, crashes, crashPatienceMs } = this.#options;
    this.#runFor(warmUpMs);
    this.#wrongDeaths.clear();
    this.#messages = 0;
    const suspicionsBefore = this.#suspicions();
    this.#runFor(watchMs);
    const suspicions = this.#suspicions() - suspicionsBefore;
    const falseDeaths = this.#wrongDeaths.size;
    const messages = this.#messages;
    for (let i = 0; i < crashes; i++) {
      const crash = this.#crash();
      const untilMs = this.#nowMs + crashPatienceMs;
      while (crash.lastMs < 0 && this.#nowMs < untilMs) this.#runFor(TICK_MS);
    }
    const known = this.#crashes.filter(({ lastMs }) => lastMs >= 0);
    const nodeHours = (nodes * watchMs) / 3_600_000;
    for (const sinceMs of this.#wrongSince.values()) this.#noteWrong(sinceMs);
    return {
      firstDetectedMs: known.map(({ firstMs, atMs }) => firstMs - atMs),
      allDetectedMs: known.map(({ lastMs, atMs }) => lastMs - atMs),
      disseminationMs: known.map(({ lastMs, firstMs }) => lastMs - firstMs),
      undetected: this.#crashes.length - known.length,
      suspicionsPerNodeHour: suspicions / nodeHours,
      falseDeathsPerNodeHour: falseDeaths / nodeHours,
      longestFalseDeathMs: this.#longestWrongMs,
      falselyDeadAtEnd: this.#wrongSince.size,
      messagesPerNodePeriod: messages / nodes / (watchMs / this.#timing.periodMs),
      meanMessageBytes: this.#sampledBytes / this.#sampled,
      largestMessageBytes: this.#largestBytes,
    };
  }

  #suspicions(): number {
    let suspicions = 0;
    for (const { core } of this.#members) suspicions += core.statistics().suspicions;
    return suspicions;
  }

  #crash(): Crash {
    const member = this.#network.pick(this.#members.filter(({ up }) => up));
    member.up = false;
    const crash = { member, atMs: this.#nowMs, knowers: new Set<number>(), firstMs: -1, lastMs: -1 };
    this.#crashes.push(crash);
    // Whoever was wrong about it is right now.
    for (const observer of this.#members) {
      if (this.#wrongSince.delete(`${observer.id} ${member.id}`)) this.#noteDeath(crash, observer);
    }
    return crash;
  }

  #runFor(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs;
    while (this.#nowMs < untilMs) {
      this.#nowMs++;
      const slot = this.#nowMs % this.#due.length;
      const deliveries = this.#due[slot]!;
      this.#due[slot] = [];
      for (const { from, to, message } of deliveries) {
        if (!to.up) continue;
        to.core.step(from, message, this.#nowMs);
        this.#carryOut(to);
      }
      for (let i = this.#nowMs % TICK_MS; i < this.#members.length; i += TICK_MS) {
        const member = this.#members[i]!;
        if (!member.up) continue;
        this.#spreadLoad(member);
        member.core.tick(this.#nowMs);
        this.#carryOut(member);
      }
    }
  }

  #spreadLoad({ index, core }: SimulatedMember): void {
    const { loadIntervalMs } = this.#options;
    if (loadIntervalMs === 0) return;
    // Each in a moment of its own.
    const phaseMs = Math.floor((index * 0.618 * loadIntervalMs) / TICK_MS) * TICK_MS;
    if ((this.#nowMs - (index % TICK_MS) + phaseMs) % loadIntervalMs !== 0) return;
    const requestsPerSecond = 1000 + (index % 50) * 100;
    core.setLoad({
      loopLagMs: 1,
      requestsPerSecond,
      memoryBytes: 100_000_000,
      readP99Ms: 0.4,
      epoch: 12,
    });
  }

  #carryOut(member: SimulatedMember): void {
    if (!member.core.hasEffects()) return;
    const { messages, events } = member.core.takeEffects();
    for (const { to, message } of messages) this.#transmit(member, this.#byId.get(to)!, message);
    for (const { kind, node } of events) {
      const subject = this.#byId.get(node)!;
      const crash = subject.up ? undefined : this.#crashes.find((one) => one.member === subject);
      const pair = `${member.id} ${node}`;
      if (crash !== undefined) {
        if (kind === 'dead') this.#noteDeath(crash, member);
      } else if (kind === 'dead') {
        this.#wrongSince.set(pair, this.#nowMs);
        const seen = member.core.members()[subject.index]!;
        this.#wrongDeaths.add(`${node} ${seen.incarnation}`);
      } else {
        const sinceMs = this.#wrongSince.get(pair);
        if (sinceMs === undefined) continue;
        this.#wrongSince.delete(pair);
        this.#noteWrong(sinceMs);
      }
    }
  }

  #noteWrong(sinceMs: number): void {
    this.#longestWrongMs = Math.max(this.#longestWrongMs, this.#nowMs - sinceMs);
  }

  #noteDeath(crash: Crash, observer: SimulatedMember): void {
    if (!observer.up || crash.lastMs >= 0) return;
    crash.knowers.add(observer.index);
    if (crash.firstMs < 0) crash.firstMs = this.#nowMs;
    const up = this.#members.filter((member) => member.up).length;
    if (crash.knowers.size === up) crash.lastMs = this.#nowMs;
  }

  #transmit(from: SimulatedMember, to: SimulatedMember, message: SwimMessage): void {
    this.#messages++;
    if (this.#messages % SAMPLE_EVERY === 0) {
      encodeSwimMessage(this.#writer, message);
      this.#sampled++;
      this.#sampledBytes += this.#writer.lengthBytes;
      this.#largestBytes = Math.max(this.#largestBytes, this.#writer.lengthBytes);
      this.#writer.reset();
    }
    if (this.#network.chance(this.#options.lossRate)) return;
    const latencyMs = LEAST_LATENCY_MS + this.#network.integer(MOST_LATENCY_MS - LEAST_LATENCY_MS + 1);
    this.#due[(this.#nowMs + latencyMs) % this.#due.length]!.push({ from: from.id, to, message });
  }
}

/** Everything in the report follows from the options. */
export function simulateSwim(options: SwimSimulationOptions): SwimReport {
  return new SwimSimulation(options).run();
}

/** The value below which this share of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const ROWS: readonly { readonly nodes: number; readonly lossRate: number }[] = [
  { nodes: 5, lossRate: 0 },
  { nodes: 5, lossRate: 0.1 },
  { nodes: 100, lossRate: 0 },
  { nodes: 100, lossRate: 0.1 },
  { nodes: 1000, lossRate: 0 },
  { nodes: 1000, lossRate: 0.1 },
];

function printTable(): void {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const spread = (values: readonly number[]): string =>
    [0.5, 0.9, 1].map((share) => seconds(quantile(values, share))).join(' / ');
  const lines = [
    '| nodes | loss | first knows, s | all know, s | spread, s | suspicions | wrong deaths | longest wrong, s | messages | bytes |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const { nodes, lossRate } of ROWS) {
    const report = simulateSwim({
      seed: '1',
      nodes,
      lossRate,
      warmUpMs: 20_000,
      // At least ten node-hours.
      watchMs: Math.max(60_000, 36_000_000 / nodes),
      crashes: nodes >= 100 ? 10 : 3,
      crashPatienceMs: 60_000,
      loadIntervalMs: 1000,
    });
    lines.push(
      `| ${[
        nodes,
        `${lossRate * 100} %`,
        spread(report.firstDetectedMs),
        spread(report.allDetectedMs),
        spread(report.disseminationMs),
        report.suspicionsPerNodeHour.toFixed(1),
        report.falseDeathsPerNodeHour.toFixed(2),
        seconds(report.longestFalseDeathMs),
        report.messagesPerNodePeriod.toFixed(2),
        report.meanMessageBytes.toFixed(0),
      ].join(' | ')} |`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) printTable();
