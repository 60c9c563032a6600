/**
 * A disk that fills up: a file system of a few megabytes where this process may mount one, else a limit on the size of each
 * file. The second stands in for the first where there are no such rights; the node then hears another error, and all else
 * must be the same.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface SmallDisk {
  readonly directory: string;
  /** Runs a command under the limit; empty where the file system itself is small. */
  readonly wrapper: readonly string[];
  /** The code of the error that the full disk gives. */
  readonly code: 'DISK_FULL' | 'DISK_FAILED';
  /** Makes room. A process under the limit must be started again without it. */
  grow(): Promise<void>;
  remove(): Promise<void>;
}

export async function makeSmallDisk(sizeMegabytes: number): Promise<SmallDisk> {
  const directory = mkdtempSync(join(tmpdir(), 'quoin-small-'));
  const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    await execute('mount', ['-t', 'tmpfs', '-o', `size=${sizeMegabytes}m`, 'tmpfs', directory]);
  } catch {
    return {
      directory,
      wrapper: ['prlimit', `--fsize=${sizeMegabytes * 1024 * 1024}`],
      code: 'DISK_FAILED',
      grow: async () => {},
      remove: async () => removeDirectory(),
    };
  }
  return {
    directory,
    wrapper: [],
    code: 'DISK_FULL',
    grow: async () => {
      await execute('mount', ['-o', `remount,size=${sizeMegabytes * 16}m`, directory]);
    },
    remove: async () => {
      await execute('umount', [directory]);
      removeDirectory();
    },
  };
}
