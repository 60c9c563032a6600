/**
 * Requests of a connection that are not answered yet, in the order in which they came: a linked list of slots. A slot
 * is the one object that a request costs; for a command of the store it is the `Request` and its `Completion` at once.
 *
 * Slots are not pooled: a router may still hold a request that it has completed (to tell a late answer from a lost
 * one), and a slot handed out again too early would give one client's answer to another.
 *
 * Invariant: `complete` is called exactly once; a second call is a defect of the node and stops it.
 */
import { invariant } from '../../base/errors.js';
import type { Completion, QuorumChoice, ReadConsistency, Request } from '../../server/types.js';
import type { CommandDefinition } from '../../store/command.js';
import type { Reply } from '../../store/reply.js';
import type { BucketDescription, SessionStamp } from '../../store/types.js';
import type { CommandEntry } from './command-table.js';
import type { ClientConnection } from './connection.js';
import type { ProtocolVersion } from './writer.js';

/** What turns the store's answer to a transaction into the answer to EXEC. */
export interface ReplyTransform {
  transform(reply: Reply): Reply;
}

/** One place in a connection's row of answers. */
export class ReplySlot implements Completion {
  readonly connection: ClientConnection;
  /** Undefined: what came was no command. */
  readonly entry: CommandEntry | undefined;
  /** The words after the name, for the slow log. */
  readonly args: readonly Buffer[];
  readonly startedAtMs: number;
  readonly sizeBytes: number;
  readonly isWrite: boolean;
  next: ReplySlot | undefined = undefined;
  done = false;
  reply: Reply = null;
  protocol: ProtocolVersion;
  /** The client does not want this answer (CLIENT REPLY). */
  silent: boolean;
  /** The connection ends after this answer. */
  closes = false;

  constructor(
    connection: ClientConnection,
    entry: CommandEntry | undefined,
    args: readonly Buffer[],
    startedAtMs: number,
    sizeBytes: number,
    isWrite: boolean,
  ) {
    this.connection = connection;
    this.entry = entry;
    this.args = args;
    this.startedAtMs = startedAtMs;
    this.sizeBytes = sizeBytes;
    this.isWrite = isWrite;
    this.protocol = connection.protocol;
    this.silent = connection.silent;
  }

  complete(reply: Reply): void {
    invariant(!this.done, 'a request is completed once');
    this.done = true;
    this.reply = reply;
    this.connection.completed(this);
  }
}

/** A slot that waits for the store. */
export class PendingRequest extends ReplySlot implements Request {
  readonly definition: CommandDefinition;
  readonly bucket: BucketDescription;
  readonly completion: Completion;
  readonly consistency: ReadConsistency;
  readonly ordered: boolean;
  readonly session: SessionStamp | undefined = undefined;
  readonly quorum: QuorumChoice | undefined;
  readonly #transform: ReplyTransform | undefined;

  constructor(
    connection: ClientConnection,
    entry: CommandEntry | undefined,
    definition: CommandDefinition,
    args: readonly Buffer[],
    startedAtMs: number,
    sizeBytes: number,
    transform: ReplyTransform | undefined,
  ) {
    super(connection, entry, args, startedAtMs, sizeBytes, definition.isWrite);
    this.definition = definition;
    this.bucket = connection.bucket;
    this.completion = this;
    this.consistency = connection.readConsistency;
    this.ordered = connection.pendingWrites > 0;
    this.quorum = connection.quorum;
    this.#transform = transform;
  }

  override complete(reply: Reply): void {
    super.complete(this.#transform === undefined ? reply : this.#transform.transform(reply));
  }
}
