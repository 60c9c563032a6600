/**
 * The machine's disk, over `node:fs`.
 *
 * Invariants: a write is whole or throws; what `replace` wrote is there, whole, after a crash; new directories are
 * durable when `makeDirectory` returns. A file closed while a background sync runs is closed when that has ended, so
 * that a reused descriptor is never synced in its place.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  constants as fileConstants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { invariant, QuoinError } from '../../base/errors.js';
import type { DirectoryLock, Disk, DiskFile } from '../env.js';
import { lockDirectory } from './directory-lock.js';
import { diskError, systemCode } from './disk-errors.js';

class RealFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  #syncsUnderWay = 0;
  #closed = false;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  sizeBytes(): number {
    this.#checkOpen();
    try {
      return fstatSync(this.#descriptor).size;
    } catch (error) {
      throw diskError(error, 'read', this.path);
    }
  }

  readAt(position: number, lengthBytes: number): Buffer {
    this.#checkOpen();
    const buffer = Buffer.allocUnsafe(lengthBytes);
    let done = 0;
    try {
      while (done < lengthBytes) {
        const count = readSync(this.#descriptor, buffer, done, lengthBytes - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw diskError(error, 'read', this.path);
    }
    return done === lengthBytes ? buffer : buffer.subarray(0, done);
  }

  writeAt(position: number, bytes: Uint8Array): void {
    this.#checkOpen();
    let done = 0;
    try {
      while (done < bytes.length)
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
    } catch (error) {
      throw diskError(error, 'write', this.path);
    }
  }

  syncBlocking(): void {
    this.#checkOpen();
    try {
      fdatasyncSync(this.#descriptor);
    } catch (error) {
      throw diskError(error, 'sync', this.path);
    }
  }

  sync(callback: (error: Error | undefined) => void): void {
    this.#checkOpen();
    this.#syncsUnderWay++;
    fdatasync(this.#descriptor, (error) => {
      this.#syncsUnderWay--;
      if (this.#closed && this.#syncsUnderWay === 0) closeSync(this.#descriptor);
      callback(error === null ? undefined : diskError(error, 'sync', this.path));
    });
  }

  truncate(sizeBytes: number): void {
    this.#checkOpen();
    try {
      ftruncateSync(this.#descriptor, sizeBytes);
    } catch (error) {
      throw diskError(error, 'truncate', this.path);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncsUnderWay === 0) closeSync(this.#descriptor);
  }

  #checkOpen(): void {
    invariant(!this.#closed, `a closed file is not used: ${this.path}`);
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw diskError(error, 'look at', path);
  }
}

export class RealDisk implements Disk {
  #replacements = 0;

  makeDirectory(path: string): void {
    const missing: string[] = [];
    for (let wanted = resolve(path); !existsSync(wanted); wanted = dirname(wanted)) missing.push(wanted);
    // Not the system's own recursive way: where a parent takes no directories (`/proc`) that one tries for ever.
    for (const one of missing.reverse()) {
      try {
        mkdirSync(one);
      } catch (error) {
        // Another process may have made it meanwhile.
        if (systemCode(error) !== 'EEXIST' || !isDirectory(one))
          throw diskError(error, 'create directory', path);
      }
      // A new directory is an entry of its parent: durable once the parent has been synced.
      this.syncDirectory(dirname(one));
    }
    if (missing.length === 0 && !isDirectory(path))
      throw new QuoinError(
        'DISK_FAILED',
        `cannot create directory ${path}: it exists already and is something else`,
      );
  }

  list(path: string): string[] {
    try {
      return readdirSync(path).sort();
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw diskError(error, 'list', path);
    }
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  open(path: string, options: { create: boolean }): DiskFile {
    const flags = fileConstants.O_RDWR | (options.create ? fileConstants.O_CREAT : 0);
    try {
      return new RealFile(path, openSync(path, flags, 0o640));
    } catch (error) {
      throw diskError(error, 'open', path);
    }
  }

  read(path: string): Buffer {
    try {
      return readFileSync(path);
    } catch (error) {
      throw diskError(error, 'read', path);
    }
  }

  replace(path: string, bytes: Uint8Array): void {
    const temporary = `${path}.${process.pid}.${this.#replacements++}.tmp`;
    try {
      const descriptor = openSync(temporary, 'w', 0o640);
      try {
        let done = 0;
        while (done < bytes.length) done += writeSync(descriptor, bytes, done, bytes.length - done, done);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw diskError(error, 'replace', path);
    }
    this.syncDirectory(dirname(path));
  }

  /** Removes a file; one that is not there is no error, so that an interrupted removal can be repeated. */
  remove(path: string): void {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw diskError(error, 'remove', path);
    }
  }

  /** Removes a directory and all that is in it. */
  removeDirectory(path: string): void {
    try {
      rmSync(path, { force: true, recursive: true });
    } catch (error) {
      throw diskError(error, 'remove', path);
    }
  }

  rename(from: string, to: string): void {
    try {
      renameSync(from, to);
    } catch (error) {
      throw diskError(error, 'rename', from);
    }
  }

  syncDirectory(path: string): void {
    try {
      const descriptor = openSync(path, 'r');
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      throw diskError(error, 'sync directory', path);
    }
  }

  lock(path: string): DirectoryLock {
    return lockDirectory(path);
  }
}
