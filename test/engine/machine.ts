/** A machine for tests of engines: one disk, and one process at a time with a host on it. */
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import { RealClock } from '../../src/env/real/clock.js';

export const clock = new RealClock();
export const NO_NOTES: ReadonlyMap<string, Buffer | undefined> = new Map();

export class Machine {
  readonly disk = new SimulatedDiskContents();
  store!: SimulatedDiskStore;
  host!: EngineHost;

  constructor() {
    this.start();
  }

  /** Starts a process; one that ran before is dead. */
  start(): void {
    this.store?.crash();
    this.host = new EngineHost({
      openDiskStore: () => {
        this.store = new SimulatedDiskStore(this.disk, { clock });
        return this.store;
      },
      clock,
    });
  }

  checkpoint(notes = NO_NOTES): Promise<void> {
    return new Promise((resolve, reject) => {
      this.host.checkpoint(notes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}
