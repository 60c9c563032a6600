/**
 * The same random commands to a real redis-server and to the state machine: every reply must be the same. Times are absolute
 * or far from each other, so that a slow machine changes nothing; replies that tell a time to live may differ by the time
 * that has passed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandDefinition } from '../../src/store/command.js';
import { ALL_COMMANDS } from '../../src/store/registry.js';
import { ErrorReply, type Reply, SimpleString } from '../../src/store/reply.js';
import { type RedisServer, startRedisServer } from '../support/redis-server.js';
import { RespError, RespSimple, type RespValue } from '../support/resp-client.js';
import { bytes, TestMachine, type Word } from '../support/test-machine.js';

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedisServer();
});

afterAll(async () => {
  await redis?.stop();
});

/** A small generator of its own (mulberry32), so that seeds mean the same for ever. */
function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

function fromOurs(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return `$${reply.toString('latin1')}`;
  if (reply instanceof SimpleString) return `+${reply.text}`;
  if (reply instanceof ErrorReply) return `-${reply.text}`;
  if (Array.isArray(reply)) return reply.map((member: Reply) => fromOurs(member));
  return reply;
}

function fromRedis(reply: RespValue): unknown {
  if (Buffer.isBuffer(reply)) return `$${reply.toString('latin1')}`;
  if (reply instanceof RespSimple) return `+${reply.text}`;
  if (reply instanceof RespError) return `-${reply.text}`;
  if (Array.isArray(reply)) return reply.map((member: RespValue) => fromRedis(member));
  return reply;
}

const KEYS: readonly Buffer[] = [
  ...['a', 'b', 'c', 'counter', 'float', '{tag}one', '{tag}two', '', 'a b', '*', '[x]', '\\'].map(bytes),
  Buffer.from([0, 1, 255, 13, 10]),
  Buffer.from([200, 0x2d, 201]),
];

const INTEGERS: readonly string[] = [
  ...['0', '1', '-1', '5', '10', '100', '-100', '1000000', '9007199254740991', '9007199254740993'],
  ...['9223372036854775807', '-9223372036854775808', '9223372036854775808', '4611686018427387904'],
  ...[
    '-9223372036854775807',
    '-0',
    '+1',
    '01',
    ' 1',
    '1 ',
    '',
    'abc',
    '1.5',
    '1e3',
    '0x10',
    '18446744073709551616',
  ],
];

const FLOATS: readonly string[] = [
  ...[
    '0',
    '1',
    '-1',
    '0.1',
    '0.2',
    '-0.3',
    '3.14159',
    '1e3',
    '1e-3',
    '1e17',
    '1.5e18',
    '123456789.123456789',
    '-0',
  ],
  ...[
    '1e-20',
    '1e4000',
    '1e4932',
    '1e5000',
    '1e-5000',
    'inf',
    '-inf',
    'infinity',
    'nan',
    '',
    'abc',
    ' 1',
    '1 ',
    '.5',
  ],
  ...['5.', '.', '1e', '0x1.8p1', '0xff', '+7', '--1', '0.30000000000000004', '100000000000000000000', '3.0'],
];

const VALUES: readonly Buffer[] = [
  ...['', 'x', 'hello world', '12', '-7', '3.25', '9223372036854775806', '\0\0'].map(bytes),
  Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  Buffer.alloc(50, 0x79),
  Buffer.from('Ünïcode', 'utf8'),
];

const PATTERNS: readonly Buffer[] = [
  ...[
    '*',
    '**',
    '?',
    'a*',
    '*b',
    '[abc]',
    '[^a]',
    '[a-c]*',
    '\\*',
    '[',
    '[^',
    'a[',
    '[]a]',
    '[a-',
    '\\',
    '',
    '*\\',
    '[\\]x]*',
  ],
  ...['{tag}*', '*o*e', '[c-a]', '?*', '*?*', '\\[x\\]'],
].map(bytes);

/** Absolute times in seconds, each a year or more from the others and from now. */
const SECONDS: readonly string[] = [
  '1',
  '1000000000',
  '2000000000',
  '4102444800',
  '5000000000',
  '0',
  '-5',
  'abc',
];
/** Times to live in seconds, a day or more apart. */
const TTLS: readonly string[] = [
  '100000',
  '300000',
  '900000',
  '0',
  '-1',
  '-100',
  'x',
  '9223372036854775807',
  '-9223372036854775808',
];

type Pick = (bound: number) => number;

function one<T>(pick: Pick, from: readonly T[]): T {
  return from[pick(from.length)]!;
}

function milliseconds(seconds: string): string {
  return /^-?\d{1,12}$/.test(seconds)
    ? `${seconds}000`.replace(/^(-?)0+(?=\d)/, '$1').replace(/^-0$/, '0')
    : seconds;
}

function mixCase(pick: Pick, word: string): string {
  return pick(3) === 0 ? word.toLowerCase() : word;
}

function expiryOption(pick: Pick): Word[] {
  switch (pick(7)) {
    case 0:
      return ['EX', one(pick, TTLS)];
    case 1:
      return ['PX', milliseconds(one(pick, TTLS))];
    case 2:
      return ['EXAT', one(pick, SECONDS)];
    case 3:
      return ['PXAT', milliseconds(one(pick, SECONDS))];
    case 4:
      return ['EX'];
    case 5:
      return ['KEEPTTL'];
    default:
      return ['PERSIST'];
  }
}

function setWords(pick: Pick): Word[] {
  const words: Word[] = [one(pick, KEYS), one(pick, VALUES)];
  for (let options = pick(4); options > 0; options--) {
    const choice = pick(6);
    if (choice < 2) words.push(...expiryOption(pick));
    else words.push(mixCase(pick, one(pick, ['NX', 'XX', 'GET', 'GET', 'FOO'])));
  }
  return words;
}

function expireWords(pick: Pick, times: readonly string[], inMilliseconds: boolean): Word[] {
  const time = one(pick, times);
  const words: Word[] = [one(pick, KEYS), inMilliseconds ? milliseconds(time) : time];
  for (let options = pick(3); options > 0; options--)
    words.push(mixCase(pick, one(pick, ['NX', 'XX', 'GT', 'LT', 'BAD'])));
  return words;
}

function several<T>(pick: Pick, make: () => T): T[] {
  return Array.from({ length: 1 + pick(4) }, make);
}

const key = (pick: Pick): Word => one(pick, KEYS);
const oneKey = (pick: Pick): Word[] => [key(pick)];
const keys = (pick: Pick): Word[] => several(pick, () => key(pick));
const keyAndValue = (pick: Pick): Word[] => [key(pick), one(pick, VALUES)];
const twoKeys = (pick: Pick): Word[] => [key(pick), key(pick)];
const counterKey = (pick: Pick): Word => (pick(4) === 0 ? key(pick) : one(pick, ['counter', 'float', 'a']));

const MAKERS: Readonly<Record<string, (pick: Pick) => Word[]>> = {
  get: oneKey,
  set: setWords,
  del: keys,
  incr: (pick) => [counterKey(pick)],
  setnx: keyAndValue,
  setex: (pick) => [key(pick), one(pick, TTLS), one(pick, VALUES)],
  psetex: (pick) => [key(pick), milliseconds(one(pick, TTLS)), one(pick, VALUES)],
  getset: keyAndValue,
  getdel: oneKey,
  getex: (pick) => [
    key(pick),
    ...(pick(3) === 0 ? [] : expiryOption(pick)),
    ...(pick(6) === 0 ? expiryOption(pick) : []),
  ],
  mget: keys,
  mset: (pick) => [...several(pick, () => keyAndValue(pick)).flat(), ...(pick(8) === 0 ? ['odd'] : [])],
  msetnx: (pick) => [...several(pick, () => keyAndValue(pick)).flat(), ...(pick(8) === 0 ? ['odd'] : [])],
  append: keyAndValue,
  strlen: oneKey,
  getrange: (pick) => [key(pick), rangeOffset(pick), rangeOffset(pick)],
  substr: (pick) => [key(pick), rangeOffset(pick), rangeOffset(pick)],
  setrange: (pick) => [
    key(pick),
    pick(4) === 0 ? one(pick, INTEGERS.slice(0, 7)) : pick(80),
    one(pick, VALUES),
  ],
  decr: (pick) => [counterKey(pick)],
  incrby: (pick) => [counterKey(pick), one(pick, INTEGERS)],
  decrby: (pick) => [counterKey(pick), one(pick, INTEGERS)],
  incrbyfloat: (pick) => [counterKey(pick), one(pick, FLOATS)],
  unlink: keys,
  exists: keys,
  expire: (pick) => expireWords(pick, TTLS, false),
  pexpire: (pick) => expireWords(pick, TTLS, true),
  expireat: (pick) => expireWords(pick, SECONDS, false),
  pexpireat: (pick) => expireWords(pick, SECONDS, true),
  ttl: oneKey,
  pttl: oneKey,
  expiretime: oneKey,
  pexpiretime: oneKey,
  persist: oneKey,
  type: oneKey,
  scan: (pick) => scanWords(pick),
  keys: (pick) => [one(pick, PATTERNS)],
  randomkey: () => [],
  rename: twoKeys,
  renamenx: twoKeys,
  copy: (pick) => [
    ...twoKeys(pick),
    ...one(pick, [[], [], ['REPLACE'], ['replace', 'REPLACE'], ['FOO'], ['DB'], ['DB', 'x']]),
  ],
  touch: keys,
  dbsize: () => [],
  flushdb: (pick) => one(pick, [[], ['ASYNC'], ['sync'], ['WHAT'], ['ASYNC', 'SYNC']]),
  flushall: (pick) => one(pick, [[], ['ASYNC'], ['sync'], ['WHAT']]),
  object: (pick) =>
    one(pick, [
      ['REFCOUNT', 'no such key'],
      ['ENCODING'],
      ['FREQ', 'no such key'],
      ['nonsense', 'a'],
      ['nonsense'],
      ['HELP', 'a'],
    ]),
};

function rangeOffset(pick: Pick): Word {
  return pick(5) === 0 ? one(pick, INTEGERS) : pick(30) - 15;
}

/** Everything in one call, so that the order of keys, which is each store's own, does not matter. */
function scanWords(pick: Pick): Word[] {
  const words: Word[] = [one(pick, ['0', '0', '0', '', 'abc', ' 0', '1x'])];
  for (let options = pick(3); options > 0; options--)
    words.push(
      ...one<Word[]>(pick, [
        ['MATCH', one(pick, PATTERNS)],
        ['TYPE', 'string'],
        ['TYPE', 'hash'],
        ['COUNT', '0'],
        ['COUNT', 'x'],
        ['MATCH'],
        ['NO', '1'],
      ]),
    );
  return [...words, 'COUNT', '1000'];
}

/** Redis answers in its own order, and with its own choice. */
const UNORDERED = new Set(['keys', 'scan']);
/** Seconds that may pass between the two answers. */
const SLACK: Readonly<Record<string, number>> = {
  ttl: 30,
  pttl: 30_000,
  expiretime: 30,
  pexpiretime: 30_000,
};
/** Rare ones, lest nothing ever lives long. */
const FLUSHES = new Set(['flushdb', 'flushall']);

function sorted(reply: unknown): unknown {
  if (!Array.isArray(reply)) return reply;
  return reply.every((member) => typeof member === 'string' && member.startsWith('$'))
    ? [...reply].sort()
    : reply.map(sorted);
}

function expectSame(name: string, words: readonly Word[], ours: unknown, theirs: unknown): void {
  const what = `${name} ${words.map((word) => JSON.stringify(bytes(word).toString('latin1'))).join(' ')}`;
  const slack = SLACK[name];
  if (slack !== undefined && typeof ours === 'number' && typeof theirs === 'number' && theirs > 0) {
    expect(Math.abs(ours - theirs), what).toBeLessThanOrEqual(slack);
    return;
  }
  // Each may choose its own key; only whether there is one must agree.
  if (name === 'randomkey') expect(ours === null, what).toBe(theirs === null);
  else if (UNORDERED.has(name))
    expect({ what, reply: sorted(ours) }).toEqual({ what, reply: sorted(theirs) });
  else expect({ what, reply: ours }).toEqual({ what, reply: theirs });
}

const DATA_COMMANDS = ALL_COMMANDS.filter((definition) => definition.internal !== true);

async function compareRun(seed: number, steps: number): Promise<number> {
  const pick = generator(seed);
  const machine = new TestMachine();
  await redis.client.call('FLUSHALL');
  let compared = 0;
  for (let step = 0; step < steps; step++) {
    const definition = one(pick, DATA_COMMANDS);
    const { name } = definition;
    if (FLUSHES.has(name) && pick(6) !== 0) continue;
    const words = MAKERS[name]!(pick);
    // Now and then one word too many or too few.
    const mishap = pick(60);
    if (mishap === 0) words.pop();
    else if (mishap === 1) words.push(one(pick, ['odd', '', Buffer.from([0, 13, 10])]));
    // Redis counts keys that were born expired until someone asks for them.
    if (name === 'dbsize') await redis.client.call('EXISTS', ...KEYS);
    machine.nowMs = Date.now();
    const theirs = fromRedis(await redis.client.call(name, ...words));
    const ours = fromOurs(machine.run(name, ...words));
    expectSame(name, words, ours, theirs);
    compared++;
  }
  return compared;
}

describe('a real redis-server and the state machine', () => {
  test.each([1, 2, 3, 4, 5, 6])('answer alike whatever they are asked (seed %i)', async (seed) => {
    expect(await compareRun(seed, 1500)).toBeGreaterThan(1000);
  });

  test('every data command takes part in the comparison', () => {
    expect(Object.keys(MAKERS).sort()).toEqual(DATA_COMMANDS.map(({ name }) => name).sort());
  });

  test('describe their commands alike', async () => {
    const described = (definition: CommandDefinition): unknown => [
      `$${definition.name}`,
      definition.arity,
      [...definition.flags].map((flag) => `+${flag}`).sort(),
      definition.firstKey,
      definition.lastKey,
      definition.keyStep,
    ];
    for (const definition of DATA_COMMANDS) {
      // A container in Redis: its subcommands have keys and flags of their own.
      if (definition.name === 'object') continue;
      const info = fromRedis(await redis.client.call('COMMAND', 'INFO', definition.name)) as unknown[][];
      const [name, arity, flags, ...positions] = info[0]!.slice(0, 6);
      expect(described(definition)).toEqual([name, arity, [...(flags as string[])].sort(), ...positions]);
    }
  });

  test('add long chains of decimals alike', async () => {
    const pick = generator(99);
    const machine = new TestMachine();
    await redis.client.call('FLUSHALL');
    for (let step = 0; step < 1500; step++) {
      if (pick(25) === 0) {
        await redis.client.call('DEL', 'f');
        machine.run('DEL', 'f');
      }
      const digits = `${pick(2) === 0 ? '-' : ''}${pick(100_000)}.${pick(1_000_000_000)}${pick(1_000_000)}`;
      const text = pick(3) === 0 ? `${digits}e${pick(40) - 20}` : digits;
      const theirs = fromRedis(await redis.client.call('INCRBYFLOAT', 'f', text));
      expectSame('incrbyfloat', [text], fromOurs(machine.run('INCRBYFLOAT', 'f', text)), theirs);
    }
  });
});
