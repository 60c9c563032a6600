/**
 * Seeded chance: the small fast counting generator (sfc32) of the PractRand suite, split by label.
 *
 * Invariants:
 * - equal seed and equal calls give equal numbers, on every machine;
 * - `fork(label)` depends on the seed path alone, not on how many numbers were drawn before, so that adding a draw in
 *   one part of the simulator does not shift the chances of another part.
 */
import type { Random } from '../src/env/env.js';

/** Hashes text into one of four 32-bit lanes (FNV-1a with a finalizer). */
function hashText(text: string, lane: number): number {
  let hash = 0x811c9dc5 ^ Math.imul(lane + 1, 0x9e3779b1);
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}

export class SeededRandom implements Random {
  readonly #path: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#path = seed;
    this.#a = hashText(seed, 0);
    this.#b = hashText(seed, 1);
    this.#c = hashText(seed, 2);
    for (let i = 0; i < 12; i++) this.next();
  }

  /** A generator of its own for one part of the simulation. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.#path}/${label}`);
  }

  /** 32 random bits, unsigned. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  integer(bound: number): number {
    return bound <= 0x1_0000_0000
      ? Math.floor(this.float() * bound)
      : Math.floor(((this.next() >>> 6) * 0x8000000 + (this.next() >>> 5)) * (bound / 2 ** 53));
  }

  hex(sizeBytes: number): string {
    let text = '';
    while (text.length < sizeBytes * 2) text += this.next().toString(16).padStart(8, '0');
    return text.slice(0, sizeBytes * 2);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.float() < probability;
  }

  /** A float in [low, high). */
  between(low: number, high: number): number {
    return low + this.float() * (high - low);
  }

  /** A waiting time with this mean, exponentially distributed (memoryless, as faults and arrivals are). */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean;
  }

  pick<T>(choices: readonly T[]): T {
    const chosen = choices[this.integer(choices.length)];
    if (chosen === undefined) throw new RangeError('a choice needs something to choose from');
    return chosen;
  }

  /** A random order, in place. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const item = items[i]!;
      items[i] = items[j]!;
      items[j] = item;
    }
    return items;
  }
}
