/**
 * Client sessions: what makes a retried command happen once (Ongaro's thesis, 6.3). For each session the table remembers the
 * replies of commands that the client may still repeat; a repeat is answered from it and not executed.
 *
 * A session is a window over its sequences: below `floor` everything was answered and acknowledged; from there on a ring
 * holds the replies of what has been executed. In order a command costs two array stores; out of order it is the same, so a
 * retry that overtakes or falls behind is told exactly: executed if and only if it never was.
 *
 * Invariants:
 * - the table is a function of the log: bounds, idle expiry and eviction look at log time and content only;
 * - a sequence in the ring or below the floor is never executed again;
 * - every remembered reply knows its slot, so that it can move with it.
 *
 * Departure from the thesis: sessions are not registered but begin with their first command. So one that was idle for
 * `LIMITS.sessionIdleMs`, or pushed out by `LIMITS.maxSessionsPerGroup` others, begins anew.
 */
import { type ByteReader, type ByteWriter, DecodeError } from '../base/bytes.js';
import { invariant } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import { ErrorReply, isArrayReply, type Reply, SimpleString } from './reply.js';
import { readReply, writeReply } from './reply-codec.js';

/** Stands for a reply that is not kept: the command has been carried out. */
export const APPLIED: unique symbol = Symbol('applied');
export type Remembered = Reply | typeof APPLIED;

/** Slot of a command without keys. */
export const NO_SLOT = 0xffff;

const INITIAL_CAPACITY = 8;
const SESSION_KEY_BYTES = 8;
/** What an entry of the ring costs beside its reply. */
const ENTRY_BYTES = 16;
/** Commands under way that a session is always granted, even when the group's memory for replies is used up. */
const GRANTED_WINDOW = LIMITS.maxSessionWindow;
/** Idle sessions are looked for so many times within the idle time. */
const SWEEPS_PER_IDLE_TIME = 8;
/** When there are too many sessions, this part of them goes at once, so that the search for them is rare. */
const EVICTED_PART = 1 / 8;

/** Bytes that a reply holds, near enough; equal on every replica. */
function replyBytes(reply: Reply): number {
  if (Buffer.isBuffer(reply)) return reply.length;
  if (isArrayReply(reply)) {
    let sum = 0;
    for (const member of reply) sum += ENTRY_BYTES + replyBytes(member);
    return sum;
  }
  if (reply instanceof ErrorReply || reply instanceof SimpleString) return reply.text.length;
  return 0;
}

/** Memory that all sessions of a group share. */
interface Account {
  rememberedBytes: number;
}

export class Session {
  readonly key: string;
  lastUsedMs: number;
  readonly #account: Account;
  #floor: number;
  /** One past the highest sequence in the ring. */
  #end: number;
  #replies: (Remembered | undefined)[];
  #slots: Uint16Array;

  constructor(key: string, floor: number, lastUsedMs: number, account: Account) {
    this.key = key;
    this.lastUsedMs = lastUsedMs;
    this.#account = account;
    this.#floor = floor;
    this.#end = floor;
    this.#replies = new Array<Remembered | undefined>(INITIAL_CAPACITY).fill(undefined);
    this.#slots = new Uint16Array(INITIAL_CAPACITY);
  }

  /** Everything below has been answered for good. */
  get floor(): number {
    return this.#floor;
  }

  /** What is known of a sequence: its reply, that it was applied, or nothing (undefined: it never was executed). */
  recall(sequence: number): Remembered | undefined {
    if (sequence >= this.#end) return undefined;
    if (sequence < this.#floor) return APPLIED;
    return this.#replies[sequence & (this.#replies.length - 1)];
  }

  /** False when the client has more under way than may be remembered. */
  admits(sequence: number): boolean {
    const distance = sequence - this.#floor;
    if (distance < GRANTED_WINDOW) return true;
    return (
      distance < LIMITS.maxRepliesPerSession &&
      this.#account.rememberedBytes < LIMITS.maxRememberedBytesPerGroup
    );
  }

  /** Takes down the outcome of a sequence that was not known. */
  remember(sequence: number, slot: number, outcome: Remembered): void {
    const distance = sequence - this.#floor;
    invariant(
      distance >= 0 && distance < LIMITS.maxRepliesPerSession,
      'a remembered sequence is within the window',
    );
    if (distance >= this.#replies.length) this.#grow(distance);
    const at = sequence & (this.#replies.length - 1);
    invariant(this.#replies[at] === undefined, 'a sequence is remembered once');
    let kept = outcome;
    if (kept !== APPLIED) {
      const size = replyBytes(kept);
      const tooLarge =
        size > LIMITS.maxRememberedReplyBytes ||
        (size > 0 && this.#account.rememberedBytes + size > LIMITS.maxRememberedBytesPerGroup);
      if (tooLarge) kept = APPLIED;
      else this.#account.rememberedBytes += size;
    }
    this.#account.rememberedBytes += ENTRY_BYTES;
    this.#replies[at] = kept;
    this.#slots[at] = slot;
    if (sequence >= this.#end) this.#end = sequence + 1;
  }

  #grow(distance: number): void {
    let capacity = this.#replies.length;
    while (capacity <= distance) capacity *= 2;
    const replies = new Array<Remembered | undefined>(capacity).fill(undefined);
    const slots = new Uint16Array(capacity);
    const oldMask = this.#replies.length - 1;
    for (let sequence = this.#floor; sequence < this.#end; sequence++) {
      replies[sequence & (capacity - 1)] = this.#replies[sequence & oldMask];
      slots[sequence & (capacity - 1)] = this.#slots[sequence & oldMask]!;
    }
    this.#replies = replies;
    this.#slots = slots;
  }

  /** The client has every answer below. */
  acknowledge(below: number): void {
    if (below <= this.#floor) return;
    const stop = Math.min(below, this.#end);
    for (let sequence = this.#floor; sequence < stop; sequence++) this.#forget(sequence);
    this.#floor = below;
    if (this.#end < below) this.#end = below;
  }

  #forget(sequence: number): void {
    const at = sequence & (this.#replies.length - 1);
    const outcome = this.#replies[at];
    if (outcome === undefined) return;
    this.#account.rememberedBytes -= ENTRY_BYTES + (outcome === APPLIED ? 0 : replyBytes(outcome));
    this.#replies[at] = undefined;
  }

  /** Gives back what the session holds, before it goes. */
  release(): void {
    for (let sequence = this.#floor; sequence < this.#end; sequence++) this.#forget(sequence);
  }

  /** Visits what is remembered (of one slot, when given), in the order of the sequences. */
  forEach(
    slot: number | undefined,
    visitor: (sequence: number, slot: number, outcome: Remembered) => void,
  ): void {
    for (let sequence = this.#floor; sequence < this.#end; sequence++) {
      const at = sequence & (this.#replies.length - 1);
      const outcome = this.#replies[at];
      if (outcome !== undefined && (slot === undefined || slot === this.#slots[at]))
        visitor(sequence, this.#slots[at]!, outcome);
    }
  }
}

/** What a sequence of a session will be answered when its entry comes by, and the slot it concerns. */
interface Foretold {
  readonly slot: number;
  readonly outcome: Remembered;
}

export class SessionTable {
  readonly #sessions = new Map<string, Session>();
  /**
   * Outcomes that came with a snapshot's slots, of entries that are still to come in the log, by session and sequence.
   * They are no part of the sessions until then: these must go through the same states as on every other replica.
   */
  readonly #foretold = new Map<string, Map<number, Foretold>>();
  readonly #account: Account = { rememberedBytes: 0 };
  readonly #maxSessions: number;

  /** `maxSessions` is for tests; all replicas of a group must agree on it. */
  constructor(maxSessions: number = LIMITS.maxSessionsPerGroup) {
    this.#maxSessions = maxSessions;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get rememberedBytes(): number {
    return this.#account.rememberedBytes;
  }

  /** The session of a key (8 bytes as latin-1), begun with this floor when there is none. */
  use(key: string, floor: number, nowMs: number): Session {
    let session = this.#sessions.get(key);
    if (session === undefined) {
      if (this.#sessions.size >= this.#maxSessions) this.#evict();
      session = new Session(key, floor, nowMs, this.#account);
      this.#sessions.set(key, session);
    }
    session.lastUsedMs = nowMs;
    return session;
  }

  /** Drops the longest unused; among equals the order of keys decides, which is the same on every replica. */
  #evict(): void {
    const oldestFirst = [...this.#sessions.values()].sort(
      (left, right) => left.lastUsedMs - right.lastUsedMs || (left.key < right.key ? -1 : 1),
    );
    const count = Math.max(1, Math.floor(this.#maxSessions * EVICTED_PART));
    for (const session of oldestFirst.slice(0, count)) this.#drop(session);
  }

  #drop(session: Session): void {
    session.release();
    this.#sessions.delete(session.key);
  }

  /** Drops idle sessions when log time has entered another sweep period. */
  advance(previousMs: number, nowMs: number): void {
    const period = LIMITS.sessionIdleMs / SWEEPS_PER_IDLE_TIME;
    if (Math.floor(previousMs / period) === Math.floor(nowMs / period)) return;
    for (const session of this.#sessions.values())
      if (session.lastUsedMs + LIMITS.sessionIdleMs <= nowMs) this.#drop(session);
  }

  clear(): void {
    for (const session of this.#sessions.values()) this.#drop(session);
    this.#foretold.clear();
  }

  #inOrder(): Session[] {
    return [...this.#sessions.values()].sort((left, right) => (left.key < right.key ? -1 : 1));
  }

  /** Appends the whole table: equal tables give equal bytes. */
  write(writer: ByteWriter): void {
    writer.varint(this.#sessions.size);
    for (const session of this.#inOrder()) writeSession(writer, session, undefined);
  }

  /** Replaces the table by a written one. */
  read(reader: ByteReader): void {
    this.clear();
    for (let left = reader.varint(); left > 0; left--) this.#readSession(reader);
  }

  /** Appends what is remembered of commands on one slot, to travel with its keys. */
  writeSlot(writer: ByteWriter, slot: number): void {
    this.writeForetold(writer, slot);
    for (const session of this.#sessions.values()) {
      let concerned = false;
      session.forEach(slot, () => {
        concerned = true;
      });
      if (concerned) writeSession(writer, session, slot);
    }
  }

  /** Takes what `writeSlot` gave elsewhere as outcomes of entries that are still to be applied here. */
  foretell(reader: ByteReader): void {
    while (reader.remainingBytes > 0) {
      const key = reader.raw(SESSION_KEY_BYTES).toString('latin1');
      reader.varint();
      const floor = reader.varint();
      let outcomes = this.#foretold.get(key);
      if (outcomes === undefined) {
        outcomes = new Map();
        this.#foretold.set(key, outcomes);
      }
      for (let left = reader.varint(); left > 0; left--) {
        const sequence = floor + reader.varint();
        const slot = reader.u16();
        outcomes.set(sequence, { slot, outcome: owned(readOutcome(reader)) });
      }
    }
  }

  /** What a snapshot told of a command that its slot reflects already. */
  foretold(key: string, sequence: number): Remembered | undefined {
    return this.#foretold.get(key)?.get(sequence)?.outcome;
  }

  /** The log has come as far as the snapshot's last slot. */
  forgetForetold(): void {
    this.#foretold.clear();
  }

  /** Appends what is foretold (of one slot, when given) in the form that `foretell` reads. */
  writeForetold(writer: ByteWriter, slot: number | undefined): void {
    const keys = [...this.#foretold.keys()].sort();
    for (const key of keys) {
      const outcomes = [...this.#foretold.get(key)!]
        .filter(([, foretold]) => slot === undefined || foretold.slot === slot)
        .sort((left, right) => left[0] - right[0]);
      if (outcomes.length === 0) continue;
      writer.raw(Buffer.from(key, 'latin1'));
      writer.varint(0);
      writer.varint(0);
      writer.varint(outcomes.length);
      for (const [sequence, foretold] of outcomes)
        writeOutcome(writer, sequence, foretold.slot, foretold.outcome);
    }
  }

  /** Adds what `writeSlot` gave elsewhere; what is known here already stays. */
  readSlot(reader: ByteReader): void {
    while (reader.remainingBytes > 0) this.#readSession(reader);
  }

  #readSession(reader: ByteReader): void {
    const key = reader.raw(SESSION_KEY_BYTES).toString('latin1');
    const lastUsedMs = reader.varint();
    const floor = reader.varint();
    const present = this.#sessions.get(key);
    const session = this.use(key, floor, Math.max(lastUsedMs, present?.lastUsedMs ?? 0));
    for (let left = reader.varint(); left > 0; left--) {
      const sequence = floor + reader.varint();
      const slot = reader.u16();
      const outcome = readOutcome(reader);
      if (sequence - session.floor >= LIMITS.maxRepliesPerSession)
        throw new DecodeError('a remembered sequence is out of its window');
      if (session.recall(sequence) === undefined) session.remember(sequence, slot, owned(outcome));
    }
  }
}

/** Replies as decoded are views; what is kept must not hold on to the whole of what it was read from. */
function owned(outcome: Remembered): Remembered {
  if (Buffer.isBuffer(outcome)) return Buffer.from(outcome);
  if (Array.isArray(outcome))
    return outcome.map((member: Reply) => {
      const copy = owned(member);
      return copy === APPLIED ? null : copy;
    });
  return outcome;
}

function writeSession(writer: ByteWriter, session: Session, slot: number | undefined): void {
  writer.raw(Buffer.from(session.key, 'latin1'));
  writer.varint(session.lastUsedMs);
  writer.varint(session.floor);
  let count = 0;
  session.forEach(slot, () => {
    count++;
  });
  writer.varint(count);
  session.forEach(slot, (sequence, entrySlot, outcome) =>
    writeOutcome(writer, sequence - session.floor, entrySlot, outcome),
  );
}

function writeOutcome(writer: ByteWriter, distance: number, slot: number, outcome: Remembered): void {
  writer.varint(distance);
  writer.u16(slot);
  if (outcome === APPLIED) writer.u8(0);
  else {
    writer.u8(1);
    writeReply(writer, outcome);
  }
}

function readOutcome(reader: ByteReader): Remembered {
  const hasReply = reader.u8();
  if (hasReply > 1) throw new DecodeError('a remembered reply is neither there nor not');
  return hasReply === 1 ? readReply(reader) : APPLIED;
}
