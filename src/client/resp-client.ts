/**
 * A small pipelining RESP client: one connection, requests in order, a deadline for every answer. The command line and
 * the load generator use it.
 *
 * Invariants: every request is answered exactly once, by a reply or an error; after the first failure the connection is closed
 * and nothing is sent any more. A request whose answer did not come has an unknown outcome, and says so.
 */
import { connect, type Socket } from 'node:net';
import { type ErrorCode, QuoinError } from '../base/errors.js';
import { RespError, RespReader, type RespValue } from './resp-reader.js';

export interface RespClientOptions {
  readonly host: string;
  readonly port: number;
  /** For connecting, and for each answer. */
  readonly timeoutMs: number;
}

type Answer = (error: QuoinError | undefined, value: RespValue) => void;

interface Waiting {
  readonly answer: Answer;
  readonly sentAtMs: number;
}

export type RespArgument = string | Buffer;

/** Writes one request in RESP. */
export function encodeRequest(args: readonly RespArgument[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const argument of args) {
    const bytes = typeof argument === 'string' ? Buffer.from(argument) : argument;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF);
  }
  return Buffer.concat(parts);
}

const CRLF = Buffer.from('\r\n');

/** How often answers are checked for being late: one timer for each connection, none for each request. */
const CHECKS_PER_TIMEOUT = 8;

export class RespClient {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #address: string;
  /** Requests without an answer, oldest first; those before `#first` are answered. */
  #waiting: Waiting[] = [];
  #first = 0;
  #unsent: Buffer[] = [];
  #failure: QuoinError | undefined;
  readonly #lateness: NodeJS.Timeout;

  private constructor(socket: Socket, options: RespClientOptions) {
    this.#socket = socket;
    this.#timeoutMs = options.timeoutMs;
    this.#address = `${options.host}:${options.port}`;
    socket.setNoDelay(true);
    const reader = new RespReader((value) => this.#take(value));
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.#fail(error instanceof QuoinError ? error : new QuoinError('INTERNAL', String(error)));
      }
    });
    socket.on('error', (error) => this.#fail(this.#lost(error.message)));
    socket.on('close', () => this.#fail(this.#lost('the connection was closed')));
    this.#lateness = setInterval(
      () => this.#checkLateness(),
      Math.max(1, options.timeoutMs / CHECKS_PER_TIMEOUT),
    );
    this.#lateness.unref();
  }

  /** Connects; rejects with UNREACHABLE or TIMEOUT. */
  static connect(options: RespClientOptions): Promise<RespClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: options.host, port: options.port });
      const address = `${options.host}:${options.port}`;
      const deadline = setTimeout(() => {
        socket.destroy();
        reject(new QuoinError('UNREACHABLE', `no connection to ${address} within ${options.timeoutMs} ms`));
      }, options.timeoutMs);
      const refused = (error: Error): void => {
        clearTimeout(deadline);
        reject(
          new QuoinError('UNREACHABLE', `cannot connect to ${address}: ${reasonOf(error)}`, { cause: error }),
        );
      };
      socket.once('error', refused);
      socket.once('connect', () => {
        clearTimeout(deadline);
        socket.off('error', refused);
        resolve(new RespClient(socket, options));
      });
    });
  }

  /** Requests that wait for their answers. */
  get pending(): number {
    return this.#waiting.length - this.#first;
  }

  /** Sends one request. Requests of one turn of the event loop leave in one write. */
  send(args: readonly RespArgument[], answer: Answer): void {
    this.sendEncoded(encodeRequest(args), answer);
  }

  /** The same for a request that is encoded already (load generators send the same bytes many times). */
  sendEncoded(request: Buffer, answer: Answer): void {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      setImmediate(() => answer(failure, null));
      return;
    }
    this.#waiting.push({ answer, sentAtMs: performance.now() });
    if (this.#unsent.length === 0) setImmediate(() => this.#flush());
    this.#unsent.push(request);
  }

  /** One request as a Promise. An error reply is thrown as `RespError`. */
  command(...args: readonly RespArgument[]): Promise<RespValue> {
    return new Promise((resolve, reject) => {
      this.send(args, (error, value) => {
        if (error !== undefined) reject(error);
        else if (value instanceof RespError) reject(value);
        else resolve(value);
      });
    });
  }

  close(): void {
    this.#fail(new QuoinError('SHUTTING_DOWN', 'the client was closed'));
  }

  #flush(): void {
    const unsent = this.#unsent;
    if (unsent.length === 0 || this.#failure !== undefined) return;
    this.#unsent = [];
    this.#socket.write(unsent.length === 1 ? unsent[0]! : Buffer.concat(unsent));
  }

  #take(value: RespValue): void {
    const waiting = this.#waiting[this.#first];
    if (waiting === undefined) {
      this.#fail(new QuoinError('PROTOCOL_ERROR', `${this.#address} answered what was not asked`));
      return;
    }
    this.#first++;
    // The answered front is cut off now and then, so that each answer costs the same.
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    } else if (this.#first >= 1024 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    waiting.answer(undefined, value);
  }

  #checkLateness(): void {
    const oldest = this.#waiting[this.#first];
    if (oldest === undefined || performance.now() - oldest.sentAtMs < this.#timeoutMs) return;
    this.#fail(this.#lost(`no answer within ${this.#timeoutMs} ms`));
  }

  #lost(reason: string): QuoinError {
    // What was sent may have been carried out; what only waits for a connection was not.
    const code: ErrorCode = this.pending > 0 ? 'OUTCOME_UNKNOWN' : 'UNREACHABLE';
    return new QuoinError(code, `${this.#address}: ${reason}`);
  }

  #fail(error: QuoinError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearInterval(this.#lateness);
    this.#socket.destroy();
    this.#unsent = [];
    const waiting = this.#waiting.slice(this.#first);
    this.#waiting = [];
    this.#first = 0;
    for (const { answer } of waiting) answer(error, null);
  }
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  // A host with several addresses fails with an empty message and a list of reasons.
  return error.message === '' ? (code ?? 'no address answered') : error.message;
}
