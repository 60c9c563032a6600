/** A bucket handle over an embedded node: each method is one internal command. */
import { type ErrorCode, invariant, QuoinError } from '../base/errors.js';
import { expectedOf, pageSizeOf, replicasOf, ttlOf } from '../client/arguments.js';
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
} from '../client/bucket.js';
import type { QuorumChoice } from '../server/types.js';
import type { Answered, CommandName } from './packet.js';

/** Carries a command to the node; rejects with `QuoinError`. */
export type Caller = (
  bucket: string,
  command: CommandName,
  args: readonly Buffer[],
  quorum?: QuorumChoice,
) => Promise<Answered>;

const ANY = Buffer.from('any');
const BEGIN = Buffer.from('0');
/** In place of a time to live: the bucket's own. */
const OWN_TTL = -1;

function bytesOf(answered: Answered | undefined): Buffer {
  invariant(Buffer.isBuffer(answered), 'the node answers bytes here');
  return answered;
}

function numberOf(answered: Answered | undefined): number {
  invariant(typeof answered === 'number', 'the node answers a number here');
  return answered;
}

function listOf(answered: Answered | undefined): readonly Answered[] {
  invariant(Array.isArray(answered), 'the node answers a list here');
  return answered as readonly Answered[];
}

function chosen(r: number | undefined, w: number | undefined): QuorumChoice | undefined {
  return r === undefined && w === undefined ? undefined : { r, w };
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

  async get(key: Bytes, options?: ReadOptions): Promise<Buffer | undefined> {
    return (await this.getEntry(key, options))?.value;
  }

  async getText(key: Bytes, options?: ReadOptions): Promise<string | undefined> {
    return (await this.get(key, options))?.toString('utf8');
  }

  async getEntry(key: Bytes, options?: ReadOptions): Promise<Entry | undefined> {
    const quorum = chosen(replicasOf('r', options?.r), undefined);
    const answered = await this.#call(this.name, 'quoin.get', [toBuffer(key)], quorum);
    if (answered === null) return undefined;
    const [value, version, expiresAtMs] = listOf(answered);
    const expiry = numberOf(expiresAtMs);
    return {
      value: bytesOf(value),
      version: numberOf(version),
      expiresAt: expiry === 0 ? undefined : new Date(expiry),
    };
  }

  async set(key: Bytes, value: Bytes, options?: WriteOptions): Promise<number> {
    return numberOf(await this.#put(key, value, options, ANY));
  }

  async delete(key: Bytes, options?: DeleteOptions): Promise<boolean> {
    const quorum = chosen(undefined, replicasOf('w', options?.w));
    return (await this.#call(this.name, 'quoin.delete', [toBuffer(key), ANY], quorum)) === 1;
  }

  async compareAndSet(
    key: Bytes,
    expected: number | 'absent',
    value: Bytes,
    options?: ExpiryOptions,
  ): Promise<number | undefined> {
    const condition = Buffer.from(String(expectedOf(expected)));
    try {
      return numberOf(await this.#put(key, value, options, condition));
    } catch (error) {
      if (isCode(error, 'CONDITION_FAILED')) return undefined;
      throw error;
    }
  }

  async *scan(options: ScanOptions = {}): AsyncIterable<string> {
    for await (const key of this.scanBytes(options)) yield key.toString('utf8');
  }

  async *scanBytes(options: ScanOptions = {}): AsyncIterable<Buffer> {
    // A copy: the caller may go on with its bytes before the last page.
    const prefix = Buffer.from(toBuffer(options.prefix ?? ''));
    const limit = Buffer.from(String(pageSizeOf(options)));
    let cursor: Buffer = BEGIN;
    do {
      const [next, keys] = listOf(await this.#call(this.name, 'quoin.list', [cursor, prefix, limit]));
      for (const key of listOf(keys)) yield bytesOf(key);
      cursor = bytesOf(next);
    } while (!cursor.equals(BEGIN));
  }

  #put(key: Bytes, value: Bytes, options: WriteOptions | undefined, condition: Buffer): Promise<Answered> {
    const ttl = Buffer.from(String(ttlOf(options) ?? OWN_TTL));
    const quorum = chosen(undefined, replicasOf('w', options?.w));
    return this.#call(this.name, 'quoin.put', [toBuffer(key), toBuffer(value), ttl, condition], quorum);
  }
}
