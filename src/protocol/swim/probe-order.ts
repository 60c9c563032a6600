/**
 * In which order members are probed. Source: SWIM, section 4.3: round robin over a shuffled list, shuffled anew after each
 * round, newcomers at a random place. So every member is probed once a round, and a dead one is missed within two.
 */
import type { NodeId } from './types.js';

export class ProbeOrder {
  readonly #random: () => number;
  #order: NodeId[] = [];
  #next = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  get length(): number {
    return this.#order.length;
  }

  add(id: NodeId): void {
    const place = this.#integer(this.#order.length + 1);
    this.#order.splice(place, 0, id);
    // Those before the cursor have had their turn.
    if (place < this.#next) this.#next++;
  }

  remove(id: NodeId): void {
    const place = this.#order.indexOf(id);
    if (place < 0) return;
    this.#order.splice(place, 1);
    if (place < this.#next) this.#next--;
  }

  /** Whose turn it is; undefined when there is nobody. */
  next(): NodeId | undefined {
    if (this.#next >= this.#order.length) {
      this.#next = 0;
      for (let i = this.#order.length - 1; i > 0; i--) {
        const j = this.#integer(i + 1);
        const moved = this.#order[i]!;
        this.#order[i] = this.#order[j]!;
        this.#order[j] = moved;
      }
    }
    return this.#order[this.#next++];
  }

  /** Up to `count` different members of those that `accept` lets through: neighbours in the shuffled list. */
  sample(count: number, accept: (id: NodeId) => boolean): NodeId[] {
    const chosen: NodeId[] = [];
    const start = this.#integer(this.#order.length);
    for (let i = 0; i < this.#order.length && chosen.length < count; i++) {
      const id = this.#order[(start + i) % this.#order.length]!;
      if (accept(id)) chosen.push(id);
    }
    return chosen;
  }

  #integer(bound: number): number {
    return Math.floor(this.#random() * bound);
  }
}
