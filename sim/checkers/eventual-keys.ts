/**
 * What an eventual bucket promises of one key, checked from the versions that its writes got and its reads found
 * (Dynamo's quorums; Vogels, "Eventually Consistent", 2009, for the guarantees of a session):
 *
 * - a read finds a value that was written to the key, under the version that its write got;
 * - with r + w > n no read misses a write acknowledged before the read began, as long as fewer than w of the key's replicas have lost
 *   their disks since: it finds that version or a newer one;
 * - with read repair and 2r > n no read goes back behind an earlier one, as long as no node crashes: repairs are acknowledged from memory;
 * - a version is given once;
 * - with w + w' > n a write that begins after another one was acknowledged gets the greater version, and so wins over it;
 * - what is converged is what a read of all n replicas may find.
 *
 * A replica that has lost its disk has forgotten which versions it took before: for the order of writes each takes one from the w of
 * those that began before. A write with w = 1 is kept in memory by the one replica, so a crash excuses its loss.
 *
 * Deleted and expired keys read as absent. Nobody tells which version was absent; it must be possible that it was at least the one that
 * the read must find: a deletion, or a value that may have expired, with such a version, or with an unknown one because
 * its outcome is unknown.
 */
import { SimulationViolation } from './violation.js';

/** What happened to the replicas in the meantime. */
export interface ReplicaHistory {
  /** Virtual time. */
  readonly nowMs: number;
  /** Processes that ended without a word so far. */
  readonly kills: number;
  readonly lostDisks: readonly { readonly node: string; readonly atMs: number }[];
}

/** A write, as far as its client knows. */
export interface EventualWrite {
  readonly key: string;
  /** Null: it deletes. */
  readonly value: string | null;
  /** 0: never. */
  readonly ttlMs: number;
  readonly w: number;
  readonly calledAt: number;
  readonly calledMs: number;
  readonly killsBefore: number;
  /** Infinity while it is under way, or when nobody knows. */
  returnedAt: number;
  returnedMs: number;
  version: number | undefined;
  failed: boolean;
}

export interface EventualRead {
  readonly key: string;
  readonly r: number;
  readonly calledAt: number;
  readonly calledMs: number;
  readonly killsBefore: number;
}

interface PastRead {
  readonly r: number;
  readonly returnedAt: number;
  readonly killsBefore: number;
  readonly version: number;
}

/** Reads that later ones are compared with: the last few tell enough. */
const REMEMBERED_READS = 8;
/** Wall clocks count whole milliseconds. */
const ROUNDING_MS = 2;

class EventualKey {
  readonly members: readonly string[];
  readonly writes: EventualWrite[] = [];
  readonly byValue = new Map<string, EventualWrite>();
  readonly byVersion = new Map<number, EventualWrite>();
  readonly acknowledged: EventualWrite[] = [];
  reads: PastRead[] = [];
  /** What the first node answered in the end. */
  converged: { readonly version: number; readonly node: string } | undefined;

  constructor(members: readonly string[]) {
    this.members = members;
  }
}

export interface EventualKeysOptions {
  readonly bucket: string;
  readonly readRepair: boolean;
  readonly history: ReplicaHistory;
  readonly membersOf: (key: string) => readonly string[];
  /** What two clocks may differ by at a time. */
  readonly clockDifferenceMs: (nowMs: number) => number;
}

export class EventualKeys {
  readonly #options: EventualKeysOptions;
  readonly #keys = new Map<string, EventualKey>();
  #counter = 0;

  constructor(options: EventualKeysOptions) {
    this.#options = options;
  }

  get keys(): IterableIterator<string> {
    return this.#keys.keys();
  }

  #key(name: string): EventualKey {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = new EventualKey(this.#options.membersOf(name));
      this.#keys.set(name, key);
    }
    return key;
  }

  #fail(key: string, what: string): never {
    throw new SimulationViolation('eventual', `${this.#options.bucket}/${key}: ${what}`);
  }

  // Writes

  callWrite(name: string, value: string | null, ttlMs: number, w: number): EventualWrite {
    const { history } = this.#options;
    const write: EventualWrite = {
      key: name,
      value,
      ttlMs,
      w,
      calledAt: this.#counter++,
      calledMs: history.nowMs,
      killsBefore: history.kills,
      returnedAt: Number.POSITIVE_INFINITY,
      returnedMs: Number.POSITIVE_INFINITY,
      version: undefined,
      failed: false,
    };
    const key = this.#key(name);
    key.writes.push(write);
    if (value !== null) key.byValue.set(value, write);
    return write;
  }

  /** It certainly did not happen. */
  failed(write: EventualWrite): void {
    write.failed = true;
    write.returnedAt = this.#counter++;
    write.returnedMs = this.#options.history.nowMs;
  }

  acknowledged(write: EventualWrite, version: number): void {
    const key = this.#key(write.key);
    this.#noteVersion(write, version);
    for (const earlier of key.acknowledged) {
      if (earlier.returnedAt > write.calledAt || version > earlier.version!) continue;
      if (this.#copies(key, earlier) + write.w > key.members.length)
        this.#fail(
          write.key,
          `${describeWrite(write)} got version ${version}, not above ${earlier.version} of ${describeWrite(earlier)}, which was acknowledged before it began`,
        );
    }
    write.version = version;
    write.returnedAt = this.#counter++;
    write.returnedMs = this.#options.history.nowMs;
    key.acknowledged.push(write);
  }

  #noteVersion(write: EventualWrite, version: number): void {
    const { byVersion } = this.#key(write.key);
    const other = byVersion.get(version);
    // After a crash a clock that ran ahead of its wall clock may give again what was lost with the process.
    const excused = other !== undefined && this.#options.history.kills > other.killsBefore;
    if (other !== undefined && other !== write && !excused)
      this.#fail(
        write.key,
        `version ${version} is of ${describeWrite(other)} and of ${describeWrite(write)}`,
      );
    byVersion.set(version, write);
  }

  /** Replicas that must have kept an acknowledged write. */
  #copies(key: EventualKey, write: EventualWrite): number {
    const { history } = this.#options;
    const isInMemory = write.w === 1 && key.members.length > 1;
    if (isInMemory && history.kills > write.killsBefore) return 0;
    // Who loses its disk again had no other copy to lose.
    const lost = new Set<string>();
    for (const { node, atMs } of history.lostDisks)
      if (atMs >= write.calledMs && key.members.includes(node)) lost.add(node);
    return write.w - lost.size;
  }

  /** Must a read not miss this write? A replica without its disk answers none before it has again what it had acknowledged. */
  #mayNotMiss(key: EventualKey, write: EventualWrite, r: number): boolean {
    return this.#copies(key, write) > 0 && write.w + r > key.members.length;
  }

  // Reads

  callRead(key: string, r: number): EventualRead {
    const { history } = this.#options;
    return {
      key,
      r,
      calledAt: this.#counter++,
      calledMs: history.nowMs,
      killsBefore: history.kills,
    };
  }

  /** What a node answers once replicas have converged: as much as all of them together, and what the others answer. */
  converged(name: string, value: string | null, version: number, node: string): void {
    const key = this.#key(name);
    this.answered(this.callRead(name, key.members.length), value, version);
    // A value may expire between two answers.
    if (version === 0) return;
    key.converged ??= { version, node };
    if (key.converged.version !== version)
      this.#fail(
        name,
        `${key.converged.node} has version ${key.converged.version} after all have converged, ${node} has ${version}`,
      );
  }

  /** `version`: 0 when nothing was found. */
  answered(read: EventualRead, value: string | null, version: number): void {
    const key = this.#key(read.key);
    const found = value === null ? undefined : this.#written(key, read, value, version);
    const floor = this.#floor(key, read);
    if (found === undefined) this.#judgeAbsence(key, read, floor);
    else if (floor !== undefined && version < floor.version!)
      this.#fail(
        read.key,
        `a read of ${read.r} found ${describeWrite(found)}, version ${version}, and missed ${describeWrite(floor)}, version ${floor.version}, which was acknowledged before it began`,
      );
    this.#judgeOrder(key, read, version);
    if (found === undefined) return;
    key.reads.push({ r: read.r, returnedAt: this.#counter++, killsBefore: read.killsBefore, version });
    if (key.reads.length > REMEMBERED_READS) key.reads = key.reads.slice(1);
  }

  #written(key: EventualKey, read: EventualRead, value: string, version: number): EventualWrite {
    const write = key.byValue.get(value);
    if (write === undefined) return this.#fail(read.key, `holds ${value}, which nobody wrote there`);
    if (write.failed)
      this.#fail(read.key, `holds ${describeWrite(write)}, of which it was said that nothing was done`);
    // Before its acknowledgement a write may have been stamped more than once.
    if (write.version !== undefined && version > write.version)
      this.#fail(
        read.key,
        `holds ${describeWrite(write)} under ${version}, but its version is ${write.version}`,
      );
    this.#noteVersion(write, version);
    if (write.ttlMs > 0 && read.calledMs > this.#expiresByMs(write))
      this.#fail(read.key, `holds ${describeWrite(write)}, which has expired`);
    return write;
  }

  #expiresByMs(write: EventualWrite): number {
    const { clockDifferenceMs, history } = this.#options;
    return write.returnedMs + write.ttlMs + clockDifferenceMs(history.nowMs) + ROUNDING_MS;
  }

  /** The newest of the writes that the read must not miss. */
  #floor(key: EventualKey, read: EventualRead): EventualWrite | undefined {
    let floor: EventualWrite | undefined;
    for (const write of key.acknowledged) {
      if (write.returnedAt > read.calledAt) continue;
      if (floor !== undefined && write.version! < floor.version!) continue;
      if (this.#mayNotMiss(key, write, read.r)) floor = write;
    }
    return floor;
  }

  #judgeAbsence(key: EventualKey, read: EventualRead, floor: EventualWrite | undefined): void {
    if (floor === undefined || this.#mayBeAbsent(key, floor.version!)) return;
    this.#fail(
      read.key,
      `a read of ${read.r} found nothing and missed ${describeWrite(floor)}, version ${floor.version}, which was acknowledged before it began`,
    );
  }

  /** May a record of this version or a newer one be dead by now? */
  #mayBeAbsent(key: EventualKey, version: number): boolean {
    const { nowMs } = this.#options.history;
    const toleranceMs = this.#options.clockDifferenceMs(nowMs) + ROUNDING_MS;
    return key.writes.some((write) => {
      if (write.failed || (write.version !== undefined && write.version < version)) return false;
      return write.value === null || (write.ttlMs > 0 && nowMs >= write.calledMs + write.ttlMs - toleranceMs);
    });
  }

  /** With read repair a read leaves what it found with r replicas. */
  #judgeOrder(key: EventualKey, read: EventualRead, version: number): void {
    if (!this.#options.readRepair) return;
    const { kills } = this.#options.history;
    for (const earlier of key.reads) {
      if (earlier.returnedAt > read.calledAt || earlier.r + read.r <= key.members.length) continue;
      if (kills > earlier.killsBefore || version >= earlier.version) continue;
      if (version === 0 && this.#mayBeAbsent(key, earlier.version)) continue;
      this.#fail(
        read.key,
        `a read of ${read.r} found version ${version} after one of ${earlier.r} had found ${earlier.version}`,
      );
    }
  }
}

function describeWrite({ value, w, ttlMs }: EventualWrite): string {
  const what = value === null ? 'a deletion' : `'${value}'`;
  return `${what} (w ${w}${ttlMs > 0 ? `, ttl ${ttlMs} ms` : ''})`;
}
