import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TOKEN_END } from '../../src/base/slots.js';
import { DirtyRanges } from '../../src/engine/dirty-ranges.js';

const tokens = fc.oneof(
  fc.integer({ min: 0, max: TOKEN_END / 4 - 1 }).map((part) => part * 4),
  fc.constantFrom(0, 4, TOKEN_END - 4, TOKEN_END / 2 - 4, TOKEN_END / 2),
  // Neighbours, so that parts grow together.
  fc.integer({ min: 0, max: 200 }).map((part) => part * (TOKEN_END / 2 ** 17)),
);

describe('dirty ranges', () => {
  test('the parts hold every marked token, in order, without overlap, and hardly anything else', () => {
    fc.assert(
      fc.property(fc.array(tokens, { maxLength: 60 }), (marked) => {
        const dirty = new DirtyRanges(0);
        for (const token of marked) dirty.mark(token);
        const parts = [...dirty.parts()];
        let end = -1;
        for (const part of parts) {
          expect(part.fromToken).toBeGreaterThan(end);
          expect(part.toToken).toBeGreaterThan(part.fromToken);
          end = part.toToken;
        }
        for (const token of marked)
          expect(parts.some(({ fromToken, toToken }) => token >= fromToken && token < toToken)).toBe(true);
        const size = parts.reduce((sum, { fromToken, toToken }) => sum + toToken - fromToken, 0);
        expect(size).toBeLessThanOrEqual(new Set(marked).size * (TOKEN_END / 2 ** 17));
        expect(dirty.isEmpty).toBe(marked.length === 0);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  test('there are four ranges for each key, within bounds', () => {
    expect(new DirtyRanges(0).memoryBytes).toBe(2 ** 17 / 8);
    expect(new DirtyRanges(1_000_000).memoryBytes).toBe(2 ** 22 / 8);
    expect(new DirtyRanges(1_000_000_000).memoryBytes).toBe(2 ** 26 / 8);
  });

  test('ranges of any number hold the last token', () => {
    for (const keys of [0, 1_000_000, 100_000_000]) {
      const dirty = new DirtyRanges(keys);
      dirty.mark(TOKEN_END - 4);
      const parts = [...dirty.parts()];
      expect(parts.length).toBe(1);
      expect(parts[0]!.toToken).toBe(TOKEN_END);
    }
  });
});
