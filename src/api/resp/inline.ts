/**
 * Inline commands: a request typed as one line of words, as over telnet. Words are separated by white space; double
 * quotes allow the escapes `\n \r \t \b \a \xHH \" \\`, single quotes only `\'`. A closing quote must be followed by
 * white space or the end. These are the rules of redis-cli and of Redis's own inline requests.
 */

const SPACE = 0x20;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const BACKSLASH = 0x5c;

const ESCAPES: Readonly<Record<number, number>> = {
  110: 0x0a, // n
  114: 0x0d, // r
  116: 0x09, // t
  98: 0x08, // b
  97: 0x07, // a
};

function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d) || byte === 0;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The words of a line; undefined when its quotes do not balance. The words are copies. */
export function splitInline(line: Buffer): Buffer[] | undefined {
  const words: Buffer[] = [];
  // A word is never longer than the line; one scratch serves all words.
  const scratch = Buffer.allocUnsafe(line.length);
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line[at]!)) at++;
    if (at >= line.length) return words;
    let size = 0;
    let quote = 0;
    for (;;) {
      const byte = line[at];
      if (byte === undefined) {
        if (quote !== 0) return undefined;
        break;
      }
      if (quote === 0) {
        if (isSpace(byte)) break;
        if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) quote = byte;
        else scratch[size++] = byte;
        at++;
        continue;
      }
      if (byte === quote) {
        const after = line[at + 1];
        if (after !== undefined && !isSpace(after)) return undefined;
        at++;
        break;
      }
      if (byte === BACKSLASH) {
        const next = line[at + 1];
        if (quote === SINGLE_QUOTE) {
          if (next === SINGLE_QUOTE) {
            scratch[size++] = SINGLE_QUOTE;
            at += 2;
            continue;
          }
        } else if (next !== undefined) {
          const high = next === 0x78 ? hexDigit(line[at + 2]) : -1;
          const low = high < 0 ? -1 : hexDigit(line[at + 3]);
          if (low >= 0) {
            scratch[size++] = high * 16 + low;
            at += 4;
          } else {
            scratch[size++] = ESCAPES[next] ?? next;
            at += 2;
          }
          continue;
        }
      }
      scratch[size++] = byte;
      at++;
    }
    words.push(Buffer.from(scratch.subarray(0, size)));
  }
}
