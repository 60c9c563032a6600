/** What LMDB's and the system's error numbers mean here. */
import { type ErrorCode, QuoinError } from '../../base/errors.js';

// LMDB's own numbers (lmdb.h) are negative, the system's (errno.h, Linux and macOS alike) positive.
const MEANINGS: ReadonlyMap<number, readonly [ErrorCode, string]> = new Map([
  [-30796, ['CHECKPOINT_DAMAGED', 'a page of the data file is damaged']],
  [-30797, ['CHECKPOINT_DAMAGED', 'a page of the data file is missing']],
  [-30795, ['CHECKPOINT_DAMAGED', 'the data file was found damaged earlier']],
  [-30793, ['FOREIGN_DIRECTORY', 'the data file is not one of LMDB']],
  [-30794, ['FOREIGN_DIRECTORY', 'the data file is of another version of LMDB']],
  [-30792, ['DISK_FULL', 'the address space for the data file cannot grow']],
  [1, ['DISK_FAILED', 'not permitted']],
  [5, ['SYNC_FAILED', 'the disk failed to read or write']],
  [13, ['DISK_FAILED', 'access is denied']],
  [27, ['DISK_FULL', 'the data file has reached the greatest size that the system allows']],
  [28, ['DISK_FULL', 'no space is left on the device']],
  [30, ['DISK_FAILED', 'the file system is read-only']],
]);

/** A caught error as one of the registry. `otherwise` is its code when the number says nothing. */
export function lmdbError(error: unknown, doing: string, otherwise: ErrorCode): QuoinError {
  if (error instanceof QuoinError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const meaning = typeof code === 'number' ? MEANINGS.get(code) : undefined;
  if (meaning !== undefined) return new QuoinError(meaning[0], `${doing}: ${meaning[1]}`, { cause: error });
  const text = error instanceof Error ? error.message : String(error);
  return new QuoinError(otherwise, `${doing}: ${text}`, { cause: error });
}
