/**
 * The running hash of all that happened: every executed event with its time, every frame delivered and every byte
 * handed to a disk. Two runs of one seed must end with the same hash; when they do not, something looked at the world
 * outside `Env`.
 *
 * Two 32-bit lanes, mixed per word: not cryptographic, only sensitive to every value and to their order.
 */
import { crc32 } from 'node:zlib';

const FLOAT = new Float64Array(1);
const WORDS = new Uint32Array(FLOAT.buffer);

export class Trace {
  #low = 0x243f6a88;
  #high = 0x85a308d3;

  /** Mixes in one integer (its low 32 bits). */
  add(word: number): void {
    const low = Math.imul(this.#low ^ word, 0x9e3779b1);
    const high = Math.imul(this.#high + word, 0x85ebca77) ^ (low >>> 15);
    this.#low = (low << 13) | (low >>> 19);
    this.#high = high ^ this.#low;
  }

  /** Mixes in all 64 bits of a float: a difference of one rounding shows. */
  addFloat(value: number): void {
    FLOAT[0] = value;
    this.add(WORDS[0]!);
    this.add(WORDS[1]!);
  }

  addBytes(bytes: Uint8Array): void {
    this.add(bytes.length);
    this.add(crc32(bytes));
  }

  addText(text: string): void {
    this.addBytes(Buffer.from(text));
  }

  /** 16 hex digits. */
  digest(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }
}
