/**
 * The home of one machine's disk engines: its contents outlive the processes that open it.
 *
 * A commit becomes durable at one instant, and its process hears of that only a little later: a process killed in
 * between has committed more than it knows.
 */
import type { DiskBatch, DiskStore, DiskTable, EngineKind } from '../src/engine/types.js';
import type { Clock } from '../src/env/env.js';
import { SimulatedDiskContents, SimulatedDiskStore } from './disk-store.js';
import type { SeededRandom } from './random.js';

export class NodeStorage {
  readonly #contents = new SimulatedDiskContents();
  readonly #random: SeededRandom;
  readonly #meanLatencyMs: number;
  #store: SimulatedDiskStore | undefined;
  commits = 0;

  constructor(random: SeededRandom, meanLatencyMs: number) {
    this.#random = random;
    this.#meanLatencyMs = meanLatencyMs;
  }

  /** Opens it for a process, whose clock tells when commits end. */
  open(clock: Clock): DiskStore {
    const latencyMs = (): number => 0.1 + this.#random.exponential(this.#meanLatencyMs);
    this.#store = new SimulatedDiskStore(this.#contents, { clock, commitLatencyMs: latencyMs });
    return new LateStore(this.#store, clock, latencyMs, () => {
      this.commits++;
    });
  }

  /** The process, or the machine, has died. */
  crash(): void {
    this.#store?.crash();
    this.#store = undefined;
  }

  wipe(): void {
    this.crash();
    this.#contents.wipe();
  }
}

class LateStore implements DiskStore {
  readonly kind: EngineKind;
  readonly #store: DiskStore;
  readonly #clock: Clock;
  readonly #latencyMs: () => number;
  readonly #committed: () => void;

  constructor(store: DiskStore, clock: Clock, latencyMs: () => number, committed: () => void) {
    this.kind = store.kind;
    this.#store = store;
    this.#clock = clock;
    this.#latencyMs = latencyMs;
    this.#committed = committed;
  }

  tables(): string[] {
    return this.#store.tables();
  }

  openTable(name: string): DiskTable {
    return this.#store.openTable(name);
  }

  dropTable(name: string): void {
    this.#store.dropTable(name);
  }

  note(name: string): Buffer | undefined {
    return this.#store.note(name);
  }

  commit(batch: DiskBatch, onDurable: (error: Error | undefined) => void): void {
    this.#store.commit(batch, (error) => {
      this.#committed();
      this.#clock.setTimer(this.#latencyMs(), () => onDurable(error));
    });
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
