/**
 * Redis's glob patterns over bytes: `*`, `?`, `[a-z]`, `[^a-z]` and `\` to take the next character as it is.
 *
 * The pattern is compiled to single-byte matchers and stars; matching remembers only the last star, so that it takes at
 * most pattern times text steps whatever the pattern (a naive recursion is exponential).
 *
 * Kept from Redis on purpose: an open `[` runs to the end of the pattern; the ends of a range may stand in any order
 * and compare as signed bytes; against an empty text only the empty pattern and the plain `*` match.
 */

const STAR = 0x2a;
const QUESTION = 0x3f;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const CARET = 0x5e;
const DASH = 0x2d;
const BACKSLASH = 0x5c;

type Matcher = 'star' | 'any' | number | Uint8Array;

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

export class GlobPattern {
  readonly #matchers: Matcher[] = [];
  /** The plain `*`. */
  readonly matchesAll: boolean;
  readonly #isEmpty: boolean;

  constructor(pattern: Buffer) {
    this.matchesAll = pattern.length === 1 && pattern[0] === STAR;
    this.#isEmpty = pattern.length === 0;
    for (let at = 0; at < pattern.length; ) {
      const byte = pattern[at]!;
      if (byte === STAR) {
        if (this.#matchers.at(-1) !== 'star') this.#matchers.push('star');
        at++;
      } else if (byte === QUESTION) {
        this.#matchers.push('any');
        at++;
      } else if (byte === OPEN) {
        at = this.#compileSet(pattern, at + 1);
      } else if (byte === BACKSLASH && at + 1 < pattern.length) {
        this.#matchers.push(pattern[at + 1]!);
        at += 2;
      } else {
        this.#matchers.push(byte);
        at++;
      }
    }
  }

  /** Compiles what follows a `[`; returns where the pattern goes on. */
  #compileSet(pattern: Buffer, start: number): number {
    const members = new Uint8Array(256);
    let at = start;
    const inverted = pattern[at] === CARET;
    if (inverted) at++;
    for (;;) {
      const left = pattern.length - at;
      const byte = pattern[at]!;
      if (left >= 2 && byte === BACKSLASH) {
        members[pattern[at + 1]!] = 1;
        at += 2;
      } else if (left === 0 || byte === CLOSE) {
        at++;
        break;
      } else if (left >= 3 && pattern[at + 1] === DASH) {
        const one = signed(byte);
        const other = signed(pattern[at + 2]!);
        for (let member = Math.min(one, other); member <= Math.max(one, other); member++)
          members[member & 0xff] = 1;
        at += 3;
      } else {
        members[byte] = 1;
        at++;
      }
    }
    if (inverted) for (let i = 0; i < 256; i++) members[i] = members[i]! ^ 1;
    this.#matchers.push(members);
    return at;
  }

  matches(text: Buffer): boolean {
    if (this.matchesAll) return true;
    if (text.length === 0) return this.#isEmpty;
    const matchers = this.#matchers;
    let matcherAt = 0;
    let textAt = 0;
    let lastStar = -1;
    let textAtStar = 0;
    while (textAt < text.length) {
      const matcher = matchers[matcherAt];
      if (matcher === 'star') {
        lastStar = matcherAt++;
        textAtStar = textAt;
        continue;
      }
      if (matcher !== undefined) {
        const byte = text[textAt]!;
        const fits =
          matcher === 'any' || (typeof matcher === 'number' ? matcher === byte : matcher[byte] === 1);
        if (fits) {
          matcherAt++;
          textAt++;
          continue;
        }
      }
      if (lastStar < 0) return false;
      // Let the last star take one byte more.
      matcherAt = lastStar + 1;
      textAt = ++textAtStar;
    }
    while (matchers[matcherAt] === 'star') matcherAt++;
    return matcherAt === matchers.length;
  }
}
