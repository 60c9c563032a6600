/** Stores of eventual buckets for tests: over real engines and a simulated disk. */
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import type { EngineKind } from '../../src/engine/types.js';
import { RealClock } from '../../src/env/real/clock.js';
import { composeVersion } from '../../src/protocol/quorum/clock.js';
import { DELETED_MS } from '../../src/protocol/quorum/types.js';
import { QuorumStore } from '../../src/store/quorum/quorum-store.js';
import type { BucketDescription, QuorumPolicy } from '../../src/store/types.js';

const clock = new RealClock();

/** The wall clock of these tests. */
export const NOW_MS = 1_800_000_000_000;

export const NO_VALUE = Buffer.alloc(0);

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** A version given so long before `NOW_MS`. */
export function versionAgo(agoMs: number, counter = 0, ordinal = 0): number {
  return composeVersion(NOW_MS - agoMs, counter, ordinal);
}

export function quorumBucket(
  id: number,
  engine: EngineKind = 'memory',
  policy: Partial<QuorumPolicy> = {},
  more: Partial<BucketDescription> = {},
): BucketDescription {
  return {
    id,
    name: `bucket ${id}`,
    replication: 'quorum',
    engine,
    ttlMs: 0,
    quorum: {
      n: 3,
      r: 2,
      w: 2,
      readRepair: true,
      hintedHandoff: true,
      antiEntropy: true,
      flushedThrough: 0,
      ...policy,
    },
    ...more,
  };
}

/** A machine with one disk; `store` is the one of the process that runs. */
export class StoreMachine {
  readonly disk = new SimulatedDiskContents();
  #diskStore: SimulatedDiskStore | undefined;
  host!: EngineHost;
  store!: QuorumStore;

  constructor() {
    this.start();
  }

  /** Starts a process; one that ran before is dead. Buckets are for the caller to open. */
  start(): void {
    this.#diskStore?.crash();
    this.host = new EngineHost({
      openDiskStore: () => {
        this.#diskStore = new SimulatedDiskStore(this.disk, { clock });
        return this.#diskStore;
      },
      clock,
    });
    this.store = new QuorumStore({ engines: this.host });
    const head = this.host.note('head');
    if (head !== undefined) this.store.restoreHead(head);
  }

  checkpoint(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.host.checkpoint(new Map([['head', this.store.encodeHead()]]), (error) =>
        error === undefined ? resolve() : reject(error),
      );
    });
  }

  put(bucketId: number, key: string, value: string, version: number, expiresAtMs = 0): string {
    return this.store.merge(bucketId, bytes(key), bytes(value), version, expiresAtMs, NOW_MS);
  }

  delete(bucketId: number, key: string, version: number): string {
    return this.store.merge(bucketId, bytes(key), NO_VALUE, version, DELETED_MS, NOW_MS);
  }

  value(bucketId: number, key: string): string | undefined {
    return this.store.read(bucketId, bytes(key))?.value.toString('latin1');
  }
}
