/** One client connection of the load generator: requests go out as bytes, each answer is told with the tag of its request. */
import { connect, type Socket } from 'node:net';
import { QuoinError } from '../../src/base/errors.js';
import { ReplyCounter } from './reply-counter.js';

export interface ConnectionEvents {
  /** An answer, in the order of the requests. */
  onReply(tag: number, isError: boolean): void;
  /** The connection has ended; `unanswered` requests will not be answered. */
  onClose(unanswered: number, reason: string): void;
}

export class LoadConnection {
  readonly #socket: Socket;
  readonly #tags: number[] = [];
  /** First tag that waits; the array is cut now and then, not at each answer. */
  #firstTag = 0;
  #closed = false;

  private constructor(socket: Socket, events: ConnectionEvents) {
    this.#socket = socket;
    let reason = 'the server closed the connection';
    const counter = new ReplyCounter((isError) => {
      const tag = this.#tags[this.#firstTag++];
      if (tag === undefined) throw new Error('an answer without a request');
      if (this.#firstTag > 1024) {
        this.#tags.splice(0, this.#firstTag);
        this.#firstTag = 0;
      }
      events.onReply(tag, isError);
    });
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      try {
        counter.push(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => {
      this.#closed = true;
      events.onClose(this.unanswered, reason);
    });
  }

  static open(host: string, port: number, events: ConnectionEvents): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port });
      const refused = (cause: Error): void =>
        reject(new QuoinError('UNREACHABLE', `redis://${host}:${port}: ${cause.message}`, { cause }));
      socket.once('error', refused);
      socket.once('connect', () => {
        socket.off('error', refused);
        resolve(new LoadConnection(socket, events));
      });
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  get unanswered(): number {
    return this.#tags.length - this.#firstTag;
  }

  /** Sends encoded requests; `tags` has one for each. */
  send(bytes: Buffer, tags: readonly number[]): void {
    for (const tag of tags) this.#tags.push(tag);
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A request as an array of bulk strings. */
export function encodeRequest(words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}
