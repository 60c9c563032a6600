/** How many per second, from a counter that only grows: over the time since it was last asked, at least a while. */

const LEAST_WINDOW_MS = 100;

export class Rate {
  #count = 0;
  #atMs = performance.now();
  #perSecond = 0;

  perSecond(count: number): number {
    const nowMs = performance.now();
    const windowMs = nowMs - this.#atMs;
    if (windowMs >= LEAST_WINDOW_MS) {
      this.#perSecond = Math.round(((count - this.#count) * 1000) / windowMs);
      this.#count = count;
      this.#atMs = nowMs;
    }
    return this.#perSecond;
  }

  reset(): void {
    this.#count = 0;
    this.#atMs = performance.now();
    this.#perSecond = 0;
  }
}
