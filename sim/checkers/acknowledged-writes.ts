/**
 * No acknowledged write is lost: each key here is written once, with a value of its own, and never removed. When all is
 * healed, each acknowledged one must be read back, and what is read must have been written.
 */
import { SimulationViolation } from './violation.js';

export class AcknowledgedWrites {
  readonly #attempted = new Map<string, string>();
  readonly #acknowledged = new Set<string>();

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  keys(): IterableIterator<string> {
    return this.#attempted.keys();
  }

  attempt(key: string, value: string): void {
    this.#attempted.set(key, value);
  }

  acknowledge(key: string): void {
    this.#acknowledged.add(key);
  }

  /** What a linearizable read found after healing (null: nothing). */
  read(key: string, value: string | null): void {
    if (value === null) {
      if (this.#acknowledged.has(key))
        throw new SimulationViolation('acknowledged writes', `the acknowledged write of ${key} is lost`);
      return;
    }
    if (value !== this.#attempted.get(key))
      throw new SimulationViolation('acknowledged writes', `${key} holds ${value}, which nobody wrote there`);
  }
}
