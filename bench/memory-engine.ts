/**
 * What the memory engine costs: bytes of resident memory for each key, against a JavaScript Map, each in a fresh child
 * process that has made such keys before; and get and put rates on one thread.
 *
 *     node --import tsx bench/memory-engine.ts [keys]
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { tokenOf } from '../src/base/slots.js';
import { MemoryEngine } from '../src/engine/memory/memory-engine.js';

const KEY_BYTES = 16;
const VALUE_BYTES = 64;

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

async function measureEngine(keys: number): Promise<void> {
  const value = Buffer.alloc(VALUE_BYTES, 'v');
  warmUp(keys);
  const before = await residentBytes();
  const engine = new MemoryEngine();
  for (let i = 0; i < keys; i++) {
    const key = keyOf(i);
    engine.put(tokenOf(key), key, value, i + 1, 0);
  }
  const after = await residentBytes();
  const held = engine.memoryBytes() / keys;
  console.log(
    `engine: ${((after - before) / engine.keyCount()).toFixed(1)} bytes of RSS per key (${held.toFixed(1)} accounted for)`,
  );

  // Keys and tokens are made beforehand, in random order: the engine alone is measured.
  const order = Array.from({ length: Math.min(keys, 500_000) }, (_, i) => (i * 7_368_787) % keys);
  const keyBuffers = order.map(keyOf);
  const tokens = keyBuffers.map(tokenOf);
  for (let round = 0; round < 2; round++) {
    rate('get        ', order.length, (i) => {
      if (engine.get(tokens[i]!, keyBuffers[i]!) === undefined) throw new Error('a key is missing');
    });
    rate('put (over) ', order.length, (i) => engine.put(tokens[i]!, keyBuffers[i]!, value, keys + i, 0));
    rate('remove     ', order.length, (i) => engine.remove(tokens[i]!, keyBuffers[i]!));
    rate('put (new)  ', order.length, (i) => engine.put(tokens[i]!, keyBuffers[i]!, value, keys + i, 0));
  }
  const seen = { count: 0 };
  const start = performance.now();
  engine.scan(0, Number.MAX_SAFE_INTEGER, () => {
    seen.count++;
    return true;
  });
  console.log(`        scan       : ${(seen.count / (performance.now() - start) / 1000).toFixed(2)} M/s`);
}

const [subject, count] = [process.argv[2], Number(process.argv[3] ?? 1_000_000)];
if (subject === 'map') await measureMap(count);
else if (subject === 'engine') await measureEngine(count);
else {
  const keys = subject ?? '1000000';
  for (const child of ['map', 'engine']) {
    const script = fileURLToPath(import.meta.url);
    spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', script, child, keys], {
      stdio: 'inherit',
    });
  }
}
