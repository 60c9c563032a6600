/**
 * A node inside an application: runs on a worker thread of its own; calls cross in batches, one message a turn.
 *
 * Invariants: every call settles, with an answer or with an error, also when the thread dies; a closed node refuses.
 */
import { Worker } from 'node:worker_threads';
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { Bucket } from '../client/bucket.js';
import type { NodeConfiguration } from '../server/configuration/types.js';
import { EmbeddedBucket } from './embedded-bucket.js';
import type { Answered, Call, FromWorker, NodeAddresses, ToWorker, WorkerStart } from './protocol.js';

interface Waiting {
  readonly resolve: (answered: Answered) => void;
  readonly reject: (error: QuoinError) => void;
}

export class EmbeddedNode {
  readonly id: string;
  readonly dataDir: string;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #calls: Call[] = [];
  #nextId = 1;
  #addresses: NodeAddresses | undefined;
  #failure: QuoinError | undefined;
  #stopping = false;
  #ready = false;
  #listeners: (() => void)[] = [];
  readonly #exited: Promise<void>;

  constructor(configuration: NodeConfiguration) {
    this.id = configuration.node.id;
    this.dataDir = configuration.node.dataDir;
    const start: WorkerStart = { configuration };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start });
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error) =>
      this.#end(new QuoinError('INTERNAL', error.message, { cause: error })),
    );
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#end(new QuoinError('SHUTTING_DOWN', 'the node has stopped'));
        resolve();
      });
    });
  }

  /** Where Redis clients, curl and peers reach this node. */
  get addresses(): NodeAddresses {
    if (this.#addresses === undefined)
      throw new QuoinError('STARTING', 'the node has no addresses before it has started');
    return this.#addresses;
  }

  /** Resolves when the front doors are open (the cluster may still be forming); rejects when the node cannot start. */
  async started(): Promise<void> {
    await this.#until(() => this.#addresses !== undefined);
  }

  /** Resolves when every group has a leader: requests are answered from now on. */
  async ready(): Promise<void> {
    await this.#until(() => this.#ready);
  }

  /** A handle on a bucket. Whether the bucket exists shows with the first call. */
  bucket(name = 'default'): Bucket {
    return new EmbeddedBucket(name, (bucket, command, args) => this.#call(bucket, command, args));
  }

  /** Hands leadership over, stops the node and its thread. Calls under way are rejected. */
  async stop(): Promise<void> {
    if (!this.#stopping && this.#failure === undefined) this.#post({ kind: 'stop' });
    this.#stopping = true;
    await this.#exited;
  }

  #call(bucket: string, command: string, args: readonly Uint8Array[]): Promise<Answered> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#waiting.size >= LIMITS.maxInflightRequestsPerGroup) {
      return Promise.reject(new QuoinError('OVERLOADED', 'too many calls under way'));
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      if (this.#calls.length === 0) setImmediate(() => this.#flush());
      this.#calls.push({ id, bucket, command, args });
    });
  }

  #flush(): void {
    const calls = this.#calls;
    this.#calls = [];
    this.#post({ kind: 'calls', calls });
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'started':
        this.#addresses = message.addresses;
        break;
      case 'ready':
        this.#ready = true;
        break;
      case 'answers':
        for (const answer of message.answers) {
          const waiting = this.#waiting.get(answer.id);
          this.#waiting.delete(answer.id);
          if ('error' in answer) waiting?.reject(new QuoinError(answer.error.code, answer.error.message));
          else waiting?.resolve(answer.value);
        }
        return;
      case 'failed':
        this.#end(new QuoinError(message.error.code, message.error.message));
        return;
      case 'stopped':
        return;
    }
    this.#notify();
  }

  #end(error: QuoinError): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    this.#notify();
  }

  #notify(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#listeners.push(resolve);
      });
    }
  }
}
