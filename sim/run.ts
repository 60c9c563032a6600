/**
 * One run of the simulator under one seed, in phases:
 *
 * 1. form: the nodes find each other and serve, without faults;
 * 2. safety: clients work while the nemesis does its worst;
 * 3. liveness: faults end, all nodes or all but one come back, and every group must take a write at every node soon;
 * 4. calm: clients go on until the steps are used up;
 * 5. verification: clients end, the last node comes back, every key is read once more, eventual buckets converge, replicas are
 *    compared, histories are checked.
 *
 * Steps are events executed in phases 1 to 4. Where there are too few for healing, it takes what it needs; those are
 * counted with the verification's.
 */
import { SLOT_COUNT } from '../src/base/slots.js';
import { Checkers } from './checkers/checkers.js';
import { EventualKeys } from './checkers/eventual-keys.js';
import { requireEqualDigests } from './checkers/replica-digests.js';
import { requireWithinDrift } from './checkers/version-clocks.js';
import { SimulationViolation } from './checkers/violation.js';
import { SimulatedClient } from './client.js';
import { SimulatedCluster } from './cluster.js';
import { Convergence } from './convergence.js';
import { changeLimits } from './limits.js';
import { Nemesis } from './nemesis.js';
import { CALM_NETWORK, SimulatedFabric } from './network.js';
import { EVENTUAL_BUCKET, eventualReplicas, LOOSE_BUCKET } from './node.js';
import { observeReplicas, observeWrites } from './observe.js';
import { undoAll } from './patch.js';
import { Probes, probeKeys } from './probes.js';
import { SeededRandom } from './random.js';
import { Scheduler } from './scheduler.js';
import { clockDifferenceMs, describeSwarm, drawSwarm, type Focus, focusSwarm, type Swarm } from './swarm.js';
import { Trace } from './trace.js';
import { BucketWorkload } from './workloads/buckets.js';
import { CounterWorkload } from './workloads/counters.js';
import { EventualWorkload } from './workloads/eventual.js';
import { ExpiryWorkload } from './workloads/expiry.js';
import { RegisterWorkload } from './workloads/registers.js';
import { TransferWorkload } from './workloads/transfers.js';
import type { FinalRead, Workload } from './workloads/workload.js';
import { WriteOnceWorkload } from './workloads/write-once.js';

export interface RunOptions {
  readonly seed: string;
  readonly steps: number;
  readonly nodes: number;
  /** What is not left to the seed. */
  readonly focus?: Focus;
}

export interface RunResult {
  readonly ok: boolean;
  readonly seed: string;
  readonly steps: number;
  readonly verificationSteps: number;
  /** Virtual time. */
  readonly simulatedMs: number;
  readonly trace: string;
  readonly operations: number;
  readonly swarm: Record<string, number | string | boolean>;
  readonly faults: Record<string, number>;
  readonly violation: { readonly checker: string; readonly message: string } | undefined;
}

/** Part of the steps that the safety phase may use. */
const SAFETY_SHARE = 0.75;
const FORM_WITHIN_MS = 60_000;
/** After healing every group takes a write at every node within so many election time-outs, and this much besides. */
const LIVENESS_ELECTION_TIMEOUTS = 20;
const LIVENESS_EXTRA_MS = 20_000;
const QUIET_WITHIN_MS = 60_000;
const FINAL_READ_TRIES = 50;
const FINAL_READERS = 16;

export async function runSimulation(options: RunOptions): Promise<RunResult> {
  return new Run(options).run();
}

class Run {
  readonly #options: RunOptions;
  readonly #random: SeededRandom;
  readonly #swarm: Swarm;
  readonly #trace = new Trace();
  readonly #scheduler = new Scheduler(this.#trace);
  readonly #fabric: SimulatedFabric;
  readonly #checkers = new Checkers();
  readonly #cluster: SimulatedCluster;
  readonly #nemesis: Nemesis;
  readonly #workloads: readonly { readonly workload: Workload; readonly clients: number }[];
  /** What is known of the eventual buckets' keys, by bucket. */
  readonly #eventualKeys = new Map<string, EventualKeys>();
  #convergedMs = 0;
  #clientsBusy = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#random = new SeededRandom(`quoin/${options.nodes}/${options.seed}`);
    this.#swarm = focusSwarm(drawSwarm(this.#random.fork('swarm')), options.focus ?? {});
    const swarm = this.#swarm;
    this.#fabric = new SimulatedFabric(this.#scheduler, this.#random.fork('network'), options.nodes);
    this.#cluster = new SimulatedCluster({
      nodes: options.nodes,
      scheduler: this.#scheduler,
      fabric: this.#fabric,
      random: this.#random,
      swarm,
      checkers: this.#checkers,
    });
    this.#nemesis = new Nemesis(this.#cluster, swarm, this.#random.fork('nemesis'));
    const differenceMs = clockDifferenceMs(swarm, 0);
    this.#workloads = [
      { workload: new RegisterWorkload(this.#random.fork('registers')), clients: swarm.registerClients },
      { workload: new CounterWorkload(), clients: swarm.counterClients },
      { workload: new WriteOnceWorkload(swarm.valueBytes), clients: swarm.writeOnceClients },
      { workload: new TransferWorkload(), clients: swarm.transferClients },
      { workload: new ExpiryWorkload(2 * differenceMs, swarm.clockDriftMax), clients: swarm.expiryClients },
      { workload: new BucketWorkload(this.#cluster), clients: swarm.bucketClients },
      { workload: this.#eventualWorkload(EVENTUAL_BUCKET, 2), clients: swarm.eventualClients },
      { workload: this.#eventualWorkload(LOOSE_BUCKET, 1), clients: swarm.looseClients },
    ];
  }

  #eventualWorkload(bucket: string, quorum: number): Workload {
    const n = eventualReplicas(this.#options.nodes);
    const keys = new EventualKeys({
      bucket,
      readRepair: this.#swarm.quorum.readRepair,
      history: this.#cluster,
      membersOf: (key) => this.#cluster.replicasOf(key, n),
      clockDifferenceMs: (nowMs) => clockDifferenceMs(this.#swarm, nowMs),
    });
    this.#eventualKeys.set(bucket, keys);
    const count = Math.min(quorum, n);
    return new EventualWorkload({
      bucket,
      keys,
      n,
      r: count,
      w: count,
      judgeVersion: (version, w) => this.#judgeVersion(version, w),
    });
  }

  #judgeVersion(version: number, w: number): void {
    // After a jump nobody knows what a clock has shown.
    if (this.#swarm.clockJumpEveryMs > 0) return;
    const { wrongClockMs, quorum } = this.#swarm;
    requireWithinDrift(version, w, this.#cluster.wallTimesMs(wrongClockMs), quorum.maxClockDriftMs);
  }

  async run(): Promise<RunResult> {
    const restore = undoAll([
      changeLimits(this.#swarm.limits),
      observeReplicas(this.#checkers, (node, group, error) =>
        this.#cluster.replicaFailed(node, group, error),
      ),
      observeWrites(() => this.#cluster.submitting),
    ]);
    let steps = 0;
    try {
      await this.#form();
      await this.#safety();
      await this.#liveness();
      await this.#until(() => this.#scheduler.steps >= this.#options.steps);
      steps = this.#scheduler.steps;
      await this.#verify();
    } catch (error) {
      this.#cluster.report(error);
    } finally {
      restore();
    }
    if (steps === 0) steps = this.#scheduler.steps;
    return this.#result(Math.min(steps, this.#options.steps));
  }

  /** Executes events until a condition holds; false when virtual time has passed the deadline first. */
  async #until(condition: () => boolean, withinMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const deadlineMs = this.#scheduler.nowMs + withinMs;
    while (!condition()) {
      if (this.#scheduler.nowMs > deadlineMs) return false;
      if (!this.#scheduler.step()) throw new SimulationViolation('simulator', 'nothing is left to happen');
      // What the event resolved goes on before the next event, as between two turns of a real event loop.
      await Promise.resolve();
      if (this.#cluster.violation !== undefined) throw this.#cluster.violation;
    }
    return true;
  }

  async #form(): Promise<void> {
    for (const node of this.#cluster.nodes) this.#cluster.startLater(node, this.#random.float() * 200);
    const formed = await this.#until(
      () => this.#cluster.nodes.every((node) => node.server?.ready() === true),
      FORM_WITHIN_MS,
    );
    if (!formed) throw new SimulationViolation('liveness', `no cluster has formed: ${this.#describeNodes()}`);
  }

  async #safety(): Promise<void> {
    this.#startClients();
    this.#fabric.faults = this.#swarm.network;
    this.#cluster.beginDiskFaults();
    this.#nemesis.start();
    const share = Math.floor(this.#options.steps * SAFETY_SHARE);
    await this.#until(() => this.#scheduler.steps >= share);
    this.#nemesis.stop();
  }

  async #liveness(): Promise<void> {
    const { nodes } = this.#cluster;
    this.#fabric.faults = CALM_NETWORK;
    this.#fabric.healAll();
    this.#cluster.endDiskFaults();
    this.#cluster.healClocks();
    // Groups of a node that has lost its disk have no other member to spare.
    const mayStayDead = this.#swarm.healOnlyMajority && nodes.length > 2 && !nodes.some(({ wiped }) => wiped);
    if (mayStayDead) {
      const dead = this.#random.fork('heal').pick(nodes);
      dead.retired = true;
      this.#cluster.kill(dead, 'keep');
    }
    for (const node of nodes) node.awayUntilMs = 0;
    for (const node of nodes) if (node.state === 'down') this.#cluster.startLater(node, 100);
    const withinMs = LIVENESS_EXTRA_MS + LIVENESS_ELECTION_TIMEOUTS * this.#swarm.electionTimeoutMs;
    const healed = nodes.filter((node) => !node.retired);
    const serving = await this.#until(() => healed.every((node) => node.server?.ready() === true), withinMs);
    if (!serving)
      throw new SimulationViolation('liveness', `healed nodes do not serve: ${this.#describeNodes()}`);
    const probes = new Probes(this.#cluster, this.#swarm);
    probes.start(healed);
    const { waiting } = probes;
    const written = await this.#until(() => waiting.size === 0, withinMs + probes.clocksWithinMs);
    if (!written)
      throw new SimulationViolation(
        'liveness',
        `no write of ${[...waiting].join(', ')} in ${withinMs} ms: ${this.#describeNodes()}`,
      );
  }

  #startClients(): void {
    const thinkMs = this.#swarm.thinkMeanMs;
    for (const { workload, clients } of this.#workloads) {
      for (let i = 0; i < clients; i++) {
        const id = `${workload.name}-${i}`;
        const random = this.#random.fork(id);
        const home = random.chance(this.#swarm.homeRate) ? random.integer(this.#options.nodes) : undefined;
        const client = new SimulatedClient(id, random, this.#cluster, random.chance(0.4), home);
        const next = (): void => {
          if (this.#cluster.closing) return;
          this.#clientsBusy++;
          workload.operate(client, () => {
            this.#clientsBusy--;
            this.#cluster.later(random.exponential(thinkMs), next);
          });
        };
        this.#cluster.later(random.exponential(thinkMs), next);
      }
    }
  }

  async #verify(): Promise<void> {
    this.#cluster.closing = true;
    if (!(await this.#until(() => this.#clientsBusy === 0, QUIET_WITHIN_MS)))
      throw new SimulationViolation('liveness', `${this.#clientsBusy} operations have not ended`);
    await this.#bringBackLast();
    await this.#readAll();
    await this.#converge();
    if (!(await this.#until(() => this.#quiet(), QUIET_WITHIN_MS)))
      throw new SimulationViolation('liveness', `replicas do not catch up: ${this.#describeNodes()}`);
    this.#compareDigests();
    for (const { workload } of this.#workloads) workload.check();
  }

  /** The node that stayed dead may have been away for longer than hints for it live. */
  async #bringBackLast(): Promise<void> {
    const { nodes } = this.#cluster;
    for (const node of nodes) {
      if (!node.retired) continue;
      node.retired = false;
      this.#cluster.startLater(node, 0);
    }
    const serving = await this.#until(
      () => nodes.every((node) => node.server?.ready() === true),
      QUIET_WITHIN_MS,
    );
    if (!serving)
      throw new SimulationViolation('liveness', `the last node does not serve: ${this.#describeNodes()}`);
  }

  async #converge(): Promise<void> {
    const convergence = new Convergence({
      cluster: this.#cluster,
      swarm: this.#swarm,
      keys: this.#eventualKeys,
      otherKeys: probeKeys(this.#cluster),
      n: eventualReplicas(this.#options.nodes),
    });
    const settledAtMs = this.#scheduler.nowMs + convergence.settledWithinMs;
    await this.#until(() => this.#scheduler.nowMs >= settledAtMs);
    const fromMs = this.#scheduler.nowMs;
    if (!(await this.#until(() => convergence.isReached(), convergence.withinMs))) convergence.fail();
    this.#convergedMs = this.#scheduler.nowMs - fromMs;
    let done = false;
    convergence.readEverywhere(() => {
      done = true;
    });
    await this.#until(() => done);
    // Purges may be under way.
    if (!(await this.#until(() => convergence.isReached(), convergence.withinMs))) convergence.fail();
    convergence.requireAllEqual();
  }

  async #readAll(): Promise<void> {
    const reads = this.#workloads.flatMap(({ workload }) => workload.finalReads());
    let next = 0;
    let readers = 0;
    const readNext = (client: SimulatedClient): void => {
      const read = reads[next++];
      if (read === undefined) {
        readers--;
        return;
      }
      this.#readUntilAnswered(client, read, FINAL_READ_TRIES, () => readNext(client));
    };
    for (let i = 0; i < Math.min(FINAL_READERS, reads.length); i++) {
      readers++;
      readNext(new SimulatedClient(`reader-${i}`, this.#random.fork(`reader-${i}`), this.#cluster, false));
    }
    await this.#until(() => readers === 0);
  }

  #readUntilAnswered(client: SimulatedClient, read: FinalRead, tries: number, done: () => void): void {
    read(client, (answered) => {
      if (answered) return done();
      if (tries === 0) throw new SimulationViolation('liveness', 'a final read gets no answer');
      client.later(100, () => this.#readUntilAnswered(client, read, tries - 1, done));
    });
  }

  /** True when all live replicas of each group have applied the same entries, and all there are. */
  #quiet(): boolean {
    const applied = new Map<number, number>();
    for (const node of this.#cluster.running()) {
      for (const { group, local } of node.server?.groupStatus() ?? []) {
        if (local === undefined) continue;
        if (local.appliedIndex !== local.lastIndex) return false;
        const other = applied.get(group);
        if (other === undefined) applied.set(group, local.appliedIndex);
        else if (other !== local.appliedIndex) return false;
      }
    }
    return true;
  }

  #compareDigests(): void {
    const running = this.#cluster.running();
    const map = this.#cluster.layout;
    const members = new Map(
      map.groups.map(({ id, members }) => [
        id,
        running.flatMap((node) =>
          // Who has lost its disk holds nothing of a Raft group.
          members.includes(node.id) && !node.wiped && node.server !== undefined ? [node.server] : [],
        ),
      ]),
    );
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      this.#trace.add(requireEqualDigests(slot, members.get(map.slotOwners[slot] ?? 0) ?? []));
  }

  #describeNodes(): string {
    return this.#cluster.nodes
      .map(({ id, state, server, retired }) => {
        const groups = (server?.groupStatus() ?? [])
          .map(({ group, leader, local }) =>
            local === undefined
              ? `${group}: leader ${leader ?? '?'}`
              : `${group}: ${local.role} t${local.term} c${local.commitIndex} a${local.appliedIndex} l${local.lastIndex} leader ${leader ?? '?'}`,
          )
          .join('; ');
        const phase = server?.state();
        return `${id} ${retired ? 'retired' : state} ${phase?.phase ?? ''} ${phase?.reason ?? ''} {${groups}}`;
      })
      .join(' | ');
  }

  #result(steps: number): RunResult {
    const { violation } = this.#cluster;
    const disks = { syncs: 0, syncFailures: 0, tornCrashes: 0, bitFlips: 0 };
    for (const { machine } of this.#cluster.nodes) {
      const { counters } = machine.disk;
      disks.syncs += counters.syncs;
      disks.syncFailures += counters.syncFailures;
      disks.tornCrashes += counters.tornCrashes;
      disks.bitFlips += counters.bitFlips;
    }
    return {
      ok: violation === undefined,
      seed: this.#options.seed,
      steps,
      verificationSteps: this.#scheduler.steps - steps,
      simulatedMs: Math.round(this.#scheduler.nowMs),
      trace: this.#trace.digest(),
      operations: this.#workloads.reduce((sum, { workload }) => sum + workload.operations, 0),
      swarm: describeSwarm(this.#swarm),
      faults: {
        ...this.#nemesis.counters,
        ...this.#fabric.counters,
        ...disks,
        ...this.#cluster.counters,
        terms: this.#checkers.leaders.terms,
        entries: this.#checkers.logs.entries,
        convergedMs: Math.round(this.#convergedMs),
      },
      violation:
        violation === undefined
          ? undefined
          : {
              checker: violation instanceof SimulationViolation ? violation.checker : violation.name,
              message:
                violation instanceof SimulationViolation
                  ? violation.message
                  : (violation.stack ?? violation.message),
            },
    };
  }
}
