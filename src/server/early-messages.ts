/**
 * Messages of peers that have a newer map than this node: they may concern a bucket that is not known here yet, and would be
 * refused. The map is asked for with the first of them (`onNewerEpoch`) and comes within a round trip, so they wait for it.
 *
 * Invariants:
 * - what waits is bounded in bytes; past the bound, and after `PATIENCE_MS`, messages are taken without the map;
 * - a map that did not come in time is not waited for again.
 */
import { DecodeError } from '../base/bytes.js';
import { LIMITS } from '../base/limits.js';

const PATIENCE_MS = 500;

interface EarlyMessage {
  readonly epoch: number;
  readonly sizeBytes: number;
  readonly sinceMs: number;
  readonly take: () => void;
}

export class EarlyMessages {
  #messages: EarlyMessage[] = [];
  #waitingBytes = 0;
  /** Maps up to this one are not waited for any more. */
  #givenUp = 0;

  /** Keeps a message whose sender knows the map of `epoch`. False: it does not wait, and is to be taken now. */
  keep(epoch: number, sizeBytes: number, nowMs: number, take: () => void): boolean {
    if (epoch <= this.#givenUp || this.#waitingBytes + sizeBytes > LIMITS.maxEarlyMessageBytes) return false;
    this.#messages.push({ epoch, sizeBytes, sinceMs: nowMs, take });
    this.#waitingBytes += sizeBytes;
    return true;
  }

  /** The map of this epoch is here. */
  arrived(epoch: number): void {
    this.#release((message) => message.epoch <= epoch);
  }

  tick(nowMs: number): void {
    const oldest = this.#messages[0];
    if (oldest === undefined || nowMs - oldest.sinceMs < PATIENCE_MS) return;
    this.#givenUp = Math.max(this.#givenUp, oldest.epoch);
    this.#release((message) => message.epoch <= this.#givenUp);
  }

  #release(isDue: (message: EarlyMessage) => boolean): void {
    if (this.#messages.length === 0) return;
    const due = this.#messages.filter(isDue);
    this.#messages = this.#messages.filter((message) => !isDue(message));
    for (const message of due) {
      this.#waitingBytes -= message.sizeBytes;
      try {
        message.take();
      } catch (error) {
        // Its link cannot be closed for it any more; a message that cannot be read says nothing.
        if (!(error instanceof DecodeError)) throw error;
      }
    }
  }
}
