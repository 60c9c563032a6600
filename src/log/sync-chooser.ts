/**
 * Chooses between a blocking sync on the event loop and one in the thread pool, by what both cost here and now.
 *
 * A background sync costs a batch two thread hops of latency but leaves the loop free; a blocking one has no hops but
 * holds everything up while it lasts. Under group commit most of what the loop could do meanwhile waits for the sync anyway,
 * so blocking wins while it is short and clearly faster. Measured on the reference machine with 8 KiB batches: 0.11 ms
 * blocking; 0.14 ms in the background when idle, and two to three times that once the machine is busy.
 *
 * The rule: the first syncs alternate, then the cheaper goes on; now and then the other is tried again for a few syncs, so
 * that a disk that has changed (or a neighbour that has gone) is noticed. Blocking must be below BLOCKING_LIMIT_MS and
 * below ADVANTAGE of the other's time. Large batches always go to the background and are not measured.
 */
import { LIMITS } from '../base/limits.js';
import type { SyncStrategy } from './types.js';

const FIRST_PROBES = 16;
const PROBE_INTERVAL = 2048;
const PROBES = 4;
/** Half a millisecond of a stopped event loop is felt by nobody; more is not worth the saved hops. */
const BLOCKING_LIMIT_MS = 0.5;
const ADVANTAGE = 0.8;
/** Weight of the newest measurement, and how far above the average one may count: a hiccup is no trend. */
const WEIGHT = 1 / 8;
const OUTLIER = 4;

export class SyncChooser {
  readonly #fixed: SyncStrategy | undefined;
  #preferred: SyncStrategy;
  #blockingMs = 0;
  #backgroundMs = 0;
  #averageMs = 0;
  #count = 0;
  /** Probes left of the other strategy. */
  #probes = 0;

  constructor(strategy: 'auto' | SyncStrategy) {
    this.#fixed = strategy === 'auto' ? undefined : strategy;
    this.#preferred = this.#fixed ?? 'background';
  }

  get preferred(): SyncStrategy {
    return this.#preferred;
  }

  /** Moving average of all syncs. */
  get averageMs(): number {
    return this.#averageMs;
  }

  choose(batchBytes: number): SyncStrategy {
    if (batchBytes > LIMITS.logBlockingSyncBytes) return 'background';
    if (this.#fixed !== undefined) return this.#fixed;
    if (this.#count < FIRST_PROBES) return this.#count % 2 === 0 ? 'background' : 'blocking';
    if (this.#probes === 0) return this.#preferred;
    return this.#preferred === 'blocking' ? 'background' : 'blocking';
  }

  /** Tells how long a sync took. */
  record(strategy: SyncStrategy, tookMs: number, batchBytes: number): void {
    this.#averageMs = moved(this.#averageMs, tookMs);
    if (this.#fixed !== undefined || batchBytes > LIMITS.logBlockingSyncBytes) return;
    if (strategy === 'blocking') this.#blockingMs = moved(this.#blockingMs, tookMs);
    else this.#backgroundMs = moved(this.#backgroundMs, tookMs);
    this.#count++;
    if (this.#count < FIRST_PROBES) return;
    if (this.#probes > 0 && strategy !== this.#preferred) this.#probes--;
    if (this.#probes > 0) return;
    const blocking =
      this.#blockingMs <= BLOCKING_LIMIT_MS && this.#blockingMs <= this.#backgroundMs * ADVANTAGE;
    this.#preferred = blocking ? 'blocking' : 'background';
    // One probe is enough where blocking has been found far too slow: each is a hiccup.
    if (this.#count % PROBE_INTERVAL === 0)
      this.#probes = this.#blockingMs > 4 * BLOCKING_LIMIT_MS ? 1 : PROBES;
  }
}

function moved(average: number, value: number): number {
  return average === 0 ? value : average + (Math.min(value, OUTLIER * average) - average) * WEIGHT;
}
