/**
 * Bounded concurrency: so many calls under way, so many waiting behind them in the order of their coming, so many bytes in all.
 * Past that a call is refused with OVERLOADED, never queued without bound.
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';

interface Waiting {
  readonly admit: () => void;
}

export class Gate {
  readonly #maxInside: number;
  readonly #queue = new Set<Waiting>();
  #inside = 0;
  #heldBytes = 0;

  constructor(maxInside: number) {
    this.#maxInside = maxInside;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Runs `work` when it is its turn. Rejects with the signal's reason when that is aborted before. */
  async run<T>(sizeBytes: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#heldBytes + sizeBytes > LIMITS.maxClientBytes)
      throw new QuoinError('OVERLOADED', 'the calls under way hold too many bytes');
    this.#heldBytes += sizeBytes;
    try {
      await this.#enter(signal);
      try {
        return await work();
      } finally {
        this.#leave();
      }
    } finally {
      this.#heldBytes -= sizeBytes;
    }
  }

  #enter(signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted();
    if (this.#inside < this.#maxInside) {
      this.#inside++;
      return undefined;
    }
    if (this.#queue.size >= LIMITS.maxClientQueue)
      throw new QuoinError('OVERLOADED', 'too many calls wait for their turn');
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        admit: () => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      const giveUp = (): void => {
        this.#queue.delete(waiting);
        reject(signal.reason as QuoinError);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#queue.add(waiting);
    });
  }

  /** Hands the place on, if anybody waits for it. */
  #leave(): void {
    for (const next of this.#queue) {
      this.#queue.delete(next);
      next.admit();
      return;
    }
    this.#inside--;
  }
}
