/**
 * What a load digest is made of: integers that are not negative, and hundredths of milliseconds. What a node says of itself
 * is brought into this form before it is kept, so that all members hold the same figures.
 */
import type { LoadDigest } from './types.js';

export const HUNDREDTHS = 100;
/** Greatest figure, in its smallest unit: beyond it hundredths would not come back as they went. */
export const MAX_FIGURE = 2 ** 48;

export function wholeDigest(digest: LoadDigest): LoadDigest {
  return {
    loopLagMs: whole(digest.loopLagMs),
    requestsPerSecond: whole(digest.requestsPerSecond),
    memoryBytes: whole(digest.memoryBytes),
    readP99Ms: whole(digest.readP99Ms * HUNDREDTHS) / HUNDREDTHS,
    epoch: whole(digest.epoch),
  };
}

function whole(value: number): number {
  return value > 0 ? Math.min(MAX_FIGURE, Math.round(value)) : 0;
}
