/** The limits and what must hold between them. */
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';

describe('limits', () => {
  test.each(Object.entries(LIMITS))('%s is a positive whole number', (_name, value) => {
    expect(Number.isSafeInteger(value)).toBe(true);
    expect(value).toBeGreaterThan(0);
  });

  test('what users were promised fits', () => {
    expect(LIMITS.maxKeyBytes).toBe(64 * 1024);
    expect(LIMITS.maxValueBytes).toBe(128 * 1024 * 1024);
  });

  test('one request of the largest key and value passes every stage', () => {
    const largest = LIMITS.maxKeyBytes + LIMITS.maxValueBytes;
    expect(LIMITS.maxRequestBytes).toBeGreaterThan(largest);
    expect(LIMITS.maxUncommittedBytes).toBeGreaterThan(LIMITS.maxRequestBytes);
    expect(LIMITS.maxPeerQueueBytes).toBeGreaterThan(LIMITS.maxUncommittedBytes);
  });

  test('a large message is cut into pieces smaller than a gathered batch', () => {
    expect(LIMITS.maxFrameBytes).toBeLessThan(LIMITS.maxEntryBytes);
    expect(LIMITS.maxAppendBytes).toBeGreaterThanOrEqual(LIMITS.maxEntryBytes);
  });

  test('versions of all commands of an entry are different', () => {
    // A version is index * 4096 + position, and at most 2^53 - 1: there is room for 2^41 entries.
    expect(LIMITS.maxCommandsPerEntry).toBeLessThanOrEqual(4096);
  });
});
