/**
 * A connection's unanswered requests in the order in which they came, with what they hold, and whether there is room for
 * one more.
 *
 * Three things are bounded: the number of unanswered requests, the bytes of their arguments, and the bytes of answers that
 * are there or on their way. The size of an answer is not known before it comes, so requests under way are expected to
 * bring as much as large answers did lately; otherwise thousands of small requests for a large value would pass. A
 * connection that has not shown what answers it gets begins with few requests under way, as TCP begins with few segments.
 * When a client turns from small values to large ones with many requests under way, the reads past what may be held are
 * answered with OVERLOADED.
 */
import { LIMITS } from '../../base/limits.js';
import { ErrorReply, type Reply } from '../../store/reply.js';
import { PendingRequest, type ReplySlot } from './pending.js';
import { isArrayReply } from './words.js';
import type { ReplyWriter } from './writer.js';

/** What an item of an answer takes beside its bytes, nearly. */
const ITEM_BYTES = 16;
/** The expected size of answers fades by this part with each smaller one. */
const FADE = 8;
/** Requests under way before the first answers have come; doubled by each answer until there is no need. */
const FIRST_WINDOW = 16;

const TOO_MUCH_HELD = ErrorReply.of(
  'OVERLOADED',
  'too many bytes of answers wait for this connection; ask for fewer at one time',
);

/** Bytes of an answer, nearly: enough to bound what is held. */
function replyBytes(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length;
  if (!isArrayReply(reply)) return 0;
  let size = 0;
  for (const item of reply) size += Buffer.isBuffer(item) ? item.length + ITEM_BYTES : ITEM_BYTES;
  return size;
}

export class ReplyRow {
  #head: ReplySlot | undefined;
  #tail: ReplySlot | undefined;
  #length = 0;
  #requestBytes = 0;
  /** Requests that wait for the store. */
  #waiting = 0;
  /** Bytes of answers that are there but not yet written. */
  #heldBytes = 0;
  #expectedReplyBytes = 0;
  #window = FIRST_WINDOW;

  /** Requests without a written answer. */
  get length(): number {
    return this.#length;
  }

  /** True when nothing waits for the store. */
  get idle(): boolean {
    return this.#waiting === 0;
  }

  /** True when the first request has its answer. */
  get ready(): boolean {
    return this.#head?.done === true;
  }

  /** May another request be read, with so many bytes unsent at the socket? */
  hasRoom(unsentBytes: number): boolean {
    if (this.#length === 0) return unsentBytes < LIMITS.maxConnectionOutputBytes;
    return (
      this.#length < this.#window &&
      this.#requestBytes < LIMITS.maxRequestBytes &&
      unsentBytes + this.#heldBytes + this.#length * this.#expectedReplyBytes <
        LIMITS.maxConnectionOutputBytes
    );
  }

  append(slot: ReplySlot): void {
    if (this.#tail === undefined) this.#head = slot;
    else this.#tail.next = slot;
    this.#tail = slot;
    this.#length++;
    this.#requestBytes += slot.sizeBytes;
    if (slot instanceof PendingRequest) this.#waiting++;
  }

  /** A request of the store has been answered. */
  storeAnswered(): void {
    this.#waiting--;
  }

  /** Takes note of an answer; true when it is the first in the row, so that something can be written. */
  hold(slot: ReplySlot): boolean {
    let size = replyBytes(slot.reply);
    if (this.#heldBytes + size > LIMITS.maxConnectionHeldBytes && this.#heldBytes > 0 && !slot.isWrite) {
      slot.reply = TOO_MUCH_HELD;
      size = 0;
    }
    if (this.#window < LIMITS.maxConnectionInflight)
      this.#window = Math.min(this.#window * 2, LIMITS.maxConnectionInflight);
    this.#heldBytes += size;
    const faded = this.#expectedReplyBytes - Math.ceil(this.#expectedReplyBytes / FADE);
    this.#expectedReplyBytes = size > faded ? size : faded;
    return slot === this.#head;
  }

  /** Writes the finished head of the row, up to the limit on unsent bytes; returns the last slot that was written. */
  write(writer: ReplyWriter, nowMs: number): ReplySlot | undefined {
    let slot = this.#head;
    let last: ReplySlot | undefined;
    while (slot?.done === true) {
      if (!slot.silent) writer.write(slot.reply, slot.protocol);
      this.#heldBytes -= replyBytes(slot.reply);
      this.#length--;
      this.#requestBytes -= slot.sizeBytes;
      slot.connection.server.account(slot, nowMs);
      last = slot;
      slot = slot.next;
      if (last.closes || writer.pendingBytes > LIMITS.maxConnectionOutputBytes) break;
    }
    this.#head = slot;
    if (slot === undefined) this.#tail = undefined;
    return last;
  }

  /** Forgets all: nobody will read the answers. */
  clear(): void {
    this.#head = undefined;
    this.#tail = undefined;
    this.#length = 0;
  }
}
