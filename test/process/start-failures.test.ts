/** Starts that must be refused: with the right code, in one line, with nothing changed on disk; and those that must not. */
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { Fleet, portOf, QuoinProcess } from '../support/fleet.js';
import { connectRealClient } from '../support/real-clients.js';

const HEADER_BYTES = 40;
const VERSION_AT = 8;
const HEADER_CHECKSUM_AT = 36;

let fleet: Fleet;
const others: QuoinProcess[] = [];

beforeEach(async () => {
  fleet = await Fleet.prepare({ nodes: 1, sections: { log: { level: 'warn' } } });
});

afterEach(async () => {
  for (const process of others) process.signal('SIGKILL');
  await Promise.all(others.splice(0).map((process) => process.exited));
  await fleet.stop();
});

function run(...words: readonly string[]): QuoinProcess {
  const process = new QuoinProcess(words);
  others.push(process);
  return process;
}

/** The one line that a refused command leaves. */
async function refusal(process: QuoinProcess, exitCode = 1): Promise<string> {
  expect({ exit: await process.end(), stderr: process.stderr }).toMatchObject({
    exit: { code: exitCode, signal: null },
  });
  expect(process.stdout).toBe('');
  const lines = process.stderr.trimEnd().split('\n');
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

/** Starts a node with a configuration like the fleet's own, but for these sections. */
function startWith(sections: Readonly<Record<string, object>>): QuoinProcess {
  const path = join(fleet.directory, `other-${others.length}.yaml`);
  writeFileSync(path, stringify({ ...fleet.node('n1').configuration, ...sections }));
  return run('start', '--config', path);
}

/** All files below a directory with their bytes; the lock comes and goes. */
function contents(directory: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name);
    if (!name.startsWith('LOCK') && !name.includes('lock.mdb') && statSync(path).isFile())
      files[name] = readFileSync(path).toString('base64');
  }
  return files;
}

async function write(count: number): Promise<void> {
  const client = await connectRealClient('ioredis', portOf(fleet.node('n1').resp));
  for (let i = 0; i < count; i++) expect(await client.call('SET', `key${i}`, `value${i}`)).toBe('OK');
  client.close();
}

async function expectKeys(count: number): Promise<void> {
  const client = await connectRealClient('node-redis', portOf(fleet.node('n1').resp));
  for (let i = 0; i < count; i++) expect(await client.call('GET', `key${i}`)).toBe(`value${i}`);
  client.close();
}

/** A life of the node that leaves `count` keys behind; killed, so that its log is as a crash leaves it. */
async function liveAndDie(count: number): Promise<void> {
  fleet.startNode('n1');
  await fleet.untilReady();
  await write(count);
  await fleet.kill('n1');
}

function lastSegment(): string {
  const directory = join(fleet.node('n1').dataDirectory, 'log');
  const names = readdirSync(directory).filter((name) => name.endsWith('.log'));
  return join(directory, names.sort().at(-1) ?? '');
}

/** Where the log's last batch ends: behind it are zeros. */
function tailOf(path: string): number {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

describe('addresses', () => {
  test.each(['resp', 'http', 'grpc'] as const)('a taken %s port is refused by its address', async (door) => {
    const address = fleet.node('n1')[door];
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(portOf(address), '127.0.0.1', resolve));
    try {
      const line = await refusal(fleet.startNode('n1'));
      expect(line).toMatch(/^quoin: ADDRESS_IN_USE: /);
      expect(line).toContain(address);
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
    // Nothing was formed: with another configuration this directory can still become anything.
    expect(contents(fleet.node('n1').dataDirectory)).toEqual({});
    fleet.startNode('n1');
    await fleet.untilReady();
  });
});

describe('data directories', () => {
  test('one that cannot be made is refused with its path', async () => {
    const file = join(fleet.directory, 'a file');
    writeFileSync(file, 'not a directory');
    const line = await refusal(startWith({ node: { id: 'n1', dataDir: join(file, 'data') } }));
    expect(line).toMatch(/^quoin: DISK_FAILED: /);
    expect(line).toContain(file);
    expect(readFileSync(file, 'utf8')).toBe('not a directory');
  });

  test('one on a file system that takes no files is refused with its path', async () => {
    const line = await refusal(startWith({ node: { id: 'n1', dataDir: '/proc/quoin' } }));
    expect(line).toMatch(/^quoin: DISK_FAILED: .*\/proc\/quoin/);
  });

  test("one with somebody else's files is refused and left alone", async () => {
    const { dataDirectory } = fleet.node('n1');
    mkdirSync(dataDirectory);
    writeFileSync(join(dataDirectory, 'thesis.txt'), 'years of work');
    expect(await refusal(fleet.startNode('n1'))).toMatch(/^quoin: FOREIGN_DIRECTORY: .*thesis\.txt/);
    expect(contents(dataDirectory)).toEqual({
      'thesis.txt': Buffer.from('years of work').toString('base64'),
    });
  });

  test('one of another node, or of another cluster, is refused by name and left alone', async () => {
    await liveAndDie(3);
    const { dataDirectory } = fleet.node('n1');
    const before = contents(dataDirectory);
    const otherNode = await refusal(startWith({ node: { id: 'n7', dataDir: dataDirectory } }));
    expect(otherNode).toMatch(/^quoin: FOREIGN_DIRECTORY: .*'n1'.*'n7'/);
    const otherCluster = await refusal(startWith({ cluster: { name: 'elsewhere' } }));
    expect(otherCluster).toMatch(/^quoin: WRONG_CLUSTER: .*'quoin'.*'elsewhere'/);
    expect(contents(dataDirectory)).toEqual(before);
  });

  test('one that a live node uses is refused, and that node goes on', async () => {
    fleet.startNode('n1');
    await fleet.untilReady();
    const line = await refusal(
      startWith({ listen: { resp: '127.0.0.1:0', http: '127.0.0.1:0', grpc: '127.0.0.1:0' } }),
    );
    expect(line).toMatch(/^quoin: DIRECTORY_IN_USE: /);
    expect(line).toContain(String(fleet.process('n1').pid));
    await write(3);
    await expectKeys(3);
  });
});

describe('stores', () => {
  test('one whose data file is overwritten is refused before the node calls itself ready', async () => {
    await liveAndDie(3);
    const { dataDirectory } = fleet.node('n1');
    const path = join(dataDirectory, 'store', 'data.mdb');
    const bytes = readFileSync(path);
    writeFileSync(path, 'overwritten');
    expect(await refusal(fleet.startNode('n1'))).toMatch(/^quoin: CHECKPOINT_DAMAGED: .*data\.mdb/);
    writeFileSync(path, Buffer.alloc(bytes.length, 0x5a));
    expect(await refusal(fleet.startNode('n1'))).toMatch(/^quoin: FOREIGN_DIRECTORY: .*data\.mdb/);
    writeFileSync(path, bytes);
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(3);
  });
});

describe('logs', () => {
  test('one of a newer version is refused and left alone', async () => {
    await liveAndDie(3);
    const path = lastSegment();
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(bytes.readUInt32LE(VERSION_AT) + 1, VERSION_AT);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_CHECKSUM_AT)), HEADER_CHECKSUM_AT);
    writeFileSync(path, bytes);
    const before = contents(fleet.node('n1').dataDirectory);
    const line = await refusal(fleet.startNode('n1'));
    expect(line).toMatch(/^quoin: LOG_TOO_NEW: /);
    expect(line).toContain(path);
    expect(contents(fleet.node('n1').dataDirectory)).toEqual(before);
  });

  test('one that is damaged in the middle is refused with file and offset, and left alone', async () => {
    await liveAndDie(50);
    const path = lastSegment();
    const bytes = readFileSync(path);
    const at = HEADER_BYTES + Math.floor((tailOf(path) - HEADER_BYTES) / 2);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    writeFileSync(path, bytes);
    const before = contents(fleet.node('n1').dataDirectory);
    const line = await refusal(fleet.startNode('n1'));
    expect(line).toMatch(/^quoin: LOG_DAMAGED: .*offset \d+/);
    expect(line).toContain(path);
    const offset = Number(/offset (\d+)/.exec(line)?.[1]);
    expect(offset).toBeLessThanOrEqual(at);
    expect(offset).toBeGreaterThan(HEADER_BYTES);
    expect(contents(fleet.node('n1').dataDirectory)).toEqual(before);
    // With the byte put right, everything is there.
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    writeFileSync(path, bytes);
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(50);
  });

  test('one whose files are gone is refused, and the advice brings the node back', async () => {
    await liveAndDie(20);
    const { dataDirectory } = fleet.node('n1');
    const directory = join(dataDirectory, 'log');
    const aside = join(fleet.directory, 'aside');
    renameSync(directory, aside);
    mkdirSync(directory);
    const before = contents(dataDirectory);
    const line = await refusal(fleet.startNode('n1'));
    expect(line).toMatch(
      /^quoin: LOG_DAMAGED: .*files of the log are missing.* Put the missing files back; /,
    );
    expect(line).toContain(directory);
    expect(contents(dataDirectory)).toEqual(before);
    rmSync(directory, { recursive: true });
    renameSync(aside, directory);
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(20);
  });

  test('one of a version that kept no record of its reach is taken, and watched from then on', async () => {
    await liveAndDie(3);
    const { dataDirectory } = fleet.node('n1');
    rmSync(join(dataDirectory, 'log.json'));
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(3);
    await fleet.kill('n1');
    rmSync(lastSegment());
    expect(await refusal(fleet.startNode('n1'))).toMatch(/^quoin: LOG_DAMAGED: /);
  });

  test('one with a torn tail is taken up where it was whole', async () => {
    await liveAndDie(20);
    const path = lastSegment();
    // Half of a batch that was being written when the power failed: begun like any, never ended.
    const tail = tailOf(path);
    truncateSync(path, tail);
    const begun = Buffer.concat([Buffer.from('QnBt', 'latin1'), Buffer.alloc(700, 0x5a)]);
    appendFileSync(path, begun);
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(20);
    await write(30);
    await fleet.kill('n1');
    fleet.startNode('n1');
    await fleet.untilReady();
    await expectKeys(30);
  });
});

describe('configurations and usage', () => {
  test('an unknown key is refused by name and line', async () => {
    const path = join(fleet.directory, 'typo.yaml');
    writeFileSync(path, 'node:\n  id: n1\nstorage:\n  chekpointInterval: 10s\n');
    const line = await refusal(run('start', '--config', path));
    expect(line).toMatch(/^quoin: CONFIG_INVALID: .*chekpointInterval/);
    expect(line).toMatch(/typo\.yaml:4\b|line 4\b/);
    expect(line).toContain('checkpointInterval');
  });

  test('a file that is not there is refused by its path', async () => {
    const path = join(fleet.directory, 'nowhere.yaml');
    const line = await refusal(run('start', '--config', path));
    expect(line).toMatch(/^quoin: CONFIG_INVALID: /);
    expect(line).toContain(path);
  });

  test('wrong usage ends with 2', async () => {
    expect(await refusal(run('start', '--confg', 'x.yaml'), 2)).toMatch(/^quoin: USAGE: .*--confg/);
  });
});
