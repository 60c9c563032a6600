/** The smallest client of the Redis protocol (version 2) that a test needs: whole requests out, replies in order. */
import { connect, type Socket } from 'node:net';

export type RespValue = null | number | bigint | Buffer | RespError | RespSimple | readonly RespValue[];

export class RespError {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export class RespSimple {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

interface Waiting {
  readonly resolve: (value: RespValue) => void;
  readonly reject: (error: Error) => void;
}

export class RespClient {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #input: Buffer = Buffer.alloc(0);
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('connection closed')));
  }

  static open(port: number, host = '127.0.0.1'): Promise<RespClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, host);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new RespClient(socket));
      });
    });
  }

  call(...words: (string | number | Buffer)[]): Promise<RespValue> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)];
    for (const word of words) {
      const bytes = Buffer.isBuffer(word) ? word : Buffer.from(String(word), 'latin1');
      parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
    }
    this.#socket.write(Buffer.concat(parts));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }

  #receive(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk]);
    for (;;) {
      const parsed = parseValue(this.#input, 0);
      if (parsed === undefined) return;
      this.#input = this.#input.subarray(parsed.end);
      this.#waiting.shift()?.resolve(parsed.value);
    }
  }
}

interface Parsed {
  readonly value: RespValue;
  readonly end: number;
}

/** The value at `start`, or undefined when the input ends before it does. */
function parseValue(input: Buffer, start: number): Parsed | undefined {
  const lineEnd = input.indexOf('\r\n', start);
  if (lineEnd < 0) return undefined;
  const line = input.toString('utf8', start + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(input[start]!)) {
    case '+':
      return { value: new RespSimple(line), end };
    case '-':
      return { value: new RespError(line), end };
    case ':': {
      const number = Number(line);
      return { value: Number.isSafeInteger(number) ? number : BigInt(line), end };
    }
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      if (input.length < end + length + 2) return undefined;
      return { value: Buffer.from(input.subarray(end, end + length)), end: end + length + 2 };
    }
    case '*': {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      const members: RespValue[] = [];
      let at = end;
      for (let i = 0; i < length; i++) {
        const member = parseValue(input, at);
        if (member === undefined) return undefined;
        members.push(member.value);
        at = member.end;
      }
      return { value: members, end: at };
    }
    default:
      throw new Error(`not a reply: ${input.toString('latin1', start, start + 40)}`);
  }
}
