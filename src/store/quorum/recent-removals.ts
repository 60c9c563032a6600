/**
 * Remembers for a while what a replica has given up, so that a comparison of replicas that was under way does not bring it
 * back at once. A table of fixed size by the key's token: a later removal may take an earlier one's place. What is forgotten
 * too early comes back once, and goes again when its turn comes.
 */

const ENTRIES = 1 << 14;
/** Longer than anything that a comparison of replicas read before the removal is under way. */
const REMEMBERED_MS = 10_000;

export class RecentRemovals {
  readonly #tokens = new Float64Array(ENTRIES).fill(-1);
  readonly #versions = new Float64Array(ENTRIES);
  readonly #removedAtMs = new Float64Array(ENTRIES);

  note(token: number, version: number, nowMs: number): void {
    const entry = entryOf(token);
    this.#tokens[entry] = token;
    this.#versions[entry] = version;
    this.#removedAtMs[entry] = nowMs;
  }

  /** Was a record of this token at this version, or a newer one, given up just now? */
  has(token: number, version: number, nowMs: number): boolean {
    const entry = entryOf(token);
    return (
      this.#tokens[entry] === token &&
      version <= this.#versions[entry]! &&
      nowMs - this.#removedAtMs[entry]! < REMEMBERED_MS
    );
  }
}

/** Of a token the lowest two bits are zero, and those above them are the key's hash. */
function entryOf(token: number): number {
  return (token / 4) % ENTRIES;
}
