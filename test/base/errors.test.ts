/** The registry of errors: complete, documented, and in step with its page. */
import { describe, expect, test } from 'vitest';
import { readErrorDocument, renderErrorDocument } from '../../scripts/error-docs.js';
import { ERRORS, type ErrorCode, InvariantViolation, invariant, QuoinError } from '../../src/base/errors.js';

const CODES = Object.keys(ERRORS) as ErrorCode[];

describe('registry of errors', () => {
  test('its page in the documentation is what the registry says', () => {
    expect(readErrorDocument(), 'run `npm run docs:errors`').toBe(renderErrorDocument());
  });

  test.each(CODES)('%s is complete', (code) => {
    const { resp, http, remedy } = ERRORS[code];
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect(resp, 'one upper-case word, as Redis clients expect').toMatch(/^[A-Z]+$/);
    expect(http).toBeGreaterThanOrEqual(400);
    expect(http).toBeLessThan(600);
    expect(remedy, 'one sentence').toMatch(/^[A-Z].*\.$/);
  });

  test('an error of unknown outcome is never called retriable', () => {
    const wrong = CODES.filter((code) => !ERRORS[code].definite && ERRORS[code].retriable);
    expect(wrong).toEqual([]);
  });

  test('a retriable error is told to HTTP clients as such', () => {
    const wrong = CODES.filter((code) => ERRORS[code].retriable && ERRORS[code].http < 500);
    expect(wrong).toEqual([]);
  });

  test('an error knows what its registry entry says', () => {
    const cause = new Error('below');
    for (const code of CODES) {
      const error = new QuoinError(code, 'message', { cause });
      expect(error).toBeInstanceOf(Error);
      expect(error).toMatchObject({
        code,
        message: 'message',
        cause,
        definite: ERRORS[code].definite,
        retriable: ERRORS[code].retriable,
        remedy: ERRORS[code].remedy,
      });
    }
  });

  test('an error may have a remedy of its own', () => {
    const error = new QuoinError('NOT_FOUND', 'no page', { remedy: 'Turn the page.' });
    expect(error.remedy).toBe('Turn the page.');
  });
});

describe('invariants', () => {
  test('a broken one throws with what must hold', () => {
    expect(() => invariant(false, 'terms never go back')).toThrow(InvariantViolation);
    expect(() => invariant(false, 'terms never go back')).toThrow('terms never go back');
  });

  test('a kept one says nothing', () => {
    expect(() => invariant(true, 'one is one')).not.toThrow();
  });
});
