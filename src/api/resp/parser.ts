/**
 * Incremental parser of requests: arrays of bulk strings, and inline commands.
 *
 * It reads in place. A word that lies within one chunk of the socket is a view of that chunk; a word that spans chunks
 * is assembled once, in a buffer that grows by doubling towards the announced length, so that neither a slow sender
 * makes it quadratic nor an announcement alone takes memory. The name of the command is not even made a Buffer: the
 * command table looks it up in the chunk.
 *
 * Invariants:
 * - `next` is called until it answers `incomplete` before the next chunk is fed; unread bytes are never lost;
 * - after `failed` the framing is lost: the connection must be closed, as Redis does;
 * - after `refused` the framing stands: the whole request was skipped without being held, and the next one follows;
 * - what is held of an unfinished request is bounded by `maxRequestBytes`, plus one line of at most `MAX_LINE_BYTES`; over
 *   all connections by the budget.
 */
import { LIMITS } from '../../base/limits.js';
import { ErrorReply } from '../../store/reply.js';
import { splitInline } from './inline.js';
import { type InputBudget, SMALL_BYTES } from './input-budget.js';

/** Outcomes of `next`. */
export const INCOMPLETE = 0;
export const COMMAND = 1;
/** A whole request was read past because it is over a limit; `error` says which. */
export const REFUSED = 2;
/** The bytes are not the protocol; `error` says why. */
export const FAILED = 3;

export type ParseOutcome = typeof INCOMPLETE | typeof COMMAND | typeof REFUSED | typeof FAILED;

export interface ParserLimits {
  readonly maxValueBytes: number;
  readonly maxRequestBytes: number;
  readonly maxArguments: number;
}

/** Longest bulk string that the protocol allows (Redis's proto-max-bulk-len); past it framing is not to be trusted. */
export const MAX_BULK_BYTES = 512 * 1024 * 1024;
/** Longest line: an inline request, or the length in front of a bulk string. */
export const MAX_LINE_BYTES = 64 * 1024;
/** What a spanning word gets at first; it grows as its bytes in fact arrive. */
const FIRST_ASSEMBLY_BYTES = 1024 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const DOLLAR = 0x24;
const ASTERISK = 0x2a;
const ZERO = 0x30;

const EMPTY = Buffer.alloc(0);

/** An inline request without a word, which is passed over. */
const EMPTY_LINE = -1;

/** Results of `#readNumber` that are not a number of things. */
const NUMBER_INCOMPLETE = -1;
const NUMBER_INVALID = -2;
const NUMBER_NEGATIVE = -3;
const NUMBER_TOO_LONG = -4;

export class RequestParser {
  readonly #limits: ParserLimits;
  readonly #budget: InputBudget | undefined;
  /** What this request has taken of the budget. */
  #reservedBytes = 0;
  #chunk: Buffer = EMPTY;
  #position = 0;
  #end = 0;
  /** Bytes still to be read past: the line end after a bulk string, or a bulk string that is refused. */
  #skipBytes = 0;
  /** True from the header of a request until all of it has been read. */
  #inRequest = false;
  /** Words still to come of the request at hand. */
  #wordsLeft = 0;
  /** True until the first word (the name) has been read. */
  #nameComes = false;
  /** Length of the bulk string at hand; -1 before its header. */
  #bulkLength = -1;
  /** A word that spans chunks, and how much of it is there. */
  #assembly: Buffer | undefined;
  #assembledBytes = 0;
  #refusal: ErrorReply | undefined;

  /** The name of the command is [nameStart, nameEnd) of `nameBytes`. */
  nameBytes: Buffer = EMPTY;
  nameStart = 0;
  nameEnd = 0;
  /** The words after the name; a new array for each command. */
  args: Buffer[] = [];
  /** Bytes of all words of the command at hand. */
  requestBytes = 0;
  /** Why the last `next` answered `refused` or `failed`. */
  error: ErrorReply | undefined;

  constructor(limits: ParserLimits = LIMITS, budget?: InputBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  /** Hands over the next bytes of the stream; they must not change afterwards. */
  feed(chunk: Buffer): void {
    if (this.#position < this.#end) {
      // A line cut in two: joined, so that lines never have to be read across chunks. It is short (`MAX_LINE_BYTES`).
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#position, this.#end), chunk]);
    } else {
      this.#chunk = chunk;
    }
    this.#position = 0;
    this.#end = this.#chunk.length;
  }

  /** Reads the next request. `incomplete`: feed more bytes. */
  next(): ParseOutcome {
    for (;;) {
      if (this.#skipBytes > 0) {
        const size = Math.min(this.#skipBytes, this.#end - this.#position);
        this.#position += size;
        this.#skipBytes -= size;
        if (this.#skipBytes > 0) return this.#starve();
      }
      if (!this.#inRequest) {
        if (this.#position >= this.#end) return this.#starve();
        if (this.#chunk[this.#position] !== ASTERISK) {
          const outcome = this.#readInline();
          if (outcome === EMPTY_LINE) continue;
          return outcome;
        }
        const count = this.#readNumber();
        if (count < 0) {
          if (count === NUMBER_INCOMPLETE) return INCOMPLETE;
          if (count === NUMBER_NEGATIVE) continue;
          if (count === NUMBER_TOO_LONG) return this.#fail('too big mbulk count string');
          return this.#fail('invalid multibulk length');
        }
        if (count > this.#limits.maxArguments) return this.#fail('invalid multibulk length');
        if (count === 0) continue;
        this.#inRequest = true;
        this.#wordsLeft = count;
        this.#nameComes = true;
        this.#bulkLength = -1;
        this.#refusal = undefined;
        this.args = [];
        this.requestBytes = 0;
      }
      const outcome = this.#readWords();
      if (outcome !== COMMAND) return outcome;
      if (this.#skipBytes > 0) continue;
      this.#inRequest = false;
      return this.#finish();
    }
  }

  /** True when a request has begun and its end has not come. */
  get midRequest(): boolean {
    return this.#inRequest || this.#position < this.#end;
  }

  /** Reads words until the request is whole (`command`) or the bytes end. */
  #readWords(): ParseOutcome {
    while (this.#wordsLeft > 0) {
      if (this.#skipBytes > 0) {
        const size = Math.min(this.#skipBytes, this.#end - this.#position);
        this.#position += size;
        this.#skipBytes -= size;
        if (this.#skipBytes > 0) return this.#starve();
      }
      if (this.#bulkLength < 0) {
        if (this.#position >= this.#end) return this.#starve();
        const first = this.#chunk[this.#position]!;
        if (first !== DOLLAR) return this.#fail(`expected '$', got '${String.fromCharCode(first)}'`);
        const length = this.#readNumber();
        if (length < 0) {
          if (length === NUMBER_INCOMPLETE) return INCOMPLETE;
          if (length === NUMBER_TOO_LONG) return this.#fail('too big bulk count string');
          return this.#fail('invalid bulk length');
        }
        if (length > MAX_BULK_BYTES) return this.#fail('invalid bulk length');
        this.requestBytes += length;
        if (length > this.#limits.maxValueBytes || this.requestBytes > this.#limits.maxRequestBytes) {
          this.#refuse(length);
        }
        if (this.#refusal !== undefined) {
          this.#skipBytes = length + 2;
          this.#wordsLeft--;
          continue;
        }
        this.#bulkLength = length;
      }
      if (!this.#readBody()) return this.#starve();
    }
    return COMMAND;
  }

  /** Takes one bulk string's bytes; false when more must come. */
  #readBody(): boolean {
    const length = this.#bulkLength;
    const available = this.#end - this.#position;
    if (this.#assembly === undefined) {
      if (available >= length) {
        const start = this.#position;
        this.#takeWord(this.#chunk, start, start + length);
        this.#position = start + length;
        this.#passLineEnd();
        return true;
      }
      const firstBytes = Math.min(length, FIRST_ASSEMBLY_BYTES);
      if (!this.#reserve(firstBytes)) return this.#giveUpWord(length);
      this.#assembly = Buffer.allocUnsafe(firstBytes);
      this.#assembledBytes = 0;
    }
    const size = Math.min(available, length - this.#assembledBytes);
    const needed = this.#assembledBytes + size;
    if (needed > this.#assembly.length) {
      const grownBytes = Math.min(length, Math.max(needed, this.#assembly.length * 2));
      if (!this.#reserve(grownBytes - this.#assembly.length)) {
        return this.#giveUpWord(length - this.#assembledBytes);
      }
      const grown = Buffer.allocUnsafeSlow(grownBytes);
      this.#assembly.copy(grown, 0, 0, this.#assembledBytes);
      this.#assembly = grown;
    }
    this.#chunk.copy(this.#assembly, this.#assembledBytes, this.#position, this.#position + size);
    this.#position += size;
    this.#assembledBytes = needed;
    if (needed < length) return false;
    const word = this.#assembly;
    this.#assembly = undefined;
    this.#takeWord(word, 0, length);
    this.#passLineEnd();
    return true;
  }

  #reserve(sizeBytes: number): boolean {
    if (sizeBytes < SMALL_BYTES || this.#budget === undefined) return true;
    if (!this.#budget.reserve(sizeBytes)) return false;
    this.#reservedBytes += sizeBytes;
    return true;
  }

  /** Gives back what the request has taken of the budget: it is whole, or nobody waits for it any more. */
  release(): void {
    if (this.#reservedBytes === 0) return;
    this.#budget?.release(this.#reservedBytes);
    this.#reservedBytes = 0;
  }

  /** There is no memory for this word: the request is refused, and the rest of the word is read past. */
  #giveUpWord(restBytes: number): boolean {
    this.#refusal = ErrorReply.of('OVERLOADED', 'too many large requests are being read');
    this.#letGo();
    this.#skipBytes = restBytes + 2;
    this.#bulkLength = -1;
    this.#wordsLeft--;
    return true;
  }

  #letGo(): void {
    this.args = [];
    this.nameBytes = EMPTY;
    this.nameStart = 0;
    this.nameEnd = 0;
    this.#nameComes = false;
    this.#assembly = undefined;
    this.release();
  }

  #takeWord(bytes: Buffer, start: number, end: number): void {
    if (this.#nameComes) {
      this.#nameComes = false;
      this.nameBytes = bytes;
      this.nameStart = start;
      this.nameEnd = end;
    } else {
      this.args.push(bytes.subarray(start, end));
    }
    this.#bulkLength = -1;
    this.#wordsLeft--;
  }

  /** Steps over the two bytes after a bulk string; like Redis it does not look at them. */
  #passLineEnd(): void {
    const available = this.#end - this.#position;
    if (available >= 2) {
      this.#position += 2;
    } else {
      this.#position = this.#end;
      this.#skipBytes = 2 - available;
    }
  }

  /** All words are there (or have been read past). */
  #finish(): ParseOutcome {
    this.release();
    const refusal = this.#refusal;
    if (refusal === undefined) return COMMAND;
    this.#refusal = undefined;
    this.error = refusal;
    return REFUSED;
  }

  /** Lets go of what has been taken of this request; the rest is read past. */
  #refuse(length: number): void {
    if (this.#refusal !== undefined) return;
    const { maxValueBytes, maxRequestBytes } = this.#limits;
    this.#refusal =
      length > maxValueBytes
        ? ErrorReply.of(
            'VALUE_TOO_LARGE',
            `argument of ${length} bytes is over the limit of ${maxValueBytes}`,
          )
        : ErrorReply.of('REQUEST_TOO_LARGE', `request is over the limit of ${maxRequestBytes} bytes`);
    this.#letGo();
  }

  /** Reads `<type byte><decimal>\r\n` at the position and steps past it. */
  #readNumber(): number {
    const chunk = this.#chunk;
    const end = this.#end;
    const start = this.#position + 1;
    let at = start;
    let value = 0;
    // Ten digits are more than any limit, and far from losing precision.
    const longest = Math.min(end, start + 11);
    while (at < longest) {
      const digit = chunk[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    if (at < end && chunk[at] === CR && at > start && (at === start + 1 || chunk[start] !== ZERO)) {
      if (at + 2 > end) return NUMBER_INCOMPLETE;
      this.#position = at + 2;
      return value;
    }
    return this.#readOddNumber(start);
  }

  /** The slow way: an unfinished line, a negative number, or nonsense. */
  #readOddNumber(start: number): number {
    const lineEnd = this.#chunk.indexOf(CR, start);
    if (lineEnd < 0 || lineEnd >= this.#end) {
      return this.#end - this.#position > MAX_LINE_BYTES ? NUMBER_TOO_LONG : NUMBER_INCOMPLETE;
    }
    if (lineEnd + 2 > this.#end) return NUMBER_INCOMPLETE;
    const text = this.#chunk.toString('latin1', start, Math.min(lineEnd, start + 32));
    if (!/^-[1-9][0-9]{0,17}$/.test(text)) return NUMBER_INVALID;
    this.#position = lineEnd + 2;
    return NUMBER_NEGATIVE;
  }

  /** Reads one line of words. */
  #readInline(): ParseOutcome | typeof EMPTY_LINE {
    const start = this.#position;
    const lineEnd = this.#chunk.indexOf(LF, start);
    if (lineEnd < 0 || lineEnd >= this.#end) {
      return this.#end - start > MAX_LINE_BYTES ? this.#fail('too big inline request') : INCOMPLETE;
    }
    const textEnd = lineEnd > start && this.#chunk[lineEnd - 1] === CR ? lineEnd - 1 : lineEnd;
    this.#position = lineEnd + 1;
    const words = splitInline(this.#chunk.subarray(start, textEnd));
    if (words === undefined) return this.#fail('unbalanced quotes in request');
    const name = words.shift();
    if (name === undefined) return EMPTY_LINE;
    this.nameBytes = name;
    this.nameStart = 0;
    this.nameEnd = name.length;
    this.args = words;
    this.requestBytes = textEnd - start;
    return COMMAND;
  }

  #fail(text: string): ParseOutcome {
    this.error = ErrorReply.of('PROTOCOL_ERROR', `Protocol error: ${text}`);
    this.#letGo();
    return FAILED;
  }

  /** The chunk is used up: it is let go, so that an idle connection holds no bytes. */
  #starve(): ParseOutcome {
    if (this.#position >= this.#end) {
      this.#chunk = EMPTY;
      this.#position = 0;
      this.#end = 0;
    }
    return INCOMPLETE;
  }
}
