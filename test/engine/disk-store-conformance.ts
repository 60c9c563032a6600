/** What every disk store must do, as one function. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstTokenOfSlot, slotOfToken, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { recordChecksum, recordDigest } from '../../src/engine/checksum.js';
import type { DiskBatch, DiskStore, DiskTable, DiskWrite } from '../../src/engine/types.js';

/** One place on a disk, and ways to treat it badly. */
export interface DiskStoreHarness {
  /** Opens the store there; one at a time. */
  open(): Promise<DiskStore>;
  /** Flips a bit of a stored value, while no store is open. The value must be unlike anything else stored. */
  flipValueBit(table: string, key: Buffer, value: Buffer): Promise<void>;
  destroy(): Promise<void>;
}

export function commit(store: DiskStore, batch: Partial<DiskBatch>): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit({ tables: new Map(), notes: new Map(), ...batch }, (error) =>
      error === undefined ? resolve() : reject(error),
    );
  });
}

export function writeOf(text: string, value: string | Buffer | undefined, version = 1): DiskWrite {
  const key = Buffer.from(text, 'latin1');
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return { token: tokenOf(key), key, value: bytes, version, expiresAtMs: 0 };
}

/** Keys and values of a table, in order. */
export function contents(table: DiskTable): [string, string][] {
  const found: [string, string][] = [];
  table.scan(0, TOKEN_END, (_token, key, record) => {
    found.push([key.toString('latin1'), record.value.toString('latin1')]);
    return true;
  });
  return found;
}

function storedValue(table: DiskTable, text: string): string | undefined {
  const key = Buffer.from(text, 'latin1');
  return table.get(tokenOf(key), key)?.value.toString();
}

export function testDiskStore(name: string, make: () => Promise<DiskStoreHarness>): void {
  describe(`${name} as a disk store`, () => {
    let harness: DiskStoreHarness;
    let store: DiskStore;
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await harness.open();
    };
    beforeEach(async () => {
      harness = await make();
      store = await harness.open();
    });
    afterEach(async () => {
      await store.close();
      await harness.destroy();
    });

    test('a commit makes tables and notes durable together', async () => {
      expect(store.tables()).toEqual([]);
      store.openTable('a');
      store.openTable('b');
      await commit(store, {
        tables: new Map([
          ['a', [writeOf('x', '1'), writeOf('y', '2')]],
          ['b', [writeOf('x', 'of b')]],
        ]),
        notes: new Map([
          ['index', Buffer.from('17')],
          ['empty', Buffer.alloc(0)],
        ]),
      });
      for (let round = 0; round < 2; round++) {
        expect(new Set(store.tables())).toEqual(new Set(['a', 'b']));
        expect(new Map(contents(store.openTable('a')))).toEqual(
          new Map([
            ['x', '1'],
            ['y', '2'],
          ]),
        );
        expect(storedValue(store.openTable('b'), 'x')).toBe('of b');
        expect(store.note('index')?.toString()).toBe('17');
        expect(store.note('empty')?.length).toBe(0);
        expect(store.note('absent')).toBeUndefined();
        await reopen();
      }
    });

    test('a later commit replaces, removes and adds', async () => {
      const table = store.openTable('t');
      const first = [writeOf('kept', '1'), writeOf('changed', '1'), writeOf('gone', '1')];
      await commit(store, { tables: new Map([['t', first]]), notes: new Map([['n', Buffer.from('1')]]) });
      const second = [
        writeOf('changed', '2', 2),
        writeOf('gone', undefined),
        writeOf('never was', undefined),
      ];
      await commit(store, { tables: new Map([['t', second]]), notes: new Map([['n', undefined]]) });
      expect(new Map(contents(table))).toEqual(
        new Map([
          ['kept', '1'],
          ['changed', '2'],
        ]),
      );
      expect(store.note('n')).toBeUndefined();
      await reopen();
      expect(contents(store.openTable('t')).length).toBe(2);
    });

    test('nothing of a batch remains when its source fails half-way, and the store is failed from then on', async () => {
      const table = store.openTable('t');
      await commit(store, { tables: new Map([['t', [writeOf('x', 'before')]]]) });
      function* broken(): Generator<DiskWrite> {
        for (let i = 0; i < 5000; i++) yield writeOf(`new ${i}`, 'v');
        yield writeOf('x', 'after', 2);
        throw new Error('the source broke');
      }
      store.openTable('fresh');
      const tables = new Map<string, Iterable<DiskWrite>>([
        ['fresh', [writeOf('y', '1')]],
        ['t', broken()],
      ]);
      const notes = new Map([['n', Buffer.from('1')]]);
      await expect(commit(store, { tables, notes })).rejects.toThrow('the source broke');
      expect(contents(table)).toEqual([['x', 'before']]);
      await expect(commit(store, { notes })).rejects.toThrow('the source broke');
      expect(store.note('n')).toBeUndefined();
      await reopen();
      expect(contents(store.openTable('t'))).toEqual([['x', 'before']]);
      expect(store.tables()).toEqual(['t']);
    });

    test('tells of the commit only after the call has returned, and shows the old state until then', async () => {
      const table = store.openTable('t');
      await commit(store, { tables: new Map([['t', [writeOf('x', 'old')]]]) });
      const batch = new Map([['t', Array.from({ length: 3000 }, (_, i) => writeOf(`key ${i}`, 'v'))]]);
      let told = false;
      const done = new Promise<void>((resolve) => {
        store.commit({ tables: batch, notes: new Map() }, () => {
          told = true;
          resolve();
        });
      });
      expect(told).toBe(false);
      expect(contents(table)).toEqual([['x', 'old']]);
      await done;
      expect(contents(table).length).toBe(3001);
    });

    test('cleared ranges go before the writes of the same commit', async () => {
      const table = store.openTable('t');
      const keys = Array.from({ length: 3000 }, (_, i) => `${i % 2 === 0 ? '{in}' : ''}${i}`);
      await commit(store, { tables: new Map([['t', keys.map((key) => writeOf(key, 'v'))]]) });
      const slot = slotOfToken(tokenOf(Buffer.from('{in}')));
      const range = { fromToken: firstTokenOfSlot(slot), toToken: firstTokenOfSlot(slot + 1) };
      const outside = keys.filter((key) => slotOfToken(tokenOf(Buffer.from(key))) !== slot);
      await commit(store, {
        cleared: new Map([['t', [range]]]),
        tables: new Map([['t', [writeOf('{in}new', 'kept')]]]),
      });
      expect(new Set(contents(table).map(([key]) => key))).toEqual(new Set([...outside, '{in}new']));
      await commit(store, {
        cleared: new Map([['t', [{ fromToken: 0, toToken: TOKEN_END }]]]),
        tables: new Map([['t', [writeOf('only', 'this')]]]),
      });
      expect(contents(table)).toEqual([['only', 'this']]);
      await reopen();
      expect(contents(store.openTable('t'))).toEqual([['only', 'this']]);
    });

    test('a dropped table goes with the next commit, and may be begun anew after it', async () => {
      const table = store.openTable('t');
      store.openTable('other');
      const tables = new Map([
        ['t', [writeOf('x', '1')]],
        ['other', [writeOf('y', '1')]],
      ]);
      await commit(store, { tables });
      store.dropTable('t');
      store.dropTable('never was');
      expect(storedValue(table, 'x')).toBe('1');
      await commit(store, { notes: new Map([['n', Buffer.from('1')]]) });
      expect(store.tables()).toEqual(['other']);
      expect(contents(store.openTable('t'))).toEqual([]);
      await commit(store, { tables: new Map([['t', [writeOf('z', '2')]]]) });
      expect(contents(table)).toEqual([['z', '2']]);
      await reopen();
      expect(contents(store.openTable('t'))).toEqual([['z', '2']]);
      expect(contents(store.openTable('other'))).toEqual([['y', '1']]);
    });

    test('a drop that no commit followed is forgotten', async () => {
      store.openTable('t');
      await commit(store, { tables: new Map([['t', [writeOf('x', '1')]]]) });
      store.dropTable('t');
      await reopen();
      expect(contents(store.openTable('t'))).toEqual([['x', '1']]);
    });

    test('summaries tell digest and size of long and short keys without the value', async () => {
      const table = store.openTable('t');
      const writes = ['', 'short', 'k'.repeat(1900), 'k'.repeat(1901), 'k'.repeat(65536)].map((key) =>
        writeOf(key, `value of ${key.length}`, key.length),
      );
      await commit(store, { tables: new Map([['t', writes]]) });
      const scanned = new Map<string, unknown>();
      table.scanSummaries(0, TOKEN_END, (token, key, summary) => {
        scanned.set(`${token} ${key.toString()}`, summary);
        return true;
      });
      expect(scanned.size).toBe(writes.length);
      for (const { token, key, value, version } of writes) {
        const checksum = recordChecksum(key, value!);
        const summary = {
          digest: recordDigest(checksum, key.length, version, 0),
          dataBytes: key.length + value!.length,
          version,
          expiresAtMs: 0,
          checksum,
        };
        expect(table.summary(token, key)).toEqual(summary);
        expect(scanned.get(`${token} ${key.toString()}`)).toEqual(summary);
      }
      expect(table.summary(tokenOf(Buffer.from('no')), Buffer.from('no'))).toBeUndefined();
    });

    test('a scan keeps to its bounds and stops when told', async () => {
      const table = store.openTable('t');
      const writes = Array.from({ length: 200 }, (_, i) => writeOf(`key ${i}`, 'v'));
      await commit(store, { tables: new Map([['t', writes]]) });
      const tokens = writes.map(({ token }) => token).sort((a, b) => a - b);
      const scanned = (from: number, to: number, limit: number): number[] => {
        const seen: number[] = [];
        table.scan(from, to, (token) => {
          seen.push(token);
          return seen.length < limit;
        });
        const summarized: number[] = [];
        table.scanSummaries(from, to, (token) => {
          summarized.push(token);
          return summarized.length < limit;
        });
        expect(summarized).toEqual(seen);
        return seen;
      };
      expect(scanned(tokens[10]!, tokens[20]!, 1000)).toEqual(tokens.slice(10, 20));
      expect(scanned(tokens[10]! + 1, tokens[20]! + 1, 1000)).toEqual(tokens.slice(11, 21));
      expect(scanned(0, TOKEN_END, 5)).toEqual(tokens.slice(0, 5));
      expect(scanned(TOKEN_END, TOKEN_END, 5)).toEqual([]);
    });

    test('a flipped bit in a value is found at every read of it and nowhere else', async () => {
      const value = Buffer.from('a value unlike anything else that is stored here');
      store.openTable('t');
      const writes = [writeOf('damaged', value), writeOf('sound', 'sound value')];
      await commit(store, { tables: new Map([['t', writes]]) });
      await store.close();
      await harness.flipValueBit('t', Buffer.from('damaged'), value);
      store = await harness.open();
      const table = store.openTable('t');
      const damage = expect.objectContaining({
        code: 'VALUE_DAMAGED',
        message: expect.stringMatching(/"damaged" in table t/),
      });
      expect(() => storedValue(table, 'damaged')).toThrow(damage);
      expect(() => contents(table)).toThrow(damage);
      expect(storedValue(table, 'sound')).toBe('sound value');
    });

    test('after any run of commits and reopenings the store holds what was committed', async () => {
      const names = ['a', 'b', '{c}d', '{c}e', '', 'f'.repeat(3000)];
      const batches = fc.array(
        fc.record({
          writes: fc.array(fc.tuple(fc.constantFrom(...names), fc.option(fc.string({ maxLength: 40 })))),
          clears: fc.boolean(),
          reopens: fc.boolean(),
        }),
        { maxLength: 6 },
      );
      await fc.assert(
        fc.asyncProperty(batches, async (run) => {
          const own = await make();
          let tried = await own.open();
          try {
            const model = new Map<string, string>();
            tried.openTable('t');
            for (const [version, { writes, clears, reopens }] of run.entries()) {
              if (clears) model.clear();
              for (const [key, value] of writes) {
                if (value === null) model.delete(key);
                else model.set(key, Buffer.from(value).toString('latin1'));
              }
              await commit(tried, {
                cleared: clears ? new Map([['t', [{ fromToken: 0, toToken: TOKEN_END }]]]) : new Map(),
                tables: new Map([
                  ['t', writes.map(([key, value]) => writeOf(key, value ?? undefined, version))],
                ]),
                notes: new Map([['version', Buffer.from(String(version))]]),
              });
              if (reopens) {
                await tried.close();
                tried = await own.open();
              }
              expect(new Map(contents(tried.openTable('t')))).toEqual(model);
              expect(tried.note('version')?.toString()).toBe(String(version));
            }
          } finally {
            await tried.close();
            await own.destroy();
          }
        }),
        { seed: 7, numRuns: 25 },
      );
    });
  });
}
