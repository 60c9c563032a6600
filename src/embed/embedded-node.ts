/**
 * A node inside an application: runs on a worker thread of its own; calls cross in batches, one message a turn.
 *
 * Life: starting → started (its doors are open) → ready (every group has a leader) → ended. It ends when it is told to stop,
 * when a client sends SHUTDOWN, when it fails, or when its thread dies.
 *
 * Invariants:
 * - every call settles, with an answer or with an error, also when the thread dies. A write that was sent and not answered
 *   ends with OUTCOME_UNKNOWN;
 * - a node that has ended takes no call, has no thread and holds no lock on its directory;
 * - `stop` resolves, whatever the thread does: one that does not end in time is ended.
 */
import { Worker } from 'node:worker_threads';
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import { type Logger, SILENT_LOGGER } from '../base/logger.js';
import { checkBucketName } from '../client/arguments.js';
import type { Bucket } from '../client/bucket.js';
import { freeLockOfDeadThread } from '../env/real/directory-lock.js';
import type { NodeConfiguration } from '../server/configuration/types.js';
import type { QuorumChoice } from '../server/types.js';
import { EmbeddedBucket } from './embedded-bucket.js';
import {
  type Answered,
  type AnswerVisitor,
  buffersOf,
  CallWriter,
  type CommandName,
  readAnswers,
} from './packet.js';
import type { Failure, FromWorker, NodeAddresses, ToWorker, WorkerStart } from './protocol.js';

/** A node that was told to stop hands leadership over and closes its files; this is far more than that takes. */
const STOP_TIMEOUT_MS = 30_000;

/** What of a worker thread is used; tests have one of their own. */
export interface NodeThread {
  postMessage(message: ToWorker, transfer?: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (message: FromWorker) => void): unknown;
  on(event: 'error' | 'messageerror', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
}

export interface EmbeddedNodeOptions {
  /** Gets the node's log lines of `log.level` and above. Default: nobody. */
  readonly logger?: Logger | undefined;
  readonly startThread?: (start: WorkerStart) => NodeThread;
  readonly stopTimeoutMs?: number;
}

function startWorker(start: WorkerStart): NodeThread {
  // How the application's own script was given is nothing that a thread with a file of its own may inherit.
  const execArgv = process.execArgv.filter((argument) => !argument.startsWith('--input-type'));
  return new Worker(new URL('./worker.js', import.meta.url), {
    workerData: start,
    execArgv,
    name: `quoin ${start.configuration.node.id}`,
  });
}

interface Waiting {
  readonly resolve: (answered: Answered) => void;
  readonly reject: (error: QuoinError) => void;
  readonly isWrite: boolean;
  readonly sizeBytes: number;
  sent: boolean;
}

const errorOf = ({ code, message, remedy }: Failure): QuoinError => new QuoinError(code, message, { remedy });

export class EmbeddedNode {
  readonly id: string;
  readonly dataDir: string;
  /** Resolves when the node has ended: with undefined when it was asked to, else with the reason. Never rejects. */
  readonly ended: Promise<QuoinError | undefined>;
  readonly #thread: NodeThread;
  readonly #logger: Logger;
  readonly #stopTimeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #calls = new CallWriter();
  #unsent: Waiting[] = [];
  #waitingBytes = 0;
  #nextId = 1;
  #addresses: NodeAddresses | undefined;
  #ready = false;
  #stopping = false;
  /** Why there will be no more answers. */
  #failure: QuoinError | undefined;
  /** The thread said its last word: it has let its directory go. */
  #saidGoodbye = false;
  #exited = false;
  readonly #listeners = new Set<() => void>();

  /** Applications call `startNode`, which checks the configuration and waits for the start. */
  constructor(configuration: NodeConfiguration, options: EmbeddedNodeOptions = {}) {
    this.id = configuration.node.id;
    this.dataDir = configuration.node.dataDir;
    this.#logger = options.logger ?? SILENT_LOGGER;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? STOP_TIMEOUT_MS;
    const logLevel = options.logger === undefined ? 'silent' : configuration.log.level;
    const thread = (options.startThread ?? startWorker)({ configuration, logLevel });
    this.#thread = thread;
    thread.on('message', (message) => this.#receive(message));
    thread.on('messageerror', (error) => this.#fail(crash(error)));
    thread.on('error', (error) => this.#fail(crash(error)));
    this.ended = new Promise((resolve) => {
      thread.on('exit', () => resolve(this.#exit()));
    });
  }

  /** Where Redis clients, curl and peers reach this node. Throws STARTING before it has started. */
  get addresses(): NodeAddresses {
    if (this.#addresses === undefined)
      throw new QuoinError('STARTING', 'the node has no addresses before it has started');
    return this.#addresses;
  }

  /** False once the node has ended or is about to. */
  get running(): boolean {
    return this.#failure === undefined && !this.#stopping;
  }

  /** Resolves when the front doors are open (the cluster may still be forming); rejects when the node cannot start. */
  async started(): Promise<void> {
    await this.#until(() => this.#addresses !== undefined, undefined);
  }

  /**
   * Resolves when every group has a leader: requests are answered from now on. Rejects when the node ends before, and with
   * TIMEOUT when that takes longer than `timeoutMs` (default: no limit).
   */
  async ready(timeoutMs?: number): Promise<void> {
    await this.#until(() => this.#ready, timeoutMs);
  }

  /**
   * A handle on a bucket. Whether the bucket exists shows with the first call. Throws WRONG_ARGUMENTS for what is no bucket
   * name.
   */
  bucket(name = 'default'): Bucket {
    return new EmbeddedBucket(checkBucketName(name), (bucket, command, args, quorum) =>
      this.call(bucket, command, args, quorum),
    );
  }

  /**
   * Hands leadership over, stops the node and its thread. Resolves when both are gone, also when the node had failed. Calls
   * under way are rejected: with OUTCOME_UNKNOWN where a write may have happened.
   */
  async stop(): Promise<void> {
    if (!this.#exited && !this.#stopping) {
      this.#stopping = true;
      this.#flush();
      this.#post({ kind: 'stop' });
      this.#notify();
    }
    const deadline = setTimeout(() => void this.#thread.terminate(), this.#stopTimeoutMs);
    await this.ended;
    clearTimeout(deadline);
  }

  /** Carries out one internal command; what bucket handles are made of. */
  call(
    bucket: string,
    command: CommandName,
    args: readonly Buffer[],
    quorum?: QuorumChoice,
  ): Promise<Answered> {
    if (!this.running) return Promise.reject(this.#closed());
    let sizeBytes = 0;
    for (const bytes of args) sizeBytes += bytes.length;
    if (
      this.#waiting.size >= LIMITS.maxInflightRequestsPerGroup ||
      this.#waitingBytes + sizeBytes > LIMITS.maxClientBytes
    )
      return Promise.reject(new QuoinError('OVERLOADED', 'too many calls under way'));
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const isWrite = command === 'quoin.put' || command === 'quoin.delete';
      const waiting: Waiting = { resolve, reject, isWrite, sizeBytes, sent: false };
      if (this.#calls.empty) setImmediate(() => this.#flush());
      this.#calls.add({ id, bucket, command, args, quorum });
      this.#waiting.set(id, waiting);
      this.#waitingBytes += sizeBytes;
      this.#unsent.push(waiting);
    });
  }

  #flush(): void {
    if (this.#calls.empty || this.#failure !== undefined) return;
    const packet = this.#calls.take();
    for (const waiting of this.#unsent) waiting.sent = true;
    this.#unsent = [];
    this.#post({ kind: 'calls', packet }, buffersOf(packet));
  }

  #post(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    this.#thread.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'started':
        this.#addresses = message.addresses;
        this.#notify();
        return;
      case 'ready':
        this.#ready = true;
        this.#notify();
        return;
      case 'answers':
        readAnswers(message.packet, this.#answers);
        return;
      case 'log':
        this.#logger[message.level](message.fields, message.message);
        return;
      case 'failed':
        this.#saidGoodbye = true;
        this.#fail(errorOf(message.error));
        return;
      case 'stopped':
        this.#saidGoodbye = true;
        return;
    }
  }

  readonly #answers: AnswerVisitor = {
    value: (id, value) => this.#settle(id)?.resolve(value),
    error: (id, failure) => this.#settle(id)?.reject(errorOf(failure)),
  };

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    this.#waitingBytes -= waiting.sizeBytes;
    return waiting;
  }

  /** The thread is gone. Returns what `ended` tells. */
  #exit(): QuoinError | undefined {
    this.#exited = true;
    if (!this.#saidGoodbye) freeLockOfDeadThread(this.dataDir);
    const unexpected = this.#saidGoodbye || this.#stopping ? undefined : crash(undefined);
    const reason = this.#failure ?? unexpected;
    this.#fail(reason ?? new QuoinError('CLOSED', 'the node has stopped'));
    return reason;
  }

  #fail(error: QuoinError): void {
    this.#failure ??= error;
    const cause = this.#failure;
    for (const { reject, isWrite, sent } of this.#waiting.values())
      reject(
        isWrite && sent
          ? new QuoinError('OUTCOME_UNKNOWN', `${cause.message}; the write may have happened`, { cause })
          : this.#closed(),
      );
    this.#waiting.clear();
    this.#waitingBytes = 0;
    this.#unsent = [];
    this.#notify();
  }

  #closed(): QuoinError {
    const cause = this.#failure;
    if (cause === undefined) return new QuoinError('CLOSED', 'the node is stopping');
    return new QuoinError('CLOSED', `the node has ended: ${cause.message}`, { cause });
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #until(condition: () => boolean, timeoutMs: number | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: QuoinError | undefined): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (outcome === undefined) resolve();
        else reject(outcome);
      };
      const look = (): void => {
        if (condition() && this.running) settle(undefined);
        else if (this.#failure !== undefined) settle(this.#failure);
        else if (this.#stopping) settle(this.#closed());
      };
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(
              () => settle(new QuoinError('TIMEOUT', `node ${this.id} was not ready within ${timeoutMs} ms`)),
              timeoutMs,
            );
      this.#listeners.add(look);
      look();
    });
  }
}

function crash(error: Error | undefined): QuoinError {
  return error === undefined
    ? new QuoinError('INTERNAL', "the node's thread ended without a word")
    : new QuoinError('INTERNAL', `the node's thread died: ${error.message}`, { cause: error });
}
