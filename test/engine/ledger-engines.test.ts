import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import type { DiskStore, EngineKind } from '../../src/engine/types.js';
import { RealClock } from '../../src/env/real/clock.js';
import { testEngine } from './conformance.js';
import { openLmdb, removeDirectory, temporaryDirectory } from './support-lmdb.js';

const clock = new RealClock();

/** An engine as a node has it: through the engine host, with checkpoints. */
function hosted(
  engine: EngineKind,
  replication: string,
  openDiskStore: () => DiskStore,
  destroy: () => void,
) {
  const bucket = { id: 3, name: 'bucket', engine, replication };
  let host = new EngineHost({ openDiskStore, clock });
  let running: Promise<void> | undefined;
  const beginCheckpoint = (): void => {
    running ??= new Promise<void>((resolve, reject) => {
      host.checkpoint(new Map(), (error) => {
        running = undefined;
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  };
  const endCheckpoint = async (): Promise<void> => {
    await running;
  };
  return {
    engine: () => host.open(bucket),
    beginCheckpoint,
    endCheckpoint,
    restart: async (): Promise<void> => {
      await endCheckpoint();
      beginCheckpoint();
      await endCheckpoint();
      await host.close();
      host = new EngineHost({ openDiskStore, clock });
    },
    close: async (): Promise<void> => {
      await endCheckpoint();
      await host.close();
      destroy();
    },
  };
}

for (const [engine, replication] of [
  ['lmdb', 'raft'],
  ['memory', 'raft'],
  ['memory', 'quorum'],
] as const) {
  testEngine(
    `a hosted ${engine} engine of a ${replication} bucket over the simulated store`,
    async () => {
      const disk = new SimulatedDiskContents();
      return hosted(
        engine,
        replication,
        () => new SimulatedDiskStore(disk, { clock }),
        () => {},
      );
    },
    200,
  );
  testEngine(
    `a hosted ${engine} engine of a ${replication} bucket over LMDB`,
    async () => {
      const directory = temporaryDirectory();
      return hosted(
        engine,
        replication,
        () => openLmdb(directory),
        () => removeDirectory(directory),
      );
    },
    25,
  );
}
