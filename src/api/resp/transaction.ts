/**
 * MULTI/EXEC as one command of the state machine. What is queued stays at the connection until EXEC; then the commands
 * of the store, with the versions of the watched keys, go through the log as one internal command that the group carries
 * out all or not at all. That is why all keys, watched ones included, must lie in one slot.
 *
 * Commands of the connection (PING, ECHO, TIME...) may be queued too; they are carried out here when the store has
 * answered, and their answers take their places among the others.
 *
 * Invariants: a refused command makes EXEC refuse (EXECABORT); what is queued is bounded in number and bytes.
 */
import { LIMITS } from '../../base/limits.js';
import type { CommandDefinition } from '../../store/command.js';
import { ErrorReply, type Reply } from '../../store/reply.js';
import type { CommandEntry } from './command-table.js';
import type { ClientConnection } from './connection.js';
import { ANSWERED } from './connection-command.js';
import { CROSS_SLOT, NOT_IN_TRANSACTION } from './messages.js';
import type { ReplyTransform } from './pending.js';
import { commonSlot, refusalFor } from './routing.js';
import { isArrayReply } from './words.js';

interface QueuedCommand {
  readonly entry: CommandEntry;
  readonly args: readonly Buffer[];
}

/** One nested command of the store. */
export interface NestedCommand {
  readonly definition: CommandDefinition;
  readonly args: readonly Buffer[];
}

export class Transaction {
  readonly queued: QueuedCommand[] = [];
  #failed = false;
  #sizeBytes = 0;
  /** Slot of all keys so far; -1: none yet, -2: several. */
  #slot = -1;

  /** A command was refused: EXEC will answer EXECABORT. */
  get failed(): boolean {
    return this.#failed;
  }

  get slot(): number {
    return this.#slot;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  fail(): void {
    this.#failed = true;
  }

  /** Keeps a command for EXEC, or says why not. */
  add(
    client: ClientConnection,
    entry: CommandEntry,
    args: readonly Buffer[],
    sizeBytes: number,
  ): ErrorReply | undefined {
    if (entry.data !== undefined) {
      if (entry.data.scope !== 'keys') return NOT_IN_TRANSACTION;
      const refusal = refusalFor(client, entry, args);
      if (refusal !== undefined) return refusal;
      const slot = commonSlot(entry, args);
      if (slot === -2) return CROSS_SLOT;
      if (slot >= 0) this.#slot = this.#slot === -1 || this.#slot === slot ? slot : -2;
    }
    if (
      this.queued.length >= LIMITS.maxCommandsPerEntry ||
      this.#sizeBytes + sizeBytes > LIMITS.maxRequestBytes
    ) {
      return ErrorReply.of(
        'REQUEST_TOO_LARGE',
        `a transaction holds at most ${LIMITS.maxCommandsPerEntry} commands and ${LIMITS.maxRequestBytes} bytes`,
      );
    }
    this.#sizeBytes += sizeBytes;
    this.queued.push({ entry, args });
    return undefined;
  }
}

/** Keys that a connection watches, each in its bucket with the version it had. */
export class WatchList {
  readonly #keys = new Map<string, WatchedKey>();

  get size(): number {
    return this.#keys.size;
  }

  has(bucketId: number, key: Buffer): boolean {
    return this.#keys.has(`${bucketId}:${key.toString('latin1')}`);
  }

  add(watched: WatchedKey): void {
    this.#keys.set(`${watched.bucketId}:${watched.key.toString('latin1')}`, watched);
  }

  clear(): void {
    this.#keys.clear();
  }

  all(): WatchedKey[] {
    return [...this.#keys.values()];
  }
}

export interface WatchedKey {
  readonly bucketId: number;
  readonly key: Buffer;
  readonly version: number;
}

/**
 * What EXEC does: which queued commands go to the store, and how the answer is put together. A command that its own
 * `validate` refuses never reaches the log; its error stands in its place, as Redis answers it.
 */
export class ExecutionPlan implements ReplyTransform {
  readonly nested: NestedCommand[] = [];
  readonly #client: ClientConnection;
  readonly #steps: readonly (QueuedCommand | ErrorReply)[];

  constructor(client: ClientConnection, transaction: Transaction) {
    this.#client = client;
    this.#steps = transaction.queued.map((command) => {
      const definition = command.entry.data;
      if (definition === undefined) return command;
      const refusal = definition.validate?.(command.args);
      if (refusal !== undefined) return refusal;
      this.nested.push({ definition, args: command.args });
      return command;
    });
  }

  /** Puts the store's answers and those of the connection's commands into the order of the queue. */
  transform(reply: Reply): Reply {
    if (!isArrayReply(reply)) return reply;
    const replies: Reply[] = [];
    let next = 0;
    for (const step of this.#steps) {
      if (step instanceof ErrorReply) replies.push(step);
      else if (step.entry.data !== undefined) replies.push(reply[next++] ?? null);
      else replies.push(this.#runHere(step));
    }
    return replies;
  }

  #runHere(command: QueuedCommand): Reply {
    try {
      const outcome = command.entry.connection?.run(this.#client, command.args) ?? null;
      return outcome instanceof Promise || outcome === ANSWERED ? NOT_IN_TRANSACTION : outcome;
    } catch (error) {
      return ErrorReply.from(error);
    }
  }
}
