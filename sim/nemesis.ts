/**
 * The nemesis: kills, cuts off, pauses and confuses nodes at random times, as the swarm tells it, until it is stopped.
 * Each kind of fault follows its own clock and its own generator, so that one does not shift another.
 */
import type { ClusterNode, SimulatedCluster } from './cluster.js';
import type { CrashMode } from './inode.js';
import type { SeededRandom } from './random.js';
import type { Swarm } from './swarm.js';

/** In a mass crash each node dies with this probability. */
const MASS_CRASH_SHARE = 0.75;

/** How long a node that was paused stays cut off, on average. */
const ISOLATION_AFTER_PAUSE_MS = 200;

export interface NemesisCounters {
  crashes: number;
  massCrashes: number;
  powerLosses: number;
  partitions: number;
  oneWayPartitions: number;
  pauses: number;
  clockJumps: number;
  diskStalls: number;
  wipedDisks: number;
  absences: number;
  wrongClocks: number;
}

export class Nemesis {
  readonly counters: NemesisCounters = {
    crashes: 0,
    massCrashes: 0,
    powerLosses: 0,
    partitions: 0,
    oneWayPartitions: 0,
    pauses: 0,
    clockJumps: 0,
    diskStalls: 0,
    wipedDisks: 0,
    absences: 0,
    wrongClocks: 0,
  };
  readonly #cluster: SimulatedCluster;
  readonly #swarm: Swarm;
  readonly #random: SeededRandom;
  #stopped = false;

  constructor(cluster: SimulatedCluster, swarm: Swarm, random: SeededRandom) {
    this.#cluster = cluster;
    this.#swarm = swarm;
    this.#random = random;
  }

  start(): void {
    this.#setClockWrong();
    this.#every('crash', this.#swarm.crashEveryMs, (random) => this.#crash(random));
    this.#every('partition', this.#swarm.partitionEveryMs, (random) => this.#partition(random));
    this.#every('disk stall', this.#swarm.diskStallEveryMs, (random) => this.#stallDisks(random));
    this.#every('pause', this.#swarm.pauseEveryMs, (random) => this.#pause(random));
    this.#wipe();
    this.#every('away', this.#swarm.awayEveryMs, (random) => this.#sendAway(random));
    this.#every('clock', this.#swarm.clockJumpEveryMs, (random) => this.#jump(random));
  }

  /** No fault begins any more; what is broken stays so until the cluster is healed. */
  stop(): void {
    this.#stopped = true;
  }

  #every(name: string, meanMs: number, act: (random: SeededRandom) => void): void {
    if (meanMs === 0) return;
    const random = this.#random.fork(name);
    const wait = (): void => {
      this.#cluster.later(random.exponential(meanMs), () => {
        if (this.#stopped) return;
        act(random);
        wait();
      });
    };
    wait();
  }

  /** Any node, or one that leads some group: faults that meet leaders find more. */
  #victim(random: SeededRandom): ClusterNode {
    const node = random.pick(this.#cluster.nodes);
    if (!random.chance(this.#swarm.leaderBias)) return node;
    const groups = node.server?.groupStatus() ?? [];
    const leader = groups.length === 0 ? undefined : random.pick(groups).leader;
    return this.#cluster.nodes.find(({ id }) => id === leader) ?? node;
  }

  #crashMode(random: SeededRandom): CrashMode {
    if (!random.chance(this.#swarm.powerLossRate)) return 'keep';
    this.counters.powerLosses++;
    return random.chance(this.#swarm.tornWriteRate) ? 'tear' : 'lose';
  }

  #crash(random: SeededRandom): void {
    const { nodes } = this.#cluster;
    const all = random.chance(this.#swarm.massCrashRate);
    const victims = all ? nodes.filter(() => random.chance(MASS_CRASH_SHARE)) : [this.#victim(random)];
    if (all) this.counters.massCrashes++;
    for (const node of victims) {
      if (node.state === 'down') continue;
      this.counters.crashes++;
      this.#cluster.kill(node, this.#crashMode(random));
      if (random.chance(this.#swarm.bitFlipRate)) this.#cluster.flipBit(node);
      this.#cluster.startLater(node, random.exponential(this.#swarm.downMeanMs));
    }
  }

  #setClockWrong(): void {
    const { wrongClockMs } = this.#swarm;
    if (wrongClockMs === 0) return;
    this.counters.wrongClocks++;
    const { clock } = this.#random.fork('wrong clock').pick(this.#cluster.nodes).machine;
    clock.aheadMs = wrongClockMs;
    clock.wasWrong = true;
  }

  /** One node at a time. */
  #sendAway(random: SeededRandom): void {
    const { nodes } = this.#cluster;
    if (nodes.some(({ awayUntilMs }) => awayUntilMs > this.#cluster.nowMs)) return;
    const node = random.pick(nodes);
    if (node.state === 'down') return;
    const awayMs = random.exponential(this.#swarm.awayMeanMs);
    node.awayUntilMs = this.#cluster.nowMs + awayMs;
    this.counters.absences++;
    this.#cluster.kill(node, this.#crashMode(random));
    this.#cluster.startLater(node, awayMs);
  }

  /** Only where the others are a majority of every group, and so never a second node; the same one perhaps again and again. */
  #wipe(): void {
    const { nodes } = this.#cluster;
    const { wipeWithinMs, wipeAgainMeanMs } = this.#swarm;
    if (wipeWithinMs === 0 || nodes.length < 3) return;
    const random = this.#random.fork('wipe');
    const wipe = (node: ClusterNode): void => {
      if (this.#stopped) return;
      this.counters.wipedDisks++;
      this.#cluster.wipe(node);
      if (wipeAgainMeanMs > 0) this.#cluster.later(random.exponential(wipeAgainMeanMs), () => wipe(node));
    };
    this.#cluster.later(random.float() * wipeWithinMs, () => wipe(random.pick(nodes)));
  }

  /** What was written during a stall is lost when power goes before it ends: nobody may have counted on it. */
  #stallDisks(random: SeededRandom): void {
    const { nodes } = this.#cluster;
    const stalled = random.chance(0.5)
      ? [this.#victim(random)]
      : nodes.filter(() => random.chance(MASS_CRASH_SHARE));
    const stallMs = random.exponential(this.#swarm.diskStallMeanMs);
    this.counters.diskStalls++;
    for (const { machine } of stalled) machine.disk.stallUntil(this.#cluster.nowMs + stallMs);
    if (this.#swarm.powerLossRate === 0 || random.chance(0.5)) return;
    const mode = random.chance(this.#swarm.tornWriteRate) ? 'tear' : 'lose';
    this.#cluster.later(stallMs * random.float(), () => {
      if (this.#stopped) return;
      for (const node of stalled) {
        if (node.state === 'down') continue;
        this.counters.crashes++;
        this.counters.powerLosses++;
        this.#cluster.kill(node, mode);
        this.#cluster.startLater(node, random.exponential(this.#swarm.downMeanMs));
      }
    });
  }

  #partition(random: SeededRandom): void {
    const { fabric, nodes } = this.#cluster;
    const victim = this.#victim(random).index;
    const others = nodes.map((node) => node.index).filter((index) => index !== victim);
    const order = [victim, ...random.shuffle(others)];
    // One node alone is the most common cut; otherwise two halves of any size.
    const size = random.chance(0.5) ? 1 : 1 + random.integer(order.length - 1);
    const inside = order.slice(0, size);
    const outside = order.slice(size);
    const oneWay = random.chance(this.#swarm.oneWayRate);
    const inward = random.chance(0.5);
    this.counters.partitions++;
    if (oneWay) this.counters.oneWayPartitions++;
    for (const a of inside) {
      for (const b of outside) {
        if (!oneWay || inward) fabric.block(b, a);
        if (!oneWay || !inward) fabric.block(a, b);
      }
    }
    this.#cluster.later(random.exponential(this.#swarm.partitionMeanMs), () => fabric.healAll());
  }

  /** A paused node may be cut off too, until a while after it goes on: it does not hear at once what it has missed. */
  #pause(random: SeededRandom): void {
    const { nodes, fabric, nowMs } = this.#cluster;
    const victim = this.#victim(random);
    const { process } = victim.machine;
    if (process === undefined) return;
    this.counters.pauses++;
    const pauseMs = random.exponential(this.#swarm.pauseMeanMs);
    process.busyUntilMs = Math.max(process.busyUntilMs, nowMs + pauseMs);
    if (!random.chance(this.#swarm.isolatedPauseRate)) return;
    this.counters.partitions++;
    for (const { index } of nodes) {
      fabric.block(victim.index, index);
      fabric.block(index, victim.index);
    }
    this.#cluster.later(pauseMs + random.exponential(ISOLATION_AFTER_PAUSE_MS), () => fabric.healAll());
  }

  #jump(random: SeededRandom): void {
    const { clock } = random.pick(this.#cluster.nodes).machine;
    this.counters.clockJumps++;
    const bound = this.#swarm.clockSkewMaxMs + this.#swarm.clockJumpMaxMs;
    clock.skewMs = Math.round(random.between(-bound, bound));
  }
}
