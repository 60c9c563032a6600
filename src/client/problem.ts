/** A node's refusals (`application/problem+json`, RFC 9457) as errors with the code that they carry. */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';
import type { HttpAnswer } from './exchange.js';

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

/** An answer's body as a JSON object; undefined when it is none. */
export function jsonObjectOf(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The error in an answer that is no success. What is no problem document does not come from a node (or from one that
 * speaks another language): PROTOCOL_ERROR. A code of a newer version is INTERNAL, which promises nothing.
 */
export function problemOf(answer: HttpAnswer, url: string): QuoinError {
  const isProblem = answer.headers['content-type']?.startsWith('application/problem+json') === true;
  const problem = isProblem ? jsonObjectOf(answer.body) : undefined;
  if (problem === undefined)
    return new QuoinError(
      'PROTOCOL_ERROR',
      `${url} answered with status ${answer.status} and no reason; is it a node's HTTP address?`,
    );
  const { code, detail, remedy } = problem;
  const text = typeof detail === 'string' ? detail : `HTTP status ${answer.status}`;
  if (isErrorCode(code))
    return new QuoinError(code, text, { remedy: typeof remedy === 'string' ? remedy : undefined });
  return new QuoinError('INTERNAL', `${String(code)}: ${text}`);
}
