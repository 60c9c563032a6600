/**
 * The slow log: the latest requests that took longer than a threshold, newest first, bounded in entries and in the bytes
 * of each (as Redis: at most 32 words, each of at most 128 bytes).
 *
 * Departure from Redis: the time is what the client waited at this node, the way through the group's log included,
 * rather than the time on the processor; that is what an operator of a replicated store looks for.
 */

const MAX_WORDS = 32;
const MAX_WORD_BYTES = 128;

export interface SlowRequest {
  readonly id: number;
  readonly wallMs: number;
  readonly durationMicros: number;
  readonly words: readonly Buffer[];
  readonly address: string;
  readonly clientName: string;
}

export class SlowLog {
  #entries: SlowRequest[] = [];
  #nextId = 0;
  /** Microseconds; negative: nothing is logged. */
  thresholdMicros = 10_000;
  maxLength = 128;

  get length(): number {
    return this.#entries.length;
  }

  /** The newest `count` entries. */
  latest(count: number): readonly SlowRequest[] {
    return this.#entries.slice(0, count);
  }

  reset(): void {
    this.#entries = [];
  }

  add(durationMs: number, name: string, args: readonly Buffer[], address: string, clientName: string): void {
    if (this.maxLength === 0) return;
    const words: Buffer[] = [Buffer.from(name, 'latin1')];
    const shown = args.length + 1 > MAX_WORDS ? MAX_WORDS - 2 : args.length;
    for (let i = 0; i < shown; i++) {
      const arg = args[i]!;
      if (arg.length > MAX_WORD_BYTES) {
        const more = arg.length - MAX_WORD_BYTES;
        words.push(
          Buffer.from(`${arg.toString('latin1', 0, MAX_WORD_BYTES)}... (${more} more bytes)`, 'latin1'),
        );
      } else {
        // A copy: the word is a view of a whole chunk.
        words.push(Buffer.from(arg));
      }
    }
    if (shown < args.length) words.push(Buffer.from(`... (${args.length - shown} more arguments)`, 'latin1'));
    this.#entries.unshift({
      id: this.#nextId++,
      wallMs: Date.now(),
      durationMicros: Math.round(durationMs * 1000),
      words,
      address,
      clientName,
    });
    if (this.#entries.length > this.maxLength) this.#entries.length = this.maxLength;
  }
}
