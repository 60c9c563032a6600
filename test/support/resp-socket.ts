/**
 * A raw RESP connection for tests: sends bytes or commands, decodes replies of both protocols into plain values, and sees
 * when the other side closes. Every wait has a deadline.
 */
import { connect, type Socket } from 'node:net';

/** An error reply. */
export class RespError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** Bulk and simple strings are text (UTF-8); maps are arrays of pairs under `map`; sets are arrays under `set`. */
export type Decoded =
  | string
  | number
  | boolean
  | null
  | RespError
  | Decoded[]
  | { readonly map: [Decoded, Decoded][] }
  | { readonly set: Decoded[] }
  | { readonly double: string }
  | { readonly verbatim: string };

/** A reply that is text, verbatim or not. */
export function textOf(reply: Decoded): string {
  if (typeof reply === 'string') return reply;
  if (reply !== null && typeof reply === 'object' && 'verbatim' in reply) return reply.verbatim;
  throw new Error(`not text: ${JSON.stringify(reply)}`);
}

const DEADLINE_MS = 10_000;

/** Thrown inside when bytes are missing. */
class Incomplete extends Error {}

export function encodeCommand(...words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** Decodes one reply at `at`; undefined when it is not whole. */
export function decodeReply(bytes: Buffer, at: number): { value: Decoded; next: number } | undefined {
  let position = at;
  const line = (): string => {
    const end = bytes.indexOf('\r\n', position);
    if (end < 0) throw new Incomplete();
    const text = bytes.toString('utf8', position, end);
    position = end + 2;
    return text;
  };
  const body = (size: number): string => {
    if (position + size + 2 > bytes.length) throw new Incomplete();
    const text = bytes.toString('utf8', position, position + size);
    position += size + 2;
    return text;
  };
  const read = (): Decoded => {
    const head = line();
    const rest = head.slice(1);
    const many = (count: number): Decoded[] => Array.from({ length: count }, read);
    switch (head[0]) {
      case '+':
        return rest;
      case '-':
        return new RespError(rest);
      case ':':
        return Number(rest);
      case '$':
        return rest === '-1' ? null : body(Number(rest));
      case '*':
        return rest === '-1' ? null : many(Number(rest));
      case '_':
        return null;
      case '#':
        return rest === 't';
      case ',':
        return { double: rest };
      case '=':
        return { verbatim: body(Number(rest)).slice(4) };
      case '%':
        return { map: Array.from({ length: Number(rest) }, (): [Decoded, Decoded] => [read(), read()]) };
      case '~':
        return { set: many(Number(rest)) };
      default:
        throw new Error(`not a reply: ${JSON.stringify(head)}`);
    }
  };
  try {
    return { value: read(), next: position };
  } catch (error) {
    if (error instanceof Incomplete) return undefined;
    throw error;
  }
}

export class RespSocket {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  /** Arrived since `#received` was last put together. */
  #chunks: Buffer[] = [];
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  static connect(address: string): Promise<RespSocket> {
    const colon = address.lastIndexOf(':');
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)) });
      socket.setNoDelay(true);
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RespSocket(socket)));
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that have arrived and were not decoded. */
  get received(): Buffer {
    if (this.#chunks.length > 0) {
      this.#received = Buffer.concat([this.#received, ...this.#chunks]);
      this.#chunks = [];
    }
    return this.#received;
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes);
  }

  send(...words: readonly (string | Buffer)[]): void {
    this.write(encodeCommand(...words));
  }

  /** Waits until `ready` answers something. */
  async #until<T>(ready: () => T | undefined, what: string): Promise<T> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const result = ready();
      if (result !== undefined) return result;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0)
        throw new Error(`waited in vain for ${what}; have ${this.received.toString('latin1', 0, 200)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The next reply. */
  next(): Promise<Decoded> {
    return this.#until(() => {
      const decoded = decodeReply(this.received, 0);
      if (decoded === undefined) {
        if (this.#closed) throw new Error('the connection was closed before a reply came');
        return undefined;
      }
      this.#received = this.#received.subarray(decoded.next);
      return { value: decoded.value };
    }, 'a reply').then(({ value }) => value);
  }

  /** The next `count` replies. */
  async replies(count: number): Promise<Decoded[]> {
    const replies: Decoded[] = [];
    for (let i = 0; i < count; i++) replies.push(await this.next());
    return replies;
  }

  command(...words: readonly (string | Buffer)[]): Promise<Decoded> {
    this.send(...words);
    return this.next();
  }

  /** The raw bytes of the next `sizeBytes`. */
  bytes(sizeBytes: number): Promise<Buffer> {
    return this.#until(() => {
      if (this.received.length < sizeBytes) return undefined;
      const bytes = this.#received.subarray(0, sizeBytes);
      this.#received = this.#received.subarray(sizeBytes);
      return bytes;
    }, `${sizeBytes} bytes`);
  }

  untilClosed(): Promise<true> {
    return this.#until(() => (this.#closed ? true : undefined), 'the connection to close');
  }

  close(): void {
    this.socket.destroy();
  }
}
