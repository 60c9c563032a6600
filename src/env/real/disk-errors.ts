/** Errors of the file system as Quoin's: a full disk is told apart, everything else names path and cause. */
import { QuoinError } from '../../base/errors.js';

/** The system's error code ('ENOENT', ...), or '' when the error has none. */
export function systemCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

function reasonOf(code: string, error: unknown): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EROFS':
      return 'the file system is read-only';
    case 'ENOENT':
      return 'no such file or directory';
    case 'ENOTDIR':
      return 'a part of the path is not a directory';
    case 'EISDIR':
      return 'it is a directory';
    case 'EEXIST':
      return 'it exists already and is something else';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files';
    case 'EIO':
      return 'the device reports an input/output error';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

/** The Quoin error for a failed `action` ('read', 'write', ...) on `path`. */
export function diskError(error: unknown, action: string, path: string): QuoinError {
  if (error instanceof QuoinError) return error;
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new QuoinError('DISK_FULL', `cannot ${action} ${path}: no space left`, { cause: error });
  const suffix = code === '' ? '' : ` (${code})`;
  return new QuoinError('DISK_FAILED', `cannot ${action} ${path}: ${reasonOf(code, error)}${suffix}`, {
    cause: error,
  });
}
