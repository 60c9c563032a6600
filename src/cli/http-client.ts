/** Requests of the command line to a node's HTTP door. Problems come back as `QuoinError` with the code that they carry. */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';

export type JsonObject = Readonly<Record<string, unknown>>;

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

export function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** One request. The answer's JSON, or undefined when it has no body. */
export async function httpRequest(
  address: string,
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly timeoutMs: number },
): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`http://${address}${path}`, {
      method,
      signal: AbortSignal.timeout(options.timeoutMs),
      ...(options.body === undefined
        ? {}
        : { body: JSON.stringify(options.body), headers: { 'content-type': 'application/json' } }),
    });
    text = await response.text();
  } catch (error) {
    throw new QuoinError('UNREACHABLE', `http://${address}: ${reasonOf(error)}`, { cause: error });
  }
  let json: unknown;
  try {
    json = text === '' ? undefined : JSON.parse(text);
  } catch (cause) {
    throw new QuoinError('PROTOCOL_ERROR', `http://${address}${path} answered no JSON`, { cause });
  }
  if (response.ok) return json;
  const problem = asObject(json);
  const code = isErrorCode(problem.code) ? problem.code : 'INTERNAL';
  const { detail, remedy } = problem;
  throw new QuoinError(code, typeof detail === 'string' ? detail : `HTTP status ${response.status}`, {
    remedy: typeof remedy === 'string' ? remedy : undefined,
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { cause } = error;
  return cause instanceof Error
    ? cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name)
    : error.message;
}
