/**
 * What a command answers, before it is written in anyone's wire format. Shapes follow RESP3; the RESP2 writer lowers
 * them as Redis does. Buffers are bulk strings.
 */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';

/** A status line such as `OK`. */
export class SimpleString {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An error as the client sees it; `text` starts with Redis's error word (`ERR`, `WRONGTYPE`, ...). */
export class ErrorReply {
  readonly code: ErrorCode;
  readonly text: string;
  constructor(code: ErrorCode, text: string) {
    this.code = code;
    this.text = text;
  }
  /** Prefixes the message with the error word that the registry gives to its code. */
  static of(code: ErrorCode, message: string): ErrorReply {
    return new ErrorReply(code, `${ERRORS[code].resp} ${message}`);
  }
  static from(error: unknown): ErrorReply {
    if (error instanceof QuoinError) return ErrorReply.of(error.code, error.message);
    return ErrorReply.of('INTERNAL', error instanceof Error ? error.message : String(error));
  }
}

/** Key-value pairs; a flat array in RESP2. */
export class MapReply {
  readonly entries: readonly (readonly [Reply, Reply])[];
  constructor(entries: readonly (readonly [Reply, Reply])[]) {
    this.entries = entries;
  }
}

/** A set; an array in RESP2. */
export class SetReply {
  readonly members: readonly Reply[];
  constructor(members: readonly Reply[]) {
    this.members = members;
  }
}

/** A float; a bulk string in RESP2. */
export class DoubleReply {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** Human-readable text; a bulk string in RESP2. */
export class VerbatimReply {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** The absent array (`*-1` in RESP2): an aborted EXEC. */
export class NullArray {
  // A class of its own so that it is told from the absent bulk string.
  readonly kind = 'null-array';
}

/** `null` is the absent bulk string; numbers are integers (safe ones); booleans are 1 and 0 in RESP2; bigint is for 64-bit integers beyond 2^53. */
export type Reply =
  | null
  | number
  | bigint
  | boolean
  | Buffer
  | SimpleString
  | ErrorReply
  | MapReply
  | SetReply
  | DoubleReply
  | VerbatimReply
  | NullArray
  | readonly Reply[];

export const OK = new SimpleString('OK');
export const QUEUED = new SimpleString('QUEUED');
export const NULL_ARRAY = new NullArray();

/** Narrows as `Array.isArray` does, without losing the members' type. */
export function isArrayReply(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply);
}
