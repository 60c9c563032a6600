/**
 * The rules for what callers hand to a bucket, checked before anything is sent: the same over an embedded node and over
 * the network. Each throws WRONG_ARGUMENTS.
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { ExpiryOptions, ScanOptions } from './bucket.js';

const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const DEFAULT_PAGE_SIZE = 1000;
/** Longest time to live: 15 digits of milliseconds, some 31 thousand years, which every way to a node can carry. */
const MAX_TTL_MS = 1e15 - 1;

export function checkBucketName(name: string): string {
  if (typeof name === 'string' && BUCKET_NAME.test(name) && name.length <= LIMITS.maxBucketNameBytes)
    return name;
  throw new QuoinError(
    'WRONG_ARGUMENTS',
    `a bucket name has letters, digits, '.', '_' and '-', at most ${LIMITS.maxBucketNameBytes} of them, and starts with a letter or digit`,
  );
}

/** Milliseconds; undefined: the bucket's own. */
export function ttlOf(options: ExpiryOptions | undefined): number | undefined {
  const ttlMs = options?.ttlMs;
  if (ttlMs === undefined || (Number.isInteger(ttlMs) && ttlMs >= 0 && ttlMs <= MAX_TTL_MS)) return ttlMs;
  throw new QuoinError('WRONG_ARGUMENTS', 'ttlMs must be a whole number of milliseconds, 0 for none');
}

/** Copies for one call; undefined: as the bucket says. How many there are at most, and whether it has any, its node knows. */
export function replicasOf(name: 'r' | 'w', replicas: number | undefined): number | undefined {
  if (replicas === undefined || (Number.isSafeInteger(replicas) && replicas >= 1)) return replicas;
  throw new QuoinError('WRONG_ARGUMENTS', `${name} must be a whole number from 1 to the bucket's n`);
}

/** The version that a compare-and-set expects. */
export function expectedOf(expected: number | 'absent'): number | 'absent' {
  if (expected === 'absent' || (Number.isSafeInteger(expected) && expected > 0)) return expected;
  throw new QuoinError('WRONG_ARGUMENTS', "expected must be a version that a former call gave, or 'absent'");
}

export function pageSizeOf(options: ScanOptions): number {
  const { pageSize = DEFAULT_PAGE_SIZE } = options;
  if (Number.isInteger(pageSize) && pageSize >= 1 && pageSize <= LIMITS.maxListedKeys) return pageSize;
  throw new QuoinError(
    'WRONG_ARGUMENTS',
    `pageSize must be a whole number from 1 to ${LIMITS.maxListedKeys}`,
  );
}
