/**
 * Compare-and-set in HTTP's words (RFC 9110, 13.1). A key's version is its strong entity tag, `"123"`.
 *
 * Departure: a write takes one tag, not a list of them, because the store compares with one version.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { QuoinError } from '../../base/errors.js';
import type { SessionStamp } from '../../store/types.js';

export function entityTag(version: number | bigint): string {
  return `"${version}"`;
}

/** A condition for the store: `any`, `absent`, `present` or a version. */
function conditionOfMatch(ifMatch: string): string {
  if (ifMatch === '*') return 'present';
  const version = /^"([1-9]\d{0,15})"$/.exec(ifMatch)?.[1];
  if (version !== undefined) return version;
  // A weak tag, or one that this store never gave out, matches nothing.
  if (/^(W\/)?"[^"]*"$/.test(ifMatch))
    throw new QuoinError('CONDITION_FAILED', `the key is not at version ${ifMatch}`);
  throw new QuoinError('WRONG_ARGUMENTS', 'If-Match must be * or one version in quotes, such as "42"');
}

/** The condition under which a write takes place. Throws CONDITION_FAILED when it can never hold. */
export function writeCondition(headers: IncomingHttpHeaders): string {
  const ifMatch = headers['if-match']?.trim();
  const ifNoneMatch = headers['if-none-match']?.trim();
  if (ifMatch !== undefined && ifNoneMatch !== undefined)
    throw new QuoinError('WRONG_ARGUMENTS', 'give If-Match or If-None-Match, not both');
  if (ifMatch !== undefined) return conditionOfMatch(ifMatch);
  if (ifNoneMatch === undefined) return 'any';
  if (ifNoneMatch === '*') return 'absent';
  throw new QuoinError('WRONG_ARGUMENTS', 'a write takes no If-None-Match but *');
}

/** True when a reader that sent If-None-Match already has this version. */
export function alreadyHas(headers: IncomingHttpHeaders, version: number | bigint): boolean {
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch === undefined) return false;
  const tag = entityTag(version);
  return ifNoneMatch
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((part) => part === '*' || part === tag);
}

/** True when a reader asks for a version (If-Match) that is not the present one. */
export function wantsAnother(headers: IncomingHttpHeaders, version: number | bigint): boolean {
  const ifMatch = headers['if-match'];
  if (ifMatch === undefined) return false;
  const tag = entityTag(version);
  return !ifMatch
    .split(',')
    .map((part) => part.trim())
    .some((part) => part === '*' || part === tag);
}

function wholeNumber(name: string, text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new QuoinError('WRONG_ARGUMENTS', `${name} must be a whole number`);
  return value;
}

/**
 * The client's own session, which makes its retries exactly-once: `Quoin-Session` (16 hex digits), `Quoin-Sequence`, and
 * optionally `Quoin-Acknowledged-Below` (every smaller sequence has been answered, so its reply may be forgotten).
 */
export function sessionStamp(headers: IncomingHttpHeaders): SessionStamp | undefined {
  const session = headers['quoin-session'];
  const sequence = headers['quoin-sequence'];
  const acknowledged = headers['quoin-acknowledged-below'];
  if (session === undefined && sequence === undefined && acknowledged === undefined) return undefined;
  if (typeof session !== 'string' || !/^(?!0{16})[0-9A-Fa-f]{16}$/.test(session))
    throw new QuoinError('WRONG_ARGUMENTS', 'Quoin-Session must have 16 hex digits, not all of them 0');
  if (typeof sequence !== 'string')
    throw new QuoinError('WRONG_ARGUMENTS', 'Quoin-Session needs Quoin-Sequence, which counts its requests');
  const number = wholeNumber('Quoin-Sequence', sequence);
  const below =
    acknowledged === undefined ? 0 : wholeNumber('Quoin-Acknowledged-Below', String(acknowledged));
  if (number < 1) throw new QuoinError('WRONG_ARGUMENTS', 'Quoin-Sequence counts from 1');
  if (below > number)
    throw new QuoinError(
      'WRONG_ARGUMENTS',
      'Quoin-Acknowledged-Below must not be greater than Quoin-Sequence',
    );
  return { session: session.toLowerCase(), sequence: number, acknowledgedBelow: below };
}
