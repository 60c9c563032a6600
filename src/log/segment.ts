/**
 * One segment: a file of the log.
 *
 * Invariants: a segment's header is durable, and so is its name in the directory, before its first batch is written; what
 * lies between `tail` and the end of the file is zeros.
 */
import { LIMITS } from '../base/limits.js';
import type { Clock, Disk, DiskFile } from '../env/env.js';
import { checksum, encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from './format.js';

const ZEROS = Buffer.alloc(LIMITS.logFillBytes);

export class Segment {
  readonly number: number;
  readonly path: string;
  readonly salt: number;
  readonly #disk: Disk;
  #file: DiskFile | undefined;
  /** Where the next batch goes. */
  tail: number;
  /** The file's size: zeros from `tail` on. */
  filled: number;

  constructor(disk: Disk, directory: string, number: number, salt: number, tail: number, filled: number) {
    this.#disk = disk;
    this.number = number;
    this.path = `${directory}/${segmentName(number)}`;
    this.salt = salt;
    this.tail = tail;
    this.filled = filled;
  }

  /** Creates the file with a durable header. What an interrupted creation left under its name is overwritten. */
  static create(disk: Disk, clock: Clock, directory: string, number: number, firstSequence: number): Segment {
    const segment = Segment.#begin(disk, clock, directory, number, firstSequence);
    segment.file.syncBlocking();
    disk.syncDirectory(directory);
    return segment;
  }

  /** The same, but the event loop goes on while the disk works. The callback comes once, and later. */
  static createInBackground(
    disk: Disk,
    clock: Clock,
    directory: string,
    number: number,
    firstSequence: number,
    created: (outcome: Segment | Error) => void,
  ): void {
    const segment = Segment.#begin(disk, clock, directory, number, firstSequence);
    segment.file.sync((error) => {
      try {
        if (error !== undefined) throw error;
        disk.syncDirectory(directory);
      } catch (failure) {
        segment.close();
        created(failure instanceof Error ? failure : new Error(String(failure)));
        return;
      }
      created(segment);
    });
  }

  static #begin(disk: Disk, clock: Clock, directory: string, number: number, firstSequence: number): Segment {
    const header = encodeSegmentHeader(number, firstSequence, clock.wallMs());
    const salt = checksum(header, 0, SEGMENT_HEADER_BYTES - 4);
    const segment = new Segment(disk, directory, number, salt, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
    const file = disk.open(segment.path, { create: true });
    segment.#file = file;
    file.truncate(0);
    file.writeAt(0, header);
    return segment;
  }

  /** The open file; closed segments are opened when first read from. */
  get file(): DiskFile {
    this.#file ??= this.#disk.open(this.path, { create: false });
    return this.#file;
  }

  /**
   * Writes a batch's parts at the tail, and zeros ahead when the file must grow: with them most syncs leave its size alone.
   */
  write(parts: readonly Buffer[], fillBytes: number): void {
    let end = this.tail;
    for (const part of parts) {
      this.file.writeAt(end, part);
      end += part.length;
    }
    if (end > this.filled) {
      if (fillBytes > 0) this.file.writeAt(end, ZEROS.subarray(0, fillBytes));
      this.filled = end + fillBytes;
    }
    this.tail = end;
  }

  /** Overwrites with zeros from `start` to the end of the file. */
  zeroFrom(start: number): void {
    for (let at = start; at < this.filled; at += ZEROS.length)
      this.file.writeAt(at, ZEROS.subarray(0, Math.min(ZEROS.length, this.filled - at)));
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
