import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../sim/random.js';
import { firstTokenOfSlot, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import { testEngine } from './conformance.js';

testEngine(
  'the memory engine',
  async () => {
    const engine = new MemoryEngine();
    return { engine: () => engine, close: async () => {} };
  },
  300,
);

testEngine(
  'the memory engine that keeps the order of use',
  async () => {
    const engine = new MemoryEngine();
    engine.access.track();
    engine.access.separate(3, [1, 127, 8191]);
    return { engine: () => engine, close: async () => {} };
  },
  300,
);

const value = Buffer.alloc(64, 'v');

function fill(engine: MemoryEngine, prefix: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const key = Buffer.from(`${prefix}${String(i).padStart(16 - prefix.length, '0')}`);
    engine.put(tokenOf(key), key, value, i + 1, 0);
  }
}

describe('the memory of the memory engine', () => {
  test('a key of 16 bytes with a value of 64 costs less than 130 bytes, however keys spread over slots', () => {
    for (const prefix of ['key:', '{a}']) {
      const engine = new MemoryEngine();
      for (const count of [100_000, 150_000]) {
        fill(engine, prefix, count);
        expect(engine.keyCount()).toBe(count);
        expect(engine.memoryBytes() / count).toBeLessThan(130);
      }
    }
  });

  test('an empty bucket and one with few keys cost little', () => {
    const engine = new MemoryEngine();
    expect(engine.memoryBytes()).toBe(0);
    fill(engine, 'key:', 10);
    expect(engine.memoryBytes()).toBeLessThan(100_000);
  });

  test('memory is given back when keys go', () => {
    const engine = new MemoryEngine();
    fill(engine, 'key:', 50_000);
    const full = engine.memoryBytes();
    for (let i = 0; i < 50_000; i++) {
      const key = Buffer.from(`key:${String(i).padStart(12, '0')}`);
      engine.remove(tokenOf(key), key);
    }
    expect(engine.memoryBytes()).toBeLessThan(full / 10);
  });

  test('cells of freed records are used again', () => {
    const engine = new MemoryEngine();
    fill(engine, 'key:', 20_000);
    const random = new SeededRandom('cells');
    const before = engine.memoryBytes();
    for (let i = 0; i < 100_000; i++) {
      const key = Buffer.from(`key:${String(random.integer(20_000)).padStart(12, '0')}`);
      if (i % 2 === 0) engine.remove(tokenOf(key), key);
      else engine.put(tokenOf(key), key, value, i, 0);
    }
    expect(engine.memoryBytes()).toBeLessThanOrEqual(before * 1.05);
  });
});

describe('the index of the memory engine', () => {
  test('keys of one token, and tokens at the edges of segments, stay ordered and found', () => {
    const engine = new MemoryEngine();
    const tokens = [0, 4, firstTokenOfSlot(128) - 4, firstTokenOfSlot(128), TOKEN_END - 4, TOKEN_END - 8];
    const expected: string[] = [];
    for (const token of tokens) {
      for (let i = 0; i < 1500; i++) {
        const key = Buffer.from(`k${(i * 7919) % 1500}`);
        engine.put(token, key, value, i, 0);
      }
    }
    for (const token of [...tokens].sort((a, b) => a - b)) {
      const names = Array.from({ length: 1500 }, (_, i) => `k${i}`);
      expected.push(...names.sort((a, b) => (a < b ? -1 : 1)).map((name) => `${token} ${name}`));
    }
    const seen: string[] = [];
    engine.scan(0, TOKEN_END, (token, key) => {
      seen.push(`${token} ${key.toString()}`);
      return true;
    });
    expect(seen).toEqual(expected);
    for (const token of tokens) {
      for (let i = 0; i < 1500; i += 2) expect(engine.remove(token, Buffer.from(`k${i}`))).toBe(true);
      for (let i = 0; i < 1500; i++)
        if ((engine.get(token, Buffer.from(`k${i}`)) !== undefined) !== (i % 2 === 1))
          throw new Error(`k${i} differs`);
    }
  });

  test('agrees with a map over a long random history in crowded and sparse slots', () => {
    const random = new SeededRandom('history');
    const engine = new MemoryEngine();
    const model = new Map<string, number>();
    for (let i = 1; i <= 300_000; i++) {
      const crowded = random.integer(2) === 0;
      const name = `${crowded ? '{x}' : ''}${random.integer(15_000)}`;
      const key = Buffer.from(name);
      const growing = Math.floor(i / 100_000) % 2 === 0;
      if (random.integer(10) < (growing ? 7 : 3)) {
        engine.put(tokenOf(key), key, value.subarray(0, random.integer(64)), i, 0);
        model.set(name, i);
      } else {
        if (engine.remove(tokenOf(key), key) !== model.delete(name))
          throw new Error(`removal of ${name} differs`);
      }
    }
    expect(engine.keyCount()).toBe(model.size);
    for (const [name, version] of model) {
      const key = Buffer.from(name);
      if (engine.get(tokenOf(key), key)?.version !== version) throw new Error(`${name} differs`);
    }
    let last = -1;
    let count = 0;
    engine.scan(0, TOKEN_END, (token) => {
      if (token < last) throw new Error(`token ${token} comes after ${last}`);
      last = token;
      count++;
      return true;
    });
    expect(count).toBe(model.size);
  });
});
