import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { slotOfToken, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { EngineHost } from '../../src/engine/engine-host.js';
import type { Engine, EngineKind } from '../../src/engine/types.js';
import { clock, Machine, NO_NOTES } from './machine.js';

function bucketOf(id: number, engine: EngineKind = 'lmdb') {
  return { id, name: `bucket ${id}`, engine };
}

function write(engine: Engine, text: string, value: string, version = 1): void {
  const key = Buffer.from(text);
  engine.put(tokenOf(key), key, Buffer.from(value), version, 0);
}

function contents(engine: Engine): Record<string, string> {
  const found: Record<string, string> = {};
  engine.scan(0, TOKEN_END, (_token, key, record) => {
    found[key.toString()] = record.value.toString();
    return true;
  });
  return found;
}

describe('a checkpoint of the engine host', () => {
  test('makes all buckets and notes durable as of the instant at which it began', async () => {
    for (const engine of ['lmdb', 'memory'] as const) {
      const machine = new Machine();
      const first = machine.host.open(bucketOf(1, engine));
      const second = machine.host.open(bucketOf(2, engine));
      write(first, 'a', 'before');
      write(second, 'b', 'before');
      const durable = machine.checkpoint(new Map([['index', Buffer.from('10')]]));
      expect(machine.host.checkpointing).toBe(true);
      write(first, 'a', 'after', 2);
      write(first, 'c', 'after', 2);
      second.clear();
      await durable;
      expect(machine.host.checkpointing).toBe(false);
      expect(contents(first)).toEqual({ a: 'after', c: 'after' });
      expect(contents(second)).toEqual({});
      machine.start();
      expect(contents(machine.host.open(bucketOf(1, engine)))).toEqual({ a: 'before' });
      expect(contents(machine.host.open(bucketOf(2, engine)))).toEqual({ b: 'before' });
      expect(machine.host.note('index')?.toString()).toBe('10');
    }
  });

  test('counts and digests after a restart are those of the checkpoint, not of later writes', async () => {
    const machine = new Machine();
    const engine = machine.host.open(bucketOf(1));
    for (let i = 0; i < 200; i++) write(engine, `key ${i}`, 'v');
    const slot = slotOfToken(tokenOf(Buffer.from('key 7')));
    const [count, bytes, digest] = [engine.keyCount(), engine.dataBytes(), engine.digestOfSlot(slot)];
    const durable = machine.checkpoint();
    for (let i = 0; i < 300; i++) write(engine, `key ${i}`, 'changed', 2);
    expect(engine.digestOfSlot(slot)).not.toBe(digest);
    await durable;
    machine.start();
    const restarted = machine.host.open(bucketOf(1));
    expect([restarted.keyCount(), restarted.dataBytes(), restarted.digestOfSlot(slot)]).toEqual([
      count,
      bytes,
      digest,
    ]);
  });

  test('a crash before it is durable leaves the one before', async () => {
    const machine = new Machine();
    write(machine.host.open(bucketOf(1)), 'a', '1');
    await machine.checkpoint(new Map([['index', Buffer.from('1')]]));
    write(machine.host.open(bucketOf(1)), 'a', '2', 2);
    machine.host.checkpoint(new Map([['index', Buffer.from('2')]]), () => {
      throw new Error('a dead process hears nothing');
    });
    machine.start();
    expect(contents(machine.host.open(bucketOf(1)))).toEqual({ a: '1' });
    expect(machine.host.note('index')?.toString()).toBe('1');
  });

  test('empties the ledger, which counts both generations until then', async () => {
    const machine = new Machine();
    const engine = machine.host.open(bucketOf(1));
    expect(machine.host.ledgerBytes()).toBe(0);
    write(engine, 'a', 'x'.repeat(100_000));
    const one = machine.host.ledgerBytes();
    expect(one).toBeGreaterThan(100_000);
    const durable = machine.checkpoint();
    expect(machine.host.ledgerBytes()).toBe(one);
    write(engine, 'b', 'x'.repeat(100_000));
    expect(machine.host.ledgerBytes()).toBeGreaterThan(one + 100_000);
    await durable;
    expect(machine.host.ledgerBytes()).toBeLessThan(one + 100_000);
    expect(machine.host.ledgerBytes()).toBeGreaterThan(100_000);
    await machine.checkpoint();
    expect(machine.host.ledgerBytes()).toBe(0);
    expect(machine.host.dataBytes()).toBe(200_002);
  });

  test('when it fails, reads stay right and every later one fails too', async () => {
    const machine = new Machine();
    const engine = machine.host.open(bucketOf(1));
    write(engine, 'a', '1');
    await machine.checkpoint();
    write(engine, 'b', '2');
    machine.store.failNextCommit(new Error('the sync failed'));
    await expect(machine.checkpoint()).rejects.toThrow('the sync failed');
    expect(contents(engine)).toEqual({ a: '1', b: '2' });
    write(engine, 'c', '3');
    let toldWithin = true;
    const later = new Promise<Error | undefined>((resolve) => {
      machine.host.checkpoint(NO_NOTES, (error) => {
        expect(toldWithin).toBe(false);
        resolve(error);
      });
    });
    toldWithin = false;
    expect((await later)?.message).toBe('the sync failed');
    machine.start();
    expect(contents(machine.host.open(bucketOf(1)))).toEqual({ a: '1' });
  });

  test('two at a time are refused, and so are notes under the names of the engines', async () => {
    const machine = new Machine();
    write(machine.host.open(bucketOf(1)), 'a', '1');
    const durable = machine.checkpoint();
    expect(() => machine.host.checkpoint(NO_NOTES, () => {})).toThrow(/one checkpoint at a time/);
    await durable;
    expect(() => machine.host.checkpoint(new Map([['engine/1/slots/0', undefined]]), () => {})).toThrow(
      /engines' own/,
    );
  });
});

describe('buckets of the engine host', () => {
  test('opening a bucket twice gives the same engine, of the kind asked for', () => {
    const { host } = new Machine();
    expect(host.open(bucketOf(1))).toBe(host.open(bucketOf(1)));
    expect(host.open(bucketOf(1)).kind).toBe('lmdb');
    expect(host.open(bucketOf(2, 'memory')).kind).toBe('memory');
  });

  test('an engine that is not there is refused with the names of those that are', () => {
    const { host } = new Machine();
    expect(() => host.open(bucketOf(1, 'level'))).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED', message: expect.stringMatching(/memory and lmdb/) }),
    );
  });

  test('a dropped bucket goes with the next checkpoint, notes included, and comes back when a crash was before', async () => {
    for (const engine of ['lmdb', 'memory'] as const) {
      const machine = new Machine();
      write(machine.host.open(bucketOf(1, engine)), 'a', '1');
      write(machine.host.open(bucketOf(2, engine)), 'b', '1');
      await machine.checkpoint();
      machine.host.drop({ id: 1 });
      machine.start();
      expect(contents(machine.host.open(bucketOf(1, engine)))).toEqual({ a: '1' });
      machine.host.drop({ id: 1 });
      await machine.checkpoint();
      expect([...machine.disk.tables.keys()]).toEqual(['2']);
      expect([...machine.disk.notes.keys()].filter((name) => name.startsWith('engine/1/'))).toEqual([]);
      machine.start();
      expect(contents(machine.host.open(bucketOf(1, engine)))).toEqual({});
      expect(machine.host.open(bucketOf(1, engine)).keyCount()).toBe(0);
      expect(contents(machine.host.open(bucketOf(2, engine)))).toEqual({ b: '1' });
    }
  });

  test('a bucket opened again after its drop is empty, whatever of it is still on disk', async () => {
    for (const engine of ['lmdb', 'memory'] as const) {
      for (const moment of ['before a checkpoint', 'during it', 'after it']) {
        const machine = new Machine();
        write(machine.host.open(bucketOf(1, engine)), 'old', '1');
        await machine.checkpoint();
        machine.host.drop({ id: 1 });
        if (moment === 'after it') await machine.checkpoint();
        const during = moment === 'during it' ? machine.checkpoint() : undefined;
        const anew = machine.host.open(bucketOf(1, engine));
        expect(contents(anew)).toEqual({});
        expect([anew.keyCount(), anew.dataBytes()]).toEqual([0, 0]);
        write(anew, 'new', '2', 2);
        await during;
        expect(contents(anew)).toEqual({ new: '2' });
        await machine.checkpoint();
        expect(contents(anew)).toEqual({ new: '2' });
        machine.start();
        const restarted = machine.host.open(bucketOf(1, engine));
        expect(contents(restarted)).toEqual({ new: '2' });
        expect(restarted.keyCount()).toBe(1);
      }
    }
  });

  test('a bucket dropped and opened again while a checkpoint writes it keeps none of its counts', async () => {
    const machine = new Machine();
    write(machine.host.open(bucketOf(1)), 'old', '1');
    const writing = machine.checkpoint();
    machine.host.drop({ id: 1 });
    write(machine.host.open(bucketOf(1)), 'new', '2', 2);
    await writing;
    await machine.checkpoint();
    machine.start();
    const restarted = machine.host.open(bucketOf(1));
    expect(contents(restarted)).toEqual({ new: '2' });
    expect(restarted.keyCount()).toBe(1);
  });

  test('a table of the node itself is checkpointed with the buckets, and survives them', async () => {
    const machine = new Machine();
    const internal = machine.host.openInternal('hints');
    expect(machine.host.openInternal('hints')).toBe(internal);
    expect(internal.kind).toBe('lmdb');
    write(internal, 'kept', '1');
    write(machine.host.open(bucketOf(1)), 'a', '1');
    await machine.checkpoint();
    machine.host.drop({ id: 1 });
    await machine.checkpoint();
    machine.start();
    expect(contents(machine.host.openInternal('hints'))).toEqual({ kept: '1' });
    expect(machine.host.openInternal('hints').keyCount()).toBe(1);
    expect(contents(machine.host.open(bucketOf(1)))).toEqual({});
    expect(() => machine.host.openInternal('7')).toThrow(/named in words/);
  });

  test('the disk store is opened when it is first needed', () => {
    let opened = 0;
    const host = new EngineHost({
      openDiskStore: () => {
        opened++;
        return new SimulatedDiskStore(new SimulatedDiskContents(), { clock });
      },
      clock,
    });
    expect(opened).toBe(0);
    expect(host.memoryBytes()).toBe(0);
    host.open(bucketOf(1));
    host.note('n');
    expect(opened).toBe(1);
  });
});

describe('a log replayed over a checkpoint', () => {
  /** What a group's log does to its buckets: each entry at its index, so that applying one twice would show. */
  type Entry =
    | { readonly kind: 'append' | 'remove'; readonly bucket: number; readonly key: string }
    | { readonly kind: 'clear'; readonly bucket: number }
    | { readonly kind: 'drop'; readonly bucket: number };
  const buckets = fc.constantFrom(1, 2);
  const keys = fc.constantFrom('a', 'b', 'c', '{s}x', '{s}y');
  const entries: fc.Arbitrary<Entry> = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('append' as const), bucket: buckets, key: keys }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), bucket: buckets, key: keys }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('clear' as const, 'drop' as const), bucket: buckets }),
    },
  );
  const steps = fc.array(
    fc.oneof(entries, fc.constantFrom('checkpoint' as const, 'turn' as const, 'crash' as const)),
    {
      maxLength: 80,
      size: 'max',
    },
  );

  test('gives the state that the whole log gives, wherever crashes and checkpoints fall', async () => {
    const kindOf = (bucket: number): EngineKind => (bucket === 1 ? 'lmdb' : 'memory');
    const apply = (host: EngineHost, entry: Entry, index: number): void => {
      const bucket = bucketOf(entry.bucket, kindOf(entry.bucket));
      if (entry.kind === 'drop') {
        host.drop(bucket);
        return;
      }
      const engine = host.open(bucket);
      if (entry.kind === 'clear') {
        for (let slot = 0; slot < 16384; slot++) if (engine.keyCountInSlot(slot) > 0) engine.clearSlot(slot);
        return;
      }
      const key = Buffer.from(entry.key);
      const token = tokenOf(key);
      if (entry.kind === 'remove') engine.remove(token, key);
      else {
        const before = engine.get(token, key)?.value ?? Buffer.alloc(0);
        engine.put(token, key, Buffer.concat([before, Buffer.from(`${index} `)]), index, 0);
      }
    };
    const shown = (host: EngineHost): string =>
      JSON.stringify(
        [1, 2].map((id) => {
          const engine = host.open(bucketOf(id, kindOf(id)));
          return [
            contents(engine),
            engine.keyCount(),
            engine.digestOfSlot(slotOfToken(tokenOf(Buffer.from('{s}')))),
          ];
        }),
      );
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        const machine = new Machine();
        const log: Entry[] = [];
        for (const step of run) {
          if (step === 'turn') await new Promise(setImmediate);
          else if (step === 'checkpoint') {
            if (!machine.host.checkpointing)
              machine.host.checkpoint(new Map([['index', Buffer.from(String(log.length))]]), () => {});
          } else if (step === 'crash') {
            machine.start();
            const index = Number(machine.host.note('index') ?? 0);
            for (let i = index; i < log.length; i++) apply(machine.host, log[i]!, i);
          } else {
            log.push(step);
            apply(machine.host, step, log.length - 1);
          }
        }
        const straight = new Machine();
        for (const [i, entry] of log.entries()) apply(straight.host, entry, i);
        expect(shown(machine.host)).toBe(shown(straight.host));
      }),
      { seed: 99, numRuns: 300 },
    );
  });
});
