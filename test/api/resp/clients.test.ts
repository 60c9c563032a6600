/** Real clients against real doors: redis-cli and redis-benchmark (Debian: redis-tools), ioredis, node-redis. */
import { execFile } from 'node:child_process';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { describe, expect, it } from 'vitest';
import { textOf } from '../../support/resp-socket.js';
import { type Door, openCluster, openDoor } from './door.js';

function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { timeout: 50_000, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout + stderr);
        else if (error.code === 'ENOENT') {
          reject(new Error(`${program} is missing: install the Debian package redis-tools`));
        } else reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
      },
    );
    child.stdin?.end(input);
  });
}

function port(door: Door): number {
  return Number(door.address.split(':')[1]);
}

async function redirecting(doors: readonly Door[]): Promise<void> {
  for (const door of doors) {
    const client = await door.connect();
    expect(await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes')).toBe('OK');
  }
}

/** Each node leads a third; or one node leads two groups and another none, with and without redirects. */
const SHAPES = [
  { leaders: 'three leaders', skewed: false, redirects: false, masters: 3 },
  { leaders: 'three leaders, redirects', skewed: false, redirects: true, masters: 3 },
  { leaders: 'two leaders and a replica', skewed: true, redirects: false, masters: 2 },
  { leaders: 'two leaders and a replica, redirects', skewed: true, redirects: true, masters: 2 },
] as const;

async function openShape(shape: (typeof SHAPES)[number]): Promise<Door[]> {
  const doors = await openCluster();
  if (shape.skewed) for (const { node } of doors) node.leaders.set(3, 'n1');
  if (shape.redirects) await redirecting(doors);
  return doors;
}

describe('redis-cli', () => {
  it('runs a session of commands', async () => {
    const door = await openDoor();
    const session = [
      'SET greeting "hello world"',
      'GET greeting',
      'INCR n',
      'MULTI',
      'INCR n',
      'EXEC',
      'TYPE n',
      '',
    ];
    const output = await run('redis-cli', ['-p', String(port(door)), '--no-raw'], session.join('\n'));
    expect(output.trim().split('\n')).toEqual([
      'OK',
      '"hello world"',
      '(integer) 1',
      'OK',
      'QUEUED',
      '1) (integer) 2',
      'string',
    ]);
  });

  it('speaks RESP3', async () => {
    const door = await openDoor();
    const output = await run('redis-cli', [
      '-3',
      '-p',
      String(port(door)),
      '--no-raw',
      'CONFIG',
      'GET',
      'save',
    ]);
    expect(output.trim()).toBe('1# "save" => ""');
  });

  it('loads many keys through its pipe mode', async () => {
    const door = await openDoor();
    const lines = Array.from({ length: 20_000 }, (_, i) => `SET word:${i} value-${i}\r\n`);
    const output = await run('redis-cli', ['-p', String(port(door)), '--pipe'], lines.join(''));
    expect(output).toContain('errors: 0, replies: 20000');
    const client = await door.connect();
    expect(await client.command('DBSIZE')).toBe(20_000);
    expect(await client.command('GET', 'word:19999')).toBe('value-19999');
  });

  it('follows redirects in cluster mode, and finds the cluster whole', async () => {
    const doors = await openCluster();
    await redirecting(doors);
    const first = String(port(doors[0]!));
    for (const key of ['a', 'b', 'c']) {
      expect(await run('redis-cli', ['-c', '-p', first, 'SET', key, `value of ${key}`])).toContain('OK');
    }
    expect(await run('redis-cli', ['-c', '-p', first, 'GET', 'a'])).toContain('value of a');
    const check = await run('redis-cli', ['--cluster', 'check', `127.0.0.1:${first}`]);
    expect(check).toContain('[OK] All 16384 slots covered.');
    expect(check).toContain('[OK] All nodes agree about slots configuration.');
  });
});

describe('redis-benchmark', () => {
  it('runs plain, pipelined and in cluster mode', async () => {
    const doors = await openCluster();
    await redirecting(doors);
    const common = ['-q', '-n', '2000', '-c', '20', '-d', '64', '-r', '1000', '-t', 'set,get,incr,mset'];
    const single = await openDoor();
    const plain = await run('redis-benchmark', ['-p', String(port(single)), ...common]);
    expect(plain).toMatch(/SET: [\d.]+ requests per second/);
    expect(plain).toMatch(/MSET .*: [\d.]+ requests per second/);
    expect(await run('redis-benchmark', ['-p', String(port(single)), '-P', '16', ...common])).toMatch(
      /GET: [\d.]+/,
    );
    const clustered = await run('redis-benchmark', [
      '-p',
      String(port(doors[0]!)),
      '--cluster',
      '-q',
      '-n',
      '2000',
      '-c',
      '20',
      '-r',
      '1000',
      '-t',
      'set,get',
    ]);
    expect(clustered).toContain('Cluster has 3 master nodes');
    expect(clustered).toMatch(/GET: [\d.]+ requests per second/);
    expect(clustered).not.toMatch(/error|WARN/i);
    for (const door of doors) {
      const client = await door.connect();
      const stats = textOf(await client.command('INFO', 'commandstats'));
      expect(stats).toMatch(/cmdstat_set:calls=\d+,.*failed_calls=0/);
    }
  });
});

describe('ioredis', () => {
  it('works plain: strings, pipelines, transactions, binary values', async () => {
    const door = await openDoor();
    const redis = new Redis(port(door), '127.0.0.1');
    try {
      expect(await redis.set('a', '1')).toBe('OK');
      expect(await redis.incr('a')).toBe(2);
      expect(await redis.get('absent')).toBe(null);
      const bytes = Buffer.from([0, 1, 2, 13, 10, 255]);
      await redis.set('bytes', bytes);
      expect(await redis.getBuffer('bytes')).toEqual(bytes);
      expect(await redis.pipeline().set('b', 'x').get('b').incr('b').exec()).toEqual([
        [null, 'OK'],
        [null, 'x'],
        [expect.objectContaining({ message: 'ERR value is not an integer or out of range' })],
      ]);
      expect(await redis.multi().set('{t}a', '1').get('{t}a').exec()).toEqual([
        [null, 'OK'],
        [null, '1'],
      ]);
      expect(await redis.mget('a', 'b')).toEqual(['2', 'x']);
      const keys: string[] = [];
      for await (const page of redis.scanStream({ match: '*', count: 2 })) keys.push(...(page as string[]));
      expect(keys.sort()).toEqual(['a', 'b', 'bytes', '{t}a']);
    } finally {
      redis.disconnect();
    }
  });

  it.each(SHAPES)('works in cluster mode with $leaders', async (shape) => {
    const doors = await openShape(shape);
    const redis = new Cluster([{ host: '127.0.0.1', port: port(doors[0]!) }], { scaleReads: 'slave' });
    try {
      for (let i = 0; i < 50; i++) expect(await redis.set(`key:${i}`, String(i))).toBe('OK');
      for (let i = 0; i < 50; i++) expect(await redis.get(`key:${i}`)).toBe(String(i));
      expect(redis.nodes('master')).toHaveLength(shape.masters);
    } finally {
      redis.disconnect();
    }
  });
});

describe('node-redis', () => {
  it('works plain: strings, pipelines, transactions, WATCH', async () => {
    const door = await openDoor();
    const redis = createClient({ url: `redis://${door.address}` });
    await redis.connect();
    try {
      expect(await redis.set('a', '1')).toBe('OK');
      expect(await redis.get('a')).toBe('1');
      expect(await Promise.all([redis.incr('a'), redis.incr('a'), redis.get('a')])).toEqual([2, 3, '3']);
      expect(await redis.multi().set('b', 'x').get('b').exec()).toEqual(['OK', 'x']);
      expect(await redis.configGet('save')).toEqual({ save: '' });
      const keys: string[] = [];
      for await (const page of redis.scanIterator({ COUNT: 1 })) keys.push(...page);
      expect(keys.sort()).toEqual(['a', 'b']);
      await redis.watch('a');
      const other = redis.duplicate();
      await other.connect();
      await other.set('a', 'changed');
      await expect(redis.multi().set('a', 'mine').exec()).rejects.toThrow(/watch/i);
      other.destroy();
    } finally {
      redis.destroy();
    }
  });

  it.each(SHAPES)('works in cluster mode with $leaders', async (shape) => {
    const doors = await openShape(shape);
    const redis = createCluster({ rootNodes: [{ url: `redis://${doors[0]!.address}` }], useReplicas: true });
    await redis.connect();
    try {
      for (let i = 0; i < 50; i++) expect(await redis.set(`key:${i}`, String(i))).toBe('OK');
      for (let i = 0; i < 50; i++) expect(await redis.get(`key:${i}`)).toBe(String(i));
      expect(redis.masters).toHaveLength(shape.masters);
      expect(await redis.multi().set('{t}a', '1').get('{t}a').exec()).toEqual(['OK', '1']);
    } finally {
      redis.destroy();
    }
  });
});
