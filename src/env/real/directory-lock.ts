/**
 * Exclusive use of a data directory: a file `LOCK` that names the process which has it.
 *
 * The file is written aside and then linked into place, so that it appears whole or not at all and of two processes one
 * wins. A lock is stale when its process is gone, or when the process with that id is another one (ids are reused, in
 * containers even at once): the system's boot id and the process's start time tell. A process that has ended and waits for
 * its parent to take note has gone too: in containers that can take long. Where `/proc` is missing only the id counts. A lock does not reach beyond one machine: a directory shared over a network has no such guard.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { QuoinError } from '../../base/errors.js';
import type { DirectoryLock } from '../env.js';
import { diskError, systemCode } from './disk-errors.js';

const LOCK_FILE = 'LOCK';
const ATTEMPTS = 16;

/** Places of fields of `/proc/PID/stat` behind the command's name: state (field 3) and start time (field 22). */
const STATE = 0;
const START = 19;

function statOf(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name stands in parentheses and may hold blanks itself.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Boot and start time of a process; '' where the system does not tell. */
function startOf(pid: number): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${statOf(pid)[START] ?? ''}`;
  } catch {
    return '';
  }
}

/** Has it ended, and only its parent has not taken note? */
function hasEnded(pid: number): boolean {
  try {
    // Its first thread ends first, it may be; others may still be writing then.
    return statOf(pid)[STATE] === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1;
  } catch {
    return false;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** The live process that a lock file's text names, or undefined when the lock is stale. */
function liveHolder(text: string): number | undefined {
  const [first = '', start = ''] = text.split('\n');
  const pid = Number(first);
  if (!Number.isSafeInteger(pid) || pid <= 0 || !exists(pid) || hasEnded(pid)) return undefined;
  const actual = startOf(pid);
  return start !== '' && actual !== '' && start !== actual ? undefined : pid;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw diskError(error, 'read', path);
  }
}

/** True when the link was made, false when the name is taken. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw diskError(error, 'lock', to);
  }
}

/** Moves a stale lock out of the way. Another process may do the same: what was moved is looked at again. */
function removeStale(path: string, text: string, aside: string): void {
  try {
    renameSync(path, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw diskError(error, 'lock', path);
  }
  if (readIfThere(aside) !== text) tryLink(aside, path); // a fresh lock was caught: put it back
  rmSync(aside, { force: true });
}

/** Takes `directory` for this process. */
export function lockDirectory(directory: string): DirectoryLock {
  const path = `${directory}/${LOCK_FILE}`;
  const own = `${path}.${randomBytes(8).toString('hex')}`;
  const text = `${process.pid}\n${startOf(process.pid)}\n${own}\n`;
  try {
    writeFileSync(own, text, { flag: 'wx' });
  } catch (error) {
    throw diskError(error, 'lock', directory);
  }
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (tryLink(own, path)) {
        return {
          release: () => {
            if (readIfThere(path) === text) rmSync(path, { force: true });
          },
        };
      }
      const found = readIfThere(path);
      if (found === undefined) continue;
      const holder = liveHolder(found);
      if (holder !== undefined)
        throw new QuoinError('DIRECTORY_IN_USE', `${directory} is in use by the process with id ${holder}`);
      removeStale(path, found, `${own}.stale`);
    }
    throw new QuoinError(
      'DIRECTORY_IN_USE',
      `${directory} is being taken by other processes again and again`,
    );
  } finally {
    rmSync(own, { force: true });
  }
}

/**
 * Frees the lock that a thread of this process held when it died. For whoever started that thread and has seen its end;
 * the lock of another process stays.
 */
export function freeLockOfDeadThread(directory: string): void {
  const path = `${directory}/${LOCK_FILE}`;
  const text = readIfThere(path);
  if (text?.startsWith(`${process.pid}\n${startOf(process.pid)}\n`) === true) rmSync(path, { force: true });
}
