/** Sessions whose replies travel with a snapshot's slots while the log goes on. */
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter } from '../../src/base/bytes.js';
import { APPLIED, SessionTable } from '../../src/store/sessions.js';

function carried(source: SessionTable, slot: number): Buffer {
  const writer = new ByteWriter();
  source.writeSlot(writer, slot);
  return writer.take();
}

describe('what a snapshot tells of a slot', () => {
  test('does not move the floor of a session whose earlier commands are still to come', () => {
    const source = new SessionTable();
    const session = source.use('aaaaaaaa', 1, 50);
    session.remember(1, 7, 101);
    session.remember(2, 8, 102);
    session.acknowledge(3);
    session.remember(3, 7, Buffer.from('three'));
    const target = new SessionTable();
    target.foretell(new ByteReader(carried(source, 7)));
    const replayed = target.use('aaaaaaaa', 1, 40);
    expect(replayed.floor).toBe(1);
    expect(replayed.recall(2)).toBeUndefined();
    expect(target.foretold('aaaaaaaa', 3)).toEqual(Buffer.from('three'));
    expect(target.foretold('aaaaaaaa', 2)).toBeUndefined();
  });

  test('reaches as far ahead of a session as the log may be', () => {
    const source = new SessionTable();
    source.use('aaaaaaaa', 5_000_000, 50).remember(5_000_000, 7, 1);
    const target = new SessionTable();
    target.use('aaaaaaaa', 0, 40).remember(0, 7, 0);
    target.foretell(new ByteReader(carried(source, 7)));
    expect(target.foretold('aaaaaaaa', 5_000_000)).toBe(1);
    expect(target.use('aaaaaaaa', 0, 40).recall(0)).toBe(0);
  });

  test('is passed on by a follower that has not come so far itself, and forgotten afterwards', () => {
    const source = new SessionTable();
    const session = source.use('aaaaaaaa', 0, 50);
    session.remember(0, 7, APPLIED);
    session.remember(1, 7, 11);
    const middle = new SessionTable();
    middle.foretell(new ByteReader(carried(source, 7)));
    const target = new SessionTable();
    target.foretell(new ByteReader(carried(middle, 7)));
    expect(target.foretold('aaaaaaaa', 0)).toBe(APPLIED);
    expect(target.foretold('aaaaaaaa', 1)).toBe(11);
    expect(carried(middle, 8).length).toBe(0);
    target.forgetForetold();
    expect(target.foretold('aaaaaaaa', 1)).toBeUndefined();
  });
});
