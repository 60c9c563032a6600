/**
 * What the memory engine costs, as it is and as eventual buckets use it (records that merge by version, with what the next
 * checkpoint must know): bytes of resident memory for each key, against a JavaScript Map, each in a fresh child process that
 * has made such keys before; and get and put rates on one thread.
 *
 * An eventual bucket may take `MERGED_EXTRA_BYTES` for each key more than the memory engine.
 *
 *     node --import tsx bench/memory-engine.ts [keys]
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { tokenOf } from '../src/base/slots.js';
import { MemoryEngine } from '../src/engine/memory/memory-engine.js';
import { MergedMemoryEngine } from '../src/engine/merged-memory-engine.js';
import type { DiskTable, Engine } from '../src/engine/types.js';

const KEY_BYTES = 16;
const VALUE_BYTES = 64;
const MERGED_EXTRA_BYTES = 24;
/** Versions of eventual buckets are hybrid logical times: 40 bits of milliseconds above 13 others. */
const FIRST_MERGED_VERSION = 90_000_000_000 * 2 ** 13;

const EMPTY_TABLE: DiskTable = {
  get: () => undefined,
  summary: () => undefined,
  scan: () => {},
  scanSummaries: () => {},
};

function keyOf(number: number): Buffer {
  return Buffer.from(`key:${String(number).padStart(KEY_BYTES - 4, '0')}`, 'latin1');
}

/** Resident bytes once the collector has settled. */
async function residentBytes(): Promise<number> {
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().rss;
}

/** Makes and drops every key and value once, so that the growth of the collector's young generation is not counted. */
function warmUp(keys: number): void {
  let made = 0;
  for (let i = 0; i < keys; i++) {
    const pair = { key: keyOf(i), token: tokenOf(keyOf(i)), value: Buffer.alloc(VALUE_BYTES, i) };
    made += pair.key.length + pair.value.length;
  }
  if (made === 0) throw new Error('there must be keys');
}

async function measureMap(keys: number): Promise<void> {
  warmUp(keys);
  const before = await residentBytes();
  const map = new Map<string, { value: Buffer; version: number; expiresAtMs: number }>();
  for (let i = 0; i < keys; i++) {
    map.set(keyOf(i).toString('latin1'), {
      value: Buffer.alloc(VALUE_BYTES, i),
      version: i + 1,
      expiresAtMs: 0,
    });
  }
  const after = await residentBytes();
  console.log(`map:    ${((after - before) / map.size).toFixed(1)} bytes of RSS per key`);
}

function rate(name: string, operations: number, run: (i: number) => void): void {
  const start = performance.now();
  for (let i = 0; i < operations; i++) run(i);
  const seconds = (performance.now() - start) / 1000;
  console.log(`        ${name}: ${(operations / seconds / 1e6).toFixed(2)} M/s`);
}

/** How a subject is filled and written to; `number` grows with each write. */
interface Subject {
  readonly engine: Engine;
  write(token: number, key: Buffer, value: Buffer, number: number): void;
}

function plainSubject(): Subject {
  const engine = new MemoryEngine();
  return { engine, write: (token, key, value, number) => engine.put(token, key, value, number, 0) };
}

function mergedSubject(): Subject {
  const engine = new MergedMemoryEngine(EMPTY_TABLE);
  return {
    engine,
    write: (token, key, value, number) => {
      const result = engine.merge(token, key, value, FIRST_MERGED_VERSION + number, 0);
      if (result !== 'applied') throw new Error(`a newer record was not taken: ${result}`);
    },
  };
}

async function measureEngine(name: string, keys: number, create: () => Subject): Promise<void> {
  const value = Buffer.alloc(VALUE_BYTES, 'v');
  warmUp(keys);
  const before = await residentBytes();
  const subject = create();
  const { engine } = subject;
  for (let i = 0; i < keys; i++) {
    const key = keyOf(i);
    subject.write(tokenOf(key), key, value, i + 1);
  }
  const after = await residentBytes();
  const held = engine.memoryBytes() / keys;
  console.log(
    `${name} ${((after - before) / engine.keyCount()).toFixed(1)} bytes of RSS per key (${held.toFixed(1)} accounted for)`,
  );

  // Keys and tokens are made beforehand, in random order: the engine alone is measured.
  const order = Array.from({ length: Math.min(keys, 500_000) }, (_, i) => (i * 7_368_787) % keys);
  const keyBuffers = order.map(keyOf);
  const tokens = keyBuffers.map(tokenOf);
  let writes = keys;
  const writeAgain = (i: number): void => subject.write(tokens[i]!, keyBuffers[i]!, value, ++writes);
  for (let round = 0; round < 2; round++) {
    rate('get        ', order.length, (i) => {
      if (engine.get(tokens[i]!, keyBuffers[i]!) === undefined) throw new Error('a key is missing');
    });
    rate('put (over) ', order.length, writeAgain);
    rate('remove     ', order.length, (i) => engine.remove(tokens[i]!, keyBuffers[i]!));
    rate('put (new)  ', order.length, writeAgain);
  }
  const seen = { count: 0 };
  const start = performance.now();
  engine.scan(0, Number.MAX_SAFE_INTEGER, () => {
    seen.count++;
    return true;
  });
  console.log(`        scan       : ${(seen.count / (performance.now() - start) / 1000).toFixed(2)} M/s`);
}

/** Runs one subject in a process of its own; returns its bytes of RSS for each key. */
function measureInChild(subject: string, keys: string): number {
  const { stdout, status } = spawnSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', fileURLToPath(import.meta.url), subject, keys],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' },
  );
  process.stdout.write(stdout);
  const bytes = /([\d.]+) bytes of RSS/.exec(stdout)?.[1];
  if (status !== 0 || bytes === undefined) throw new Error(`the measurement of ${subject} failed`);
  return Number(bytes);
}

const [asked, count] = [process.argv[2], Number(process.argv[3] ?? 1_000_000)];
if (asked === 'map') await measureMap(count);
else if (asked === 'engine') await measureEngine('engine:', count, plainSubject);
else if (asked === 'merged') await measureEngine('merged:', count, mergedSubject);
else {
  const keys = asked ?? '1000000';
  measureInChild('map', keys);
  const plain = measureInChild('engine', keys);
  const merged = measureInChild('merged', keys);
  console.log(
    `merged over engine: ${(merged - plain).toFixed(1)} bytes of RSS per key (allowed: ${MERGED_EXTRA_BYTES})`,
  );
}
