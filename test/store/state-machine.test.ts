import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import { InvariantViolation } from '../../src/base/errors.js';
import { SLOT_COUNT, slotOf, TOKEN_END } from '../../src/base/slots.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import { BatchBuilder, encodeTick, expiryArguments } from '../../src/store/batch.js';
import { encodeBucket } from '../../src/store/bucket-codec.js';
import { ErrorReply, OK } from '../../src/store/reply.js';
import { slotRangesOf } from '../../src/store/slot-ranges.js';
import { CLOCK_BEHIND } from '../../src/store/types.js';
import { occupiedSlots, ReferenceEngine } from '../support/reference-engine.js';
import {
  bucketOf,
  bytes,
  command,
  plain,
  START_MS,
  TestMachine,
  type Word,
} from '../support/test-machine.js';

interface Step {
  readonly client: number;
  readonly words: readonly Word[];
}

const SESSIONS = ['00000000000000c1', '00000000000000c2', '00000000000000c3'];

const anyKey = fc.constantFrom('a', 'b', 'c', '{a}d', '{b}e');
const anyStep: fc.Arbitrary<Step> = fc.record({
  client: fc.nat(SESSIONS.length - 1),
  words: fc.oneof(
    fc.tuple(fc.constant('INCR'), anyKey),
    fc.tuple(fc.constant('APPEND'), anyKey, fc.constantFrom('x', 'yy')),
    fc.tuple(
      fc.constant('SET'),
      anyKey,
      fc.constantFrom('1', 'v'),
      fc.constant('PX'),
      fc.constantFrom(5, 50),
    ),
    fc.tuple(fc.constant('SET'), anyKey, fc.constantFrom('1', 'v')),
    fc.tuple(fc.constant('GETDEL'), anyKey),
    fc.tuple(fc.constant('PEXPIRE'), anyKey, fc.constantFrom(1, 30)),
    fc.tuple(fc.constant('GET'), anyKey),
    fc.tuple(fc.constant('FLUSHDB')),
  ),
});

interface Entry {
  readonly payload: Buffer;
}

/** A log as leaders would write it: batches of a few commands, each with a time a little later. */
function logOf(batches: readonly (readonly Step[])[], gaps: readonly number[] = [], lag = 3): Entry[] {
  const builder = new BatchBuilder();
  const sequences = SESSIONS.map(() => 0);
  let nowMs = START_MS;
  return batches.map((steps, i) => {
    for (const { client, words } of steps) {
      const sequence = ++sequences[client]!;
      builder.add(
        { session: SESSIONS[client]!, sequence, acknowledgedBelow: Math.max(0, sequence - lag) },
        0,
        command(String(words[0])),
        words.slice(1).map(bytes),
      );
    }
    nowMs += gaps[i] ?? 7;
    return { payload: builder.take(nowMs) };
  });
}

const anyLog = fc
  .tuple(
    fc.array(fc.array(anyStep, { maxLength: 6 }), { minLength: 1, maxLength: 25 }),
    fc.array(fc.nat(40), { maxLength: 25 }),
    fc.nat(3),
  )
  .map(([batches, gaps, lag]) => logOf(batches, gaps, lag));

function stateOf(machine: TestMachine): unknown {
  return { head: machine.machine.encodeHead().toString('hex'), digests: machine.digests() };
}

function contentOf(machine: TestMachine): string[] {
  const content: string[] = [];
  for (const slot of occupiedSlots(machine.engines))
    machine.machine.scanSlot(slot, (bucketId, key, value, version, expiresAtMs) =>
      content.push(`${bucketId} ${key.toString('hex')} ${value.toString('hex')} ${version} ${expiresAtMs}`),
    );
  return content.sort();
}

describe('applying a log', () => {
  test('gives equal replies, heads and digests with equal engines', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const one = new TestMachine();
        const other = new TestMachine();
        for (const { payload } of log) {
          const replies = one.apply(Buffer.from(payload)).map(plain);
          expect(other.apply(Buffer.from(payload)).map(plain)).toEqual(replies);
        }
        expect(stateOf(other)).toEqual(stateOf(one));
      }),
      { seed: 11, numRuns: 60 },
    );
  });

  test('gives equal state whether replies are collected or not, and equal content in other engines', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const leader = new TestMachine({ engine: () => new MemoryEngine() });
        const follower = new TestMachine({ engine: () => new MemoryEngine() });
        const reference = new TestMachine({ engine: () => new ReferenceEngine() });
        for (const { payload } of log) {
          const replies = leader.apply(payload).map(plain);
          expect(follower.machine.apply(++follower.index, payload, false)).toEqual([]);
          expect(reference.apply(payload).map(plain)).toEqual(replies);
        }
        expect(stateOf(follower)).toEqual(stateOf(leader));
        expect(contentOf(reference)).toEqual(contentOf(leader));
        expect(reference.machine.encodeHead()).toEqual(leader.machine.encodeHead());
      }),
      { seed: 12, numRuns: 40 },
    );
  });

  test('executes each command of a session once, however often and in whatever order it comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(30), fc.nat(4)), { minLength: 1, maxLength: 120 }),
        fc.nat(30),
        (arrivals, acknowledged) => {
          const machine = new TestMachine();
          const first = new Map<number, unknown>();
          let executed = 0;
          const builder = new BatchBuilder();
          for (let i = 0; i < arrivals.length; i++) {
            const [offset, together] = arrivals[i]!;
            const sequences: number[] = [];
            for (let sequence = offset; sequence <= offset + together; sequence++) sequences.push(sequence);
            for (const sequence of sequences)
              builder.add({ session: SESSIONS[0]!, sequence, acknowledgedBelow: 0 }, 0, command('INCR'), [
                bytes('n'),
              ]);
            const replies = machine.apply(builder.take(START_MS + i));
            sequences.forEach((sequence, at) => {
              if (!first.has(sequence)) first.set(sequence, ++executed);
              expect(replies[at]).toBe(first.get(sequence));
            });
          }
          expect(machine.run('GET', 'n')).toEqual(bytes(executed));
          // What was acknowledged is not executed again either.
          const below = acknowledged + 1;
          builder.add(
            { session: SESSIONS[0]!, sequence: 1000, acknowledgedBelow: below },
            0,
            command('GET'),
            [bytes('n')],
          );
          machine.apply(builder.take(START_MS));
          builder.add(
            { session: SESSIONS[0]!, sequence: acknowledged, acknowledgedBelow: 0 },
            0,
            command('INCR'),
            [bytes('n')],
          );
          const late = machine.apply(builder.take(START_MS))[0];
          expect(late instanceof ErrorReply && late.code === 'OUTCOME_UNKNOWN').toBe(true);
          expect(machine.run('GET', 'n')).toEqual(bytes(executed));
        },
      ),
      { seed: 13, numRuns: 100 },
    );
  });

  test('answers a repeat from the table although the state has moved on', () => {
    const machine = new TestMachine();
    const builder = new BatchBuilder();
    const stamp = { session: SESSIONS[1]!, sequence: 4, acknowledgedBelow: 4 };
    builder.add(stamp, 0, command('GETSET'), [bytes('k'), bytes('mine')]);
    const payload = builder.take(START_MS);
    machine.run('SET', 'k', 'old');
    expect(plain(machine.apply(payload)[0]!)).toBe('old');
    machine.run('SET', 'k', 'newer');
    expect(plain(machine.apply(payload)[0]!)).toBe('old');
    expect(plain(machine.run('GET', 'k'))).toBe('newer');
  });

  test('does not let an acknowledgement gathered later drop a repeat in the same batch', () => {
    const machine = new TestMachine();
    const builder = new BatchBuilder();
    const add = (sequence: number, acknowledgedBelow: number): void =>
      builder.add({ session: SESSIONS[0]!, sequence, acknowledgedBelow }, 0, command('INCR'), [bytes('n')]);
    add(1, 1);
    expect(machine.apply(builder.take(START_MS))).toEqual([1]);
    add(1, 1);
    add(2, 2);
    expect(machine.apply(builder.take(START_MS))).toEqual([1, 2]);
  });

  test('gives versions that grow with the log', () => {
    const machine = new TestMachine();
    const builder = new BatchBuilder();
    for (const key of ['a', 'b']) builder.addControl(0, command('SET'), [bytes(key), bytes('v')]);
    machine.apply(builder.take(START_MS));
    expect(machine.run('quoin.version', 'a')).toBe(machine.index * 4096);
    expect(machine.run('quoin.version', 'b')).toBe(machine.index * 4096 + 1);
  });

  test('applies nothing for the no-op of a new leader', () => {
    const machine = new TestMachine();
    const before = stateOf(machine);
    expect(machine.apply(Buffer.alloc(0))).toEqual([]);
    expect(stateOf(machine)).toEqual(before);
  });

  test('stops at bytes it does not understand and at an entry out of order', () => {
    const machine = new TestMachine();
    expect(() => machine.apply(Buffer.from('nonsense!'))).toThrow(DecodeError);
    const builder = new BatchBuilder();
    builder.addControl(0, { ...command('SET'), id: 99 }, [bytes('k'), bytes('v')]);
    expect(() => machine.apply(builder.take(START_MS))).toThrow(/command 99/);
    machine.index -= 2;
    expect(() => machine.apply(encodeTick(START_MS))).toThrow(InvariantViolation);
  });

  test('answers a wrong number of arguments, should one reach the log', () => {
    const machine = new TestMachine();
    expect(plain(machine.control('SET', 'k'))).toBe("-ERR wrong number of arguments for 'set' command");
  });
});

describe('buckets', () => {
  test('keep their keys apart', () => {
    const machine = new TestMachine({ buckets: [bucketOf(0), bucketOf(5)] });
    machine.run('SET', 'k', 'zero');
    machine.bucketId = 5;
    expect(machine.run('GET', 'k')).toBeNull();
    machine.run('SET', 'k', 'five');
    expect(machine.run('FLUSHDB')).toBe(OK);
    machine.bucketId = 0;
    expect(plain(machine.run('GET', 'k'))).toBe('zero');
    machine.run('FLUSHALL');
    expect(machine.run('DBSIZE')).toBe(0);
  });

  test('are unknown until the log opens them and after it drops them', () => {
    const machine = new TestMachine();
    machine.bucketId = 5;
    const unknown = '-ERR bucket 5 is not open in this group';
    expect(plain(machine.run('GET', 'k'))).toBe(unknown);
    expect(plain(machine.run('SET', 'k', 'v'))).toBe(unknown);
    expect(plain(machine.control('quoin.update-bucket', encodeBucket(bucketOf(5))))).toBe(
      '-ERR bucket bucket-5 is not open in this group',
    );
    expect(machine.control('quoin.open-bucket', encodeBucket(bucketOf(5)))).toBe(OK);
    expect(machine.machine.buckets.get(5)).toEqual(bucketOf(5));
    expect(machine.run('SET', 'k', 'v')).toBe(OK);
    expect(machine.control('quoin.drop-bucket', encodeBucket(bucketOf(5)))).toBe(1);
    expect(machine.control('quoin.drop-bucket', encodeBucket(bucketOf(5)))).toBe(0);
    expect(plain(machine.run('GET', 'k'))).toBe(unknown);
    expect(machine.engines.engines.get(5)?.keyCount()).toBe(0);
  });

  test('touch only the slots of their group when engines are shared', () => {
    const slot = slotOf(bytes('mine'));
    const machine = new TestMachine({ slots: [{ first: slot, last: slot }] });
    machine.run('SET', 'mine', 'v');
    const engine = machine.engines.engines.get(0)!;
    const others = (slot + 1) * 2 ** 34;
    engine.put(others, bytes('theirs'), bytes('v'), 1, 0);
    expect(machine.run('DBSIZE')).toBe(1);
    expect(plain(machine.run('KEYS', '*'))).toEqual(['mine']);
    machine.run('FLUSHDB');
    expect(engine.keyCount()).toBe(1);
    machine.machine.reset();
    expect(engine.get(others, bytes('theirs'))).toBeDefined();
  });
});

describe('expiry', () => {
  test('makes a read wait for the log when only the clock has come so far', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v', 'PX', 100);
    const read = (name: string, nowMs: number, ...words: Word[]): unknown => {
      const reply = machine.machine.read(command(name), 0, words.map(bytes), nowMs);
      return reply === CLOCK_BEHIND ? 'clock behind' : plain(reply);
    };
    expect(read('GET', START_MS + 99, 'k')).toBe('v');
    expect(read('PTTL', START_MS + 99, 'k')).toBe(1);
    for (const [name, ...words] of [
      ['GET', 'k'],
      ['EXISTS', 'k'],
      ['KEYS', '*'],
      ['SCAN', '0'],
    ] as const)
      expect(read(name, START_MS + 100, ...words)).toBe('clock behind');
    machine.apply(encodeTick(START_MS + 100));
    expect(read('GET', START_MS + 100, 'k')).toBeNull();
    // A leader whose clock is behind the log does not bring it back.
    expect(read('GET', START_MS + 50, 'k')).toBeNull();
    expect(read('KEYS', START_MS + 50, '*')).toEqual([]);
  });

  test('is decided for writes by the time of the log, which never goes back', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', '5', 'PX', 100);
    machine.nowMs = START_MS + 100;
    expect(machine.run('INCR', 'k')).toBe(1);
    machine.nowMs = START_MS;
    machine.run('SET', 'other', 'v', 'PX', 10);
    expect(machine.run('PEXPIRETIME', 'other')).toBe(START_MS + 110);
    expect(machine.machine.logTimeMs).toBe(START_MS + 100);
  });

  test('does not make a read in the log remove anything', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v', 'PX', 10);
    machine.nowMs += 10;
    const builder = new BatchBuilder();
    builder.addControl(0, command('GET'), [bytes('k')]);
    expect(machine.apply(builder.take(machine.nowMs))).toEqual([null]);
    expect(machine.run('DBSIZE')).toBe(1);
    // A write that meets the key does.
    expect(machine.run('DEL', 'k')).toBe(0);
    expect(machine.run('DBSIZE')).toBe(0);
  });

  test('is found bit by bit and carried out through the log at the version that was found', () => {
    const machine = new TestMachine({ buckets: [bucketOf(0), bucketOf(2)] });
    for (let i = 0; i < 40; i++) machine.run('SET', `k${i}`, 'v', ...(i % 2 === 0 ? ['PX', 10] : []));
    machine.bucketId = 2;
    for (let i = 0; i < 10; i++) machine.run('SET', `k${i}`, 'v', 'PX', 10);
    machine.bucketId = 0;
    machine.nowMs += 10;
    const found = new Map<string, { bucketId: number; key: Buffer; version: number }>();
    let token = 0;
    let rounds = 0;
    do {
      const next = machine.machine.findExpired(token, 7, machine.nowMs, (bucketId, key, version) =>
        found.set(`${bucketId}/${key.toString()}`, { bucketId, key, version }),
      );
      expect(next === 0 || next > token).toBe(true);
      token = next;
      rounds++;
    } while (token !== 0);
    expect(rounds).toBeGreaterThan(5);
    expect(found.size).toBe(30);
    // One of them is written anew meanwhile.
    machine.run('SET', 'k0', 'again');
    for (const bucketId of [0, 2]) {
      machine.bucketId = bucketId;
      const expired = [...found.values()].filter((item) => item.bucketId === bucketId);
      expect(machine.control('quoin.expire', ...expiryArguments(expired))).toBe(bucketId === 0 ? 19 : 10);
    }
    expect(machine.engines.engines.get(0)?.keyCount()).toBe(21);
    expect(machine.engines.engines.get(2)?.keyCount()).toBe(0);
  });

  test('by a proposal waits until the log itself has come so far', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v', 'PX', 100);
    const version = machine.run('quoin.version', 'k') as number;
    expect(machine.control('quoin.expire', 'k', version)).toBe(0);
    machine.nowMs += 100;
    expect(machine.control('quoin.expire', 'k', version + 1)).toBe(0);
    expect(machine.control('quoin.expire', 'k', version)).toBe(1);
  });
});

describe('a snapshot', () => {
  /** Copies the head now and each slot later, as a leader does who goes on applying meanwhile. */
  function copyWhileApplying(log: readonly Entry[], headAt: number, slotAt: (slot: number) => number) {
    const source = new TestMachine({ engine: () => new MemoryEngine(), buckets: [bucketOf(0)] });
    const target = new TestMachine({ engine: () => new MemoryEngine(), buckets: [] });
    const slots = ['a', 'b', 'c'].map((key) => slotOf(bytes(key)));
    target.machine.reset();
    const base = source.index;
    const copies: (() => void)[] = [];
    log.forEach(({ payload }, i) => {
      source.apply(payload);
      if (i === headAt) {
        const head = source.machine.encodeHead();
        copies.unshift(() => target.machine.restoreHead(head));
      }
      for (const slot of slots) {
        if (i !== slotAt(slot)) continue;
        const sessions = source.machine.encodeSlotSessions(slot);
        const buckets = [...source.machine.buckets.values()];
        const records: Parameters<typeof target.machine.installRecord>[] = [];
        source.machine.scanSlot(slot, (...record) => records.push(record));
        const reflects = source.index;
        copies.push(() => {
          for (const bucket of buckets) target.machine.installBucket(bucket);
          target.machine.installSlotSessions(sessions);
          for (const record of records) target.machine.installRecord(...record);
          target.machine.setSlotReflects(slot, reflects);
        });
      }
    });
    for (const copy of copies) copy();
    target.index = base + headAt + 1;
    for (const { payload } of log.slice(headAt + 1)) target.apply(payload);
    return { source, target };
  }

  test('taken slot by slot while entries go on brings the follower to the same state', () => {
    fc.assert(
      fc.property(
        anyLog,
        fc.nat(),
        fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
        (log, head, offsets) => {
          const headAt = head % log.length;
          const slots = ['a', 'b', 'c'].map((key) => slotOf(bytes(key)));
          const slotAt = (slot: number): number =>
            headAt + (offsets[slots.indexOf(slot)]! % (log.length - headAt));
          const { source, target } = copyWhileApplying(log, headAt, slotAt);
          expect(target.digests()).toEqual(source.digests());
          expect(contentOf(target)).toEqual(contentOf(source));
          // Every command of the log, repeated at the end, is known to both and changes neither.
          for (const { payload } of log) {
            source.apply(payload);
            target.apply(payload);
          }
          expect(target.digests()).toEqual(source.digests());
        },
      ),
      { seed: 14, numRuns: 150 },
    );
  });

  test('taken at one index brings head, keys and replies', () => {
    fc.assert(
      fc.property(anyLog, (log) => {
        const at = log.length - 1;
        const { source, target } = copyWhileApplying(log, at, () => at);
        expect(contentOf(target)).toEqual(contentOf(source));
        const repeated = log[at]!.payload;
        expect(target.apply(repeated).map(plain)).toEqual(source.apply(repeated).map(plain));
        expect(stateOf(target)).toEqual(stateOf(source));
      }),
      { seed: 15, numRuns: 60 },
    );
  });

  test('leaves sessions that began after its head to the log', () => {
    // The session's first commands are acknowledged by the time that one slot is copied, and still to come for another.
    const log = logOf(
      ['a', 'b', 'a', 'a', 'a'].map((key) => [{ client: 0, words: ['APPEND', key, 'x'] }]),
      [],
      0,
    );
    log.unshift({ payload: encodeTick(START_MS) });
    const late = slotOf(bytes('a'));
    const { source, target } = copyWhileApplying(log, 0, (slot) => (slot === late ? log.length - 1 : 0));
    expect(plain(target.run('GET', 'b'))).toBe('x');
    expect(contentOf(target)).toEqual(contentOf(source));
  });

  test('does not make a command happen again that its slot reflects', () => {
    const machine = new TestMachine();
    const builder = new BatchBuilder();
    builder.add({ session: SESSIONS[0]!, sequence: 1, acknowledgedBelow: 1 }, 0, command('INCR'), [
      bytes('n'),
    ]);
    const payload = builder.take(START_MS);
    machine.machine.installRecord(0, bytes('n'), bytes('1'), 1, 0);
    machine.machine.setSlotReflects(slotOf(bytes('n')), machine.index + 1);
    for (let i = 0; i < 2; i++) expect(plain(machine.apply(payload)[0]!)).toContain('was carried out before');
    expect(plain(machine.run('GET', 'n'))).toBe('1');
  });

  test('may bring keys of a bucket that the log opens only later', () => {
    const source = new TestMachine();
    const target = new TestMachine({ buckets: [] });
    target.machine.reset();
    target.machine.restoreHead(source.machine.encodeHead());
    target.index = source.index;
    const open = new BatchBuilder();
    open.addControl(1, command('quoin.open-bucket'), [encodeBucket(bucketOf(1))]);
    const entries = [open.take(START_MS)];
    const write = new BatchBuilder();
    write.addControl(1, command('SET'), [bytes('k'), bytes('v')]);
    entries.push(write.take(START_MS));
    for (const payload of entries) source.apply(payload);
    const slot = slotOf(bytes('k'));
    target.machine.installBucket(bucketOf(1));
    source.machine.scanSlot(slot, (...record) => target.machine.installRecord(...record));
    target.machine.setSlotReflects(slot, source.index);
    target.bucketId = 1;
    expect(plain(target.machine.read(command('GET'), 1, [bytes('k')], START_MS) as never)).toBe(
      '-ERR bucket 1 is not open in this group',
    );
    for (const payload of entries) target.apply(payload);
    expect(plain(target.run('GET', 'k'))).toBe('v');
    expect(target.digests()).toEqual(source.digests());
  });

  test('clears away what a broken off one left in the engine', () => {
    const source = new TestMachine();
    const target = new TestMachine({ buckets: [] });
    const leftover = new ReferenceEngine();
    target.engines.engines.set(0, leftover);
    leftover.put(42, bytes('stale'), bytes('v'), 1, 0);
    target.machine.reset();
    target.machine.restoreHead(source.machine.encodeHead());
    expect(leftover.keyCount()).toBe(0);
  });

  test('keeps keys when a node recovers its own head', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v');
    machine.machine.restoreHead(machine.machine.encodeHead());
    expect(plain(machine.run('GET', 'k'))).toBe('v');
  });

  test('does not restore a cut or foreign head', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v');
    const head = machine.machine.encodeHead();
    for (let length = 0; length < head.length; length++)
      expect(() => new TestMachine({ buckets: [] }).machine.restoreHead(head.subarray(0, length))).toThrow(
        DecodeError,
      );
    head[0] = 9;
    expect(() => machine.machine.restoreHead(head)).toThrow(/head format 9/);
  });

  test('drops keys, buckets and sessions on reset', () => {
    const machine = new TestMachine();
    machine.run('SET', 'k', 'v');
    machine.machine.reset();
    expect(machine.machine.buckets.size).toBe(0);
    expect(machine.machine.logTimeMs).toBe(0);
    expect(machine.engines.engines.get(0)?.keyCount()).toBe(0);
    expect(machine.machine.encodeHead()).toEqual(new TestMachine({ buckets: [] }).machine.encodeHead());
  });
});

describe('the slots of a group', () => {
  test('are runs, read off the map', () => {
    const owners = new Uint16Array(SLOT_COUNT).fill(2);
    owners.fill(1, 10, 20);
    owners.fill(1, 30, 31);
    owners.fill(1, SLOT_COUNT - 1);
    const ranges = slotRangesOf(owners, 1);
    expect(ranges).toEqual([
      { first: 10, last: 19 },
      { first: 30, last: 30 },
      { first: SLOT_COUNT - 1, last: SLOT_COUNT - 1 },
    ]);
    const machine = new TestMachine({ slots: ranges });
    expect(machine.machine.slots.size).toBe(12);
    // The search for expired keys goes on from run to run, and starts over at the end.
    expect(machine.machine.findExpired(TOKEN_END - 1, 10, START_MS, () => undefined)).toBe(0);
  });
});
