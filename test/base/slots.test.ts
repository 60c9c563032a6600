/** Slots and tokens against the answers of Redis 7 (`CLUSTER KEYSLOT`) and of the published hash functions. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  crc16,
  firstTokenOfSlot,
  hash32,
  mix32,
  SLOT_COUNT,
  slotOf,
  slotOfToken,
  TOKEN_END,
  TOKENS_PER_SLOT,
  tokenOf,
} from '../../src/base/slots.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

/** As Redis 7.0 answers them. */
const REDIS_SLOTS: readonly (readonly [string, number])[] = [
  ['foo', 12182],
  ['bar', 5061],
  ['hello', 866],
  ['somekey', 11058],
  ['foo{hash_tag}', 2515],
  ['{user1000}.following', 3443],
  ['{user1000}.followers', 3443],
  ['foo{}{bar}', 8363],
  ['foo{{bar}}zap', 4015],
  ['foo{bar}{zap}', 5061],
  ['{}', 15257],
  ['}{', 12793],
  ['a{b', 13340],
  ['a}b{c}d', 7365],
  ['', 0],
  ['123456789', 12739],
  ['ключ', 10303],
  ['{🙂}x', 6396],
];

/** MurmurHash3, x86, 32 bits, seed 0. */
const MURMUR3: readonly (readonly [string, number])[] = [
  ['', 0],
  ['a', 0x3c2569b2],
  ['abc', 0xb3dd93fa],
  ['hello', 0x248bfa47],
  ['hello, world', 0x149bbb7f],
  ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
];

describe('slots', () => {
  test('the checksum is CRC-16/XMODEM', () => {
    expect(crc16(bytes('123456789'))).toBe(0x31c3);
  });

  test('the checksum of a range is the checksum of its copy', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), fc.nat(64), (data, first, second) => {
        const start = Math.min(first, second, data.length);
        const end = Math.min(Math.max(first, second), data.length);
        expect(crc16(data, start, end)).toBe(crc16(data.slice(start, end)));
      }),
    );
  });

  test.each(REDIS_SLOTS)('the key %j has the slot that Redis gives it', (key, slot) => {
    expect(slotOf(bytes(key))).toBe(slot);
  });

  test('keys with one hash tag share its slot, whatever stands around it', () => {
    const around = fc.string().map((text) => text.replaceAll('{', '').replaceAll('}', ''));
    const tag = around.filter((text) => text.length > 0);
    fc.assert(
      fc.property(around, tag, around, (before, name, after) => {
        expect(slotOf(bytes(`${before}{${name}}${after}`))).toBe(slotOf(bytes(name)));
      }),
    );
  });
});

describe('hashes', () => {
  test.each(MURMUR3)('MurmurHash3 of %j is the published one', (text, hash) => {
    expect(hash32(bytes(text))).toBe(hash);
  });

  test('the finalizer maps different numbers to different numbers', () => {
    const seen = new Set<number>();
    for (let value = 0; value < 100_000; value++) seen.add(mix32(value));
    expect(seen.size).toBe(100_000);
  });
});

describe('tokens', () => {
  test("a token lies within the range of its key's slot", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (key) => {
        const token = tokenOf(key);
        const slot = slotOf(key);
        expect(Number.isSafeInteger(token)).toBe(true);
        expect(token).toBeGreaterThanOrEqual(firstTokenOfSlot(slot));
        expect(token).toBeLessThan(firstTokenOfSlot(slot + 1));
        expect(slotOfToken(token)).toBe(slot);
      }),
    );
  });

  test('slots part the ring without gap or overlap', () => {
    expect(firstTokenOfSlot(0)).toBe(0);
    expect(firstTokenOfSlot(SLOT_COUNT)).toBe(TOKEN_END);
    expect(slotOfToken(TOKENS_PER_SLOT - 1)).toBe(0);
    expect(slotOfToken(TOKENS_PER_SLOT)).toBe(1);
    expect(slotOfToken(TOKEN_END - 1)).toBe(SLOT_COUNT - 1);
    expect(TOKEN_END).toBe(2 ** 48);
  });
});
