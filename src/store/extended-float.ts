/**
 * INCRBYFLOAT's arithmetic: the 80-bit extended format (64-bit significand, 15-bit exponent) in which Redis computes on
 * x86, so that 0.1 + 0.2 prints 0.3 here as well, and on every machine the same.
 *
 * A finite value is significand * 2^exponent with a sign; the significand is a bigint of at most 64 bits. Rounding is to
 * nearest, ties to even. Nothing here is fast, nor needs to be.
 */

export interface ExtendedFloat {
  readonly negative: boolean;
  readonly significand: bigint;
  readonly exponent: number;
}

export const INFINITY = 'infinity';

const SIGNIFICAND_BITS = 64;
/** Exponent of the lowest bit of a subnormal. */
const MIN_EXPONENT = -16445;
/** Values reach up to, not including, 2^16384. */
const MAX_BITS = 16384;
/** Longest text that Redis converts. */
const MAX_TEXT_BYTES = 5 * 1024;
/** Decimal and binary exponents beyond which a text of that length is surely too large or too small. */
const MAX_DECIMAL_EXPONENT = 5000;
const MIN_DECIMAL_EXPONENT = -11_000;
const MAX_BINARY_EXPONENT = 60_000;
/** Digits after the point that Redis prints. */
const FRACTION_DIGITS = 17;

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** numerator / denominator, rounded to nearest, ties to even. */
function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twiceRest = (numerator % denominator) * 2n;
  if (twiceRest > denominator || (twiceRest === denominator && (quotient & 1n) === 1n)) return quotient + 1n;
  return quotient;
}

function shiftLeft(value: bigint, bits: number): bigint {
  return bits > 0 ? value << BigInt(bits) : value;
}

/** The nearest extended float to a non-negative fraction. */
function nearest(negative: boolean, numerator: bigint, denominator: bigint): ExtendedFloat | typeof INFINITY {
  if (numerator === 0n) return { negative, significand: 0n, exponent: 0 };
  let exponent = bitLength(numerator) - bitLength(denominator) - SIGNIFICAND_BITS;
  // The quotient has 64 or 65 bits now; one more step makes it 64 exactly.
  if (shiftLeft(numerator, -exponent) / shiftLeft(denominator, exponent) >= 1n << BigInt(SIGNIFICAND_BITS))
    exponent++;
  exponent = Math.max(exponent, MIN_EXPONENT);
  const significand = divideRounded(shiftLeft(numerator, -exponent), shiftLeft(denominator, exponent));
  if (bitLength(significand) + exponent > MAX_BITS) return INFINITY;
  return { negative, significand, exponent };
}

const DECIMAL = /^([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?$/;
const HEXADECIMAL = /^([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?$/;
const INFINITE = /^[+-]?(?:inf|infinity)$/i;

/** Reads a number in C's notation; undefined when it is none, or too large or too small to be told from zero. */
export function parseExtendedFloat(text: Buffer): ExtendedFloat | typeof INFINITY | undefined {
  if (text.length === 0 || text.length >= MAX_TEXT_BYTES) return undefined;
  const characters = text.toString('latin1');
  if (INFINITE.test(characters)) return INFINITY;
  const decimal = DECIMAL.exec(characters);
  const match = decimal ?? HEXADECIMAL.exec(characters);
  if (match === null) return undefined;
  const whole = match[2] ?? '';
  const fraction = match[3] ?? match[4] ?? '';
  const digits = (decimal === null ? '0x' : '') + whole + fraction;
  const mantissa = BigInt(digits);
  const negative = match[1] === '-';
  if (mantissa === 0n) return { negative, significand: 0n, exponent: 0 };
  const writtenExponent = Number(match[5] ?? '0');
  let value: ExtendedFloat | typeof INFINITY;
  if (decimal !== null) {
    const exponent = writtenExponent - fraction.length;
    const leading = mantissa.toString().length + exponent;
    if (leading > MAX_DECIMAL_EXPONENT || leading < MIN_DECIMAL_EXPONENT) return undefined;
    const power = 10n ** BigInt(Math.abs(exponent));
    value = exponent >= 0 ? nearest(negative, mantissa * power, 1n) : nearest(negative, mantissa, power);
  } else {
    const exponent = writtenExponent - 4 * fraction.length;
    if (Math.abs(exponent) > MAX_BINARY_EXPONENT) return undefined;
    value = nearest(negative, shiftLeft(mantissa, exponent), shiftLeft(1n, -exponent));
  }
  if (value === INFINITY || value.significand === 0n) return undefined;
  return value;
}

/** The rounded sum. */
export function addExtendedFloats(
  left: ExtendedFloat,
  right: ExtendedFloat,
): ExtendedFloat | typeof INFINITY {
  const exponent = Math.min(left.exponent, right.exponent);
  const aligned = (value: ExtendedFloat): bigint => {
    const magnitude = value.significand << BigInt(value.exponent - exponent);
    return value.negative ? -magnitude : magnitude;
  };
  const sum = aligned(left) + aligned(right);
  const magnitude = sum < 0n ? -sum : sum;
  return nearest(sum < 0n, shiftLeft(magnitude, exponent), shiftLeft(1n, -exponent));
}

/** The text Redis gives: 17 digits after the point, then trailing zeros cut, never an exponent. */
export function formatExtendedFloat(value: ExtendedFloat): string {
  const scaled = divideRounded(
    shiftLeft(value.significand * 10n ** BigInt(FRACTION_DIGITS), value.exponent),
    shiftLeft(1n, -value.exponent),
  );
  if (scaled === 0n) return '0';
  const digits = scaled.toString().padStart(FRACTION_DIGITS + 1, '0');
  const whole = digits.slice(0, -FRACTION_DIGITS);
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, '');
  return `${value.negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}
