/**
 * Request bodies as one Buffer each, bounded twice: each by its route's limit, all together by
 * `LIMITS.maxHttpBodyBytes`, so that many large uploads at once are refused rather than held without bound.
 *
 * What is refused is still read to its end and thrown away, so that the client gets to see the answer and the connection
 * survives.
 */
import type { IncomingMessage } from 'node:http';
import type { ErrorCode } from '../../base/errors.js';
import { QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';

export class BodyReader {
  #heldBytes = 0;

  /** Bytes of bodies that are being received now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Reads a body of at most `maxBytes`; larger ones reject with `code`. */
  read(stream: IncomingMessage, maxBytes: number, code: ErrorCode): Promise<Buffer> {
    const tooLarge = (): QuoinError => new QuoinError(code, `the body is larger than ${maxBytes} bytes`);
    const announced = Number(stream.headers['content-length'] ?? Number.NaN);
    if (announced > maxBytes) {
      stream.resume();
      return Promise.reject(tooLarge());
    }
    return new Promise((resolve, reject) => {
      let chunks: Buffer[] = [];
      let sizeBytes = 0;
      let settled = false;
      const settle = (error: QuoinError | undefined): void => {
        if (settled) return;
        settled = true;
        this.#heldBytes -= sizeBytes;
        if (error !== undefined) {
          chunks = [];
          reject(error);
          stream.resume();
        } else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, sizeBytes));
      };
      stream.on('data', (chunk: Buffer) => {
        if (settled) return;
        sizeBytes += chunk.length;
        this.#heldBytes += chunk.length;
        if (sizeBytes > maxBytes) settle(tooLarge());
        else if (this.#heldBytes > LIMITS.maxHttpBodyBytes)
          settle(new QuoinError('OVERLOADED', 'too many request bodies are being received'));
        else chunks.push(chunk);
      });
      stream.on('end', () => settle(undefined));
      const cut = (): void =>
        settle(new QuoinError('PROTOCOL_ERROR', 'the request ended in the middle of its body'));
      stream.on('error', cut);
      stream.on('close', cut);
    });
  }
}
