import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import { InvariantViolation } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import {
  BatchBuilder,
  BatchCursor,
  encodeTick,
  sessionFromKey,
  sessionToKey,
} from '../../src/store/batch.js';
import { ALL_COMMANDS } from '../../src/store/registry.js';
import { bytes, command, START_MS } from '../support/test-machine.js';

interface Item {
  readonly session: string;
  readonly sequence: number;
  readonly acknowledgedBelow: number;
  readonly bucketId: number;
  readonly commandId: number;
  readonly args: readonly string[];
}

function build(items: readonly Item[], nowMs = START_MS, builder = new BatchBuilder()): Buffer {
  for (const item of items)
    builder.add(
      item,
      item.bucketId,
      ALL_COMMANDS.find(({ id }) => id === item.commandId)!,
      item.args.map((text) => Buffer.from(text, 'latin1')),
    );
  return builder.take(nowMs);
}

function read(payload: Buffer): { timeMs: number; items: Omit<Item, 'acknowledgedBelow'>[] } {
  const cursor = new BatchCursor(payload);
  const items: Omit<Item, 'acknowledgedBelow'>[] = [];
  while (cursor.next())
    items.push({
      session: sessionFromKey(cursor.sessionKey),
      sequence: cursor.sequence,
      bucketId: cursor.bucketId,
      commandId: cursor.commandId,
      args: cursor.args.map((argument) => argument.toString('latin1')),
    });
  return { timeMs: cursor.timeMs, items };
}

const anyItem: fc.Arbitrary<Item> = fc.record({
  session: fc.constantFrom('0123456789abcdef', 'ffffffffffffffff', '00000000000000a0'),
  sequence: fc.oneof(fc.nat(20), fc.maxSafeNat()),
  acknowledgedBelow: fc.oneof(fc.nat(20), fc.maxSafeNat()),
  bucketId: fc.nat(2000),
  commandId: fc.constantFrom(...ALL_COMMANDS.map(({ id }) => id)),
  args: fc.array(fc.string({ unit: 'binary-ascii', maxLength: 200 }), { maxLength: 5 }),
});

function withoutAcknowledgement({ session, sequence, bucketId, commandId, args }: Item) {
  return { session, sequence, bucketId, commandId, args };
}

describe('the batch codec', () => {
  test('gives back what was added, in order', () => {
    fc.assert(
      fc.property(fc.array(anyItem, { maxLength: 30 }), fc.maxSafeNat(), (items, nowMs) => {
        expect(read(build(items, nowMs))).toEqual({
          timeMs: nowMs,
          items: items.map(withoutAcknowledgement),
        });
      }),
      { seed: 6, numRuns: 300 },
    );
  });

  test('makes each batch of a builder on its own', () => {
    const builder = new BatchBuilder();
    const items: Item[] = [1, 2, 3].map((sequence) => ({
      session: '0123456789abcdef',
      sequence,
      acknowledgedBelow: 0,
      bucketId: 0,
      commandId: 1,
      args: ['k'],
    }));
    const first = build(items, 1, builder);
    const second = build(items.slice(1), 2, builder);
    expect(read(first)).toEqual({ timeMs: 1, items: items.map(withoutAcknowledgement) });
    expect(read(second)).toEqual({ timeMs: 2, items: items.slice(1).map(withoutAcknowledgement) });
    expect(builder.commandCount).toBe(0);
    expect(builder.sizeBytes).toBe(0);
  });

  test('lets consecutive commands of one session share a header, with its highest acknowledgement', () => {
    const stamp = (sequence: number, acknowledgedBelow: number): Item => ({
      session: '0123456789abcdef',
      sequence,
      acknowledgedBelow,
      bucketId: 0,
      commandId: 1,
      args: ['k'],
    });
    const cursor = new BatchCursor(build([stamp(7, 3), stamp(8, 5), stamp(9, 4), stamp(11, 6)]));
    const seen: unknown[] = [];
    while (cursor.next())
      seen.push([cursor.sequence, cursor.startsSubBatch, cursor.endsSubBatch, cursor.acknowledgedBelow]);
    expect(seen).toEqual([
      [7, true, false, 5],
      [8, false, false, 5],
      [9, false, true, 5],
      [11, true, true, 6],
    ]);
  });

  test('keeps its bytes', () => {
    const builder = new BatchBuilder();
    const session = '0123456789abcdef';
    builder.add({ session, sequence: 300, acknowledgedBelow: 299 }, 0, command('set'), [
      bytes('k'),
      bytes('vv'),
    ]);
    builder.add({ session, sequence: 301, acknowledgedBelow: 299 }, 5, command('get'), [bytes('k')]);
    builder.addControl(1, command('quoin.expire'), [bytes('a'), bytes(9)]);
    expect(builder.take(0x123456789a).toString('hex')).toBe(
      '01' +
        '9a78563412000000' +
        '0123456789abcdef' +
        '2b01000000000000' +
        '02000000' +
        'ac02' +
        '000202016b027676' +
        '050101016b' +
        '0000000000000000' +
        '0000000000000000' +
        '01000000' +
        '00' +
        '01690201610139',
    );
  });

  test('makes a tick of nothing but the time', () => {
    expect(encodeTick(0x123456789a).toString('hex')).toBe('019a78563412000000');
    expect(read(encodeTick(START_MS))).toEqual({ timeMs: START_MS, items: [] });
  });

  test('refuses every cut but those between two sub-batches', () => {
    const items: Item[] = ['0123456789abcdef', 'fedcba9876543210'].map((session) => ({
      session,
      sequence: 1,
      acknowledgedBelow: 0,
      bucketId: 0,
      commandId: 2,
      args: ['key', 'a value'],
    }));
    const payload = build(items);
    const whole = [9, build(items.slice(0, 1)).length];
    for (let length = 0; length < payload.length; length++) {
      if (whole.includes(length)) continue;
      expect(() => read(payload.subarray(0, length))).toThrow(DecodeError);
    }
  });

  test('answers mutated bytes with other commands or a decode error, never anything else', () => {
    fc.assert(
      fc.property(
        fc.array(anyItem, { minLength: 1, maxLength: 5 }),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        (items, position, value) => {
          const payload = build(items);
          payload[position % payload.length] = value;
          try {
            read(payload);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { seed: 7, numRuns: 1000 },
    );
  });

  test('refuses a format it does not know', () => {
    const payload = encodeTick(1);
    payload[0] = 2;
    expect(() => read(payload)).toThrow(/format 2/);
  });

  test('says when it is full, and holds no more commands than versions', () => {
    const builder = new BatchBuilder();
    for (let i = 0; i < LIMITS.maxCommandsPerEntry; i++) {
      expect(builder.isFull).toBe(false);
      builder.addControl(0, command('get'), []);
    }
    expect(builder.isFull).toBe(true);
    expect(() => builder.addControl(0, command('get'), [])).toThrow(InvariantViolation);
    builder.take(0);
    builder.addControl(0, command('set'), [bytes('k'), Buffer.alloc(LIMITS.maxEntryBytes)]);
    expect(builder.isFull).toBe(true);
  });

  test('turns a session into its raw bytes and back', () => {
    expect(sessionFromKey(sessionToKey('0123456789abcdef'))).toBe('0123456789abcdef');
  });
});
