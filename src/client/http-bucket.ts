/** A bucket handle over the network: each method is one request of the HTTP door (`docs/http.md`). */
import { QuoinError } from '../base/errors.js';
import { expectedOf, pageSizeOf, replicasOf, ttlOf } from './arguments.js';
import {
  type Bucket,
  type Bytes,
  type DeleteOptions,
  type Entry,
  type ExpiryOptions,
  type ReadOptions,
  type ScanOptions,
  toBuffer,
  type WriteOptions,
} from './bucket.js';
import type { Operation } from './caller.js';
import type { HttpAnswer } from './exchange.js';
import { jsonObjectOf } from './problem.js';

/** Carries a call to the cluster; rejects with `QuoinError`. */
export type Call = (operation: Operation) => Promise<HttpAnswer>;

/** Letters and digits, `-` and `_`: what no proxy on the way will touch. */
function isPlain(byte: number): boolean {
  const lower = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x7a) || byte === 0x2d || byte === 0x5f;
}

function percentEncode(bytes: Buffer): string {
  let text = '';
  for (const byte of bytes)
    text += isPlain(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`;
  return text;
}

/** Names and values that need no escaping; undefined ones are left out. */
function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length === 0 ? '' : `?${given.map(([name, value]) => `${name}=${value}`).join('&')}`;
}

function unexpected(what: string): QuoinError {
  return new QuoinError('PROTOCOL_ERROR', `the node's answer has ${what}`);
}

function versionOf({ headers }: HttpAnswer): number {
  const version = Number(/^"(\d+)"$/.exec(headers.etag ?? '')?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(version)) throw unexpected('no version');
  return version;
}

function expiryOf({ headers }: HttpAnswer): Date | undefined {
  const expiresAtMs = headers['quoin-expires-at'];
  return expiresAtMs === undefined ? undefined : new Date(Number(expiresAtMs));
}

/** A key in JSON: text, or bytes that are none. */
function keyOf(value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'utf8');
  if (typeof value === 'object' && value !== null && 'base64' in value && typeof value.base64 === 'string')
    return Buffer.from(value.base64, 'base64');
  throw unexpected('a key that is neither text nor bytes');
}

export class HttpBucket implements Bucket {
  readonly name: string;
  readonly #call: Call;
  readonly #path: string;

  constructor(name: string, call: Call) {
    this.name = name;
    this.#call = call;
    this.#path = `/v1/kv/${name}`;
  }

  async get(key: Bytes, options?: ReadOptions): Promise<Buffer | undefined> {
    return (await this.getEntry(key, options))?.value;
  }

  async getText(key: Bytes, options?: ReadOptions): Promise<string | undefined> {
    return (await this.get(key, options))?.toString('utf8');
  }

  async getEntry(key: Bytes, options?: ReadOptions): Promise<Entry | undefined> {
    const query = queryOf({ r: replicasOf('r', options?.r) });
    const answer = await this.#call({ bucket: this.name, method: 'GET', path: this.#keyPath(key) + query });
    if (answer.status === 404) return undefined;
    return { value: answer.body, version: versionOf(answer), expiresAt: expiryOf(answer) };
  }

  async set(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number> {
    return this.#put(key, value, options, {});
  }

  async delete(key: Bytes, options?: DeleteOptions): Promise<boolean> {
    const query = queryOf({ w: replicasOf('w', options?.w) });
    const answer = await this.#call({
      bucket: this.name,
      method: 'DELETE',
      path: this.#keyPath(key) + query,
    });
    return answer.status !== 404;
  }

  async compareAndSet(
    key: Bytes,
    expected: number | 'absent',
    value: Bytes,
    options?: ExpiryOptions,
  ): Promise<number | undefined> {
    const headers: Record<string, string> =
      expectedOf(expected) === 'absent' ? { 'if-none-match': '*' } : { 'if-match': `"${expected}"` };
    try {
      return await this.#put(key, value, options, headers);
    } catch (error) {
      if (error instanceof QuoinError && error.code === 'CONDITION_FAILED') return undefined;
      throw error;
    }
  }

  async *scan(options: ScanOptions = {}): AsyncIterable<string> {
    for await (const key of this.scanBytes(options)) yield key.toString('utf8');
  }

  async *scanBytes(options: ScanOptions = {}): AsyncIterable<Buffer> {
    const prefix = percentEncode(toBuffer(options.prefix ?? ''));
    const limit = pageSizeOf(options);
    let cursor: unknown = '0';
    do {
      const path = `${this.#path}?prefix=${prefix}&limit=${limit}&cursor=${String(cursor)}`;
      const answer = await this.#call({ bucket: this.name, method: 'GET', path });
      const page = jsonObjectOf(answer.body);
      const keys: unknown = page?.keys;
      if (!Array.isArray(keys)) throw unexpected('no list of keys');
      for (const key of keys as readonly unknown[]) yield keyOf(key);
      cursor = page?.cursor;
      if (cursor !== null && typeof cursor !== 'string') throw unexpected('no cursor');
    } while (cursor !== null);
  }

  #keyPath(key: Bytes): string {
    const bytes = toBuffer(key);
    // A path that ends with the bucket is the list of its keys.
    if (bytes.length === 0)
      throw new QuoinError('WRONG_ARGUMENTS', 'the key is empty, which a path cannot carry');
    return `${this.#path}/${percentEncode(bytes)}`;
  }

  async #put(
    key: Bytes,
    value: Bytes,
    options: WriteOptions | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<number> {
    const ttlMs = ttlOf(options);
    const ttl = ttlMs === undefined ? undefined : `${ttlMs}ms`;
    const query = queryOf({ ttl, w: replicasOf('w', options?.w) });
    // A copy: attempts may be made long after the caller has gone on with its bytes.
    const body = typeof value === 'string' ? toBuffer(value) : Buffer.from(toBuffer(value));
    const answer = await this.#call({
      bucket: this.name,
      method: 'PUT',
      path: this.#keyPath(key) + query,
      headers,
      body,
    });
    return versionOf(answer);
  }
}
