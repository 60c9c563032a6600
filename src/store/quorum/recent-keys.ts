/**
 * Remembers keys for a while, in a table of fixed size by their tokens: a later key may take an earlier one's place. For
 * what is right without it and better with it.
 */

const ENTRIES = 1 << 13;

export class RecentKeys {
  readonly #rememberedMs: number;
  readonly #tokens = new Float64Array(ENTRIES).fill(-1);
  readonly #versions = new Float64Array(ENTRIES);
  readonly #notedAtMs = new Float64Array(ENTRIES);

  constructor(rememberedMs: number) {
    this.#rememberedMs = rememberedMs;
  }

  note(token: number, version: number, nowMs: number): void {
    const entry = entryOf(token);
    this.#tokens[entry] = token;
    this.#versions[entry] = version;
    this.#notedAtMs[entry] = nowMs;
  }

  /** Was this token noted lately, at this version or a newer one? */
  has(token: number, version: number, nowMs: number): boolean {
    const entry = entryOf(token);
    return (
      this.#tokens[entry] === token &&
      version <= this.#versions[entry]! &&
      nowMs - this.#notedAtMs[entry]! < this.#rememberedMs
    );
  }
}

/** Of a token the lowest two bits are zero, and those above them are the key's hash. */
function entryOf(token: number): number {
  return (token / 4) % ENTRIES;
}
