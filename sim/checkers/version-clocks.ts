/**
 * Versions and clocks: no replica takes a version further ahead of its own wall clock than the drift. So what w replicas have taken
 * lies at most the drift ahead of the w-th of all clocks, the latest first: one clock that is wrong drags nobody along.
 */
import { versionMs } from '../../src/protocol/quorum/clock.js';
import { SimulationViolation } from './violation.js';

/** `wallTimesMs`: of all machines, the latest first. */
export function requireWithinDrift(
  version: number,
  w: number,
  wallTimesMs: readonly number[],
  maxClockDriftMs: number,
): void {
  const aheadMs = versionMs(version) - (wallTimesMs[w - 1] ?? 0);
  if (aheadMs > maxClockDriftMs)
    throw new SimulationViolation(
      'clocks',
      `${w} replicas have taken a version ${Math.round(aheadMs)} ms ahead of their clocks`,
    );
}
