/**
 * How fast one peer has answered of late (paper 002's wish for load-aware reads): a moving average to choose by, and a
 * quantile past which an answer counts as late ("The Tail at Scale", Dean and Barroso 2013).
 *
 * Answers are counted in buckets whose bounds grow by a quarter of a power of two, and all counts are halved now and then: the
 * quantile follows what is recent, is never too low, and too high by a fifth at most.
 */

const SMALLEST_MS = 0.0625;
const BUCKETS_PER_DOUBLING = 4;
/** Up to 65 seconds: 20 doublings. */
const BUCKETS = 20 * BUCKETS_PER_DOUBLING;
/** Counts are halved at so many answers, so that the latest few hundred decide. */
const HALVED_AT = 512;
/** Weight of one answer in the moving average: a peer that has recovered is believed after some ten answers. */
const WEIGHT = 0.15;

function bucketOf(latencyMs: number): number {
  if (latencyMs <= SMALLEST_MS) return 0;
  return Math.min(BUCKETS - 1, Math.ceil(Math.log2(latencyMs / SMALLEST_MS) * BUCKETS_PER_DOUBLING));
}

export class Latency {
  #meanMs = 0;
  #samples = 0;
  #total = 0;
  readonly #counts = new Uint32Array(BUCKETS);

  /** 0 before the first answer. */
  get meanMs(): number {
    return this.#meanMs;
  }

  record(latencyMs: number): void {
    const sampleMs = Math.max(0, latencyMs);
    this.#samples++;
    // The first answers weigh alike, so that the average does not start at nothing.
    this.#meanMs += (sampleMs - this.#meanMs) * Math.max(WEIGHT, 1 / this.#samples);
    const bucket = bucketOf(sampleMs);
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    if (++this.#total >= HALVED_AT) this.#halve();
  }

  /** The time within which this share of the recent answers came; 0 before the first. */
  quantileMs(quantile: number): number {
    if (this.#total === 0) return 0;
    const wanted = quantile * this.#total;
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= wanted) return SMALLEST_MS * 2 ** (bucket / BUCKETS_PER_DOUBLING);
    }
    return SMALLEST_MS * 2 ** ((BUCKETS - 1) / BUCKETS_PER_DOUBLING);
  }

  #halve(): void {
    this.#total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const half = this.#counts[bucket]! >>> 1;
      this.#counts[bucket] = half;
      this.#total += half;
    }
  }
}
