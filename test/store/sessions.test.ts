import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { ErrorReply } from '../../src/store/reply.js';
import { APPLIED, SessionTable } from '../../src/store/sessions.js';

function encode(table: SessionTable): string {
  const writer = new ByteWriter();
  table.write(writer);
  return writer.take().toString('hex');
}

function restored(table: SessionTable): SessionTable {
  const copy = new SessionTable();
  copy.read(new ByteReader(Buffer.from(encode(table), 'hex')));
  return copy;
}

describe('a session', () => {
  test('recalls what was remembered and knows what was acknowledged', () => {
    const session = new SessionTable().use('aaaaaaaa', 5, 0);
    expect(session.recall(5)).toBeUndefined();
    session.remember(5, 0, 55);
    session.remember(7, 0, null);
    expect(session.recall(5)).toBe(55);
    expect(session.recall(6)).toBeUndefined();
    expect(session.recall(7)).toBeNull();
    expect(session.recall(4)).toBe(APPLIED);
    session.acknowledge(7);
    expect(session.recall(6)).toBe(APPLIED);
    expect(session.recall(7)).toBeNull();
    session.acknowledge(3);
    expect(session.floor).toBe(7);
  });

  test('behaves as a plain set of executed sequences would, in any order', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('execute' as const), offset: fc.nat(300) }),
      fc.record({ kind: fc.constant('acknowledge' as const), offset: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.nat(2 ** 40), (steps, first) => {
        const table = new SessionTable();
        const session = table.use('aaaaaaaa', first, 0);
        const executed = new Map<number, number>();
        let floor = first;
        for (const { kind, offset } of steps) {
          if (kind === 'execute') {
            const sequence = floor + offset;
            const known = session.recall(sequence);
            expect(known).toBe(executed.get(sequence));
            if (known === undefined) {
              session.remember(sequence, 0, offset);
              executed.set(sequence, offset);
            }
          } else {
            floor += offset;
            session.acknowledge(floor);
            for (const sequence of executed.keys()) if (sequence < floor) executed.delete(sequence);
          }
        }
        for (let sequence = floor; sequence < floor + 400; sequence++)
          expect(session.recall(sequence)).toBe(executed.get(sequence));
        session.acknowledge(floor + 1000);
        expect(table.rememberedBytes).toBe(0);
      }),
      { seed: 8 },
    );
  });

  test('keeps a large reply as applied only', () => {
    const session = new SessionTable().use('aaaaaaaa', 0, 0);
    session.remember(0, 0, Buffer.alloc(LIMITS.maxRememberedReplyBytes));
    session.remember(1, 0, Buffer.alloc(LIMITS.maxRememberedReplyBytes + 1));
    expect(session.recall(0)).toEqual(Buffer.alloc(LIMITS.maxRememberedReplyBytes));
    expect(session.recall(1)).toBe(APPLIED);
  });

  test('admits no more commands under way than may be remembered', () => {
    const session = new SessionTable().use('aaaaaaaa', 10, 0);
    expect(session.admits(10 + LIMITS.maxRepliesPerSession - 1)).toBe(true);
    expect(session.admits(10 + LIMITS.maxRepliesPerSession)).toBe(false);
  });
});

describe('the session table', () => {
  test('forgets sessions that were idle for long, and only those', () => {
    const table = new SessionTable();
    table.use('aaaaaaaa', 0, 1000).remember(0, 1, Buffer.from('reply'));
    table.use('bbbbbbbb', 0, 1000);
    table.use('bbbbbbbb', 0, LIMITS.sessionIdleMs);
    table.advance(1000, LIMITS.sessionIdleMs + 2000);
    expect(table.size).toBe(1);
    expect(table.rememberedBytes).toBe(0);
    table.advance(LIMITS.sessionIdleMs + 2000, 3 * LIMITS.sessionIdleMs);
    expect(table.size).toBe(0);
  });

  test('drops the longest unused when there are too many', () => {
    const table = new SessionTable(8);
    for (let i = 0; i < 8; i++) table.use(`session${i}`, 0, 100 + i);
    table.use('session0', 0, 200);
    table.use('newcomer', 0, 201);
    expect(table.size).toBe(8);
    expect(table.use('session0', 7, 202).floor).toBe(0);
    expect(table.use('session1', 7, 203).floor).toBe(7);
  });

  test('survives a snapshot whole', () => {
    const table = new SessionTable();
    const session = table.use('zzzzzzzz', 40, 123_456);
    session.remember(41, 7, Buffer.from('reply'));
    session.remember(45, 9, APPLIED);
    session.remember(43, 0xffff, [null, 1, ErrorReply.of('WRONG_TYPE', 'text')]);
    table.use('aaaaaaaa', 0, 1);
    const copy = restored(table);
    expect(encode(copy)).toBe(encode(table));
    expect(copy.rememberedBytes).toBe(table.rememberedBytes);
    expect(copy.use('zzzzzzzz', 0, 123_456).recall(45)).toBe(APPLIED);
    expect(copy.use('zzzzzzzz', 0, 123_456).recall(44)).toBeUndefined();
  });

  test('moves what it remembers of one slot', () => {
    const source = new SessionTable();
    const session = source.use('aaaaaaaa', 10, 50);
    session.remember(10, 1, 100);
    session.remember(11, 2, 200);
    session.remember(12, 1, 300);
    const target = new SessionTable();
    target.use('aaaaaaaa', 11, 60).remember(12, 1, 300);
    const writer = new ByteWriter();
    source.writeSlot(writer, 1);
    target.readSlot(new ByteReader(writer.take()));
    const moved = target.use('aaaaaaaa', 0, 60);
    expect(moved.floor).toBe(11);
    expect(moved.recall(10)).toBe(APPLIED);
    expect(moved.recall(11)).toBeUndefined();
    expect(moved.recall(12)).toBe(300);
  });
});
