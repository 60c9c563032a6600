/**
 * Latency spikes by event, as Redis's latency monitor keeps them: for each event a bounded row of (second, worst
 * milliseconds). Off until a threshold is set. One event is known here: `command`.
 */

const MAX_SAMPLES = 160;

export interface LatencySample {
  readonly atSeconds: number;
  latencyMs: number;
}

export class LatencyMonitor {
  /** Milliseconds; 0: nothing is kept. */
  thresholdMs = 0;
  readonly #events = new Map<string, { samples: LatencySample[]; maxMs: number }>();

  add(event: string, latencyMs: number): void {
    const atSeconds = Math.floor(Date.now() / 1000);
    const rounded = Math.round(latencyMs);
    let row = this.#events.get(event);
    if (row === undefined) {
      row = { samples: [], maxMs: 0 };
      this.#events.set(event, row);
    }
    row.maxMs = Math.max(row.maxMs, rounded);
    const last = row.samples.at(-1);
    if (last !== undefined && last.atSeconds === atSeconds) {
      last.latencyMs = Math.max(last.latencyMs, rounded);
      return;
    }
    row.samples.push({ atSeconds, latencyMs: rounded });
    if (row.samples.length > MAX_SAMPLES) row.samples.shift();
  }

  history(event: string): readonly LatencySample[] {
    return this.#events.get(event)?.samples ?? [];
  }

  /** Each event with its newest sample and its worst ever. */
  latest(): { readonly event: string; readonly sample: LatencySample; readonly maxMs: number }[] {
    const latest = [];
    for (const [event, row] of this.#events) {
      const sample = row.samples.at(-1);
      if (sample !== undefined) latest.push({ event, sample, maxMs: row.maxMs });
    }
    return latest;
  }

  /** Forgets these events, or all; returns how many. */
  reset(events: readonly string[]): number {
    const names = events.length === 0 ? [...this.#events.keys()] : events;
    let count = 0;
    for (const name of names) if (this.#events.delete(name)) count++;
    return count;
  }
}
