import { describe, expect, test } from 'vitest';
import { GlobPattern } from '../../src/store/glob.js';

function matches(pattern: string, text: string): boolean {
  return new GlobPattern(Buffer.from(pattern, 'latin1')).matches(Buffer.from(text, 'latin1'));
}

describe('a glob pattern', () => {
  test.each([
    ['*', 'anything'],
    ['*', ''],
    ['h?llo', 'hello'],
    ['h*llo', 'heeeello'],
    ['h*llo', 'hllo'],
    ['h[ae]llo', 'hallo'],
    ['h[^e]llo', 'hallo'],
    ['h[a-c]llo', 'hbllo'],
    ['h[c-a]llo', 'hbllo'],
    ['a\\*b', 'a*b'],
    ['[\\]]', ']'],
    ['*a*b*c*', 'xxaxxbxxc'],
    ['\\', '\\'],
    ['[^', 'x'],
    ['a**', 'a'],
    ['', ''],
  ])('%s matches %s', (pattern, text) => {
    expect(matches(pattern, text)).toBe(true);
  });

  test.each([
    ['h?llo', 'hllo'],
    ['h[^e]llo', 'hello'],
    ['h[a-c]llo', 'hdllo'],
    ['a\\*b', 'axb'],
    ['', 'a'],
    ['a', ''],
    ['?', ''],
    ['**', ''],
    ['[', '['],
    ['a[', 'a'],
    ['[]a]', ']'],
    ['*ab', 'abc'],
  ])('%s does not match %s', (pattern, text) => {
    expect(matches(pattern, text)).toBe(false);
  });

  test('compares bytes, those above 127 as negative', () => {
    const highRange = new GlobPattern(Buffer.from([0x5b, 0x80, 0x2d, 0xff, 0x5d]));
    expect(highRange.matches(Buffer.from([0x90]))).toBe(true);
    expect(highRange.matches(Buffer.from([0x41]))).toBe(false);
    const mixedRange = new GlobPattern(Buffer.from([0x5b, 0x41, 0x2d, 0xf0, 0x5d]));
    expect(mixedRange.matches(Buffer.from([0x20]))).toBe(true);
    expect(mixedRange.matches(Buffer.from([0x42]))).toBe(false);
  });

  test('stays quick where a naive search would try every split', () => {
    // Steps, not time: thirty stars over a long text would be beyond any patience if they multiplied.
    expect(matches(`${'a*'.repeat(30)}b`, 'a'.repeat(5000))).toBe(false);
  });
});
