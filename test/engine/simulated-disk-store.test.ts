import { describe, expect, test } from 'vitest';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { tokenOf } from '../../src/base/slots.js';
import { RealClock } from '../../src/env/real/clock.js';
import { commit, contents, testDiskStore, writeOf } from './disk-store-conformance.js';

const clock = new RealClock();

testDiskStore('the simulated store', async () => {
  const disk = new SimulatedDiskContents();
  return {
    open: async () => new SimulatedDiskStore(disk, { clock }),
    flipValueBit: async (table, key) => disk.damage(table, tokenOf(key), key),
    destroy: async () => {},
  };
});

describe('a crash of the simulated store', () => {
  const batch = { tables: new Map([['t', [writeOf('x', '1')]]]), notes: new Map([['n', Buffer.from('1')]]) };

  test('loses a commit under way and keeps one that was reported', async () => {
    const disk = new SimulatedDiskContents();
    const store = new SimulatedDiskStore(disk, { clock });
    await commit(store, batch);
    let told = false;
    store.commit({ tables: new Map([['t', [writeOf('x', '2')]]]), notes: new Map() }, () => {
      told = true;
    });
    store.crash();
    const next = new SimulatedDiskStore(disk, { clock });
    await commit(next, { notes: new Map([['m', Buffer.from('2')]]) });
    expect(told).toBe(false);
    expect(contents(next.openTable('t'))).toEqual([['x', '1']]);
    expect(next.note('m')?.toString()).toBe('2');
  });

  test('a failed commit may be lost or durable, and no later one succeeds', async () => {
    for (const outcome of ['lost', 'durable'] as const) {
      const disk = new SimulatedDiskContents();
      const store = new SimulatedDiskStore(disk, { clock });
      store.failNextCommit(new Error('the sync failed'), outcome);
      await expect(commit(store, batch)).rejects.toThrow('the sync failed');
      await expect(commit(store, { notes: new Map([['m', Buffer.from('2')]]) })).rejects.toThrow(
        'the sync failed',
      );
      const next = new SimulatedDiskStore(disk, { clock });
      expect(next.note('n')?.toString()).toBe(outcome === 'durable' ? '1' : undefined);
      expect(next.note('m')).toBeUndefined();
    }
  });
});
