import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  composeVersion,
  HybridClock,
  highestVersionAt,
  VERSION_EPOCH_MS,
  versionCounter,
  versionMs,
  versionOrdinal,
} from '../../../src/protocol/quorum/clock.js';

const NOW = VERSION_EPOCH_MS + 70_000_000_000;
const DRIFT_MS = 2000;

describe('versions', () => {
  it('are taken apart into what they were made of, up to the last one before 2^53', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40 - 1), fc.nat(63), fc.nat(127), (sinceEpoch, counter, ordinal) => {
        const version = composeVersion(VERSION_EPOCH_MS + sinceEpoch, counter, ordinal);
        expect(Number.isSafeInteger(version)).toBe(true);
        expect(versionMs(version)).toBe(VERSION_EPOCH_MS + sinceEpoch);
        expect(versionCounter(version)).toBe(counter);
        expect(versionOrdinal(version)).toBe(ordinal);
      }),
    );
    expect(composeVersion(VERSION_EPOCH_MS + 2 ** 40 - 1, 63, 127)).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('order by time, then counter, then node', () => {
    const versions = [
      composeVersion(NOW, 0, 0),
      composeVersion(NOW, 0, 1),
      composeVersion(NOW, 1, 0),
      composeVersion(NOW + 1, 0, 0),
    ];
    expect([...versions].sort((left, right) => left - right)).toEqual(versions);
  });
});

describe('the hybrid clock', () => {
  it('shows the time of its wall clock and the number of its node', () => {
    const version = new HybridClock(5, DRIFT_MS).next(NOW);
    expect(version).toBe(composeVersion(NOW, 0, 5));
  });

  it('counts within a millisecond and moves the milliseconds on when the counter is full', () => {
    const clock = new HybridClock(1, DRIFT_MS);
    for (let i = 0; i < 64; i++) expect(clock.next(NOW)).toBe(composeVersion(NOW, i, 1));
    expect(clock.next(NOW)).toBe(composeVersion(NOW + 1, 0, 1));
    expect(clock.next(NOW + 1)).toBe(composeVersion(NOW + 1, 1, 1));
  });

  it('never goes back with its wall clock, nor behind what it was made with', () => {
    const clock = new HybridClock(1, DRIFT_MS, composeVersion(NOW + 500, 3, 100));
    expect(clock.next(NOW)).toBe(composeVersion(NOW + 500, 4, 1));
    expect(clock.next(NOW - 1000)).toBe(composeVersion(NOW + 500, 5, 1));
  });

  it('goes on behind what it has observed', () => {
    const clock = new HybridClock(1, DRIFT_MS);
    expect(clock.observe(composeVersion(NOW + 1000, 7, 9), NOW)).toBe(true);
    expect(clock.next(NOW)).toBe(composeVersion(NOW + 1000, 8, 1));
    expect(clock.observe(composeVersion(NOW, 0, 9), NOW)).toBe(true);
    expect(clock.next(NOW)).toBe(composeVersion(NOW + 1000, 9, 1));
  });

  it('follows nothing that is further ahead than the drift', () => {
    const clock = new HybridClock(1, DRIFT_MS);
    expect(clock.observe(composeVersion(NOW + DRIFT_MS + 1, 0, 0), NOW)).toBe(false);
    expect(clock.next(NOW)).toBe(composeVersion(NOW, 0, 1));
    expect(clock.observe(highestVersionAt(NOW, DRIFT_MS), NOW)).toBe(true);
    expect(clock.next(NOW)).toBe(0);
    expect(clock.next(NOW + 1)).toBe(composeVersion(NOW + DRIFT_MS + 1, 0, 1));
  });

  it('gives nothing when it would have to exceed a version further ahead than the drift', () => {
    const clock = new HybridClock(1, DRIFT_MS);
    expect(clock.next(NOW, composeVersion(NOW + DRIFT_MS + 1, 0, 0))).toBe(0);
    expect(clock.next(NOW, composeVersion(NOW + DRIFT_MS, 0, 0))).toBe(composeVersion(NOW + DRIFT_MS, 1, 1));
    expect(clock.next(NOW)).toBe(composeVersion(NOW + DRIFT_MS, 2, 1));
  });

  it('works on a machine whose wall clock stands before the epoch of versions', () => {
    const clock = new HybridClock(1, DRIFT_MS);
    for (let i = 1; i <= 1000; i++) expect(clock.next(0)).toBe(i * 128 + 1);
  });

  it('gives every version once, ascending, whatever the wall clock and other nodes do', () => {
    const step = fc.record({
      wallMs: fc.integer({ min: -3000, max: 3000 }),
      observed: fc.option(fc.integer({ min: -5000, max: 5000 }), { nil: undefined }),
      above: fc.option(fc.integer({ min: -5000, max: 5000 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new HybridClock(7, DRIFT_MS);
        let last = 0;
        for (const { wallMs, observed, above } of steps) {
          const wall = NOW + wallMs;
          if (observed !== undefined) clock.observe(composeVersion(NOW + observed, 63, 127), wall);
          const floor = above === undefined ? 0 : composeVersion(NOW + above, 5, 3);
          const version = clock.next(wall, floor);
          if (version === 0) continue;
          expect(version).toBeGreaterThan(last);
          expect(version).toBeGreaterThan(floor);
          expect(versionMs(version)).toBeLessThanOrEqual(wall + DRIFT_MS);
          last = version;
        }
      }),
    );
  });

  it('lets keys share the latest version when it gives more than the time has', () => {
    const clock = new HybridClock(3, 2000);
    const wallMs = VERSION_EPOCH_MS + 1_000_000;
    const given = Array.from({ length: 200_000 }, () => clock.nextOrLatest(wallMs));
    expect(given.every((version, at) => version > 0 && version >= (given[at - 1] ?? 0))).toBe(true);
    const latest = given.at(-1)!;
    expect(versionMs(latest)).toBeLessThanOrEqual(wallMs + 25);
    expect(clock.next(wallMs, latest)).toBeGreaterThan(latest);
    // As soon as the time has caught up each has its own again.
    expect(new Set([1, 2, 3].map(() => clock.nextOrLatest(wallMs + 100))).size).toBe(3);
  });
});
