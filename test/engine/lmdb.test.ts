import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { open } from 'lmdb';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { LmdbDiskStore } from '../../src/engine/lmdb/lmdb-disk-store.js';
import { RealClock } from '../../src/env/real/clock.js';
import { RealDisk } from '../../src/env/real/disk.js';
import { commit, contents, testDiskStore, writeOf } from './disk-store-conformance.js';
import { openLmdb, removeDirectory, temporaryDirectory } from './support-lmdb.js';

function flipBitOf(directory: string, wanted: Buffer): void {
  const path = join(directory, 'data.mdb');
  const bytes = readFileSync(path);
  let found = 0;
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
    bytes[at + 3]! ^= 4;
    found++;
  }
  expect(found).toBeGreaterThan(0);
  writeFileSync(path, bytes);
}

testDiskStore('LMDB', async () => {
  const directory = temporaryDirectory();
  return {
    open: async () => openLmdb(directory),
    flipValueBit: async (_table, _key, value) => flipBitOf(directory, value),
    destroy: async () => removeDirectory(directory),
  };
});

describe('the LMDB store', () => {
  let directory: string;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => removeDirectory(directory));

  test('grows with what is committed to it', async () => {
    const store = openLmdb(directory);
    const table = store.openTable('t');
    for (let batch = 0; batch < 3; batch++) {
      const writes = Array.from({ length: 40 }, (_, i) => writeOf(`${batch} ${i}`, Buffer.alloc(500_000, i)));
      await commit(store, { tables: new Map([['t', writes]]) });
    }
    expect(contents(table).length).toBe(120);
    await store.close();
  });

  test('lets the event loop turn while a large batch is written', async () => {
    const real = new RealClock();
    let pauses = 0;
    const clock = new RealClock();
    clock.defer = (callback) => {
      pauses++;
      real.defer(callback);
    };
    const store = new LmdbDiskStore({ directory, clock, disk: new RealDisk() });
    store.openTable('t');
    await commit(store, {
      tables: new Map([['t', Array.from({ length: 20_000 }, (_, i) => writeOf(`key ${i}`, 'v'))]]),
    });
    // At most 2000 writes a turn.
    expect(pauses).toBeGreaterThanOrEqual(9);
    await store.close();
  });

  test('a table first opened while a commit is under way is written by the next', async () => {
    const store = openLmdb(directory);
    store.openTable('t');
    const large = commit(store, {
      tables: new Map([['t', Array.from({ length: 10_000 }, (_, i) => writeOf(`key ${i}`, 'v'))]]),
    });
    await new Promise(setImmediate);
    const late = store.openTable('late');
    expect(contents(late)).toEqual([]);
    await large;
    await commit(store, { tables: new Map([['late', [writeOf('x', '1')]]]) });
    expect(contents(late)).toEqual([['x', '1']]);
    await store.close();
  });

  test('closing waits for a commit under way', async () => {
    const store = openLmdb(directory);
    store.openTable('t');
    const large = commit(store, {
      tables: new Map([['t', Array.from({ length: 10_000 }, (_, i) => writeOf(`key ${i}`, 'v'))]]),
    });
    await store.close();
    await large;
    const next = openLmdb(directory);
    expect(contents(next.openTable('t')).length).toBe(10_000);
    await next.close();
  });

  test('a damaged note is refused', async () => {
    const store = openLmdb(directory);
    await commit(store, { notes: new Map([['n', Buffer.from('a note unlike anything else here')]]) });
    await store.close();
    flipBitOf(directory, Buffer.from('a note unlike anything else here'));
    const next = openLmdb(directory);
    expect(() => next.note('n')).toThrow(expect.objectContaining({ code: 'CHECKPOINT_DAMAGED' }));
    await next.close();
  });

  test('a file of another kind, of another program, or of a newer version is refused with its reason', async () => {
    const file = join(directory, 'data.mdb');
    writeFileSync(file, Buffer.alloc(100_000, 'not a database '));
    expect(() => openLmdb(directory)).toThrow(expect.objectContaining({ code: 'FOREIGN_DIRECTORY' }));
    removeDirectory(directory);

    const foreign = open({ path: directory, noSubdir: false, overlappingSync: false, encoding: 'binary' });
    await foreign.put('somebody', Buffer.from('else'));
    await foreign.close();
    expect(() => openLmdb(directory)).toThrow(expect.objectContaining({ code: 'FOREIGN_DIRECTORY' }));
    removeDirectory(directory);

    const store = openLmdb(directory);
    await store.close();
    flipFormat(file);
    expect(() => openLmdb(directory)).toThrow(expect.objectContaining({ code: 'LOG_TOO_NEW' }));
  });

  test('a file that was cut short is refused instead of ending the process', async () => {
    const store = openLmdb(directory);
    store.openTable('t');
    const writes = Array.from({ length: 5000 }, (_, i) => writeOf(`key ${i}`, 'v'.repeat(100)));
    await commit(store, { tables: new Map([['t', writes]]) });
    await store.close();
    truncateSync(join(directory, 'data.mdb'), 20_000);
    expect(() => openLmdb(directory)).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_DAMAGED', message: expect.stringMatching(/cut short/) }),
    );
  });

  test('when the disk is full the commit fails with that reason and nothing of it remains', () => {
    // The shell bounds the size of files; the system then answers as a full disk does.
    const script = fileURLToPath(new URL('./lmdb-full-disk.ts', import.meta.url));
    const run = spawnSync(
      'bash',
      [
        '-c',
        'trap "" XFSZ; ulimit -f 2000; exec "$0" --import tsx "$1" "$2"',
        process.execPath,
        script,
        directory,
      ],
      { encoding: 'utf8' },
    );
    expect(run.stdout).toBe('DISK_FULL; then DISK_FULL; holds before\n');
    expect(run.status).toBe(0);
  });

  test('a process killed at any moment leaves whole batches, and every one that it reported', async () => {
    const random = new SeededRandom('kills');
    const script = fileURLToPath(new URL('./lmdb-writer.ts', import.meta.url));
    let reached = 0;
    for (let kill = 0; kill < 5; kill++) {
      const child = spawn(process.execPath, ['--import', 'tsx', script, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const killAfter = reached + 1 + random.integer(4);
      const delayMs = random.float() * 12;
      let reported = reached;
      for await (const line of createInterface({ input: child.stdout })) {
        reported = Number(line);
        // The moment of the kill is spread over the next commit.
        if (reported === killAfter) setTimeout(() => child.kill('SIGKILL'), delayMs);
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      expect(child.signalCode).toBe('SIGKILL');
      const store = openLmdb(directory);
      reached = Number(store.note('batch'));
      expect(reached).toBeGreaterThanOrEqual(reported);
      const wanted = String(reached).repeat(20);
      for (const name of ['a', 'b']) {
        const found = contents(store.openTable(name));
        expect(found.length).toBeGreaterThan(1400);
        expect(found.filter(([, value]) => value !== wanted)).toEqual([]);
      }
      const tagged = contents(store.openTable('b')).filter(([key]) => key.startsWith('{s}'));
      expect(tagged.map(([key]) => key)).toEqual([`{s}${reached}`]);
      await store.close();
    }
  });
});

/** Makes the store's format a later one, as its own later version would. */
function flipFormat(file: string): void {
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf('quoin-lmdb/1'); at >= 0; at = bytes.indexOf('quoin-lmdb/1', at + 1))
    bytes.write('quoin-lmdb/2', at);
  writeFileSync(file, bytes);
}
