/** What the comparison with a real server cannot show: defaults of buckets, limits, internal commands, merges. */
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { slotOf, tokenOf } from '../../src/base/slots.js';
import { encodeBucket } from '../../src/store/bucket-codec.js';
import { ErrorReply, OK, type Reply } from '../../src/store/reply.js';
import { encodeTransaction } from '../../src/store/transaction.js';
import {
  bucketOf,
  bytes,
  command,
  plain,
  START_MS,
  TestMachine,
  type Word,
} from '../support/test-machine.js';

type Script = readonly (readonly [words: readonly Word[], reply: unknown])[];

function play(machine: TestMachine, script: Script): void {
  for (const [[name, ...words], reply] of script)
    expect({ command: [name, ...words], reply: plain(machine.run(String(name), ...words)) }).toEqual({
      command: [name, ...words],
      reply,
    });
}

const DAY_MS = 86_400_000;

describe('a bucket with a time to live', () => {
  const ttlMs = DAY_MS;
  const machine = (): TestMachine => new TestMachine({ buckets: [bucketOf(0, ttlMs)] });

  test.each<[string, Word[]]>([
    ['SET', ['k', 'v']],
    ['SETNX', ['k', 'v']],
    ['GETSET', ['k', 'v']],
    ['MSET', ['k', 'v']],
    ['MSETNX', ['k', 'v']],
    ['APPEND', ['k', 'v']],
    ['SETRANGE', ['k', 2, 'v']],
    ['INCR', ['k']],
    ['INCRBYFLOAT', ['k', '1.5']],
    ['SET', ['k', 'v', 'KEEPTTL']],
    ['quoin.put', ['k', 'v', -1, 'any']],
  ])('gives it to a key that %s creates', (name, words) => {
    const subject = machine();
    subject.run(name, ...words);
    expect(subject.run('PEXPIRETIME', 'k')).toBe(START_MS + ttlMs);
  });

  test('leaves a key its own expiry', () => {
    play(machine(), [
      [['SET', 'k', '1', 'PX', 5000], '+OK'],
      [['INCR', 'k'], 2],
      [['APPEND', 'k', '0'], 2],
      [['PEXPIRETIME', 'k'], START_MS + 5000],
      [['PERSIST', 'k'], 1],
      [['INCR', 'k'], 21],
      [['PTTL', 'k'], -1],
      [['quoin.put', 'k', 'v', 0, 'any'], expect.any(Number)],
      [['PTTL', 'k'], -1],
    ]);
  });

  test('changes with the bucket for keys written from then on', () => {
    const subject = machine();
    subject.run('SET', 'before', 'v');
    expect(subject.control('quoin.update-bucket', encodeBucket(bucketOf(0, 1000)))).toBe(OK);
    subject.run('SET', 'after', 'v');
    play(subject, [
      [['PTTL', 'before'], ttlMs],
      [['PTTL', 'after'], 1000],
    ]);
  });
});

describe('the internal commands', () => {
  test('put and delete on a condition', () => {
    const machine = new TestMachine();
    const failed = '-ERR the key is not in the state that was asked for';
    play(machine, [
      [['quoin.put', 'k', 'one', 0, 'present'], failed],
      [['quoin.put', 'k', 'one', 0, 7], failed],
      [['quoin.delete', 'k', 'present'], failed],
      [['quoin.delete', 'k', 'any'], 0],
      [['quoin.put', 'k', 'one', 0, 'absent'], expect.any(Number)],
      [['quoin.put', 'k', 'two', 0, 'absent'], failed],
      [['quoin.put', 'k', 'two', 0, 'present'], expect.any(Number)],
    ]);
    const version = machine.run('quoin.version', 'k') as number;
    expect(plain(machine.run('quoin.get', 'k'))).toEqual(['two', version, 0]);
    const newer = machine.run('quoin.put', 'k', 'three', 1000, version) as number;
    expect(newer).toBeGreaterThan(version);
    play(machine, [
      [['quoin.put', 'k', 'four', 0, version], failed],
      [
        ['quoin.get', 'k'],
        ['three', newer, START_MS + 1000],
      ],
      [['quoin.delete', 'k', version], failed],
      [['quoin.delete', 'k', newer], 1],
      [['quoin.get', 'k'], null],
      [['quoin.version', 'k'], 0],
      [['quoin.put', 'k', 'v', 'x', 'any'], '-ERR ttl is out of range'],
      [['quoin.put', 'k', 'v', -2, 'any'], '-ERR ttl is out of range'],
      [['quoin.put', 'k', 'v', 0, 'maybe'], '-ERR condition is not any, absent, present or a version'],
    ]);
  });

  test('list keys with a prefix, page by page', () => {
    const machine = new TestMachine();
    const expected: string[] = [];
    for (let i = 0; i < 50; i++) {
      machine.run('SET', `user:${i}`, 'v');
      machine.run('SET', `other:${i}`, 'v');
      expected.push(`user:${i}`);
    }
    const found: string[] = [];
    let cursor = '0';
    do {
      const [next, keys] = plain(machine.run('quoin.list', cursor, 'user:', 7)) as [string, string[]];
      expect(keys.length).toBeLessThanOrEqual(7);
      found.push(...keys);
      cursor = next;
    } while (cursor !== '0');
    expect(found.sort()).toEqual(expected.sort());
  });

  test('count and name the keys of a slot', () => {
    const machine = new TestMachine();
    for (const key of ['{a}1', '{a}2', '{a}3', 'b']) machine.run('SET', key, 'v');
    const slot = slotOf(bytes('a'));
    play(machine, [
      [['quoin.slot-count', slot], 3],
      [['quoin.slot-count', 16384], '-ERR Invalid slot'],
      [
        ['quoin.slot-keys', slot, 2],
        [expect.stringContaining('{a}'), expect.stringContaining('{a}')],
      ],
      [['quoin.slot-keys', slot, 0], []],
    ]);
    expect((plain(machine.run('quoin.slot-keys', slot, 10)) as string[]).sort()).toEqual([
      '{a}1',
      '{a}2',
      '{a}3',
    ]);
  });

  test('answer malformed descriptions and transactions', () => {
    const machine = new TestMachine();
    play(machine, [
      [['quoin.open-bucket', 'nonsense'], '-ERR malformed bucket description'],
      [['quoin.drop-bucket', ''], '-ERR malformed bucket description'],
      [['quoin.exec', 'k', 'nonsense'], '-ERR malformed transaction'],
    ]);
  });
});

describe('limits', () => {
  test('bound what a value may grow to', () => {
    const machine = new TestMachine();
    const tooLong = '-ERR string exceeds maximum allowed size (proto-max-bulk-len)';
    play(machine, [
      [['SETRANGE', 'k', LIMITS.maxValueBytes, 'x'], tooLong],
      [['SETRANGE', 'k', '9223372036854775807', 'x'], tooLong],
      [['EXISTS', 'k'], 0],
      [['SETRANGE', 'k', LIMITS.maxValueBytes - 1, 'x'], LIMITS.maxValueBytes],
      [['APPEND', 'k', 'x'], tooLong],
      [['STRLEN', 'k'], LIMITS.maxValueBytes],
    ]);
  });

  test('refuse an expiry beyond the range of safe integers', () => {
    play(new TestMachine(), [
      [['SET', 'k', 'v', 'PXAT', '9007199254740992'], "-ERR invalid expire time in 'set' command"],
      [['PSETEX', 'k', '9007199254740991', 'v'], "-ERR invalid expire time in 'psetex' command"],
      [['EXISTS', 'k'], 0],
    ]);
  });
});

describe('OBJECT', () => {
  test('tells an encoding from the value', () => {
    play(new TestMachine(), [
      [['MSET', 'i', '12', 's', 'x'.repeat(44), 'r', 'x'.repeat(45)], '+OK'],
      [['OBJECT', 'ENCODING', 'i'], 'int'],
      [['OBJECT', 'encoding', 's'], 'embstr'],
      [['OBJECT', 'ENCODING', 'r'], 'raw'],
      [['OBJECT', 'IDLETIME', 'i'], 0],
      [['OBJECT', 'REFCOUNT', 'i'], 1],
      [['OBJECT', 'FREQ', 'i'], expect.stringContaining('LFU')],
    ]);
  });

  test('explains itself', () => {
    expect(plain(new TestMachine().run('OBJECT', 'HELP'))).toContain('+ENCODING <key>');
  });
});

describe('RANDOMKEY', () => {
  test('comes by every key in time', () => {
    const machine = new TestMachine();
    const keys = ['a', 'b', 'c', 'd'];
    for (const key of keys) machine.run('SET', key, 'v');
    const seen = new Set<unknown>();
    for (let i = 0; i < 2000; i++) seen.add(plain(machine.run('RANDOMKEY')));
    expect([...seen].sort()).toEqual(keys);
  });
});

describe('answers of several parts', () => {
  const merge = (name: string, replies: Reply[]): unknown => {
    const definition = command(name);
    return plain((definition.split?.merge ?? definition.merge)?.(replies, []) ?? null);
  };
  const error = ErrorReply.of('NO_LEADER', 'down');

  test.each<[string, Reply[], unknown]>([
    ['del', [1, 0, 2], 3],
    ['exists', [1, error], '-CLUSTERDOWN down'],
    ['mget', [[null], [bytes('a'), bytes('b')]], [null, 'a', 'b']],
    ['mset', [OK, OK], '+OK'],
    ['mset', [OK, error], '-CLUSTERDOWN down'],
    ['dbsize', [3, 4], 7],
    ['keys', [[bytes('a')], [], [bytes('b')]], ['a', 'b']],
    ['flushall', [OK, OK], '+OK'],
    ['randomkey', [null, bytes('a'), null], 'a'],
    ['randomkey', [null, null], null],
    ['randomkey', [null, error], '-CLUSTERDOWN down'],
  ])('%s merges them', (name, replies, merged) => {
    expect(merge(name, replies)).toEqual(merged);
  });
});

describe('SCAN', () => {
  const everything = (machine: TestMachine, ...options: Word[]): string[] => {
    const found: string[] = [];
    let cursor = '0';
    do {
      const [next, keys] = plain(machine.run('SCAN', cursor, ...options)) as [string, string[]];
      found.push(...keys);
      cursor = next;
    } while (cursor !== '0');
    return found;
  };

  test('returns each key once when nothing changes, whatever the count', () => {
    const machine = new TestMachine();
    const keys = Array.from({ length: 100 }, (_, i) => `key:${i}`);
    for (const key of keys) machine.run('SET', key, 'v');
    for (const count of [1, 3, 100, 1_000_000])
      expect(everything(machine, 'COUNT', count).sort()).toEqual([...keys].sort());
    expect(everything(machine, 'MATCH', 'key:1?').length).toBe(10);
  });

  test('returns every key that stays while others come and go', () => {
    const machine = new TestMachine();
    const staying = Array.from({ length: 60 }, (_, i) => `stays:${i}`);
    for (const key of staying) machine.run('SET', key, 'v');
    const found = new Set<string>();
    let cursor = '0';
    let round = 0;
    do {
      const [next, keys] = plain(machine.run('SCAN', cursor, 'COUNT', 5)) as [string, string[]];
      for (const key of keys) found.add(key);
      machine.run('SET', `comes:${round}`, 'v');
      machine.run('DEL', `comes:${round - 2}`);
      round++;
      cursor = next;
    } while (cursor !== '0');
    for (const key of staying) expect(found).toContain(key);
  });

  test('ends where the run of slots ends, with the cursor of what follows', () => {
    const slot = slotOf(bytes('foo'));
    const machine = new TestMachine({ slots: [{ first: slot, last: slot }] });
    machine.run('SET', 'foo', 'v');
    const cursor = Math.floor(tokenOf(bytes('foo')) / 4);
    expect(plain(machine.run('SCAN', cursor, 'COUNT', 10))).toEqual([String((slot + 1) * 2 ** 32), ['foo']]);
    expect(command('scan').cursorToken?.([bytes(cursor)])).toBe(cursor * 4);
    expect(plain(machine.run('SCAN', (slot + 1) * 2 ** 32))).toEqual([String((slot + 1) * 2 ** 32), []]);
  });

  test('takes a cursor past the end as the end', () => {
    const machine = new TestMachine();
    machine.run('SET', 'foo', 'v');
    for (const cursor of ['70368744177664', '18446744073709551615', '-1', '+99999999999999999'])
      expect(plain(machine.run('SCAN', cursor))).toEqual(['0', []]);
    expect(plain(machine.run('SCAN', '99999999999999999999999'))).toBe('-ERR invalid cursor');
  });
});

describe('a transaction', () => {
  const queue = (words: readonly Word[], bucketId = 0) => ({
    bucketId,
    definition: command(String(words[0])),
    args: words.slice(1).map(bytes),
  });
  const exec = (machine: TestMachine, watched: [Word, number][], ...commands: (readonly Word[])[]): unknown =>
    plain(
      machine.run(
        'quoin.exec',
        ...encodeTransaction(
          bytes('{t}'),
          watched.map(([key, version]) => ({ bucketId: 0, key: bytes(key), version })),
          commands.map((words) => queue(words)),
        ),
      ),
    );

  test('runs its commands in order and answers each', () => {
    const machine = new TestMachine();
    expect(
      exec(machine, [], ['SET', '{t}a', '1'], ['INCR', '{t}a'], ['GET', '{t}a'], ['MGET', '{t}a', '{t}b']),
    ).toEqual(['+OK', 2, '2', ['2', null]]);
  });

  test('goes on after a command that fails', () => {
    const machine = new TestMachine();
    expect(
      exec(
        machine,
        [],
        ['SET', '{t}a', 'x'],
        ['INCR', '{t}a'],
        ['GET'],
        ['SET', '{t}a', 'v', 'BAD'],
        ['APPEND', '{t}a', 'y'],
      ),
    ).toEqual([
      '+OK',
      '-ERR value is not an integer or out of range',
      "-ERR wrong number of arguments for 'get' command",
      '-ERR syntax error',
      2,
    ]);
  });

  test('does nothing when a watched key has changed', () => {
    const machine = new TestMachine();
    machine.run('SET', '{t}a', '1');
    const version = machine.run('quoin.version', '{t}a') as number;
    expect(exec(machine, [['{t}a', version]], ['SET', '{t}b', 'first'])).toEqual(['+OK']);
    machine.run('SET', '{t}a', '1');
    expect(exec(machine, [['{t}a', version]], ['SET', '{t}b', 'second'])).toBe('null array');
    expect(
      exec(
        machine,
        [
          ['{t}c', 0],
          ['{t}b', 0],
        ],
        ['SET', '{t}b', 'third'],
      ),
    ).toBe('null array');
    expect(plain(machine.run('GET', '{t}b'))).toBe('first');
  });

  test('sees a watched key that has expired as changed', () => {
    const machine = new TestMachine();
    machine.run('SET', '{t}a', '1', 'PX', 100);
    const version = machine.run('quoin.version', '{t}a') as number;
    machine.nowMs += 101;
    expect(exec(machine, [['{t}a', version]], ['SET', '{t}b', '1'])).toBe('null array');
  });

  test('refuses keys of other slots, and commands that concern every group', () => {
    const machine = new TestMachine();
    const crossing = "-CROSSSLOT Keys in request don't hash to the same slot";
    const refused = '-ERR this command cannot run inside a transaction';
    expect(
      exec(
        machine,
        [],
        ['SET', 'elsewhere', '1'],
        ['DEL', '{t}a', 'elsewhere'],
        ['DBSIZE'],
        ['quoin.exec', '{t}', ''],
      ),
    ).toEqual([crossing, crossing, refused, refused]);
    expect(machine.run('DBSIZE')).toBe(0);
  });

  test('reaches the buckets that its commands name', () => {
    const machine = new TestMachine({ buckets: [bucketOf(0), bucketOf(3)] });
    const words = encodeTransaction(
      bytes('{t}'),
      [{ bucketId: 3, key: bytes('{t}a'), version: 0 }],
      [queue(['SET', '{t}a', 'here']), queue(['SET', '{t}a', 'there'], 3), queue(['GET', '{t}a'], 9)],
    );
    expect(plain(machine.run('quoin.exec', ...words))).toEqual([
      '+OK',
      '+OK',
      '-ERR bucket 9 is not open in this group',
    ]);
    expect(plain(machine.run('GET', '{t}a'))).toBe('here');
    machine.bucketId = 3;
    expect(plain(machine.run('GET', '{t}a'))).toBe('there');
  });
});
