/**
 * Loads a word list through `redis-cli --pipe`, the way in which large amounts of data are put into Redis, and reads it back
 * through another node. Each word is a key; its value is the number of its line, so that a value in the wrong place shows.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createClient } from 'redis';

/** Where Debian's wamerican puts its words. */
export const DEFAULT_WORDS = '/usr/share/dict/words';

const READ_BATCH = 1000;

async function* wordsOf(path: string): AsyncGenerator<{ readonly word: string; readonly line: number }> {
  let line = 0;
  for await (const word of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
    line++;
    if (word !== '') yield { word, line };
  }
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** What `redis-cli --pipe` said at the end. */
export interface LoadReport {
  readonly words: number;
  readonly replies: number;
  readonly errors: number;
}

/** Loads the words through the node on a port. */
export async function loadDictionary(path: string, port: number): Promise<LoadReport> {
  const cli = spawn('redis-cli', ['-p', String(port), '--pipe'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  const keep = (text: string): void => {
    output += text;
  };
  cli.stdout.setEncoding('utf8').on('data', keep);
  cli.stderr.setEncoding('utf8').on('data', keep);
  // When it ends early, its output and exit code say why.
  cli.stdin.on('error', () => {});
  const ended = once(cli, 'close') as Promise<[number | null]>;
  let words = 0;
  for await (const { word, line } of wordsOf(path)) {
    words++;
    const request = `*3\r\n${bulk('SET')}${bulk(word)}${bulk(String(line))}`;
    if (!cli.stdin.write(request)) await Promise.race([once(cli.stdin, 'drain'), ended]);
  }
  cli.stdin.end();
  const [code] = await ended;
  const summary = /errors: (\d+), replies: (\d+)/.exec(output);
  if (code !== 0 || summary === null)
    throw new Error(`redis-cli --pipe ended with ${code ?? 'a signal'}:\n${output}`);
  return { words, replies: Number(summary[2]), errors: Number(summary[1]) };
}

/** Reads every word back through the node on a port; returns the words whose value is not what was loaded. */
export async function verifyDictionary(
  path: string,
  port: number,
): Promise<{ readonly words: number; readonly wrong: readonly string[] }> {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  // Failures show in the requests that they hit.
  client.on('error', () => {});
  await client.connect();
  const wrong: string[] = [];
  let words = 0;
  try {
    let batch: { readonly word: string; readonly line: number }[] = [];
    const check = async (): Promise<void> => {
      const values = await Promise.all(batch.map(({ word }) => client.get(word)));
      for (const [index, { word, line }] of batch.entries())
        if (values[index] !== String(line)) wrong.push(word);
      words += batch.length;
      batch = [];
    };
    for await (const entry of wordsOf(path)) {
      batch.push(entry);
      if (batch.length === READ_BATCH) await check();
    }
    await check();
  } finally {
    client.destroy();
  }
  return { words, wrong };
}
