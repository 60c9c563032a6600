/**
 * Which of two records of one key and equal version is kept, so that all engines choose alike.
 *
 * A key gets a version once, so this decides only what must never happen (two nodes that took one ordinal) and repeats of one
 * record. A deleted key comes first, so that in doubt nothing comes back; then checksum and expiry decide, which have no
 * meaning but differ.
 *
 * Invariant: a total order over (deleted, checksum, expiry), the same on every node and never changed.
 */
import { DELETED_EXPIRY_MS } from './types.js';

/** Above 0: the first record wins. 0: they are equal. Below 0: the second wins. */
export function mergeOrder(
  expiresAtMs: number,
  checksum: number,
  otherExpiresAtMs: number,
  otherChecksum: number,
): number {
  const isDeleted = expiresAtMs === DELETED_EXPIRY_MS;
  if (isDeleted !== (otherExpiresAtMs === DELETED_EXPIRY_MS)) return isDeleted ? 1 : -1;
  if (checksum !== otherChecksum) return checksum > otherChecksum ? 1 : -1;
  return expiresAtMs - otherExpiresAtMs;
}
