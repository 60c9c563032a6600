/**
 * The RESP door of a node: listens, accepts connections, and holds what they share: the command table, settings, the slow
 * log, statistics, and the flush that writes every connection's answers once for each turn of the event loop.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { NodeServer } from '../../server/types.js';
import { ErrorReply } from '../../store/reply.js';
import type { BucketDescription } from '../../store/types.js';
import { type AccessControl, OPEN_ACCESS } from './access.js';
import { type CommandEntry, CommandTable } from './command-table.js';
import { ClientConnection } from './connection.js';
import { InputBudget } from './input-budget.js';
import { LatencyMonitor } from './latency.js';
import { MAX_CLIENTS } from './messages.js';
import type { ReplySlot } from './pending.js';
import { Rate } from './rate.js';
import { Settings } from './settings.js';
import { SharedReads } from './shared-reads.js';
import { SlowLog } from './slowlog.js';
import { ReplyWriter } from './writer.js';

/** How long connections may take to send their last answers when the door closes. */
const CLOSE_GRACE_MS = 1000;
/** When everything is slow, more entries of one turn say nothing new, and cost what is short then. */
const MAX_SLOW_PER_TURN = 4;
/** A peer that vanished without a word is noticed after this. */
const KEEP_ALIVE_MS = 300_000;

export interface RespLimits {
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly maxRequestBytes: number;
  readonly maxArguments: number;
  readonly maxConnections: number;
}

export interface RespServerOptions {
  readonly node: NodeServer;
  /** `host:port`; port 0 takes any free one. */
  readonly address: string;
  readonly limits?: Partial<RespLimits>;
  readonly access?: AccessControl;
  /** Called for SHUTDOWN; without it SHUTDOWN stops the node itself. */
  readonly onShutdown?: () => void;
}

export interface RunningRespServer {
  /** `host:port` in fact bound. */
  readonly address: string;
  close(): Promise<void>;
}

/** What all connections of one door share. */
export class RespServer {
  readonly node: NodeServer;
  readonly limits: RespLimits;
  readonly access: AccessControl;
  readonly settings: Settings;
  readonly table = new CommandTable();
  readonly slowLog = new SlowLog();
  readonly latency = new LatencyMonitor();
  readonly inputBudget = new InputBudget(LIMITS.maxHalfReadBytes);
  readonly rate = new Rate();
  readonly reads = new SharedReads();
  readonly connections = new Map<number, ClientConnection>();
  readonly postponed = new Set<ClientConnection>();
  readonly noAuthentication = new ErrorReply('WRONG_ARGUMENTS', 'NOAUTH Authentication required.');
  readonly startedAtMs = Date.now();
  readonly #shutDown: (() => void) | undefined;
  address = '';
  #serving = false;
  commandsProcessed = 0;
  connectionsReceived = 0;
  connectionsRejected = 0;
  bytesRead = 0;
  bytesWritten = 0;
  errorReplies = 0;
  #nextConnectionId = 1;
  #pausedUntilMs = 0;
  #pauseWritesOnly = false;
  #pauseTimer: NodeJS.Timeout | undefined;
  readonly #writer = new ReplyWriter();
  #toFlush: ClientConnection[] = [];
  #flushing: ClientConnection[] = [];
  #flushScheduled = false;
  /** Requests of this turn that went into the slow log. */
  #slowNoted = 0;
  readonly #flushAll = (): void => this.#flush();

  constructor(options: RespServerOptions) {
    this.node = options.node;
    this.limits = { ...LIMITS, ...options.limits };
    this.access = options.access ?? OPEN_ACCESS;
    this.#shutDown = options.onShutdown;
    this.settings = new Settings(this);
  }

  /** True once the node has been seen to serve; what comes later (stopping, failed) the node itself answers. */
  get serving(): boolean {
    return this.#serving;
  }

  /** The LOADING error while the node starts. */
  checkStarting(): ErrorReply | undefined {
    const { phase, reason } = this.node.state();
    if (phase === 'starting' || this.defaultBucket() === undefined) {
      return ErrorReply.of('STARTING', reason === '' ? 'the node is starting' : reason);
    }
    this.#serving = true;
    return undefined;
  }

  /** The bucket of a new connection: the first of the map. */
  defaultBucket(): BucketDescription | undefined {
    return this.node.bucketById(0) ?? this.node.map()?.buckets[0];
  }

  bucketById(id: number): BucketDescription | undefined {
    return this.node.bucketById(id);
  }

  accept(socket: Socket): void {
    this.connectionsReceived++;
    if (this.connections.size >= this.limits.maxConnections) {
      this.connectionsRejected++;
      socket.on('error', () => undefined);
      socket.end(MAX_CLIENTS, () => socket.destroy());
      return;
    }
    const id = this.#nextConnectionId++;
    this.connections.set(id, new ClientConnection(this, socket, id));
  }

  removeConnection(connection: ClientConnection): void {
    this.connections.delete(connection.id);
    this.postponed.delete(connection);
  }

  /** Has a connection's answers written at the end of this turn. */
  willFlush(connection: ClientConnection): void {
    connection.dirty = true;
    this.#toFlush.push(connection);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#flushAll);
  }

  #flush(): void {
    this.#flushScheduled = false;
    const connections = this.#toFlush;
    this.#toFlush = this.#flushing;
    this.#flushing = connections;
    const nowMs = performance.now();
    this.#slowNoted = 0;
    for (const connection of connections) connection.flush(this.#writer, nowMs);
    connections.length = 0;
  }

  /** Counts an answer on its way out. */
  account(slot: ReplySlot, nowMs: number): void {
    const { entry } = slot;
    const failed = slot.reply instanceof ErrorReply;
    if (failed) this.errorReplies++;
    if (entry === undefined) return;
    if (failed) entry.failedCalls++;
    const durationMs = nowMs - slot.startedAtMs;
    entry.totalMs += durationMs;
    if (durationMs >= this.settings.leastSlowMs) this.#accountSlow(slot, entry, durationMs);
  }

  #accountSlow(slot: ReplySlot, entry: CommandEntry, durationMs: number): void {
    const { thresholdMicros } = this.slowLog;
    const slow = thresholdMicros >= 0 && durationMs * 1000 >= thresholdMicros;
    if (slow && this.#slowNoted < MAX_SLOW_PER_TURN) {
      this.#slowNoted++;
      const { connection } = slot;
      this.slowLog.add(durationMs, entry.name, slot.args, connection.remoteAddress, connection.name);
    }
    const { thresholdMs } = this.latency;
    if (thresholdMs > 0 && durationMs >= thresholdMs) this.latency.add('command', durationMs);
  }

  get paused(): boolean {
    return this.#pausedUntilMs !== 0;
  }

  /** CLIENT PAUSE: commands (or only those that write) wait until the time is up. */
  pause(forMs: number, writesOnly: boolean): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + forMs);
    this.#pauseWritesOnly = writesOnly;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = setTimeout(() => this.unpause(), this.#pausedUntilMs - performance.now());
    this.#pauseTimer.unref();
  }

  unpause(): void {
    clearTimeout(this.#pauseTimer);
    this.#pausedUntilMs = 0;
    const postponed = [...this.postponed];
    this.postponed.clear();
    for (const connection of postponed) connection.unpause();
  }

  /** Must this command wait? CLIENT itself never does, so that a pause can be ended. */
  pauseBlocks(name: Buffer, start: number, end: number): boolean {
    if (this.#pausedUntilMs === 0) return false;
    const entry = this.table.find(name, start, end);
    if (entry === undefined || entry.name === 'client') return false;
    return !this.#pauseWritesOnly || entry.isWrite || entry.name === 'exec';
  }

  /** CONFIG RESETSTAT. */
  resetStatistics(): void {
    this.commandsProcessed = 0;
    this.connectionsReceived = 0;
    this.connectionsRejected = 0;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    this.errorReplies = 0;
    this.rate.reset();
    for (const entry of this.table.entries) entry.resetStatistics();
  }

  /** SHUTDOWN. */
  shutDown(): void {
    if (this.#shutDown !== undefined) this.#shutDown();
    else this.node.stop().catch(() => undefined);
  }

  /** Lets connections finish what they have read, then ends them. */
  async closeConnections(): Promise<void> {
    clearTimeout(this.#pauseTimer);
    for (const connection of [...this.connections.values()]) connection.shutdown();
    const deadline = performance.now() + CLOSE_GRACE_MS;
    while (this.connections.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const connection of [...this.connections.values()]) connection.destroy();
  }
}

function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new QuoinError('CONFIG_INVALID', `'${address}' is not host:port`);
  }
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port };
}

function listen(server: Server, address: string): Promise<string> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const [code, message] =
        error.code === 'EADDRINUSE'
          ? (['ADDRESS_IN_USE', `${address} is in use`] as const)
          : (['CONFIG_INVALID', `cannot listen on ${address}: ${error.message}`] as const);
      reject(new QuoinError(code, message, { cause: error }));
    });
    server.listen({ host, port, backlog: 1024 }, () => {
      const bound = server.address();
      resolve(bound !== null && typeof bound === 'object' ? `${host}:${bound.port}` : address);
    });
  });
}

/** Opens the RESP door of a node. Rejects with `ADDRESS_IN_USE` when the address cannot be had. */
export async function startRespServer(options: RespServerOptions): Promise<RunningRespServer> {
  const shared = new RespServer(options);
  const server = createServer(
    {
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    },
    (socket) => shared.accept(socket),
  );
  const address = await listen(server, options.address);
  // Accepting may fail later when descriptors run out; connections that stand go on.
  server.on('error', () => undefined);
  shared.address = address;
  return {
    address,
    async close(): Promise<void> {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await shared.closeConnections();
      await closed;
    },
  };
}
