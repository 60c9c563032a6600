/**
 * Up to which index of the group's log the slots that came with a snapshot reflect it already. Entries up to there are behind
 * these slots and must not be applied to them again.
 *
 * Invariant: the index of a slot never goes back, but for `clear`.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.js';

export class ReflectedSlots {
  readonly #indexes = new Map<number, number>();
  /** The highest index among them; past it they are of no more use. */
  #upTo = 0;

  get isEmpty(): boolean {
    return this.#indexes.size === 0;
  }

  /** Does the slot reflect the entry of this index already? */
  reflects(slot: number, index: number): boolean {
    return this.#indexes.size > 0 && index <= (this.#indexes.get(slot) ?? 0);
  }

  /** True when all slots are behind this index and nothing of them need be known. */
  areAllBefore(index: number): boolean {
    return index > this.#upTo;
  }

  set(slot: number, index: number): void {
    // A sender that is itself behind what its slots reflect has said so in its head.
    this.#indexes.set(slot, Math.max(index, this.#indexes.get(slot) ?? 0));
    this.#upTo = Math.max(this.#upTo, index);
  }

  clear(): void {
    this.#indexes.clear();
    this.#upTo = 0;
  }

  write(writer: ByteWriter): void {
    const indexes = [...this.#indexes].sort((left, right) => left[0] - right[0]);
    writer.varint(indexes.length);
    for (const [slot, index] of indexes) {
      writer.u16(slot);
      writer.varint(index);
    }
  }

  /** Replaces what is known by what `write` has written. */
  read(reader: ByteReader): void {
    this.clear();
    for (let left = reader.varint(); left > 0; left--) this.set(reader.u16(), reader.varint());
  }
}
