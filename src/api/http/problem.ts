/**
 * Errors as HTTP clients see them: `application/problem+json` (RFC 9457) with the error's code and the two things that
 * a caller must know (`definite`, `retriable`). The status comes from the one registry of errors.
 */
import type { FastifyReply } from 'fastify';
import { ERRORS, type ErrorCode, QuoinError } from '../../base/errors.js';
import { ErrorReply } from '../../store/reply.js';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly definite: boolean;
  readonly retriable: boolean;
  readonly remedy: string;
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** `CROSS_SLOT` as a title: `Cross slot`. */
function titleOf(code: ErrorCode): string {
  const words = code.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function problemOf(
  code: ErrorCode,
  detail: string,
  status: number = ERRORS[code].http,
  remedy: string = ERRORS[code].remedy,
): Problem {
  const { definite, retriable } = ERRORS[code];
  return {
    type: `urn:quoin:error:${code.toLowerCase().replaceAll('_', '-')}`,
    title: titleOf(code),
    status,
    detail,
    code,
    definite,
    retriable,
    remedy,
  };
}

/** A reply's error as an exception, without the Redis error word in front of its message. */
export function errorOfReply(reply: ErrorReply): QuoinError {
  const word = `${ERRORS[reply.code].resp} `;
  const text = reply.text.startsWith(word) ? reply.text.slice(word.length) : reply.text;
  return new QuoinError(reply.code, text);
}

/** What to do about bytes or requests that are no HTTP as it should be. */
export const HTTP_REMEDY = 'Check that the client speaks HTTP/1.1 to this port.';

/** What the framework itself refuses: the status is its own, the code ours. */
function codeOfStatus(status: number): ErrorCode {
  if (status === 413) return 'REQUEST_TOO_LARGE';
  if (status === 404) return 'NOT_FOUND';
  if (status === 503) return 'SHUTTING_DOWN';
  return status >= 400 && status < 500 ? 'PROTOCOL_ERROR' : 'INTERNAL';
}

/** Turns whatever was thrown while a request was handled into its problem. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof QuoinError)
    return problemOf(error.code, error.message, ERRORS[error.code].http, error.remedy);
  if (error instanceof ErrorReply) return problemOfError(errorOfReply(error));
  if (error instanceof Error) {
    const status = (error as Error & { readonly statusCode?: number }).statusCode ?? 500;
    const code = codeOfStatus(status);
    return problemOf(code, error.message, status, code === 'PROTOCOL_ERROR' ? HTTP_REMEDY : undefined);
  }
  return problemOf('INTERNAL', String(error));
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  reply.code(problem.status).type(PROBLEM_TYPE);
  if (problem.status === 503 && problem.retriable) reply.header('retry-after', '1');
  return reply.send(JSON.stringify(problem));
}
