/**
 * Cursors over the key space. A token has two zero bits at the end, so a cursor is the token divided by four, as a decimal;
 * 0 starts, and 0 in a reply ends.
 *
 * A cursor names a place in the order of tokens and nothing else. So a key that is there throughout an iteration is
 * returned, whatever is written meanwhile, and cursors need no memory anywhere. Keys of equal token are never parted.
 * A walk ends at the latest where this group's run of slots ends; the group that comes next goes on from there.
 */
import { TOKEN_END } from '../base/slots.js';
import type { EngineRecord } from '../engine/types.js';
import { clampToSafe, parseInteger } from './arguments.js';
import type { KeySpace } from './command.js';

const CURSOR = /^\s{0}[+-]?\d+$/;

/** The token of a cursor; undefined when it is no number. What lies past the last token is the end. */
export function parseCursor(text: Buffer): number | undefined {
  if (text.length === 0) return 0;
  const value = parseInteger(text);
  if (value === undefined) {
    // Redis reads cursors more freely than integers: leading zeros and signs pass, and mean nothing useful here.
    const free = text.toString('latin1');
    if (!CURSOR.test(free) || BigInt(free) > 0xffff_ffff_ffff_ffffn) return undefined;
    const number = Number(free);
    return number >= 0 ? Math.min(number * 4, TOKEN_END) : TOKEN_END;
  }
  const number = clampToSafe(value);
  return number >= 0 ? Math.min(number * 4, TOKEN_END) : TOKEN_END;
}

export function formatCursor(token: number): Buffer {
  return Buffer.from(token >= TOKEN_END ? '0' : String(token / 4), 'latin1');
}

/**
 * Visits live keys from a token on until `budget` of them have been seen, or the visitor returns false, or the run of slots
 * ends. Returns the token to go on with.
 */
export function walk(
  keyspace: KeySpace,
  fromToken: number,
  budget: number,
  visitor: (key: Buffer, record: EngineRecord) => boolean,
): number {
  if (fromToken >= TOKEN_END) return TOKEN_END;
  const end = keyspace.endOfRun?.(fromToken) ?? TOKEN_END;
  let next = end;
  let left = budget;
  let lastToken = -1;
  keyspace.scan(fromToken, end, (token, key, record) => {
    if (left <= 0 && token !== lastToken) {
      next = token;
      return false;
    }
    lastToken = token;
    left--;
    if (!visitor(key, record)) left = 0;
    return true;
  });
  return next;
}
