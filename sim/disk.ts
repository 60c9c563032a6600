/**
 * A simulated disk: files with an operating system's cache (see `inode.ts`) and a directory tree whose changes are
 * durable only after `syncDirectory`. At a crash each directory keeps some first part of its unsynced changes, in
 * order, as a journalling file system does.
 *
 * The machine (`SimulatedDisk`) outlives the process; a process reaches it through a `DiskView` that dies with it.
 *
 * Departure from a real disk: of several unsynced writes to one sector only the last can survive, not one between.
 */
import { QuoinError } from '../src/base/errors.js';
import type { Disk, DiskFile } from '../src/env/env.js';
import { type CrashMode, Inode } from './inode.js';
import type { SeededRandom } from './random.js';
import type { Scheduler, SimulatedProcess } from './scheduler.js';

/** How often this disk misbehaves, and how slow it is. */
export interface DiskFaults {
  readonly syncFailureRate: number;
  readonly syncMeanMs: number;
  /** Probability that a sync takes twenty times as long. */
  readonly slowSyncRate: number;
}

/** A change of one directory that is not durable yet; `undefined` is a removal. */
interface NameChange {
  readonly names: ReadonlyMap<string, Inode | undefined>;
}

export interface DiskCounters {
  syncs: number;
  syncFailures: number;
  crashes: number;
  tornCrashes: number;
  bitFlips: number;
}

const SLOW_SYNC_FACTOR = 20;

function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut <= 0 ? '/' : path.slice(0, cut);
}

export class SimulatedDisk {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly counters: DiskCounters = { syncs: 0, syncFailures: 0, crashes: 0, tornCrashes: 0, bitFlips: 0 };
  faults: DiskFaults;
  #files = new Map<string, Inode>();
  #durableFiles = new Map<string, Inode>();
  readonly #directories = new Set<string>(['/']);
  readonly #changes = new Map<string, NameChange[]>();
  #stalledUntilMs = 0;
  readonly #locks = new Map<string, SimulatedProcess>();

  constructor(scheduler: Scheduler, random: SeededRandom, faults: DiskFaults) {
    this.scheduler = scheduler;
    this.random = random;
    this.faults = faults;
  }

  /** The disk as one process sees it. */
  view(process: SimulatedProcess): DiskView {
    return new DiskView(this, process);
  }

  /** Power is lost: unsynced content and names are kept, lost or torn. */
  crash(mode: CrashMode): void {
    this.counters.crashes++;
    if (mode === 'tear') this.counters.tornCrashes++;
    for (const changes of this.#changes.values()) {
      const kept =
        mode === 'keep' ? changes.length : mode === 'lose' ? 0 : this.random.integer(changes.length + 1);
      for (const change of changes.slice(0, kept)) applyChange(this.#durableFiles, change);
    }
    this.#changes.clear();
    const seen = new Set<Inode>();
    for (const inode of this.#durableFiles.values()) {
      if (seen.has(inode)) continue;
      seen.add(inode);
      inode.crash(mode, this.random);
    }
    this.#files = new Map(this.#durableFiles);
  }

  /** Everything is lost: the disk has been replaced by an empty one. */
  wipe(): void {
    this.#files.clear();
    this.#durableFiles.clear();
    this.#changes.clear();
    this.#directories.clear();
    this.#directories.add('/');
  }

  /** Flips one old durable bit in a file whose path matches; returns how to undo it. */
  flipBit(
    matches: (path: string) => boolean,
  ): { readonly path: string; readonly undo: () => void } | undefined {
    const paths = [...this.#durableFiles.keys()].filter(matches).sort();
    if (paths.length === 0) return undefined;
    const path = this.random.pick(paths);
    const inode = this.#durableFiles.get(path)!;
    const at = inode.flipBit(this.random);
    if (at === undefined) return undefined;
    this.counters.bitFlips++;
    return { path, undo: () => inode.flip(at) };
  }

  /** No sync ends before this time: the disk is busy, or its controller resets. */
  stallUntil(timeMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, timeMs);
  }

  syncDelayMs(): number {
    const meanMs = this.faults.syncMeanMs;
    const delayMs = meanMs * 0.3 + this.random.exponential(meanMs * 0.7);
    const slowMs = this.random.chance(this.faults.slowSyncRate) ? delayMs * SLOW_SYNC_FACTOR : delayMs;
    return slowMs + Math.max(0, this.#stalledUntilMs - this.scheduler.nowMs);
  }

  makeDirectory(path: string): void {
    let at = path;
    while (at !== '/' && !this.#directories.has(at)) {
      this.#directories.add(at);
      at = parentOf(at);
    }
  }

  hasDirectory(path: string): boolean {
    return this.#directories.has(path);
  }

  list(path: string): string[] {
    const prefix = path === '/' ? '/' : `${path}/`;
    const names = new Set<string>();
    for (const collection of [this.#files.keys(), this.#directories]) {
      for (const candidate of collection) {
        if (!candidate.startsWith(prefix) || candidate.length === prefix.length) continue;
        const rest = candidate.slice(prefix.length);
        if (!rest.includes('/')) names.add(rest);
      }
    }
    return [...names].sort();
  }

  lookup(path: string): Inode | undefined {
    return this.#files.get(path);
  }

  /** Changes names at once in the cache; durable after `syncDirectory`. Moves between directories count for both. */
  change(entries: ReadonlyMap<string, Inode | undefined>): void {
    const change: NameChange = { names: entries };
    applyChange(this.#files, change);
    for (const parent of new Set([...entries.keys()].map(parentOf))) {
      const changes = this.#changes.get(parent);
      if (changes === undefined) this.#changes.set(parent, [change]);
      else changes.push(change);
    }
  }

  removeDirectory(path: string): void {
    const prefix = `${path}/`;
    const gone = new Map<string, Inode | undefined>();
    for (const name of this.#files.keys()) if (name.startsWith(prefix)) gone.set(name, undefined);
    if (gone.size > 0) this.change(gone);
    for (const directory of [...this.#directories])
      if (directory === path || directory.startsWith(prefix)) this.#directories.delete(directory);
  }

  /** A lock dies with the process that holds it. */
  lock(path: string, process: SimulatedProcess): void {
    const holder = this.#locks.get(path);
    if (holder?.alive) throw new QuoinError('DIRECTORY_IN_USE', `${path} is in use by another process`);
    this.#locks.set(path, process);
  }

  unlock(path: string, process: SimulatedProcess): void {
    if (this.#locks.get(path) === process) this.#locks.delete(path);
  }

  syncDirectory(path: string): void {
    for (const change of this.#changes.get(path) ?? []) applyChange(this.#durableFiles, change);
    this.#changes.delete(path);
  }
}

function applyChange(files: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change.names) {
    if (inode === undefined) files.delete(path);
    else files.set(path, inode);
  }
}

/** The `Disk` of one process. */
export class DiskView implements Disk {
  readonly machine: SimulatedDisk;
  readonly process: SimulatedProcess;

  constructor(machine: SimulatedDisk, process: SimulatedProcess) {
    this.machine = machine;
    this.process = process;
  }

  /** A process that was killed can change nothing more, whatever continuation of it still runs. */
  guard(): void {
    if (!this.process.alive) throw new QuoinError('DISK_FAILED', 'the process has been killed');
  }

  makeDirectory(path: string): void {
    this.guard();
    this.machine.makeDirectory(path);
  }

  list(path: string): string[] {
    return this.machine.list(path);
  }

  exists(path: string): boolean {
    return this.machine.lookup(path) !== undefined || this.machine.hasDirectory(path);
  }

  open(path: string, options: { create: boolean }): DiskFile {
    this.guard();
    let inode = this.machine.lookup(path);
    if (inode === undefined) {
      if (!options.create || !this.machine.hasDirectory(parentOf(path)))
        throw new QuoinError('DISK_FAILED', `no such file: ${path}`);
      inode = new Inode();
      this.machine.change(new Map([[path, inode]]));
    }
    return new SimulatedFile(this, path, inode);
  }

  read(path: string): Buffer {
    const inode = this.machine.lookup(path);
    if (inode === undefined) throw new QuoinError('DISK_FAILED', `no such file: ${path}`);
    return inode.read(0, inode.sizeBytes);
  }

  replace(path: string, bytes: Uint8Array): void {
    this.guard();
    if (!this.machine.hasDirectory(parentOf(path)))
      throw new QuoinError('DISK_FAILED', `no such directory: ${parentOf(path)}`);
    const inode = new Inode();
    inode.writeDurably(bytes);
    this.machine.scheduler.trace.addBytes(bytes);
    this.machine.change(new Map([[path, inode]]));
    this.machine.syncDirectory(parentOf(path));
  }

  remove(path: string): void {
    this.guard();
    if (this.machine.lookup(path) === undefined) throw new QuoinError('DISK_FAILED', `no such file: ${path}`);
    this.machine.change(new Map([[path, undefined]]));
  }

  removeDirectory(path: string): void {
    this.guard();
    this.machine.removeDirectory(path);
  }

  rename(from: string, to: string): void {
    this.guard();
    const inode = this.machine.lookup(from);
    if (inode === undefined) throw new QuoinError('DISK_FAILED', `no such file: ${from}`);
    this.machine.change(
      new Map([
        [from, undefined],
        [to, inode],
      ]),
    );
  }

  syncDirectory(path: string): void {
    this.guard();
    this.machine.syncDirectory(path);
  }

  lock(path: string): { release(): void } {
    this.guard();
    this.machine.lock(path, this.process);
    return { release: () => this.machine.unlock(path, this.process) };
  }
}

class SimulatedFile implements DiskFile {
  readonly path: string;
  readonly #view: DiskView;
  readonly #inode: Inode;

  constructor(view: DiskView, path: string, inode: Inode) {
    this.#view = view;
    this.path = path;
    this.#inode = inode;
  }

  sizeBytes(): number {
    return this.#inode.sizeBytes;
  }

  readAt(position: number, lengthBytes: number): Buffer {
    return this.#inode.read(position, lengthBytes);
  }

  writeAt(position: number, bytes: Uint8Array): void {
    this.#view.guard();
    this.#view.machine.scheduler.trace.addBytes(bytes);
    this.#inode.write(position, bytes);
  }

  truncate(sizeBytes: number): void {
    this.#view.guard();
    this.#inode.truncate(sizeBytes);
  }

  syncBlocking(): void {
    this.#view.guard();
    const { machine, process } = this.#view;
    machine.counters.syncs++;
    process.busyUntilMs = Math.max(machine.scheduler.nowMs, process.busyUntilMs) + machine.syncDelayMs();
    const pending = this.#inode.beginSync();
    if (machine.random.chance(machine.faults.syncFailureRate)) {
      machine.counters.syncFailures++;
      this.#inode.failSync(pending, machine.random);
      throw new QuoinError('SYNC_FAILED', `sync of ${this.path} failed`);
    }
    this.#inode.finishSync(pending);
  }

  sync(callback: (error: Error | undefined) => void): void {
    this.#view.guard();
    const { machine, process } = this.#view;
    machine.counters.syncs++;
    const pending = this.#inode.beginSync();
    const failed = machine.random.chance(machine.faults.syncFailureRate);
    machine.scheduler.schedule(machine.syncDelayMs(), process, () => {
      if (failed) {
        machine.counters.syncFailures++;
        this.#inode.failSync(pending, machine.random);
        callback(new QuoinError('SYNC_FAILED', `sync of ${this.path} failed`));
        return;
      }
      this.#inode.finishSync(pending);
      callback(undefined);
    });
  }

  close(): void {
    // Closing promises nothing about durability.
  }
}
