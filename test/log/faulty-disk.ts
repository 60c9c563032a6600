/**
 * A disk in memory that crashes as disks do. What has been synced stays; of what has not, any subset of sectors may
 * have reached the platter; files created or removed since the directory's last sync may be there or not.
 *
 * It also watches its user: a write to a file while a sync of it is under way is an error, because the log promises not
 * to (only the last batch may be torn).
 */
import { QuoinError } from '../../src/base/errors.js';
import type { DirectoryLock, Disk, DiskFile } from '../../src/env/env.js';

const SECTOR_BYTES = 512;

/** Thrown by every operation from the planned crash on. */
export class Crash extends Error {}

class FileData {
  content: Buffer = Buffer.alloc(0);
  durable: Buffer = Buffer.alloc(0);
  readonly dirty = new Set<number>();

  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    if (end > this.content.length)
      this.content = Buffer.concat([this.content, Buffer.alloc(end - this.content.length)]);
    this.content.set(bytes, position);
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++)
      this.dirty.add(sector);
  }

  sync(): void {
    this.durable = Buffer.from(this.content);
    this.dirty.clear();
  }

  crash(chance: () => number): void {
    const sizeReached = chance() < 0.5;
    const size = sizeReached ? this.content.length : this.durable.length;
    const after = Buffer.alloc(size);
    this.durable.copy(after);
    // All, none or some of the unsynced sectors: each happens often enough to be seen.
    const mode = chance();
    for (const sector of this.dirty) {
      if (mode < 0.2 || (mode > 0.4 && chance() < 0.5)) continue;
      const start = sector * SECTOR_BYTES;
      this.content.copy(after, start, start, Math.min(start + SECTOR_BYTES, this.content.length, size));
    }
    this.content = after;
    this.sync();
  }
}

export class FaultyDisk implements Disk {
  #files = new Map<string, FileData>();
  #durableFiles = new Map<string, FileData>();
  #handles = new Set<FaultyFile>();
  #pendingSyncs: (() => void)[] = [];
  #operationsLeft = Number.POSITIVE_INFINITY;
  /** The next syncs fail. */
  failSyncs = false;
  /** Writes that would make the disk hold more fail. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Told of every write before it happens. */
  onWrite: (path: string, position: number, bytes: Uint8Array) => void = () => {};
  syncs = 0;
  writes = 0;

  /** Everything throws `Crash` after `operations` more changes. */
  crashAfter(operations: number): void {
    this.#operationsLeft = operations;
  }

  /** The power fails and comes back. */
  crash(chance: () => number): void {
    const names = new Set([...this.#files.keys(), ...this.#durableFiles.keys()]);
    const after = new Map<string, FileData>();
    for (const name of [...names].sort()) {
      const now = this.#files.get(name);
      const before = this.#durableFiles.get(name);
      const file = now === before || chance() < 0.5 ? now : before;
      if (file !== undefined) after.set(name, file);
    }
    for (const file of after.values()) file.crash(chance);
    this.#restart(after);
  }

  /** The process dies; the system, and so all that was written, lives on. */
  kill(): void {
    this.#restart(this.#files);
  }

  #restart(files: Map<string, FileData>): void {
    this.#files = new Map(files);
    this.#durableFiles = new Map(files);
    this.#handles = new Set();
    this.#pendingSyncs = [];
    this.#operationsLeft = Number.POSITIVE_INFINITY;
    this.failSyncs = false;
    this.capacityBytes = Number.POSITIVE_INFINITY;
  }

  get pendingSyncs(): number {
    return this.#pendingSyncs.length;
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  /** Ends the oldest background sync. */
  completeSync(): void {
    this.#pendingSyncs.shift()?.();
  }

  /** The bytes as they would be read now. */
  bytes(path: string): Buffer {
    const file = this.#files.get(path);
    if (file === undefined) throw new QuoinError('DISK_FAILED', `${path}: no such file`);
    return file.content;
  }

  /** Changes a file behind everyone's back, durably. */
  tamper(path: string, change: (bytes: Buffer) => Buffer | undefined): void {
    const file = this.#files.get(path)!;
    const copy = Buffer.from(file.content);
    file.content = change(copy) ?? copy;
    file.sync();
  }

  /** All files and their contents, for comparing. */
  snapshot(): Map<string, Buffer> {
    return new Map([...this.#files].map(([name, file]) => [name, Buffer.from(file.content)]));
  }

  load(snapshot: ReadonlyMap<string, Buffer>): void {
    this.#files = new Map();
    for (const [name, bytes] of snapshot) {
      const file = new FileData();
      file.write(0, bytes);
      file.sync();
      this.#files.set(name, file);
    }
    this.#restart(this.#files);
  }

  /** Counts one change; throws when the planned crash has come. */
  step(): void {
    if (this.#operationsLeft <= 0) throw new Crash('the power has failed');
    this.#operationsLeft--;
  }

  usedBytes(): number {
    let used = 0;
    for (const file of this.#files.values()) used += file.content.length;
    return used;
  }

  schedule(sync: () => void): void {
    this.#pendingSyncs.push(sync);
  }

  forget(handle: FaultyFile): void {
    this.#handles.delete(handle);
  }

  makeDirectory(): void {}

  list(path: string): string[] {
    const prefix = `${path}/`;
    return [...this.#files.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .sort();
  }

  exists(path: string): boolean {
    return this.#files.has(path);
  }

  open(path: string, options: { create: boolean }): DiskFile {
    let file = this.#files.get(path);
    if (file === undefined) {
      if (!options.create) throw new QuoinError('DISK_FAILED', `${path}: no such file`);
      this.step();
      file = new FileData();
      this.#files.set(path, file);
    }
    const handle = new FaultyFile(this, path, file);
    this.#handles.add(handle);
    return handle;
  }

  read(path: string): Buffer {
    return Buffer.from(this.bytes(path));
  }

  replace(path: string, bytes: Uint8Array): void {
    this.step();
    const file = new FileData();
    file.write(0, bytes);
    file.sync();
    this.#files.set(path, file);
    this.#durableFiles.set(path, file);
  }

  remove(path: string): void {
    this.step();
    this.#files.delete(path);
  }

  removeDirectory(path: string): void {
    for (const name of this.list(path)) this.remove(`${path}/${name}`);
  }

  rename(from: string, to: string): void {
    this.step();
    const file = this.#files.get(from)!;
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  syncDirectory(): void {
    this.step();
    this.#durableFiles = new Map(this.#files);
  }

  lock(): DirectoryLock {
    return { release: () => {} };
  }
}

class FaultyFile implements DiskFile {
  readonly path: string;
  readonly #disk: FaultyDisk;
  readonly #data: FileData;
  #syncing = 0;
  #closed = false;

  constructor(disk: FaultyDisk, path: string, data: FileData) {
    this.#disk = disk;
    this.path = path;
    this.#data = data;
  }

  #check(): void {
    if (this.#closed) throw new Error(`${this.path} is closed`);
  }

  sizeBytes(): number {
    this.#check();
    return this.#data.content.length;
  }

  readAt(position: number, lengthBytes: number): Buffer {
    this.#check();
    return Buffer.from(this.#data.content.subarray(position, position + lengthBytes));
  }

  writeAt(position: number, bytes: Uint8Array): void {
    this.#check();
    if (this.#syncing > 0) throw new Error(`${this.path} is written to while a sync is under way`);
    this.#disk.step();
    this.#disk.writes++;
    const grows = Math.max(0, position + bytes.length - this.#data.content.length);
    if (this.#disk.usedBytes() + grows > this.#disk.capacityBytes)
      throw new QuoinError('DISK_FULL', `${this.path}: no space left`);
    this.#disk.onWrite(this.path, position, bytes);
    this.#data.write(position, bytes);
  }

  syncBlocking(): void {
    this.#check();
    this.#disk.step();
    this.#disk.syncs++;
    if (this.#disk.failSyncs) throw new QuoinError('DISK_FAILED', `${this.path}: input/output error`);
    this.#data.sync();
  }

  sync(callback: (error: Error | undefined) => void): void {
    this.#check();
    this.#disk.step();
    this.#syncing++;
    this.#disk.schedule(() => {
      this.#syncing--;
      this.#disk.syncs++;
      if (this.#disk.failSyncs) {
        callback(new QuoinError('DISK_FAILED', `${this.path}: input/output error`));
        return;
      }
      this.#data.sync();
      callback(undefined);
    });
  }

  truncate(sizeBytes: number): void {
    this.#check();
    this.#disk.step();
    this.#data.content = Buffer.from(this.#data.content.subarray(0, sizeBytes));
    if (sizeBytes < this.#data.durable.length) this.#data.durable = this.#data.durable.subarray(0, sizeBytes);
  }

  close(): void {
    this.#closed = true;
    this.#disk.forget(this);
  }
}
