/** A bucket handle over an embedded node: each method is one internal command. */
import { type ErrorCode, invariant, QuoinError } from '../base/errors.js';
import {
  type Bucket,
  type Bytes,
  type Entry,
  type ScanOptions,
  toBuffer,
  type WriteOptions,
} from '../client/bucket.js';
import type { Answered } from './protocol.js';

/** Carries a command to the node; rejects with `QuoinError`. */
export type Caller = (bucket: string, command: string, args: readonly Uint8Array[]) => Promise<Answered>;

const DEFAULT_PAGE_SIZE = 1000;

/** -1: the bucket's own time to live. */
const ttlArgument = (options: WriteOptions | undefined): Buffer => Buffer.from(String(options?.ttlMs ?? -1));

function bytesOf(answered: Answered | undefined): Buffer {
  invariant(answered instanceof Uint8Array, 'the node answers bytes here');
  return toBuffer(answered);
}

function numberOf(answered: Answered | undefined): number {
  invariant(typeof answered === 'number', 'the node answers a number here');
  return answered;
}

function isCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof QuoinError && error.code === code;
}

export class EmbeddedBucket implements Bucket {
  readonly name: string;
  readonly #call: Caller;

  constructor(name: string, call: Caller) {
    this.name = name;
    this.#call = call;
  }

  async get(key: Bytes): Promise<Buffer | undefined> {
    return (await this.getEntry(key))?.value;
  }

  async getText(key: Bytes): Promise<string | undefined> {
    return (await this.get(key))?.toString('utf8');
  }

  async getEntry(key: Bytes): Promise<Entry | undefined> {
    const answered = await this.#call(this.name, 'quoin.get', [toBuffer(key)]);
    if (answered === null) return undefined;
    invariant(Array.isArray(answered), 'the node answers value, version and expiry');
    const [value, version, expiresAtMs] = answered as readonly Answered[];
    const expiry = numberOf(expiresAtMs);
    return {
      value: bytesOf(value),
      version: numberOf(version),
      expiresAt: expiry === 0 ? undefined : new Date(expiry),
    };
  }

  async set(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number> {
    return numberOf(await this.#put(key, value, options, 'any'));
  }

  async delete(key: Bytes): Promise<boolean> {
    return (await this.#call(this.name, 'quoin.delete', [toBuffer(key), Buffer.from('any')])) === 1;
  }

  async compareAndSet(
    key: Bytes,
    expected: number | 'absent',
    value: Bytes,
    options?: WriteOptions,
  ): Promise<number | undefined> {
    try {
      return numberOf(await this.#put(key, value, options, String(expected)));
    } catch (error) {
      if (isCode(error, 'CONDITION_FAILED')) return undefined;
      throw error;
    }
  }

  async *scan(options: ScanOptions = {}): AsyncIterable<string> {
    const prefix = toBuffer(options.prefix ?? '');
    const limit = Buffer.from(String(options.pageSize ?? DEFAULT_PAGE_SIZE));
    let cursor: Buffer = Buffer.from('0');
    do {
      const page = await this.#call(this.name, 'quoin.list', [cursor, prefix, limit]);
      invariant(Array.isArray(page), 'the node answers a cursor and keys');
      const [next, keys] = page as readonly Answered[];
      invariant(Array.isArray(keys), 'the node answers a list of keys');
      for (const key of keys as readonly Answered[]) yield bytesOf(key).toString('utf8');
      cursor = bytesOf(next);
    } while (cursor.toString() !== '0');
  }

  #put(key: Bytes, value: Bytes, options: WriteOptions | undefined, condition: string): Promise<Answered> {
    const args = [toBuffer(key), toBuffer(value), ttlArgument(options), Buffer.from(condition)];
    return this.#call(this.name, 'quoin.put', args);
  }
}
