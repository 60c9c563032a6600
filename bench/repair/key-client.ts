/**
 * A client that writes numbered keys, generation after generation, and tells of each answer whether it is stale. One
 * connection, a bounded number of requests under way.
 */
import { RespClient } from '../../src/client/resp-client.js';
import { RespError, type RespValue } from '../../src/client/resp-reader.js';
import { portOf } from '../support/quoin-cluster.js';

const WINDOW = 256;
const ANSWER_TIMEOUT_MS = 15_000;
const VALUE_BYTES = 64;

/** Keys by number, from `from` up to but not including `to`. */
export interface KeyRange {
  readonly from: number;
  readonly to: number;
}

export function keyOf(number: number): Buffer {
  return Buffer.from(`key:${String(number).padStart(12, '0')}`);
}

/** Another value for each key and generation. */
export function valueOfKey(number: number, generation: number): Buffer {
  return Buffer.from(`${generation}/${number}/`.padEnd(VALUE_BYTES, 'x'));
}

/** Bytes of key and value: what must move to mend one key. */
export const KEY_AND_VALUE_BYTES = keyOf(0).length + VALUE_BYTES;

export class KeyClient {
  readonly #client: RespClient;

  private constructor(client: RespClient) {
    this.#client = client;
  }

  /** `quorum`: how many replicas its requests ask for, instead of what the bucket says. */
  static async connect(
    address: string,
    quorum: { readonly r?: number; readonly w?: number } = {},
  ): Promise<KeyClient> {
    const client = await RespClient.connect({
      host: '127.0.0.1',
      port: portOf(address),
      timeoutMs: ANSWER_TIMEOUT_MS,
    });
    const words = Object.entries(quorum).flatMap(([name, count]) => [name, String(count)]);
    try {
      if (words.length > 0) await client.command('CLIENT', 'QUORUM', ...words);
    } catch (error) {
      client.close();
      throw error;
    }
    return new KeyClient(client);
  }

  /** Reads a key that nobody has written; rejects while that is not answered. */
  async probe(): Promise<void> {
    await this.#client.command('GET', 'never-written');
  }

  async write({ from, to }: KeyRange, generation: number): Promise<void> {
    await this.#each(
      from,
      to,
      (number) => ['SET', keyOf(number), valueOfKey(number, generation)],
      () => {},
    );
  }

  /** Reads all keys; returns how many did not show this generation. */
  async countStale({ from, to }: KeyRange, generation: number): Promise<number> {
    let stale = 0;
    await this.#each(
      from,
      to,
      (number) => ['GET', keyOf(number)],
      (number, value) => {
        if (!(value instanceof Buffer) || !value.equals(valueOfKey(number, generation))) stale++;
      },
    );
    return stale;
  }

  close(): void {
    this.#client.close();
  }

  /** Rejects at the first error, be it an answer or a lost connection. */
  #each(
    from: number,
    to: number,
    request: (number: number) => (string | Buffer)[],
    take: (number: number, value: RespValue) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let next = from;
      let left = to - from;
      if (left <= 0) {
        resolve();
        return;
      }
      const sendNext = (): void => {
        if (next >= to) return;
        const number = next++;
        this.#client.send(request(number), (error, value) => {
          if (error !== undefined) reject(error);
          else if (value instanceof RespError) reject(value);
          else {
            take(number, value);
            if (--left === 0) resolve();
            else sendNext();
          }
        });
      };
      for (let i = 0; i < WINDOW; i++) sendNext();
    });
  }
}
