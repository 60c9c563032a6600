/**
 * How far the log has come: a small file outside the log's own directory that names its newest segment.
 *
 * The log tells by itself when something is missing in its middle. It cannot tell that its newest files are gone, or all of
 * them: what is left is whole, and a directory without files is that of a new node. A node that went on from there would
 * have forgotten votes and entries that it has promised to keep.
 *
 * Invariants:
 * - the file names a segment only after that segment is durable, so no crash makes a right log look damaged;
 * - it names it durably before the segment's first batch is written, so before anything in the segment can matter.
 *
 * Limit: bytes that are cut off within the newest segment look like a torn tail (see `recovery.ts`). A log of a version that
 * did not keep the file has none, and gets one when it is opened.
 */
import { QuoinError } from '../base/errors.js';
import type { Disk } from '../env/env.js';

const FORMAT = 1;

const REMEDY =
  'Put the missing files back; when they are lost, remove the whole data directory, and the node comes back as one that has lost its disk.';

export class LogReach {
  readonly #disk: Disk;
  readonly #path: string;
  /** As the file says; 0: there is none. */
  #newestSegment: number;

  /** Throws LOG_TOO_NEW, and LOG_DAMAGED for a file that says nothing. */
  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
    this.#newestSegment = disk.exists(path) ? readReach(disk, path) : 0;
  }

  /** Throws LOG_DAMAGED when the log in `directory`, whose newest segment is this one (0: it has none), was longer before. */
  check(directory: string, newestSegment: number): void {
    if (newestSegment >= this.#newestSegment) return;
    const found = newestSegment === 0 ? 'no segment is there' : `${newestSegment} is the newest`;
    throw new QuoinError(
      'LOG_DAMAGED',
      `${directory}: files of the log are missing: it reached segment ${this.#newestSegment} (${this.#path}), but ${found}`,
      { remedy: REMEDY },
    );
  }

  /** Records, durably, that this segment is there. */
  extend(newestSegment: number): void {
    if (newestSegment <= this.#newestSegment) return;
    this.#disk.replace(this.#path, encodeReach(newestSegment));
    this.#newestSegment = newestSegment;
  }

  /** The same, but the event loop goes on while the disk works. The callback comes once, and later. */
  extendInBackground(newestSegment: number, onDurable: (error: Error | undefined) => void): void {
    const temporary = `${this.#path}.new`;
    const file = this.#disk.open(temporary, { create: true });
    try {
      file.truncate(0);
      file.writeAt(0, encodeReach(newestSegment));
      file.sync((error) => {
        file.close();
        let outcome = error;
        try {
          if (outcome === undefined) {
            this.#disk.rename(temporary, this.#path);
            this.#disk.syncDirectory(this.#path.slice(0, this.#path.lastIndexOf('/')));
            this.#newestSegment = newestSegment;
          }
        } catch (failure) {
          outcome = failure instanceof Error ? failure : new Error(String(failure));
        }
        onDurable(outcome);
      });
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

function encodeReach(newestSegment: number): Buffer {
  return Buffer.from(`${JSON.stringify({ format: FORMAT, newestSegment })}\n`);
}

function readReach(disk: Disk, path: string): number {
  let stored: { readonly format?: unknown; readonly newestSegment?: unknown };
  try {
    stored = { ...(JSON.parse(disk.read(path).toString('utf8')) as object) };
  } catch (error) {
    throw unreadable(path, error);
  }
  const { format, newestSegment } = stored;
  if (typeof format === 'number' && format > FORMAT)
    throw new QuoinError('LOG_TOO_NEW', `${path} has format ${format}; this version knows ${FORMAT}`);
  if (typeof newestSegment !== 'number' || !Number.isInteger(newestSegment) || newestSegment < 1)
    throw unreadable(path, undefined);
  return newestSegment;
}

function unreadable(path: string, cause: unknown): QuoinError {
  return new QuoinError('LOG_DAMAGED', `${path} does not say how far the log has come`, {
    cause,
    remedy: 'Restore the file from a backup.',
  });
}
