/**
 * The yardstick: the least that a RESP server in Node.js must do. GET and SET over a Map, requests parsed in place,
 * one write for each connection and turn; no cluster, no log, no limits. What Quoin costs is the distance to this.
 *
 * It takes well-formed arrays of bulk strings from benchmark clients and closes the connection on anything else.
 *
 * Run: `node dist/bench/bare-resp-server.js [port]`; prints `ready PORT`.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';

const OK = Buffer.from('+OK\r\n');
const PONG = Buffer.from('+PONG\r\n');
const ABSENT = Buffer.from('$-1\r\n');
const EMPTY_ARRAY = Buffer.from('*0\r\n');
const UNKNOWN = Buffer.from('-ERR unknown command\r\n');

const store = new Map<string, Buffer>();

class Connection {
  readonly #socket: Socket;
  #pending: Buffer | undefined;
  #replies: Buffer[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', () => socket.destroy());
  }

  #onData(chunk: Buffer): void {
    const data = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
    let position = 0;
    while (position < data.length) {
      const next = this.#request(data, position);
      if (next < 0) break;
      position = next;
    }
    this.#pending = position < data.length ? data.subarray(position) : undefined;
    if (this.#replies.length > 0) {
      this.#socket.write(this.#replies.length === 1 ? this.#replies[0]! : Buffer.concat(this.#replies));
      this.#replies = [];
    }
  }

  /** Handles the request at `start`; returns where the next one begins, or -1 when it is not all there yet. */
  #request(data: Buffer, start: number): number {
    if (data[start] !== 0x2a) {
      this.#socket.destroy();
      return -1;
    }
    let position = start + 1;
    const count = number(data, position);
    if (count < 0) return -1;
    position = lineEnd;
    const words: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const length = number(data, position + 1);
      if (length < 0 || lineEnd + length + 2 > data.length) return -1;
      words.push(data.subarray(lineEnd, lineEnd + length));
      position = lineEnd + length + 2;
    }
    this.#execute(words);
    return position;
  }

  #execute(words: readonly Buffer[]): void {
    const name = words[0]?.toString('latin1').toUpperCase();
    if (name === 'GET') {
      const value = store.get(words[1]!.toString('latin1'));
      if (value === undefined) this.#replies.push(ABSENT);
      else this.#replies.push(Buffer.from(`$${value.length}\r\n${value.toString('latin1')}\r\n`, 'latin1'));
    } else if (name === 'SET') {
      store.set(words[1]!.toString('latin1'), Buffer.from(words[2]!));
      this.#replies.push(OK);
    } else if (name === 'PING') this.#replies.push(PONG);
    // redis-benchmark asks for the persistence settings before it starts.
    else if (name === 'CONFIG') this.#replies.push(EMPTY_ARRAY);
    else this.#replies.push(UNKNOWN);
  }
}

/** One past the end of the line that `number` has read. */
let lineEnd = 0;

/** The number that stands from `position` to the end of the line; -1 when the line is not all there. */
function number(data: Buffer, position: number): number {
  let value = 0;
  for (let i = position; i < data.length; i++) {
    const byte = data[i]!;
    if (byte === 0x0d) {
      if (i + 1 >= data.length) return -1;
      lineEnd = i + 2;
      return value;
    }
    value = value * 10 + byte - 0x30;
  }
  return -1;
}

const server = createServer((socket) => new Connection(socket));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`);
});
