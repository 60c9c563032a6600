/**
 * Which parts of the key space have been written to since the last checkpoint: one bit for each of equal ranges of tokens.
 *
 * There are about four ranges for each key, so that most hold one key or none and a checkpoint writes hardly more than what
 * has changed. Keys that crowd in one slot share ranges; then their neighbours are written with them, which costs time
 * and harms nothing. The number of ranges is chosen when the bitmap is made: a bucket that grows gets more with the
 * next checkpoint.
 */
import { TOKEN_END } from '../base/slots.js';
import type { TokenRange } from './types.js';

const MIN_RANGES = 2 ** 17;
/** 8 MiB of bits. */
const MAX_RANGES = 2 ** 26;
const RANGES_PER_KEY = 4;
const WORD_BITS = 32;

export class DirtyRanges {
  readonly #words: Uint32Array;
  /** token * scale, rounded down, is its range. */
  readonly #scale: number;

  /** `keys`: how many there are about. */
  constructor(keys: number) {
    let ranges = MIN_RANGES;
    while (ranges < MAX_RANGES && ranges < keys * RANGES_PER_KEY) ranges *= 2;
    this.#words = new Uint32Array(ranges / WORD_BITS);
    this.#scale = ranges / TOKEN_END;
  }

  get memoryBytes(): number {
    return this.#words.byteLength;
  }

  get isEmpty(): boolean {
    return this.#words.every((word) => word === 0);
  }

  mark(token: number): void {
    const range = (token * this.#scale) | 0;
    this.#words[range >>> 5]! |= 1 << (range & 31);
  }

  /** The marked parts in token order; ranges side by side are one part. What is marked meanwhile may be missed. */
  *parts(): Generator<TokenRange> {
    const words = this.#words;
    const tokensPerRange = 1 / this.#scale;
    let first = -1;
    let end = -1;
    for (let at = 0; at < words.length; at++) {
      let word = words[at]!;
      while (word !== 0) {
        const bit = 31 - Math.clz32(word & -word);
        word &= word - 1;
        const range = at * WORD_BITS + bit;
        if (range === end) {
          end++;
          continue;
        }
        if (first >= 0) yield { fromToken: first * tokensPerRange, toToken: end * tokensPerRange };
        first = range;
        end = range + 1;
      }
    }
    if (first >= 0) yield { fromToken: first * tokensPerRange, toToken: end * tokensPerRange };
  }
}
