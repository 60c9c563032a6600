import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addExtendedFloats,
  formatExtendedFloat,
  INFINITY,
  parseExtendedFloat,
} from '../../src/store/extended-float.js';

function add(left: string, right: string): string {
  const one = parseExtendedFloat(Buffer.from(left));
  const other = parseExtendedFloat(Buffer.from(right));
  if (one === undefined || other === undefined || one === INFINITY || other === INFINITY) return 'no number';
  const sum = addExtendedFloats(one, other);
  return sum === INFINITY ? 'infinity' : formatExtendedFloat(sum);
}

describe('an extended float', () => {
  test.each([
    ['0.1', '0.2', '0.3'],
    ['10.50', '0.1', '10.6'],
    ['5.0e3', '2.0e2', '5200'],
    ['3', '-3', '0'],
    ['-0', '0', '0'],
    ['1e-18', '0', '0'],
    ['-1e-18', '0', '0'],
    ['0x1.8p1', '0', '3'],
    ['1.', '.5', '1.5'],
    ['18446744073709551616', '1', '18446744073709551616'],
    ['9223372036854775807', '1', '9223372036854775808'],
    ['1e4932', '1e4932', 'infinity'],
    ['1e5000', '0', 'no number'],
    ['1e-5000', '0', 'no number'],
    ['0e99999999999', '1', '1'],
    ['1e99999999999', '1', 'no number'],
    ['nan', '1', 'no number'],
    [' 1', '1', 'no number'],
    ['1 ', '1', 'no number'],
    ['', '1', 'no number'],
    ['inf', '1', 'no number'],
  ])('%s + %s is %s', (left, right, sum) => {
    expect(add(left, right)).toBe(sum);
  });

  test('adds integers of up to 63 bits exactly', () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 62n), 2n ** 62n), fc.bigInt(-(2n ** 62n), 2n ** 62n), (left, right) => {
        expect(add(left.toString(), right.toString())).toBe((left + right).toString());
      }),
      { seed: 1 },
    );
  });

  test('reads back what it prints', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.integer({ min: 0, max: 999_999_999 }),
        (whole, fraction) => {
          const text = `${whole}.${String(fraction).padStart(9, '0')}`;
          const printed = add(text, '0');
          expect(add(printed, '0')).toBe(printed);
          expect(Number(printed)).toBe(Number(text));
        },
      ),
      { seed: 2 },
    );
  });
});
