/**
 * Looks at LMDB's data file before LMDB does. LMDB reads through a map of the file: a file of another kind, or one that
 * was cut short, would end the process instead of giving an error.
 *
 * Layout of the first two pages (LMDB data version 2, 64-bit, in the machine's byte order): 24 bytes of page header,
 * then magic (u32), version (u32), map address (u64), map size (u64), page size (u32, at 48), the rest of two database
 * records of 48 bytes, last page (u64, at 144), transaction (u64, at 152). The page of the newer transaction counts.
 */
import { QuoinError } from '../../base/errors.js';
import type { Disk } from '../../env/env.js';

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const MAGIC_AT = 24;
const VERSION_AT = 28;
const PAGE_SIZE_AT = 48;
const LAST_PAGE_AT = 144;
const TRANSACTION_AT = 152;
const META_BYTES = 160;
const MIN_PAGE_BYTES = 512;
const MAX_PAGE_BYTES = 65536;

function dataFilePath(directory: string): string {
  return `${directory}/data.mdb`;
}

/** Throws unless the data file is missing, empty (LMDB then makes a new one), or whole and LMDB's. */
export function checkDataFile(disk: Disk, directory: string): void {
  const path = dataFilePath(directory);
  if (!disk.exists(path)) return;
  const file = disk.open(path, { create: false });
  try {
    const sizeBytes = file.sizeBytes();
    if (sizeBytes === 0) return;
    const first = file.readAt(0, META_BYTES);
    if (first.length < META_BYTES) throw cutShort(path, sizeBytes);
    const pageBytes = first.readUInt32LE(PAGE_SIZE_AT);
    if (first.readUInt32LE(MAGIC_AT) !== MAGIC)
      throw new QuoinError('FOREIGN_DIRECTORY', `${path} is not a data file of LMDB`);
    if (first.readUInt32LE(VERSION_AT) !== DATA_VERSION)
      throw new QuoinError('FOREIGN_DIRECTORY', `${path} is a data file of another version of LMDB`);
    if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES || (pageBytes & (pageBytes - 1)) !== 0)
      throw new QuoinError('CHECKPOINT_DAMAGED', `${path} is damaged: its page size is ${pageBytes}`);
    if (sizeBytes < 2 * pageBytes) throw cutShort(path, sizeBytes);
    const second = file.readAt(pageBytes, META_BYTES);
    if (second.readUInt32LE(MAGIC_AT) !== MAGIC)
      throw new QuoinError(
        'CHECKPOINT_DAMAGED',
        `${path} is damaged: its second page is not what it should be`,
      );
    const newest =
      second.readBigUInt64LE(TRANSACTION_AT) > first.readBigUInt64LE(TRANSACTION_AT) ? second : first;
    const neededBytes = (newest.readBigUInt64LE(LAST_PAGE_AT) + 1n) * BigInt(pageBytes);
    if (BigInt(sizeBytes) < neededBytes) throw cutShort(path, sizeBytes);
  } finally {
    file.close();
  }
}

function cutShort(path: string, sizeBytes: number): QuoinError {
  return new QuoinError('CHECKPOINT_DAMAGED', `${path} has been cut short: it holds ${sizeBytes} bytes`);
}

/**
 * True when the disk has no room for what a commit writes. LMDB reports a write that ended half-way as an input or
 * output error, whatever the reason; so a file as long as its own is tried beside it.
 */
export function isDiskFull(disk: Disk, directory: string): boolean {
  const path = `${directory}/probe`;
  try {
    const data = disk.open(dataFilePath(directory), { create: false });
    const sizeBytes = data.sizeBytes();
    data.close();
    const probe = disk.open(path, { create: true });
    try {
      // All but the last bytes is a hole, which takes no room.
      probe.writeAt(sizeBytes, Buffer.alloc(MAX_PAGE_BYTES));
      return false;
    } finally {
      probe.close();
      disk.remove(path);
    }
  } catch (error) {
    return error instanceof QuoinError && (error.code === 'DISK_FULL' || isFileTooLarge(error.cause));
  }
}

/** A bound on the size of files, set for the process or by the file system, is a full disk too. */
function isFileTooLarge(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EFBIG';
}
