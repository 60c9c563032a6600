/**
 * Eventual buckets converge: once a cluster is healed and its clients have gone, all replicas of every slot are equal within
 * a bounded number of repair rounds, a node that has lost its disk is filled, and every node answers every key alike.
 *
 * A round: every pair of replicas has compared what it holds, or kept hints have been offered. What clocks have done is
 * waited for first: a record may lie ahead of a clock that runs behind by as much as clocks differ.
 */
import { SLOT_COUNT, slotOf } from '../src/base/slots.js';
import type { EventualKeys } from './checkers/eventual-keys.js';
import { SimulationViolation } from './checkers/violation.js';
import type { ClusterNode, SimulatedCluster } from './cluster.js';
import { clockDifferenceMs, type Swarm } from './swarm.js';
import { recordOf } from './workloads/eventual.js';

/** Rounds within which replicas must be equal. */
const ROUNDS = 5;
/** The longest that a round takes: pairs wait for up to five quarters of the interval. */
const ROUND_SHARE = 1.25;
/** A comparison or hand-off that met the last fault is given up after so long, and a little later tried again. */
const GIVEN_UP_MS = 7_000;
/** Hints that were not taken are offered again after so long. */
const HINTS_OFFERED_MS = 1_500;
/** How often replicas are looked at. */
const LOOK_EVERY_MS = 50;
/** Keys of each bucket that are read at every node. */
const READ_EVERYWHERE = 40;
const READS_AT_A_TIME = 32;
const READ_TRIES = 50;
const RETRY_MS = 100;

export interface ConvergenceOptions {
  readonly cluster: SimulatedCluster;
  readonly swarm: Swarm;
  /** By bucket. */
  readonly keys: ReadonlyMap<string, EventualKeys>;
  /** Written too, and not read. */
  readonly otherKeys: readonly string[];
  /** Replicas of each key. */
  readonly n: number;
}

export class Convergence {
  readonly #options: ConvergenceOptions;
  /** Replicas of each slot that was written to. */
  readonly #slots = new Map<number, readonly ClusterNode[]>();
  #nextLookMs = 0;

  constructor(options: ConvergenceOptions) {
    this.#options = options;
    for (const { keys } of options.keys.values()) for (const key of keys) this.#watch(key);
    for (const key of options.otherKeys) this.#watch(key);
  }

  #watch(key: string): void {
    const slot = slotOf(Buffer.from(key));
    if (!this.#slots.has(slot)) this.#slots.set(slot, this.#membersOf(key));
  }

  /** Virtual time within which it must be over. */
  get withinMs(): number {
    return GIVEN_UP_MS + ROUNDS * ROUND_SHARE * this.#options.swarm.quorum.repairIntervalMs;
  }

  /**
   * Time until no clock is behind any version by more than the drift, and until hints have been offered after that. Until then
   * replicas may be equal and a hint be kept that none of them has taken yet.
   */
  get settledWithinMs(): number {
    const { cluster, swarm } = this.#options;
    const aheadMs = clockDifferenceMs(swarm, cluster.nowMs) - swarm.quorum.maxClockDriftMs;
    const healedMs = Math.min(swarm.wrongClockMs, cluster.nowMs - cluster.clocksHealedAtMs);
    const offeredMs = swarm.quorum.hintedHandoff ? HINTS_OFFERED_MS : 0;
    return Math.max(0, aheadMs - healedMs) + offeredMs;
  }

  #membersOf(key: string): ClusterNode[] {
    const { cluster, n } = this.#options;
    return cluster.replicasOf(key, n).map((id) => cluster.nodes.find((node) => node.id === id)!);
  }

  /** A slot whose replicas differ, or a node that has lost its disk and is not filled; undefined: there is none. */
  #differing(): string | undefined {
    const empty = this.#options.cluster.nodes.find(
      ({ server }) => server?.eventualStatistics()?.filling === true,
    );
    if (empty !== undefined) return `${empty.id} is still being filled`;
    for (const [slot, members] of this.#slots) {
      const difference = this.#differenceIn(slot, members);
      if (difference !== undefined) return difference;
    }
    return undefined;
  }

  #differenceIn(slot: number, members: readonly ClusterNode[]): string | undefined {
    const all = members.map(({ server }) => server?.eventualDigestOfSlot(slot) ?? -1);
    if (all.every((digest) => digest === all[0])) return undefined;
    return `slot ${slot}: ${members.map(({ id }, i) => `${id} ${(all[i] ?? 0).toString(16)}`).join(', ')}`;
  }

  /** True once they are equal. Looks now and then. */
  isReached(): boolean {
    const { cluster } = this.#options;
    if (cluster.nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = cluster.nowMs + LOOK_EVERY_MS;
    return this.#differing() === undefined;
  }

  fail(): never {
    throw new SimulationViolation('convergence', `replicas do not become equal: ${this.#differing()}`);
  }

  /** Slots that nobody wrote to are equal too. */
  requireAllEqual(): void {
    const { cluster, n } = this.#options;
    const { slotOwners, groups } = cluster.layout;
    const members = new Map(
      groups.map(({ id, members }) => [
        id,
        members.slice(0, n).map((member) => cluster.nodes.find((node) => node.id === member)!),
      ]),
    );
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const difference = this.#differenceIn(slot, members.get(slotOwners[slot] ?? 0) ?? []);
      if (difference !== undefined) throw new SimulationViolation('convergence', difference);
    }
  }

  /**
   * Reads every key at some node from one replica, and so many of them at every node; `done` once all have answered, and alike.
   */
  readEverywhere(done: () => void): void {
    const { cluster, keys } = this.#options;
    const reads: { readonly bucket: string; readonly key: string; readonly node: ClusterNode }[] = [];
    for (const [bucket, known] of keys) {
      const names = [...known.keys];
      const stride = Math.ceil(names.length / READ_EVERYWHERE);
      names.forEach((key, position) => {
        const { nodes } = cluster;
        const at = position % stride === 0 ? nodes : [nodes[position % nodes.length]!];
        for (const node of at) reads.push({ bucket, key, node });
      });
    }
    let next = 0;
    let readers = 0;
    const readNext = (): void => {
      const read = reads[next++];
      if (read === undefined) {
        if (--readers === 0) done();
        return;
      }
      this.#read(read.bucket, read.key, read.node, READ_TRIES, readNext);
    };
    readers = Math.min(READS_AT_A_TIME, reads.length);
    if (readers === 0) done();
    for (let i = readers; i > 0; i--) readNext();
  }

  #read(bucket: string, key: string, node: ClusterNode, tries: number, done: () => void): void {
    const { cluster, keys } = this.#options;
    cluster.attemptAt(
      node,
      {
        command: 'quoin.get',
        bucket,
        args: [Buffer.from(key)],
        consistency: 'linearizable',
        session: undefined,
        home: undefined,
        quorum: { r: 1 },
      },
      (answer) => {
        if (answer.kind === 'reply') {
          const { value, version } = recordOf(answer.reply);
          keys.get(bucket)?.converged(key, value, version, node.id);
          done();
        } else if (tries === 0)
          throw new SimulationViolation('liveness', `${node.id} does not answer for ${bucket}/${key}`);
        else cluster.later(RETRY_MS, () => this.#read(bucket, key, node, tries - 1, done));
      },
    );
  }
}
