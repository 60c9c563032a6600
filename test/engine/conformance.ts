/**
 * What every storage engine must do, as one function: a new engine adopts it in one line. The heart is a model-based
 * property test against a plain Map, through checkpoints and restarts where the engine has them.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstTokenOfSlot, SLOT_COUNT, slotOfToken, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { recordChecksum, recordDigest } from '../../src/engine/checksum.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import {
  DELETED_EXPIRY_MS,
  type Engine,
  type EngineMergeResult,
  type EngineRecord,
} from '../../src/engine/types.js';

/** One engine under test, with what it takes to make it durable, where it can be. */
export interface EngineHarness {
  /** The engine as opened last. */
  engine(): Engine;
  /** Begins to write back; harmless while that is going on. */
  beginCheckpoint?(): void;
  /** Waits for a checkpoint under way. */
  endCheckpoint?(): Promise<void>;
  /** Ends a checkpoint under way, makes another, closes and opens anew. */
  restart?(): Promise<void>;
  close(): Promise<void>;
}

interface Entry extends EngineRecord {
  readonly token: number;
  readonly key: Buffer;
}

/** The reference: a Map, and sorting when order matters. */
class Model {
  readonly entries = new Map<string, Entry>();

  static #id(token: number, key: Buffer): string {
    return `${token}/${key.toString('latin1')}`;
  }
  get(token: number, key: Buffer): Entry | undefined {
    return this.entries.get(Model.#id(token, key));
  }
  put(entry: Entry): void {
    this.entries.set(Model.#id(entry.token, entry.key), entry);
  }
  /** Compared from left to right: version, deleted, checksum, expiry; the first difference decides. */
  merge(entry: Entry): EngineMergeResult {
    const present = this.get(entry.token, entry.key);
    if (present === undefined) {
      this.put(entry);
      return 'applied';
    }
    const rank = ({ key, value, version, expiresAtMs }: Entry): number[] => [
      version,
      Number(expiresAtMs === DELETED_EXPIRY_MS),
      recordChecksum(key, value),
      expiresAtMs,
    ];
    const [given, stored] = [rank(entry), rank(present)];
    const decides = given.findIndex((part, i) => part !== stored[i]);
    if (decides < 0) return 'equal';
    if (given[decides]! < stored[decides]!) return 'older';
    this.put(entry);
    return 'applied';
  }
  remove(token: number, key: Buffer): boolean {
    return this.entries.delete(Model.#id(token, key));
  }
  clearSlot(slot: number): void {
    for (const { token, key } of this.sorted()) if (slotOfToken(token) === slot) this.remove(token, key);
  }
  sorted(fromToken = 0, toToken = TOKEN_END): Entry[] {
    return [...this.entries.values()]
      .filter(({ token }) => token >= fromToken && token < toToken)
      .sort((a, b) => a.token - b.token || a.key.compare(b.key));
  }
}

function collect(
  engine: Engine,
  fromToken = 0,
  toToken = TOKEN_END,
  limit = Number.POSITIVE_INFINITY,
): Entry[] {
  const entries: Entry[] = [];
  engine.scan(fromToken, toToken, (token, key, record) => {
    entries.push({ token, key, ...record });
    return entries.length < limit;
  });
  return entries;
}

/** What a scan without values shows. */
function collectVersions(
  engine: Engine,
  fromToken = 0,
  toToken = TOKEN_END,
  limit = Number.POSITIVE_INFINITY,
): string[] {
  const lines: string[] = [];
  engine.scanVersions(fromToken, toToken, (token, key, version, expiresAtMs, digest) => {
    lines.push(`${token} ${key.toString('hex').slice(0, 64)} ${version} ${expiresAtMs} ${digest}`);
    return lines.length < limit;
  });
  return lines;
}

function digestOf({ key, value, version, expiresAtMs }: Entry): number {
  return recordDigest(recordChecksum(key, value), key.length, version, expiresAtMs);
}

function expectedVersions(entries: readonly Entry[]): string[] {
  return entries.map(
    (entry) =>
      `${entry.token} ${entry.key.toString('hex').slice(0, 64)} ${entry.version} ${entry.expiresAtMs} ${digestOf(entry)}`,
  );
}

/** Compared as text: a byte-wise diff of large buffers is of no use to anyone. */
function shown(entries: readonly Entry[]): string[] {
  return entries.map(
    ({ token, key, value, version, expiresAtMs }) =>
      `${token} ${key.length}:${key.toString('hex').slice(0, 64)} ${value.length}:${value.toString('hex').slice(0, 64)} ${version} ${expiresAtMs}`,
  );
}

/** The digest that this content must have, however it came to be. */
function digestsOf(entries: readonly Entry[]): Map<number, number> {
  const fresh = new MemoryEngine();
  for (const { token, key, value, version, expiresAtMs } of [...entries].reverse())
    fresh.put(token, key, value, version, expiresAtMs);
  return new Map(entries.map(({ token }) => [slotOfToken(token), fresh.digestOfSlot(slotOfToken(token))]));
}

function expectEqual(engine: Engine, model: Model): void {
  const expected = model.sorted();
  expect(shown(collect(engine))).toEqual(shown(expected));
  expect(collectVersions(engine)).toEqual(expectedVersions(expected));
  expect(engine.keyCount()).toBe(expected.length);
  expect(engine.dataBytes()).toBe(
    expected.reduce((sum, { key, value }) => sum + key.length + value.length, 0),
  );
  const digests = digestsOf(expected);
  for (const slot of SLOTS) {
    expect(engine.digestOfSlot(slot)).toBe(digests.get(slot) ?? 0);
    const count = expected.filter(({ token }) => slotOfToken(token) === slot).length;
    const range = engine.digestOfRange(firstTokenOfSlot(slot), firstTokenOfSlot(slot + 1));
    expect(range).toEqual({ digest: engine.digestOfSlot(slot), count });
    expect(engine.keyCountInSlot(slot)).toBe(count);
  }
}

const SLOTS = [0, 1, 2, 127, 128, 8191, SLOT_COUNT - 1];
const slots = fc.constantFrom(...SLOTS);
const tokens = fc
  .tuple(slots, fc.constantFrom(0, 4, 8, 508, 512, 2 ** 33, 2 ** 34 - 4))
  .map(([slot, offset]) => firstTokenOfSlot(slot) + offset);
const keys = fc
  .constantFrom('', 'a', 'aa', 'b', '\0', '\xff', 'a\0')
  .map((text) => Buffer.from(text, 'latin1'));
const values = fc
  .tuple(fc.constantFrom(0, 1, 7, 64, 65, 500, 3000, 9000), fc.nat(255))
  .map(([length, fill]) => Buffer.alloc(length, fill));
const versions = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const expiries = fc.oneof(
  fc.constant(0),
  fc.nat({ max: 2 ** 31 - 1 }),
  fc.maxSafeNat(),
  fc.constant(Number.MAX_SAFE_INTEGER),
);

type Operation =
  | { readonly kind: 'put' | 'merge'; readonly entry: Entry }
  | { readonly kind: 'remove' | 'get'; readonly token: number; readonly key: Buffer }
  | { readonly kind: 'clear-slot'; readonly slot: number }
  | { readonly kind: 'scan'; readonly fromToken: number; readonly toToken: number; readonly limit: number }
  | { readonly kind: 'clear' | 'begin-checkpoint' | 'end-checkpoint' | 'restart' };

const put: fc.Arbitrary<Operation> = fc
  .record({ token: tokens, key: keys, value: values, version: versions, expiresAtMs: expiries })
  .map((entry) => ({ kind: 'put', entry }));

const merge: fc.Arbitrary<Operation> = fc
  .record({
    token: tokens,
    key: keys,
    value: values,
    // Few different ones, so that equal versions meet.
    version: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })),
    expiresAtMs: fc.oneof(fc.constantFrom(0, DELETED_EXPIRY_MS, 5), expiries),
  })
  .map((entry) => ({ kind: 'merge', entry }));

const operations: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: put },
  { weight: 8, arbitrary: merge },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('remove' as const), token: tokens, key: keys }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('get' as const), token: tokens, key: keys }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('scan' as const),
      fromToken: tokens,
      toToken: tokens,
      limit: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('clear-slot' as const), slot: slots }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('begin-checkpoint' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('end-checkpoint' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

async function carryOut(harness: EngineHarness, model: Model, operation: Operation): Promise<void> {
  const engine = harness.engine();
  switch (operation.kind) {
    case 'put': {
      const { token, key, value, version, expiresAtMs } = operation.entry;
      engine.put(token, key, value, version, expiresAtMs);
      model.put(operation.entry);
      return;
    }
    case 'merge': {
      const { token, key, value, version, expiresAtMs } = operation.entry;
      const before = model.get(token, key);
      expect(engine.merge(token, key, value, version, expiresAtMs)).toBe(model.merge(operation.entry));
      expect([engine.previousVersion, engine.previousExpiresAtMs]).toEqual([
        before?.version ?? 0,
        before?.expiresAtMs ?? 0,
      ]);
      return;
    }
    case 'remove':
      expect(engine.remove(operation.token, operation.key)).toBe(
        model.remove(operation.token, operation.key),
      );
      return;
    case 'get': {
      const found = engine.get(operation.token, operation.key);
      const expected = model.get(operation.token, operation.key);
      const entry = found === undefined ? [] : [{ token: operation.token, key: operation.key, ...found }];
      expect(shown(entry)).toEqual(shown(expected === undefined ? [] : [expected]));
      expect(engine.versionOf(operation.token, operation.key)).toBe(expected?.version ?? 0);
      return;
    }
    case 'scan': {
      const { fromToken, toToken, limit } = operation;
      const expected = model.sorted(fromToken, toToken).slice(0, limit);
      expect(shown(collect(engine, fromToken, toToken, limit))).toEqual(shown(expected));
      expect(collectVersions(engine, fromToken, toToken, limit)).toEqual(expectedVersions(expected));
      const all = model.sorted(fromToken, toToken);
      expect(engine.digestOfRange(fromToken, toToken)).toEqual({
        digest: all.reduce((sum, entry) => (sum + digestOf(entry)) >>> 0, 0),
        count: all.length,
      });
      return;
    }
    case 'clear-slot':
      engine.clearSlot(operation.slot);
      model.clearSlot(operation.slot);
      return;
    case 'clear':
      engine.clear();
      model.entries.clear();
      return;
    case 'begin-checkpoint':
      harness.beginCheckpoint?.();
      return;
    case 'end-checkpoint':
      await harness.endCheckpoint?.();
      return;
    case 'restart':
      await harness.restart?.();
  }
}

/** `runs`: how many histories the property test tries. */
export function testEngine(name: string, open: () => Promise<EngineHarness>, runs = 100): void {
  describe(`${name} as an engine`, () => {
    let harness: EngineHarness;
    beforeEach(async () => {
      harness = await open();
    });
    afterEach(async () => {
      await harness.close();
    });
    const key = (text: string): Buffer => Buffer.from(text, 'latin1');
    const write = (text: string, value: Buffer, version = 1, expiresAtMs = 0): void =>
      harness.engine().put(tokenOf(key(text)), key(text), value, version, expiresAtMs);
    const read = (text: string): EngineRecord | undefined =>
      harness.engine().get(tokenOf(key(text)), key(text));
    /** Runs the same checks before and after what is written comes to rest on disk. */
    const atRestToo = async (check: () => void): Promise<void> => {
      check();
      harness.beginCheckpoint?.();
      check();
      await harness.endCheckpoint?.();
      check();
      await harness.restart?.();
      check();
    };

    test('gives back value, version and expiry, at their extremes too', async () => {
      write('plain', key('value'), 7, 1_700_000_000_000);
      write('extreme', key('x'), Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      await atRestToo(() => {
        expect(read('plain')).toEqual({ value: key('value'), version: 7, expiresAtMs: 1_700_000_000_000 });
        expect(read('extreme')).toEqual({
          value: key('x'),
          version: Number.MAX_SAFE_INTEGER,
          expiresAtMs: Number.MAX_SAFE_INTEGER,
        });
        expect(read('absent')).toBeUndefined();
      });
    });

    test('keeps empty keys and empty values apart from absent ones', async () => {
      write('', key('of the empty key'));
      write('empty value', Buffer.alloc(0));
      await atRestToo(() => {
        expect(read('')?.value.toString()).toBe('of the empty key');
        expect(read('empty value')?.value.length).toBe(0);
        expect(harness.engine().keyCount()).toBe(2);
      });
    });

    test('keeps keys of equal token apart and scans them in the order of their bytes', async () => {
      const token = firstTokenOfSlot(77) + 4096;
      const names = ['b', 'a', 'ab', '', '\xff', 'a'.repeat(2500), 'a'.repeat(65536), `${'a'.repeat(2400)}b`];
      for (const [i, text] of names.entries())
        harness.engine().put(token, key(text), key(`value ${i}`), i, 0);
      const sorted = names.map(key).sort((a, b) => a.compare(b));
      await atRestToo(() => {
        const scanned = collect(harness.engine());
        expect(scanned.map((entry) => entry.key.length)).toEqual(sorted.map((bytes) => bytes.length));
        expect(scanned.every((entry, i) => entry.key.equals(sorted[i]!))).toBe(true);
        for (const [i, text] of names.entries())
          expect(harness.engine().get(token, key(text))?.value.toString()).toBe(`value ${i}`);
      });
      expect(harness.engine().remove(token, key('a'))).toBe(true);
      await atRestToo(() => {
        expect(harness.engine().get(token, key('a'))).toBeUndefined();
        expect(harness.engine().get(token, key('ab'))?.version).toBe(2);
        expect(harness.engine().keyCountInSlot(77)).toBe(names.length - 1);
      });
    });

    test('holds the longest keys and values of several megabytes', async () => {
      const longKey = 'k'.repeat(65536);
      const bigValue = Buffer.alloc(5_000_000, 'quoin ');
      write(longKey, key('short'));
      write('big', bigValue);
      await atRestToo(() => {
        expect(read(longKey)?.value.toString()).toBe('short');
        expect(read('big')?.value.equals(bigValue)).toBe(true);
        expect(harness.engine().dataBytes()).toBe(65536 + 5 + 3 + 5_000_000);
      });
      write('big', key('small again'), 2);
      await atRestToo(() => expect(read('big')?.value.toString()).toBe('small again'));
    });

    test('hands out bytes that later writes do not change, and copies what it is given', async () => {
      for (const length of [10, 100, 1000, 20_000, 300_000]) {
        const given = Buffer.alloc(length, 1);
        write('key', given);
        given.fill(9);
        const taken = read('key')!.value;
        const scanned = collect(harness.engine())[0]!;
        write('key', Buffer.alloc(length, 2), 2);
        harness.engine().remove(tokenOf(key('key')), key('key'));
        write('other', Buffer.alloc(length, 3), 3);
        expect(taken.equals(Buffer.alloc(length, 1))).toBe(true);
        expect(scanned.value.equals(Buffer.alloc(length, 1))).toBe(true);
        expect(scanned.key.toString()).toBe('key');
        harness.engine().clear();
      }
    });

    test('a merge keeps the newest record, and says what became of it and what was there', async () => {
      const token = tokenOf(key('k'));
      const merged = (value: string, version: number, expiresAtMs = 0): string =>
        harness.engine().merge(token, key('k'), key(value), version, expiresAtMs);
      const previous = (): number[] => [
        harness.engine().previousVersion,
        harness.engine().previousExpiresAtMs,
      ];
      expect(merged('first', 10, 77)).toBe('applied');
      expect(previous()).toEqual([0, 0]);
      await atRestToo(() => {
        expect(merged('first', 10, 77)).toBe('equal');
        expect(previous()).toEqual([10, 77]);
        expect(merged('older', 9)).toBe('older');
        expect(previous()).toEqual([10, 77]);
        expect(harness.engine().versionOf(token, key('k'))).toBe(10);
        expect(read('k')).toEqual({ value: key('first'), version: 10, expiresAtMs: 77 });
      });
      expect(merged('', 11, DELETED_EXPIRY_MS)).toBe('applied');
      expect(previous()).toEqual([10, 77]);
      await atRestToo(() => {
        expect(merged('alive at the same version', 11)).toBe('older');
        expect(read('k')).toEqual({ value: key(''), version: 11, expiresAtMs: DELETED_EXPIRY_MS });
        expect(harness.engine().keyCount()).toBe(1);
      });
      harness.engine().remove(token, key('k'));
      expect(harness.engine().versionOf(token, key('k'))).toBe(0);
      expect(merged('again', 3)).toBe('applied');
      expect(previous()).toEqual([0, 0]);
      await atRestToo(() => expect(read('k')?.value.toString()).toBe('again'));
    });

    test('records merge to the same contents in whatever order and however often they come', async () => {
      const entry = fc.record({
        key: fc.constantFrom('a', 'b', 'c').map(key),
        value: values,
        version: fc.integer({ min: 1, max: 3 }),
        expiresAtMs: fc.constantFrom(0, DELETED_EXPIRY_MS, 2, 1_900_000_000_000),
      });
      const orders = fc.array(entry, { maxLength: 12 }).chain((entries) =>
        fc.record({
          entries: fc.constant(entries),
          other: fc.shuffledSubarray([...entries, ...entries], { minLength: entries.length * 2 }),
        }),
      );
      await fc.assert(
        fc.asyncProperty(orders, async ({ entries, other }) => {
          const [one, two] = [await open(), await open()];
          try {
            for (const [tried, sequence] of [
              [one, entries],
              [two, other],
            ] as const)
              for (const { key: name, value, version, expiresAtMs } of sequence)
                tried.engine().merge(tokenOf(name), name, value, version, expiresAtMs);
            expect(shown(collect(two.engine()))).toEqual(shown(collect(one.engine())));
          } finally {
            await one.close();
            await two.close();
          }
        }),
        { seed: 41, numRuns: Math.ceil(runs / 3) },
      );
    });

    test('resumes a scan at the token where it stopped', async () => {
      const written = Array.from({ length: 500 }, (_, i) => `key ${i}`);
      for (const text of written) write(text, key(text));
      await atRestToo(() => {
        const seen: string[] = [];
        let from = 0;
        while (from < TOKEN_END) {
          let visited = 0;
          let stoppedAt = TOKEN_END;
          harness.engine().scan(from, TOKEN_END, (token, found) => {
            if (visited === 7) {
              stoppedAt = token;
              return false;
            }
            visited++;
            seen.push(found.toString());
            return true;
          });
          from = stoppedAt;
        }
        expect(seen.length).toBe(written.length);
        expect(new Set(seen)).toEqual(new Set(written));
        const tokensSeen = seen.map((text) => tokenOf(key(text)));
        expect(tokensSeen).toEqual([...tokensSeen].sort((a, b) => a - b));
      });
    });

    test('a slot is one range: scanned, counted and cleared without touching its neighbours', async () => {
      const tagged = Array.from({ length: 300 }, (_, i) => `{tag}${i}`);
      const others = Array.from({ length: 300 }, (_, i) => `other ${i}`);
      for (const text of [...tagged, ...others]) write(text, key(text));
      const slot = slotOfToken(tokenOf(key('{tag}')));
      const strangers = others.filter((text) => slotOfToken(tokenOf(key(text))) === slot).length;
      await atRestToo(() => {
        expect(harness.engine().keyCountInSlot(slot)).toBe(300 + strangers);
        const inSlot = collect(harness.engine(), firstTokenOfSlot(slot), firstTokenOfSlot(slot + 1));
        expect(inSlot.length).toBe(300 + strangers);
      });
      harness.engine().clearSlot(slot);
      write('{tag}after', key('kept'));
      await atRestToo(() => {
        expect(harness.engine().keyCountInSlot(slot)).toBe(1);
        expect(read('{tag}5')).toBeUndefined();
        expect(read('{tag}after')?.value.toString()).toBe('kept');
        expect(collect(harness.engine()).length).toBe(301 - strangers);
      });
    });

    test('the digest of a slot tells any difference in content and forgets history', async () => {
      const engine = harness.engine();
      const slot = slotOfToken(tokenOf(key('{s}')));
      expect(engine.digestOfSlot(slot)).toBe(0);
      const seen = new Set<number>();
      const differs = (): void => {
        const digest = harness.engine().digestOfSlot(slot);
        expect(seen.has(digest)).toBe(false);
        seen.add(digest);
      };
      write('{s}a', key('1'), 1, 0);
      differs();
      write('{s}a', key('2'), 1, 0);
      differs();
      write('{s}a', key('2'), 2, 0);
      differs();
      write('{s}a', key('2'), 2, 5);
      differs();
      write('{s}a', key('2'), 2 + 2 ** 32, 5);
      differs();
      write('{s}b', key('2'), 2, 5);
      differs();
      engine.remove(tokenOf(key('{s}a')), key('{s}a'));
      differs();
      const token = tokenOf(key('{s}'));
      engine.put(token, key('xy'), key('z'), 1, 0);
      differs();
      engine.remove(token, key('xy'));
      engine.put(token, key('x'), key('yz'), 1, 0);
      differs();
      engine.remove(token, key('x'));
      engine.remove(tokenOf(key('{s}b')), key('{s}b'));
      expect(engine.digestOfSlot(slot)).toBe(0);
    });

    test('holds many keys, in one slot and over all of them, and gives their memory back', () => {
      const engine = harness.engine();
      const before = engine.memoryBytes();
      const names = [
        ...Array.from({ length: 12_000 }, (_, i) => `{one}${i}`),
        ...Array.from({ length: 12_000 }, (_, i) => `many ${i}`),
      ];
      for (const [i, text] of names.entries()) write(text, key(`value ${i}`), i);
      expect(engine.keyCount()).toBe(names.length);
      expect(names.every((text, i) => read(text)?.version === i)).toBe(true);
      expect(collect(engine).length).toBe(names.length);
      expect(engine.memoryBytes()).toBeGreaterThan(before);
      for (const text of names) expect(engine.remove(tokenOf(key(text)), key(text))).toBe(true);
      expect(engine.keyCount()).toBe(0);
      expect(engine.dataBytes()).toBe(0);
      expect(read('many 7')).toBeUndefined();
      engine.clear();
      expect(collect(engine)).toEqual([]);
    });

    test('agrees with a plain map through any history of writes, clears, checkpoints and restarts', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(operations, { maxLength: 60, size: 'max' }), async (history) => {
          const tried = await open();
          try {
            const model = new Model();
            for (const operation of history) await carryOut(tried, model, operation);
            expectEqual(tried.engine(), model);
            await tried.endCheckpoint?.();
            expectEqual(tried.engine(), model);
            await tried.restart?.();
            expectEqual(tried.engine(), model);
          } finally {
            await tried.close();
          }
        }),
        { seed: 20260, numRuns: runs },
      );
    });
  });
}
