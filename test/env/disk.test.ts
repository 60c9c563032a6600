import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RealDisk } from '../../src/env/real/disk.js';
import { diskError } from '../../src/env/real/disk-errors.js';
import { until } from './until.js';

let directory: string;
const disk = new RealDisk();

beforeEach(() => {
  directory = mkdtempSync(`${tmpdir()}/quoin-disk-`);
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('The real disk', () => {
  it('reads back what was written, shorter at the end of the file', () => {
    const file = disk.open(`${directory}/file`, { create: true });
    file.writeAt(3, Buffer.from('hello'));
    expect(file.sizeBytes()).toBe(8);
    expect(file.readAt(0, 8)).toEqual(Buffer.from('\0\0\0hello'));
    expect(file.readAt(6, 100).toString()).toBe('lo');
    expect(file.readAt(100, 5).length).toBe(0);
    file.truncate(4);
    expect(file.readAt(0, 100)).toEqual(Buffer.from('\0\0\0h'));
    file.close();
  });

  it('syncs blocking and in the background, also when the file is closed meanwhile', async () => {
    const file = disk.open(`${directory}/file`, { create: true });
    file.writeAt(0, Buffer.from('x'));
    file.syncBlocking();
    let outcome: Error | undefined | 'pending' = 'pending';
    file.sync((error) => {
      outcome = error;
    });
    expect(outcome).toBe('pending');
    file.close();
    file.close();
    await until(() => outcome !== 'pending');
    expect(outcome).toBeUndefined();
    expect(() => file.readAt(0, 1)).toThrow(/closed file/);
  });

  it('replaces a file as a whole and leaves nothing beside it', () => {
    disk.replace(`${directory}/map`, Buffer.from('old'));
    disk.replace(`${directory}/map`, Buffer.from('new and longer'));
    expect(disk.read(`${directory}/map`).toString()).toBe('new and longer');
    expect(disk.list(directory)).toEqual(['map']);
  });

  it('makes parents, lists in order, renames and removes', () => {
    disk.makeDirectory(`${directory}/a/b/c`);
    disk.makeDirectory(`${directory}/a/b/c`);
    expect(disk.exists(`${directory}/a/b/c`)).toBe(true);
    for (const name of ['2', '10', '1']) disk.replace(`${directory}/a/${name}`, Buffer.from(name));
    expect(disk.list(`${directory}/a`)).toEqual(['1', '10', '2', 'b']);
    disk.rename(`${directory}/a/10`, `${directory}/a/3`);
    disk.remove(`${directory}/a/1`);
    disk.remove(`${directory}/a/1`);
    disk.syncDirectory(`${directory}/a`);
    expect(disk.list(`${directory}/a`)).toEqual(['2', '3', 'b']);
    disk.removeDirectory(`${directory}/a`);
    expect(disk.list(`${directory}/a`)).toEqual([]);
  });

  it('names path and cause when something fails', () => {
    const missing = `${directory}/missing/file`;
    expect(() => disk.read(missing)).toThrow(
      expect.objectContaining({ code: 'DISK_FAILED', message: expect.stringContaining(missing) }),
    );
    expect(() => disk.open(missing, { create: true })).toThrow(/ENOENT/);
    expect(() => disk.open(missing, { create: false })).toThrow(/ENOENT/);
    writeFileSync(`${directory}/plain`, '');
    expect(() => disk.makeDirectory(`${directory}/plain/below`)).toThrow(/not a directory/);
    expect(() => disk.list(`${directory}/plain`)).toThrow(expect.objectContaining({ code: 'DISK_FAILED' }));
  });

  it('tells a full disk from a failed one', () => {
    const full = diskError(Object.assign(new Error('write'), { code: 'ENOSPC' }), 'write', '/data/x');
    expect(full.code).toBe('DISK_FULL');
    expect(diskError(Object.assign(new Error('write'), { code: 'EDQUOT' }), 'write', '/x').code).toBe(
      'DISK_FULL',
    );
    expect(diskError(Object.assign(new Error('i/o'), { code: 'EIO' }), 'write', '/x').code).toBe(
      'DISK_FAILED',
    );
    expect(diskError(full, 'write', '/x')).toBe(full);
  });
});

describe('The lock of a data directory', () => {
  it('is held by one, and free after its release', () => {
    const lock = disk.lock(directory);
    expect(() => disk.lock(directory)).toThrow(
      expect.objectContaining({
        code: 'DIRECTORY_IN_USE',
        message: expect.stringContaining(String(process.pid)),
      }),
    );
    lock.release();
    lock.release();
    disk.lock(directory).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('names the live process that has it, and is taken over when that has died', async () => {
    const script = `
      import { RealDisk } from ${JSON.stringify(new URL('../../src/env/real/disk.ts', import.meta.url).href)};
      new RealDisk().lock(${JSON.stringify(directory)});
      console.log('locked');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    expect(() => disk.lock(directory)).toThrow(new RegExp(`in use by the process with id ${child.pid}`));
    child.kill('SIGKILL');
    await once(child, 'exit');
    disk.lock(directory).release();
    expect(existsSync(`${directory}/LOCK`)).toBe(false);
  });

  it('is stale when its holder has ended, also while nobody has taken note of that', async () => {
    // Becomes another program once it has a child: that one never asks how the child has ended.
    const parent = spawn('sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(printed.toString());
    try {
      writeFileSync(`${directory}/LOCK`, `${pid}\n`);
      expect(() => disk.lock(directory)).toThrow(`in use by the process with id ${pid}`);
      await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n');
      process.kill(pid, 'SIGKILL');
      await until(() => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '));
      disk.lock(directory).release();
      expect(existsSync(`${directory}/LOCK`)).toBe(false);
    } finally {
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    }
  });

  it('is stale when another process has got the id of its holder', () => {
    const lock = disk.lock(directory);
    const [pid, , token] = readFileSync(`${directory}/LOCK`, 'utf8').split('\n');
    writeFileSync(`${directory}/LOCK`, `${pid}\nanother-boot/123\n${token}\n`);
    const second = disk.lock(directory);
    // The first holder no longer has it and must not take it from the second.
    lock.release();
    expect(existsSync(`${directory}/LOCK`)).toBe(true);
    second.release();
  });

  it.each(['', 'garbage', '-1\n', '999999999999\n'])('is stale when it reads %j', (text) => {
    writeFileSync(`${directory}/LOCK`, text);
    disk.lock(directory).release();
    expect(readdirSync(directory)).toEqual([]);
  });
});
