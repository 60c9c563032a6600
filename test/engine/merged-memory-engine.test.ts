import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { slotOfToken, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { MergedMemoryEngine } from '../../src/engine/merged-memory-engine.js';
import type { DiskWrite, Engine } from '../../src/engine/types.js';
import { clock, Machine } from './machine.js';

class MergedMachine extends Machine {
  engine(id = 1): Engine {
    return this.host.open({
      id,
      name: `b${id}`,
      engine: id === 2 ? 'lmdb' : 'memory',
      replication: 'quorum',
    });
  }

  /** What is on the disk, as a process that starts now finds it. */
  durable(): Record<string, string> {
    this.start();
    return contents(this.engine());
  }
}

function merge(engine: Engine, text: string, value: string, version: number): string {
  const key = Buffer.from(text);
  return engine.merge(tokenOf(key), key, Buffer.from(value), version, 0);
}

function remove(engine: Engine, text: string): boolean {
  const key = Buffer.from(text);
  return engine.remove(tokenOf(key), key);
}

function contents(engine: Engine): Record<string, string> {
  const found: Record<string, string> = {};
  engine.scan(0, TOKEN_END, (_token, key, record) => {
    found[key.toString()] = `${record.value.toString()}@${record.version}`;
    return true;
  });
  return found;
}

function empty() {
  return new SimulatedDiskStore(new SimulatedDiskContents(), { clock }).openTable('1');
}

describe('the memory engine of merged records', () => {
  test('is what a quorum bucket in memory gets, and no other', () => {
    const { host } = new MergedMachine();
    const named = { name: 'b', engine: 'memory' } as const;
    expect(host.open({ ...named, id: 1, replication: 'quorum' })).toBeInstanceOf(MergedMemoryEngine);
    expect(host.open({ ...named, id: 2, replication: 'raft' })).not.toBeInstanceOf(MergedMemoryEngine);
    expect(host.open({ ...named, id: 3 })).not.toBeInstanceOf(MergedMemoryEngine);
  });

  test('a checkpoint writes what has changed since the last one, and little else', async () => {
    const engine = new MergedMemoryEngine(empty());
    for (let i = 0; i < 10_000; i++) merge(engine, `key ${i}`, 'v', 1);
    expect([...engine.freeze()!.writes].length).toBe(10_000);
    engine.writtenBack();
    expect(engine.freeze()).toBeUndefined();
    for (let i = 0; i < 100; i++) merge(engine, `key ${i}`, 'w', 2);
    merge(engine, 'key 500', 'older', 0.5);
    const written = [...engine.freeze()!.writes].map(({ key }) => key.toString());
    for (let i = 0; i < 100; i++) expect(written).toContain(`key ${i}`);
    expect(written.length).toBeLessThan(130);
  });

  test('a write while a checkpoint runs may be in it, and is in the next one in any case', () => {
    const engine = new MergedMemoryEngine(empty());
    const sorted = ['a', 'b', 'c', 'd', 'e'].sort(
      (left, right) => tokenOf(Buffer.from(left)) - tokenOf(Buffer.from(right)),
    );
    for (const name of sorted) merge(engine, name, 'before', 1);
    const first = engine.freeze()!.writes[Symbol.iterator]();
    const taken: DiskWrite[] = [first.next().value as DiskWrite];
    for (const name of sorted) merge(engine, name, 'during', 2);
    for (let step = first.next(); step.done !== true; step = first.next()) taken.push(step.value);
    expect(taken.map(({ key }) => key.toString())).toEqual(sorted);
    expect(taken[0]!.version).toBe(1);
    engine.writtenBack();
    const next = [...engine.freeze()!.writes];
    expect(next.map(({ key, version }) => `${key.toString()}@${version}`)).toEqual(
      sorted.map((name) => `${name}@2`),
    );
  });

  test('a removed key goes from the disk with the next checkpoint, unless it is there again', async () => {
    const machine = new MergedMachine();
    for (const name of ['a', 'b', 'c']) merge(machine.engine(), name, '1', 10);
    await machine.checkpoint();
    remove(machine.engine(), 'a');
    remove(machine.engine(), 'b');
    merge(machine.engine(), 'b', 'again, and older', 5);
    await machine.checkpoint();
    expect(machine.durable()).toEqual({ b: 'again, and older@5', c: '1@10' });
  });

  test('a removed key that is there again, and older, while the checkpoint runs, is on the disk as it is then', async () => {
    const machine = new MergedMachine();
    merge(machine.engine(), 'a', '1', 10);
    await machine.checkpoint();
    remove(machine.engine(), 'a');
    const writing = machine.checkpoint();
    merge(machine.engine(), 'a', 'older', 5);
    await writing;
    expect(machine.durable()).toEqual({ a: 'older@5' });
  });

  test('a key removed while the checkpoint that writes it runs goes with the one after it', async () => {
    const machine = new MergedMachine();
    merge(machine.engine(), 'a', '1', 1);
    const writing = machine.checkpoint();
    remove(machine.engine(), 'a');
    await writing;
    await machine.checkpoint();
    expect(machine.durable()).toEqual({});
  });

  test('removals of what was never on the disk cost nothing', () => {
    const engine = new MergedMemoryEngine(empty());
    for (let i = 0; i < 1000; i++) merge(engine, `key ${i}`, 'v', 1);
    for (let i = 0; i < 1000; i++) remove(engine, `key ${i}`);
    expect(engine.ledgerBytes()).toBe(0);
    expect([...engine.freeze()!.writes]).toEqual([]);
  });

  test('records are held once: a checkpoint costs bits, not copies', async () => {
    const machine = new MergedMachine();
    for (let i = 0; i < 20_000; i++) merge(machine.engine(), `key ${i}`, 'v'.repeat(64), 1);
    const before = machine.engine().memoryBytes();
    const writing = machine.checkpoint();
    for (let i = 0; i < 20_000; i++) merge(machine.engine(), `key ${i}`, 'w'.repeat(64), 2);
    expect(machine.engine().memoryBytes() - before).toBeLessThan(20_000);
    expect(machine.host.ledgerBytes()).toBe(0);
    await writing;
  });

  test('after a failed checkpoint reads stay right and there is no other', async () => {
    const machine = new MergedMachine();
    merge(machine.engine(), 'a', '1', 1);
    await machine.checkpoint();
    merge(machine.engine(), 'b', '1', 1);
    machine.store.failNextCommit(new Error('the sync failed'));
    await expect(machine.checkpoint()).rejects.toThrow('the sync failed');
    merge(machine.engine(), 'c', '1', 1);
    await expect(machine.checkpoint()).rejects.toThrow('the sync failed');
    expect(contents(machine.engine())).toEqual({ a: '1@1', b: '1@1', c: '1@1' });
    expect(machine.durable()).toEqual({ a: '1@1' });
  });
});

describe('a journal of merges replayed over a checkpoint', () => {
  type Entry =
    | { readonly kind: 'merge'; readonly bucket: number; readonly key: string; readonly version: number }
    | { readonly kind: 'remove'; readonly bucket: number; readonly key: string }
    | { readonly kind: 'clear-slot'; readonly bucket: number; readonly key: string }
    | { readonly kind: 'clear'; readonly bucket: number }
    | { readonly kind: 'drop'; readonly bucket: number };
  const bucket = fc.constantFrom(1, 2);
  const key = fc.constantFrom('a', 'b', 'c', 'd', '{s}x', '{s}y', '{s}z');
  const version = fc.integer({ min: 1, max: 12 });
  const entries: fc.Arbitrary<Entry> = fc.oneof(
    { weight: 10, arbitrary: fc.record({ kind: fc.constant('merge' as const), bucket, key, version }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), bucket, key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear-slot' as const), bucket, key }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), bucket }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), bucket }) },
  );
  const steps = fc.array(
    fc.oneof(
      { weight: 5, arbitrary: entries },
      { weight: 3, arbitrary: fc.constantFrom('checkpoint' as const, 'turn' as const, 'crash' as const) },
    ),
    { maxLength: 100, size: 'max' },
  );

  function apply(machine: MergedMachine, entry: Entry): void {
    if (entry.kind === 'drop') {
      machine.host.drop({ id: entry.bucket });
      return;
    }
    const engine = machine.engine(entry.bucket);
    if (entry.kind === 'clear') {
      engine.clear();
      return;
    }
    const name = Buffer.from(entry.key);
    const token = tokenOf(name);
    if (entry.kind === 'remove') engine.remove(token, name);
    else if (entry.kind === 'clear-slot') engine.clearSlot(slotOfToken(token));
    else engine.merge(token, name, Buffer.from(`${entry.key}${entry.version}`), entry.version, 0);
  }

  const shown = (machine: MergedMachine): string =>
    JSON.stringify(
      [1, 2].map((id) => {
        const engine = machine.engine(id);
        return [
          contents(engine),
          engine.keyCount(),
          engine.digestOfSlot(slotOfToken(tokenOf(Buffer.from('{s}')))),
        ];
      }),
    );

  test('gives the state that the whole journal gives, wherever crashes and checkpoints fall', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        const machine = new MergedMachine();
        const journal: Entry[] = [];
        for (const step of run) {
          if (step === 'turn') await new Promise(setImmediate);
          else if (step === 'checkpoint') {
            if (!machine.host.checkpointing)
              machine.host.checkpoint(new Map([['index', Buffer.from(String(journal.length))]]), () => {});
          } else if (step === 'crash') {
            machine.start();
            const index = Number(machine.host.note('index') ?? 0);
            for (const entry of journal.slice(index)) apply(machine, entry);
          } else {
            journal.push(step);
            apply(machine, step);
          }
        }
        const straight = new MergedMachine();
        for (const entry of journal) apply(straight, entry);
        expect(shown(machine)).toBe(shown(straight));
      }),
      { seed: 7, numRuns: 400 },
    );
  });
});
