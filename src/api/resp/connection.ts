/**
 * One client connection: reads requests, carries them out, answers in order.
 *
 * The way of a request: the parser finds it in the chunk, the table finds its command, a slot is appended to the row of
 * unanswered requests, and the command goes to the node (or is carried out here when it concerns the connection).
 * Answers may come in any order; `flush` writes the finished head of the row. It runs once for each turn of the event
 * loop, for all connections that have something to say, and writes to each socket once.
 *
 * Invariants:
 * - answers leave in the order of their requests, each in the protocol that was spoken when its request was read;
 * - reading stops while unanswered requests, the bytes they hold or unsent answers are at their limit;
 * - behind a barrier (a command that answers later) nothing is read until it has answered.
 */
import type { Socket } from 'node:net';
import { LIMITS } from '../../base/limits.js';
import type { QuorumChoice, ReadConsistency } from '../../server/types.js';
import type { CommandDefinition } from '../../store/command.js';
import { ErrorReply, QUEUED, type Reply } from '../../store/reply.js';
import type { BucketDescription } from '../../store/types.js';
import { DEFAULT_USER } from './access.js';
import type { CommandEntry } from './command-table.js';
import type { FormerChoices } from './commands/promised-copies.js';
import { ANSWERED } from './connection-command.js';
import { NOT_IN_TRANSACTION, transactionDiscarded, unknownCommand, wrongArity } from './messages.js';
import { COMMAND, FAILED, INCOMPLETE, REFUSED, RequestParser } from './parser.js';
import { PendingRequest, ReplySlot, type ReplyTransform } from './pending.js';
import { ReplyRow } from './reply-row.js';
import { refusalFor } from './routing.js';
import type { RespServer } from './server.js';
import { type Transaction, WatchList } from './transaction.js';
import type { ProtocolVersion, ReplyWriter } from './writer.js';

/** Shown for a connection before its node knows a map. */
const NO_BUCKET: BucketDescription = {
  id: 0,
  name: 'default',
  replication: 'raft',
  engine: 'lmdb',
  ttlMs: 0,
};

const NO_ARGS: readonly Buffer[] = [];

/** CLIENT REPLY: `skip-next` is set by SKIP itself, `skipping` holds for the command after it. */
export type ReplyMode = 'on' | 'off' | 'skip-next' | 'skipping';

function modeForNext(mode: ReplyMode): ReplyMode {
  if (mode === 'skip-next') return 'skipping';
  return mode === 'skipping' ? 'on' : mode;
}

export class ClientConnection {
  readonly id: number;
  readonly server: RespServer;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly connectedAtMs = Date.now();
  readonly #socket: Socket;
  readonly #parser: RequestParser;

  // What the client has set.
  name = '';
  libraryName = '';
  libraryVersion = '';
  protocol: ProtocolVersion = 2;
  bucket: BucketDescription;
  readConsistency: ReadConsistency = 'linearizable';
  /** What this connection asks of eventual buckets (CLIENT QUORUM); undefined: what each bucket says. */
  quorum: QuorumChoice | undefined = undefined;
  /** What it has asked of them before, for WAIT. */
  formerChoices: FormerChoices | undefined = undefined;
  replyMode: ReplyMode = 'on';
  noEvict = false;
  noTouch = false;
  user = DEFAULT_USER;
  authenticated: boolean;
  transaction: Transaction | undefined;
  readonly watched = new WatchList();

  // What it has done.
  lastActiveMs = Date.now();
  lastCommand: CommandEntry | undefined;
  commandsProcessed = 0;
  /** The last key written, for WAIT. */
  lastWrittenKey: Buffer | undefined;

  /** Unanswered writes: while there are any, what follows is `ordered`. */
  pendingWrites = 0;
  /** True when this turn's flush will visit the connection. */
  dirty = false;
  readonly #row = new ReplyRow();
  #barrier = false;
  /** A command that was read but must wait (CLIENT PAUSE); the parser still holds it. */
  #postponed = false;
  #draining = false;
  /** Bytes or a command wait to be read although nothing new arrives. */
  #stalled = false;
  #paused = false;
  #inputEnded = false;
  #closing = false;
  #closed = false;
  #turnStartedAtMs = 0;
  #idleWaiters: (() => void)[] = [];

  /** `accepted` is paused: reading begins here. */
  constructor(server: RespServer, accepted: Socket, id: number) {
    this.id = id;
    this.server = server;
    this.remoteAddress = formatAddress(accepted.remoteAddress, accepted.remotePort);
    this.localAddress = formatAddress(accepted.localAddress, accepted.localPort);
    this.#parser = new RequestParser(server.limits, server.inputBudget);
    this.bucket = server.defaultBucket() ?? NO_BUCKET;
    this.authenticated = !server.access.requiresAuthentication;
    const socket = server.reads.adopt(accepted, (chunk) => this.#onData(chunk));
    this.#socket = socket;
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.#onEnd());
    // What went wrong is of no use to anyone here: the peer is gone, and `close` follows.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#onClose());
  }

  get inTransaction(): boolean {
    return this.transaction !== undefined;
  }

  /** True when an answer to the request at hand is not wanted. */
  get silent(): boolean {
    return this.replyMode !== 'on';
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get inflight(): number {
    return this.#row.length;
  }

  #onData(chunk: Buffer): void {
    this.server.bytesRead += chunk.length;
    this.lastActiveMs = Date.now();
    this.#parser.feed(chunk);
    this.#drain();
  }

  /** Reads and carries out requests while there are any and there is room. */
  #drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    this.#stalled = false;
    const { server } = this;
    this.#turnStartedAtMs = performance.now();
    this.#refreshBucket();
    for (;;) {
      if (this.#closing) break;
      if (this.#barrier || !this.#row.hasRoom(this.#socket.writableLength)) {
        this.#stalled = true;
        break;
      }
      if (this.#postponed) {
        if (server.pauseBlocks(this.#parser.nameBytes, this.#parser.nameStart, this.#parser.nameEnd)) {
          this.#stalled = true;
          break;
        }
        this.#postponed = false;
        this.#dispatch();
        continue;
      }
      const outcome = this.#parser.next();
      if (outcome === COMMAND) {
        if (
          server.paused &&
          server.pauseBlocks(this.#parser.nameBytes, this.#parser.nameStart, this.#parser.nameEnd)
        ) {
          this.#postponed = true;
          this.#stalled = true;
          server.postponed.add(this);
          break;
        }
        this.#dispatch();
      } else if (outcome === INCOMPLETE) {
        break;
      } else if (outcome === REFUSED) {
        this.transaction?.fail();
        this.#answerNow(undefined, NO_ARGS, this.#parser.error ?? null, false);
      } else if (outcome === FAILED) {
        this.#answerNow(undefined, NO_ARGS, this.#parser.error ?? null, true);
      }
    }
    this.#draining = false;
    if (this.#stalled !== this.#paused) {
      this.#paused = this.#stalled;
      if (this.#paused) this.#socket.pause();
      else this.#socket.resume();
    }
    if (this.#inputEnded) this.#endWhenDone();
  }

  /** The bucket's description may have changed with the map. */
  #refreshBucket(): void {
    const bucket = this.server.bucketById(this.bucket.id);
    if (bucket !== undefined) this.bucket = bucket;
  }

  #dispatch(): void {
    const parser = this.#parser;
    const { server } = this;
    const entry = server.table.find(parser.nameBytes, parser.nameStart, parser.nameEnd);
    const { args } = parser;
    if (this.replyMode !== 'on') this.replyMode = modeForNext(this.replyMode);
    if (entry === undefined) {
      const name = parser.nameBytes.subarray(parser.nameStart, parser.nameEnd);
      // A browser made to post to this port: nothing that follows is meant for us.
      if (isForeignProtocol(name)) this.destroy();
      else this.#reject(undefined, args, unknownCommand(name, args));
      return;
    }
    this.lastCommand = entry;
    this.commandsProcessed++;
    server.commandsProcessed++;
    entry.calls++;
    if (args.length < entry.leastArgs || args.length > entry.mostArgs) {
      this.#reject(entry, args, wrongArity(entry.name));
      return;
    }
    if (!this.authenticated && !entry.allowedUnauthenticated) {
      this.#reject(entry, args, server.noAuthentication);
      return;
    }
    if (!server.serving && !entry.allowedWhileStarting) {
      const starting = server.checkStarting();
      if (starting !== undefined) {
        this.#reject(entry, args, starting);
        return;
      }
      this.#refreshBucket();
    }
    if (this.transaction !== undefined && entry.inTransaction !== 'immediate') {
      this.#queue(this.transaction, entry, args);
      return;
    }
    if (entry.data !== undefined) this.#submitCommand(entry, entry.data, args);
    else this.#runHere(entry, args);
  }

  #submitCommand(entry: CommandEntry, definition: CommandDefinition, args: Buffer[]): void {
    const refusal = definition.validate?.(args) ?? refusalFor(this, entry, args);
    if (refusal !== undefined) {
      this.#reject(entry, args, refusal);
      return;
    }
    if (definition.isWrite && definition.firstKey > 0) this.lastWrittenKey = args[definition.firstKey - 1];
    this.submit(entry, definition, args, undefined);
  }

  /** Sends a command to the node and keeps its place in the row of answers. */
  submit(
    entry: CommandEntry | undefined,
    definition: CommandDefinition,
    args: readonly Buffer[],
    transform: ReplyTransform | undefined,
  ): void {
    const request = new PendingRequest(
      this,
      entry,
      definition,
      args,
      this.#turnStartedAtMs,
      this.#parser.requestBytes,
      transform,
    );
    this.#row.append(request);
    if (request.isWrite) this.pendingWrites++;
    this.server.node.submit(request);
  }

  #queue(transaction: Transaction, entry: CommandEntry, args: Buffer[]): void {
    if (entry.inTransaction === 'refused') {
      this.#reject(entry, args, NOT_IN_TRANSACTION);
      return;
    }
    const refusal = transaction.add(this, entry, args, this.#parser.requestBytes);
    if (refusal === undefined) this.#answerNow(entry, args, QUEUED, false);
    else this.#reject(entry, args, refusal);
  }

  /** Answers with an error; in a transaction EXEC will then refuse. */
  #reject(entry: CommandEntry | undefined, args: readonly Buffer[], error: ErrorReply): void {
    this.transaction?.fail();
    let reply = error;
    if (entry !== undefined) {
      entry.rejectedCalls++;
      // An EXEC that cannot be carried out ends its transaction all the same, as in Redis.
      if (entry.name === 'exec') {
        this.transaction = undefined;
        this.watched.clear();
        reply = transactionDiscarded(error);
      }
    }
    this.#answerNow(entry, args, reply, false);
  }

  #runHere(entry: CommandEntry, args: Buffer[]): void {
    let outcome: Reply | Promise<Reply> | typeof ANSWERED;
    try {
      outcome = entry.connection?.run(this, args) ?? null;
    } catch (error) {
      outcome = ErrorReply.from(error);
    }
    if (outcome === ANSWERED) return;
    if (outcome instanceof Promise) this.#answerLater(entry, args, outcome);
    else this.#answerNow(entry, args, outcome, this.#closing);
  }

  #answerNow(entry: CommandEntry | undefined, args: readonly Buffer[], reply: Reply, closes: boolean): void {
    const slot = new ReplySlot(this, entry, args, this.#turnStartedAtMs, 0, false);
    slot.closes = closes;
    if (closes) this.#closing = true;
    slot.done = true;
    slot.reply = reply;
    this.#row.append(slot);
    this.#hold(slot);
  }

  #answerLater(entry: CommandEntry, args: readonly Buffer[], outcome: Promise<Reply>): void {
    const slot = new ReplySlot(this, entry, args, this.#turnStartedAtMs, this.#parser.requestBytes, false);
    this.#row.append(slot);
    this.#barrier = true;
    const finish = (reply: Reply): void => {
      this.#barrier = false;
      slot.complete(reply);
      if (this.#stalled) this.#drain();
    };
    outcome.then(finish, (error: unknown) => finish(ErrorReply.from(error)));
  }

  /** Called by a slot that has got its answer. */
  completed(slot: ReplySlot): void {
    if (slot.isWrite) this.pendingWrites--;
    if (slot instanceof PendingRequest) {
      this.#row.storeAnswered();
      if (this.#idleWaiters.length > 0 && this.#row.idle) {
        for (const resolve of this.#idleWaiters.splice(0)) resolve();
      }
    }
    if (!this.#closed) this.#hold(slot);
  }

  /** An answer is there and waits for its turn. */
  #hold(slot: ReplySlot): void {
    if (this.#row.hold(slot) && !this.dirty) this.server.willFlush(this);
  }

  /** Writes the finished head of the row. Called once a turn by the server, with the writer that all share. */
  flush(writer: ReplyWriter, nowMs: number): void {
    this.dirty = false;
    if (this.#closed) return;
    const socket = this.#socket;
    const { server } = this;
    const last = this.#row.write(writer, nowMs);
    server.bytesWritten += writer.pendingBytes;
    writer.sendTo(socket);
    if (last?.closes === true) {
      this.#finish();
    } else if (this.#row.ready) {
      // The rest waits for `drain` when the socket is full, else for the next turn.
      if (socket.writableLength < LIMITS.maxConnectionOutputBytes) server.willFlush(this);
    } else if (this.#stalled && !this.#barrier) {
      this.#drain();
    } else if (this.#inputEnded) {
      this.#endWhenDone();
    }
  }

  #onDrain(): void {
    if (this.#row.ready && !this.dirty) this.server.willFlush(this);
    else if (this.#stalled && !this.#barrier) this.#drain();
  }

  /** The client sends no more; what it has asked is still answered. */
  #onEnd(): void {
    this.#inputEnded = true;
    this.#endWhenDone();
  }

  #endWhenDone(): void {
    if (this.#row.length === 0 && !this.#stalled && !this.#draining) this.#finish();
  }

  /** Ends the connection once what has been written is sent. */
  #finish(): void {
    this.#closing = true;
    this.#socket.end(() => this.#socket.destroy());
  }

  #onClose(): void {
    this.#closed = true;
    this.#row.clear();
    this.#parser.release();
    this.transaction = undefined;
    this.server.removeConnection(this);
  }

  /** Ends the connection after the answer to the command at hand. */
  closeAfterReply(): void {
    this.#closing = true;
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  /** Reads no more, answers what was read, then ends. */
  shutdown(): void {
    this.#inputEnded = true;
    this.#stalled = false;
    this.#closing = true;
    this.#socket.pause();
    this.#endWhenDone();
  }

  /** Goes on after a pause of the server. */
  unpause(): void {
    if (this.#stalled && !this.#barrier) this.#drain();
  }

  /** Resolves once every earlier command of the store has been answered. */
  idle(): Promise<void> {
    if (this.#row.idle) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Carries out one command beside the row of answers: its outcome goes to whoever called. */
  request(definition: CommandDefinition, args: readonly Buffer[]): Promise<Reply> {
    return new Promise((resolve) => {
      this.server.node.submit({
        definition,
        bucket: this.bucket,
        args,
        completion: { complete: resolve },
        consistency: 'linearizable',
        ordered: this.pendingWrites > 0,
        session: undefined,
        quorum: this.quorum,
      });
    });
  }

  /** Back to what a new connection is (RESET). */
  reset(): void {
    this.transaction = undefined;
    this.watched.clear();
    this.name = '';
    this.protocol = 2;
    this.bucket = this.server.defaultBucket() ?? this.bucket;
    this.readConsistency = 'linearizable';
    this.quorum = undefined;
    this.replyMode = 'on';
    this.noEvict = false;
    this.noTouch = false;
    this.user = DEFAULT_USER;
    this.authenticated = !this.server.access.requiresAuthentication;
  }
}

function formatAddress(host: string | undefined, port: number | undefined): string {
  if (host === undefined || port === undefined) return '?:0';
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The first words of an HTTP request that a web page can be made to send here. */
function isForeignProtocol(name: Buffer): boolean {
  if (name.length !== 4 && name.length !== 5) return false;
  const text = name.toString('latin1').toLowerCase();
  return text === 'post' || text === 'host:';
}
