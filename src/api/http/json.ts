/** JSON bodies, checked no further than their outermost shape. */
import { QuoinError } from '../../base/errors.js';

function parse(body: Buffer | undefined): unknown {
  if (body === undefined || body.length === 0)
    throw new QuoinError('WRONG_ARGUMENTS', 'the body is empty; it must be JSON');
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new QuoinError('WRONG_ARGUMENTS', `the body is not JSON: ${reason}`, { cause });
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function jsonObject(body: Buffer | undefined): Readonly<Record<string, unknown>> {
  const value = parse(body);
  if (!isObject(value)) throw new QuoinError('WRONG_ARGUMENTS', 'the body must be a JSON object');
  return value;
}

export function jsonList(body: Buffer | undefined): readonly unknown[] {
  const value = parse(body);
  if (!Array.isArray(value)) throw new QuoinError('WRONG_ARGUMENTS', 'the body must be a JSON list');
  return value;
}
