/**
 * The nemesis: kills, cuts off, pauses and confuses nodes at random times, as the swarm tells it, until it is stopped.
 * Each kind of fault follows its own clock and its own generator, so that one does not shift another.
 */
import type { SimulatedCluster } from './cluster.js';
import type { CrashMode } from './inode.js';
import type { SeededRandom } from './random.js';
import type { Swarm } from './swarm.js';

export interface NemesisCounters {
  crashes: number;
  massCrashes: number;
  powerLosses: number;
  partitions: number;
  oneWayPartitions: number;
  pauses: number;
  clockJumps: number;
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
    this.#every('crash', this.#swarm.crashEveryMs, (random) => this.#crash(random));
    this.#every('partition', this.#swarm.partitionEveryMs, (random) => this.#partition(random));
    this.#every('pause', this.#swarm.pauseEveryMs, (random) => this.#pause(random));
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

  #crashMode(random: SeededRandom): CrashMode {
    if (!random.chance(this.#swarm.powerLossRate)) return 'keep';
    this.counters.powerLosses++;
    return random.chance(this.#swarm.tornWriteRate) ? 'tear' : 'lose';
  }

  #crash(random: SeededRandom): void {
    const { nodes } = this.#cluster;
    const all = random.chance(this.#swarm.massCrashRate);
    const victims = all ? nodes : [random.pick(nodes)];
    if (all) this.counters.massCrashes++;
    for (const node of victims) {
      if (node.state === 'down') continue;
      this.counters.crashes++;
      this.#cluster.kill(node, this.#crashMode(random));
      if (random.chance(this.#swarm.bitFlipRate)) this.#cluster.flipBit(node);
      this.#cluster.startLater(node, random.exponential(this.#swarm.downMeanMs));
    }
  }

  #partition(random: SeededRandom): void {
    const { fabric, nodes } = this.#cluster;
    const order = random.shuffle(nodes.map((node) => node.index));
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

  #pause(random: SeededRandom): void {
    const node = random.pick(this.#cluster.nodes);
    const process = node.machine.process;
    if (process === undefined) return;
    this.counters.pauses++;
    process.busyUntilMs = Math.max(
      process.busyUntilMs,
      this.#cluster.nowMs + random.exponential(this.#swarm.pauseMeanMs),
    );
  }

  #jump(random: SeededRandom): void {
    const { clock } = random.pick(this.#cluster.nodes).machine;
    this.counters.clockJumps++;
    const bound = this.#swarm.clockSkewMaxMs + this.#swarm.clockJumpMaxMs;
    clock.skewMs = Math.round(random.between(-bound, bound));
  }
}
