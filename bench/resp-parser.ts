/**
 * How fast requests are parsed and replies written, without sockets: `npx tsx bench/resp-parser.ts`. Chunks are as a socket
 * gives them: 64 KiB of pipelined requests.
 */
import { CommandTable } from '../src/api/resp/command-table.js';
import { COMMAND, RequestParser } from '../src/api/resp/parser.js';
import { ReplyWriter } from '../src/api/resp/writer.js';
import { OK } from '../src/store/reply.js';

const CHUNK_BYTES = 64 * 1024;
const ROUND_MS = 1000;

function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

function measure(name: string, perCall: number, call: () => void): void {
  for (let i = 0; i < 200; i++) call();
  const start = performance.now();
  let calls = 0;
  while (performance.now() - start < ROUND_MS) {
    for (let i = 0; i < 20; i++) call();
    calls += 20;
  }
  const perSecond = (calls * perCall * 1000) / (performance.now() - start);
  const nanoseconds = 1e9 / perSecond;
  console.log(`${name.padEnd(40)} ${(perSecond / 1e6).toFixed(2)} M/s  ${nanoseconds.toFixed(0)} ns each`);
}

function requests(command: (index: number) => readonly string[]): { chunk: Buffer; count: number } {
  let text = '';
  let count = 0;
  while (text.length < CHUNK_BYTES) text += encode(command(count++));
  return { chunk: Buffer.from(text, 'latin1'), count };
}

const table = new CommandTable();
const value = 'v'.repeat(64);
const key = (index: number): string => `key:${String(index % 100_000).padStart(12, '0')}`;

for (const [name, command] of [
  ['SET of 64 bytes', (index: number) => ['SET', key(index), value]],
  ['GET', (index: number) => ['GET', key(index)]],
] as const) {
  const { chunk, count } = requests(command);
  const parser = new RequestParser();
  measure(`parse and look up ${name}`, count, () => {
    parser.feed(chunk);
    while (parser.next() === COMMAND) table.find(parser.nameBytes, parser.nameStart, parser.nameEnd);
  });
}

const writer = new ReplyWriter();
const bytes = Buffer.from(value);
measure('write OK', 1000, () => {
  for (let i = 0; i < 1000; i++) writer.write(OK, 2);
  writer.discard();
});
measure('write a value of 64 bytes', 500, () => {
  for (let i = 0; i < 500; i++) writer.write(bytes, 2);
  writer.discard();
});
