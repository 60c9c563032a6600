/** A first-in first-out queue of numbers that does not shift its array on every take. */
const COMPACT_AT = 256;

export class NumberQueue {
  #items: number[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(value: number): void {
    this.#items.push(value);
  }

  /** The oldest; undefined when empty. */
  peek(): number | undefined {
    return this.#items[this.#head];
  }

  /** Takes the oldest; undefined when empty. */
  shift(): number | undefined {
    if (this.#head === this.#items.length) return undefined;
    const value = this.#items[this.#head++];
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return value;
  }

  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }
}
