/**
 * Cuts a long run of writes into slices, with a turn of the event loop between them, so that requests are served
 * while a checkpoint is written. A slice ends by count, by size or by time, whichever comes first.
 */
import type { Clock } from '../../env/env.js';

const MAX_WRITES = 2000;
const MAX_BYTES = 1 << 20;
const MAX_MS = 2;
/** The clock is read once in so many writes. */
const CLOCK_STEP = 32;

export class WriteSlices {
  readonly #clock: Clock;
  #startedMs: number;
  #writes = 0;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  /** Accounts for a write; true when the slice is over and `pause` is due. */
  isOver(sizeBytes: number): boolean {
    this.#writes++;
    this.#bytes += sizeBytes;
    if (this.#writes >= MAX_WRITES || this.#bytes >= MAX_BYTES) return true;
    return this.#writes % CLOCK_STEP === 0 && this.#clock.monotonicMs() - this.#startedMs >= MAX_MS;
  }

  /** Lets the event loop turn; a promise for each slice, not for each write. */
  async pause(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.defer(resolve));
    this.#startedMs = this.#clock.monotonicMs();
    this.#writes = 0;
    this.#bytes = 0;
  }
}
