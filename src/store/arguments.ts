/**
 * Reading command arguments as Redis does: strict 64-bit integers, case-insensitive option words, and the error
 * replies that every command shares.
 *
 * Invariant: integers within the safe range are numbers and all others are bigints, so that arithmetic stays on
 * numbers where it can and `typeof` tells which is which.
 */
import type { CommandDefinition } from './command.js';
import { ErrorReply } from './reply.js';

export const SYNTAX_ERROR = ErrorReply.of('WRONG_ARGUMENTS', 'syntax error');
export const NOT_AN_INTEGER = ErrorReply.of('WRONG_ARGUMENTS', 'value is not an integer or out of range');
export const NOT_A_FLOAT = ErrorReply.of('WRONG_ARGUMENTS', 'value is not a valid float');
export const NO_SUCH_KEY = ErrorReply.of('WRONG_ARGUMENTS', 'no such key');
export const STRING_TOO_LARGE = ErrorReply.of(
  'VALUE_TOO_LARGE',
  'string exceeds maximum allowed size (proto-max-bulk-len)',
);
export const EMPTY = Buffer.alloc(0);

/** An integer of a Redis argument or value: a number when it is safe, else a bigint. */
export type Integer = number | bigint;

export const INT64_MAX = 2n ** 63n - 1n;
export const INT64_MIN = -(2n ** 63n);

/** Longest part of a client's word that an error repeats. */
const MAX_QUOTED_LENGTH = 128;

/** Decimal digits that always make a safe number. */
const SAFE_DIGITS = 15;

export function invalidExpireTime(commandName: string): ErrorReply {
  return ErrorReply.of('WRONG_ARGUMENTS', `invalid expire time in '${commandName}' command`);
}

export function wrongArgumentCount(commandName: string): ErrorReply {
  return ErrorReply.of('WRONG_ARGUMENTS', `wrong number of arguments for '${commandName}' command`);
}

/** A client's word as error texts quote it: up to a zero byte, and never with a line end, which would end the reply. */
export function quotedWord(word: Buffer): string {
  const zero = word.indexOf(0);
  const text = word.toString('utf8', 0, zero < 0 ? word.length : zero);
  return text.slice(0, MAX_QUOTED_LENGTH).replace(/[\r\n]/g, ' ');
}

/** Refuses a wrong number of words; `argumentCount` leaves out the name. */
export function checkArity(definition: CommandDefinition, argumentCount: number): ErrorReply | undefined {
  const words = argumentCount + 1;
  const fits = definition.arity >= 0 ? words === definition.arity : words >= -definition.arity;
  return fits ? undefined : wrongArgumentCount(definition.name);
}

/**
 * A 64-bit signed integer in its one canonical form: no sign but a minus, no leading zeros, no spaces. Anything else
 * is undefined.
 */
export function parseInteger(text: Buffer): Integer | undefined {
  const length = text.length;
  if (length === 0 || length > 20) return undefined;
  let at = 0;
  const negative = text[0] === 0x2d;
  if (negative) at = 1;
  const first = text[at];
  if (first === undefined || first < 0x30 || first > 0x39) return undefined;
  if (first === 0x30) return length === 1 ? 0 : undefined;
  if (length - at <= SAFE_DIGITS) {
    let value = 0;
    for (; at < length; at++) {
      const digit = text[at]! - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }
  for (; at < length; at++) if (text[at]! < 0x30 || text[at]! > 0x39) return undefined;
  const value = BigInt(text.toString('latin1'));
  return value > INT64_MAX || value < INT64_MIN ? undefined : toInteger(value);
}

/** The same value as a number when it is safe. */
export function toInteger(value: bigint): Integer {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)
    ? Number(value)
    : value;
}

/** Adds within 64 bits; undefined when the sum does not fit. */
export function addIntegers(left: Integer, right: Integer): Integer | undefined {
  if (typeof left === 'number' && typeof right === 'number') {
    const sum = left + right;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const sum = BigInt(left) + BigInt(right);
  return sum > INT64_MAX || sum < INT64_MIN ? undefined : toInteger(sum);
}

/** The nearest safe number: for offsets and counts, where anything so large means 'all'. */
export function clampToSafe(value: Integer): number {
  if (typeof value === 'number') return value;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}

/** True when `text` is the word in any mixture of cases; `upperCaseWord` is ASCII letters. */
export function isWord(text: Buffer, upperCaseWord: string): boolean {
  const length = upperCaseWord.length;
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) {
    const byte = text[i]!;
    const upper = byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
    if (upper !== upperCaseWord.charCodeAt(i)) return false;
  }
  return true;
}

/** The decimal text of an integer, as bytes of its own. */
export function integerText(value: Integer): Buffer {
  return Buffer.from(value.toString(), 'latin1');
}

/** A non-negative safe integer that the node itself has written into an internal command. */
export function parseCount(text: Buffer | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = parseInteger(text);
  return typeof value === 'number' && value >= 0 ? value : undefined;
}
