import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { EarlyMessages } from '../../src/server/early-messages.js';

function fixture() {
  const early = new EarlyMessages();
  const taken: string[] = [];
  const keep = (epoch: number, name: string, nowMs = 0, sizeBytes = 100) =>
    early.keep(epoch, sizeBytes, nowMs, () => taken.push(name));
  return { early, taken, keep };
}

describe('messages of peers with a newer map', () => {
  test('wait for that map, and are taken in the order in which they came', () => {
    const { early, taken, keep } = fixture();
    expect([keep(3, 'a'), keep(4, 'b'), keep(3, 'c')]).toEqual([true, true, true]);
    early.arrived(2);
    expect(taken).toEqual([]);
    early.arrived(3);
    expect(taken).toEqual(['a', 'c']);
    early.arrived(5);
    expect(taken).toEqual(['a', 'c', 'b']);
    early.arrived(5);
    expect(taken).toHaveLength(3);
  });

  test('do not wait for ever, nor a second time for a map that did not come', () => {
    const { early, taken, keep } = fixture();
    keep(3, 'a', 1000);
    early.tick(1499);
    expect(taken).toEqual([]);
    early.tick(1500);
    expect(taken).toEqual(['a']);
    expect(keep(3, 'b', 1500)).toBe(false);
    expect(keep(4, 'c', 1500)).toBe(true);
  });

  test('are bounded in bytes: what goes beyond is taken without the map', () => {
    const { early, taken, keep } = fixture();
    expect(keep(3, 'a', 0, LIMITS.maxEarlyMessageBytes - 10)).toBe(true);
    expect(keep(3, 'b', 0, 11)).toBe(false);
    expect(keep(3, 'c', 0, 10)).toBe(true);
    early.arrived(3);
    expect(taken).toEqual(['a', 'c']);
    expect(keep(4, 'd', 0, LIMITS.maxEarlyMessageBytes)).toBe(true);
  });

  test('that cannot be read do not keep the others from being taken', () => {
    const { early, taken, keep } = fixture();
    early.keep(3, 1, 0, () => {
      throw new DecodeError('no message');
    });
    keep(3, 'a');
    early.arrived(3);
    expect(taken).toEqual(['a']);
  });
});
