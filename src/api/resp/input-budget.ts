/**
 * A bound on what half-read requests hold over all connections of a server. Each connection is bounded by the limits on
 * requests, but ten thousand connections that each announce one large value are not. Words below `SMALL_BYTES` are not
 * counted: they are bounded by the number of connections alone.
 */

export const SMALL_BYTES = 64 * 1024;

export class InputBudget {
  readonly #limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** False when there is not so much left. */
  reserve(sizeBytes: number): boolean {
    if (this.#usedBytes + sizeBytes > this.#limitBytes) return false;
    this.#usedBytes += sizeBytes;
    return true;
  }

  release(sizeBytes: number): void {
    this.#usedBytes -= sizeBytes;
  }
}
