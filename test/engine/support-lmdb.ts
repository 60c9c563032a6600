/** Directories for LMDB stores in tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LmdbDiskStore } from '../../src/engine/lmdb/lmdb-disk-store.js';
import { RealClock } from '../../src/env/real/clock.js';
import { RealDisk } from '../../src/env/real/disk.js';

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'quoin-lmdb-'));
}

export function removeDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

export function openLmdb(directory: string): LmdbDiskStore {
  return new LmdbDiskStore({ directory, clock: new RealClock(), disk: new RealDisk() });
}
