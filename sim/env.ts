/**
 * The `Env` of one simulated node: its machine (disk and clock, which outlive it) and one life of its process.
 */
import type { Env } from '../src/env/env.js';
import { addressOfNode } from './addresses.js';
import { MachineClock, SimulatedClock } from './clock.js';
import { type DiskFaults, SimulatedDisk } from './disk.js';
import type { CrashMode } from './inode.js';
import type { SimulatedFabric } from './network.js';
import type { SeededRandom } from './random.js';
import { type Scheduler, SimulatedProcess } from './scheduler.js';

export interface MachineOptions {
  readonly node: number;
  readonly scheduler: Scheduler;
  readonly fabric: SimulatedFabric;
  readonly random: SeededRandom;
  readonly diskFaults: DiskFaults;
  readonly clockSkewMs: number;
  /** Monotonic milliseconds per virtual millisecond. */
  readonly clockRate: number;
}

/** A machine: it keeps its disk and its clock while processes come and go on it. */
export class SimulatedMachine {
  readonly node: number;
  readonly disk: SimulatedDisk;
  readonly clock: MachineClock;
  readonly #scheduler: Scheduler;
  readonly #fabric: SimulatedFabric;
  readonly #random: SeededRandom;
  #lives = 0;
  #process: SimulatedProcess | undefined;

  constructor(options: MachineOptions) {
    this.node = options.node;
    this.#scheduler = options.scheduler;
    this.#fabric = options.fabric;
    this.#random = options.random.fork(`machine-${options.node}`);
    this.disk = new SimulatedDisk(options.scheduler, this.#random.fork('disk'), options.diskFaults);
    this.clock = new MachineClock(options.clockSkewMs, options.clockRate, this.#random.integer(1e9));
  }

  /** Where its peers find it. */
  get address(): string {
    return addressOfNode(this.node);
  }

  /** The process that runs now, if any. */
  get process(): SimulatedProcess | undefined {
    return this.#process;
  }

  /** Starts a process; the one before must have been killed. */
  start(): { readonly process: SimulatedProcess; readonly env: Env } {
    if (this.#process !== undefined) throw new Error(`node ${this.node} runs already`);
    const process = new SimulatedProcess(this.node);
    this.#process = process;
    const random = this.#random.fork(`life-${this.#lives++}`);
    return {
      process,
      env: {
        clock: new SimulatedClock(this.#scheduler, this.clock, process, random.fork('clock')),
        random: random.fork('env'),
        disk: this.disk.view(process),
        network: this.#fabric.view(process),
      },
    };
  }

  /** Ends the process at once. With 'keep' only the process died; else the machine lost power. */
  kill(mode: CrashMode): void {
    const process = this.#process;
    if (process === undefined) return;
    process.alive = false;
    this.#process = undefined;
    this.#fabric.processKilled(process);
    this.disk.crash(mode);
  }
}
