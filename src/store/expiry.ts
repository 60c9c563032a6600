/**
 * Expiry arguments: the units and bases that SET, GETEX, SETEX and EXPIRE share, with Redis's checks in Redis's order.
 *
 * Departure: Redis keeps expiry in 64 bits; Quoin keeps safe integers (until the year 287396). What lies beyond is
 * refused as an invalid expire time rather than stored as something else.
 */
import {
  INT64_MAX,
  INT64_MIN,
  invalidExpireTime,
  isWord,
  NOT_AN_INTEGER,
  parseInteger,
} from './arguments.js';
import type { ExecutionContext } from './command.js';
import { ErrorReply } from './reply.js';

export interface ExpiryUnit {
  readonly seconds: boolean;
  /** Counted from 1970 rather than from now. */
  readonly absolute: boolean;
}

export const EX: ExpiryUnit = { seconds: true, absolute: false };
export const PX: ExpiryUnit = { seconds: false, absolute: false };
export const EXAT: ExpiryUnit = { seconds: true, absolute: true };
export const PXAT: ExpiryUnit = { seconds: false, absolute: true };

const INT64_MAX_SECONDS = INT64_MAX / 1000n;
const INT64_MIN_SECONDS = INT64_MIN / 1000n;

/** The unit that an option word names. */
export function expiryUnit(word: Buffer): ExpiryUnit | undefined {
  if (isWord(word, 'EX')) return EX;
  if (isWord(word, 'PX')) return PX;
  if (isWord(word, 'EXAT')) return EXAT;
  if (isWord(word, 'PXAT')) return PXAT;
  return undefined;
}

/**
 * The absolute expiry that an argument means at `nowMs`. With `positiveOnly` zero and less are refused (SET and its
 * kin); without, they are times in the past (EXPIRE).
 */
export function expiryFrom(
  argument: Buffer,
  unit: ExpiryUnit,
  nowMs: number,
  positiveOnly: boolean,
  commandName: string,
): number | ErrorReply {
  const value = parseInteger(argument);
  if (value === undefined) return NOT_AN_INTEGER;
  if (positiveOnly && value <= 0) return invalidExpireTime(commandName);
  if (typeof value === 'bigint') {
    // Before 1970 by more than a safe number of milliseconds: as past as any other time.
    const past = value < 0n && (unit.seconds ? value >= INT64_MIN_SECONDS : true);
    return past ? Number.MIN_SAFE_INTEGER : invalidExpireTime(commandName);
  }
  const milliseconds = unit.seconds ? value * 1000 : value;
  if (unit.seconds && (value > INT64_MAX_SECONDS || value < INT64_MIN_SECONDS))
    return invalidExpireTime(commandName);
  const at = unit.absolute ? milliseconds : milliseconds + nowMs;
  if (at > Number.MAX_SAFE_INTEGER) return invalidExpireTime(commandName);
  if (at < Number.MIN_SAFE_INTEGER) return Number.MIN_SAFE_INTEGER;
  return at;
}

/** Refuses what is wrong with an expiry argument whatever the time is. */
export function checkExpiry(
  argument: Buffer,
  unit: ExpiryUnit,
  positiveOnly: boolean,
  commandName: string,
): ErrorReply | undefined {
  const at = expiryFrom(argument, unit, 0, positiveOnly, commandName);
  return at instanceof ErrorReply ? at : undefined;
}

/** Writes a key; one that is born expired is not stored at all. */
export function putUnlessExpired(
  context: ExecutionContext,
  key: Buffer,
  value: Buffer,
  expiresAtMs: number,
): void {
  if (expiresAtMs !== 0 && expiresAtMs <= context.nowMs) context.keyspace.remove(key);
  else context.keyspace.put(key, value, expiresAtMs);
}
