/** Payload that a leader has accepted in its term and not yet committed: what backpressure goes by. */
import { NumberQueue } from './number-queue.js';

export class UncommittedBytes {
  readonly #sizes = new NumberQueue();
  #totalBytes = 0;

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Is there room? One proposal is always let through, however large. */
  admits(sizeBytes: number, maxBytes: number): boolean {
    return this.#totalBytes === 0 || this.#totalBytes + sizeBytes <= maxBytes;
  }

  add(sizeBytes: number): void {
    this.#sizes.push(sizeBytes);
    this.#totalBytes += sizeBytes;
  }

  /** The oldest `count` proposals have been committed. */
  committed(count: number): void {
    for (let i = 0; i < count; i++) this.#totalBytes -= this.#sizes.shift() ?? 0;
  }

  reset(): void {
    this.#sizes.clear();
    this.#totalBytes = 0;
  }
}
