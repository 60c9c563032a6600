/**
 * Versions of quorum buckets, and the clock that gives them: hybrid logical time (Kulkarni, Demirbas, Madappa, Avva and
 * Leone, "Logical Physical Clocks", OPODIS 2014) and the node that gave it. Paper 004 orders by plain timestamps.
 *
 *   version = milliseconds since 2024-01-01T00:00Z (40 bits), counter (6 bits), ordinal of the node (7 bits)
 *
 * Invariants:
 * - a clock never gives a version twice, nor one below what it has given or observed; but for `nextOrLatest`, whose callers see
 *   to it that no key gets one twice;
 * - neither giving nor observing takes a clock further ahead of its wall clock than the allowed drift. A clock that would have
 *   to go further gives nothing: one machine whose time is wrong must not drag all others along.
 *
 * Departures from the source: a counter that is full moves the milliseconds on instead of waiting for the next one, so a node
 * that gives more than 64 versions a millisecond runs ahead for a while; and the bound on the drift is enforced, not derived.
 * Versions are plain numbers below 2^53, taken apart by arithmetic: shifts would cut them to 32 bits.
 */
import { invariant } from '../../base/errors.js';

/** 2024-01-01T00:00Z. */
export const VERSION_EPOCH_MS = 1_704_067_200_000;
/** Node ordinals are below this. */
export const MAX_ORDINALS = 128;

export const COUNTERS_PER_MS = 64;
const VERSIONS_PER_MS = COUNTERS_PER_MS * MAX_ORDINALS;
/** A clock that has given so many milliseconds' versions more than the time has lets keys share one. */
const SHARING_AHEAD_MS = 20;
/** The first millisecond that has no place in a version: in 2058. */
const END_MS = 2 ** 40;

export function composeVersion(ms: number, counter: number, ordinal: number): number {
  return ((ms - VERSION_EPOCH_MS) * COUNTERS_PER_MS + counter) * MAX_ORDINALS + ordinal;
}

/** Milliseconds since 1970. */
export function versionMs(version: number): number {
  return Math.floor(version / VERSIONS_PER_MS) + VERSION_EPOCH_MS;
}

export function versionCounter(version: number): number {
  return Math.floor(version / MAX_ORDINALS) % COUNTERS_PER_MS;
}

/** The number in the cluster map of the node that gave the version. */
export function versionOrdinal(version: number): number {
  return version % MAX_ORDINALS;
}

/** A machine whose clock stands before the epoch counts from there. */
function sinceEpochMs(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs) - VERSION_EPOCH_MS);
}

/** The highest version that a node whose wall clock shows `wallMs` may give or take. */
export function highestVersionAt(wallMs: number, maxDriftMs: number): number {
  return (sinceEpochMs(wallMs) + maxDriftMs + 1) * VERSIONS_PER_MS - 1;
}

export class HybridClock {
  readonly #ordinal: number;
  readonly #maxDriftMs: number;
  /** Version without ordinal: milliseconds and counter, of the highest version given or observed. */
  #latest: number;
  /** The same of the highest one observed, or given above one that was stored. */
  #observed: number;

  /** `lastVersion`: the highest version known from before, 0 when there is none. */
  constructor(ordinal: number, maxDriftMs: number, lastVersion = 0) {
    invariant(
      Number.isInteger(ordinal) && ordinal >= 0 && ordinal < MAX_ORDINALS,
      'a node ordinal fits into seven bits',
    );
    this.#ordinal = ordinal;
    this.#maxDriftMs = maxDriftMs;
    this.#latest = Math.floor(lastVersion / MAX_ORDINALS);
    this.#observed = this.#latest;
  }

  /**
   * A version of this node's own, above all given and observed ones and above `atLeastAbove`. 0: the clock would have to run
   * ahead of the wall clock by more than the drift.
   */
  next(wallMs: number, atLeastAbove = 0): number {
    let logical = Math.max(sinceEpochMs(wallMs) * COUNTERS_PER_MS, this.#latest + 1);
    if (atLeastAbove > 0) logical = Math.max(logical, Math.floor(atLeastAbove / MAX_ORDINALS) + 1);
    const version = logical * MAX_ORDINALS + this.#ordinal;
    if (version > highestVersionAt(wallMs, this.#maxDriftMs)) return 0;
    invariant(logical < END_MS * COUNTERS_PER_MS, 'versions have room for the present time');
    this.#latest = logical;
    if (atLeastAbove > 0) this.#observed = logical;
    return version;
  }

  /**
   * As `next`, but when more versions are asked for than the time has, the latest one again: for writes to different keys it is
   * as good. So the rate of writes is not bounded by that of versions.
   */
  nextOrLatest(wallMs: number): number {
    const wallLogical = Math.floor(wallMs - VERSION_EPOCH_MS) * COUNTERS_PER_MS;
    // Ahead by its own giving: what it has observed lies below, and so below what is given again.
    const startedAt = Math.max(wallLogical, this.#observed);
    if (this.#latest <= startedAt + SHARING_AHEAD_MS * COUNTERS_PER_MS) return this.next(wallMs);
    const version = this.#latest * MAX_ORDINALS + this.#ordinal;
    return version > highestVersionAt(wallMs, this.#maxDriftMs) ? 0 : version;
  }

  /** Goes on behind a version seen elsewhere. False: it is too far ahead, and the clock stays where it is. */
  observe(version: number, wallMs: number): boolean {
    const logical = Math.floor(version / MAX_ORDINALS);
    if (logical <= this.#latest) {
      this.#observed = Math.max(this.#observed, logical);
      return true;
    }
    if (version > highestVersionAt(wallMs, this.#maxDriftMs)) return false;
    this.#latest = logical;
    this.#observed = logical;
    return true;
  }
}
