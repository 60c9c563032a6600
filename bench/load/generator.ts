/**
 * The load generator. Closed loop: every client keeps a number of requests under way and sends the next when one is answered.
 * Open loop: requests are due at a fixed rate; a late answer does not delay the next request, and latency counts from when a
 * request was due, so a store that stalls cannot hide it by slowing its clients down (no coordinated omission).
 */
import { build, type Histogram } from 'hdr-histogram-js';
import { QuoinError } from '../../src/base/errors.js';
import { encodeRequest, LoadConnection } from './connection.js';
import type { LoadOptions } from './options.js';

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly ratePerSecond: number;
  readonly latencyMs: {
    readonly mean: number;
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
}

/** Open loop: unanswered requests in all, past which the store counts as lost and the run fails. */
const MAX_UNANSWERED = 1_000_000;
const OPEN_LOOP_TICK_MS = 1;

/** xorshift32: the same keys for the same seed, at no cost. */
function randomSource(seed: number): () => number {
  let state = (seed * 2654435761 + 1) | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

class LoadRun {
  readonly #options: LoadOptions;
  readonly #random: () => number;
  readonly #value: Buffer;
  /** In microseconds. */
  readonly #latencies: Histogram = build({
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  });
  /** When each request was due, by its number modulo the length of the ring. */
  readonly #due: Float64Array;
  #sent = 0;
  #answered = 0;
  #errors = 0;
  #finish: (error?: Error) => void = () => {};

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = randomSource(options.seed);
    this.#value = Buffer.alloc(options.valueBytes, 'x');
    this.#due = new Float64Array(
      options.ratePerSecond > 0 ? MAX_UNANSWERED : options.clients * options.pipeline,
    );
  }

  async run(): Promise<LoadResult> {
    const { clients, targets, ratePerSecond } = this.#options;
    const connections: LoadConnection[] = [];
    try {
      for (let client = 0; client < clients; client++)
        connections.push(await this.#connect(targets[client % targets.length]!, connections));
      const started = performance.now();
      let timer: NodeJS.Timeout | undefined;
      try {
        await new Promise<void>((resolve, reject) => {
          this.#finish = (error) => (error === undefined ? resolve() : reject(error));
          if (ratePerSecond > 0) timer = this.#startOpenLoop(connections);
          else for (const [client, connection] of connections.entries()) this.#fill(connection, client);
        });
      } finally {
        clearInterval(timer);
      }
      return this.#result((performance.now() - started) / 1000);
    } finally {
      this.#finish = () => {};
      for (const connection of connections) connection.close();
    }
  }

  async #connect(
    target: { readonly host: string; readonly port: number },
    all: readonly LoadConnection[],
  ): Promise<LoadConnection> {
    const { bucket, ratePerSecond } = this.#options;
    let selected: ((error?: Error) => void) | undefined;
    const connection = await LoadConnection.open(target.host, target.port, {
      onReply: (tag, isError) => {
        if (tag < 0) {
          selected?.(
            isError ? new QuoinError('UNKNOWN_BUCKET', `the server has no bucket '${bucket}'`) : undefined,
          );
          return;
        }
        this.#onReply(tag, isError);
        if (ratePerSecond === 0) this.#sendNext(connection, tag);
      },
      onClose: (unanswered, reason) => {
        const error = new QuoinError(
          'UNREACHABLE',
          `${target.host}:${target.port}: ${reason}, ${unanswered} requests unanswered`,
        );
        selected?.(error);
        if (unanswered > 0 || all.every((each) => each.closed)) this.#finish(error);
      },
    });
    if (bucket !== undefined)
      await new Promise<void>((resolve, reject) => {
        selected = (error) => (error === undefined ? resolve() : reject(error));
        connection.send(encodeRequest(['SELECT', bucket]), [-1]);
      });
    return connection;
  }

  #request(): Buffer {
    const key = `key:${String(Math.floor(this.#random() * this.#options.keys)).padStart(12, '0')}`;
    return this.#random() < this.#options.readRatio
      ? encodeRequest(['GET', key])
      : encodeRequest(['SET', key, this.#value]);
  }

  /** Closed loop: a slot of the ring for each request that a client may have under way; the tag is the slot. */
  #fill(connection: LoadConnection, client: number): void {
    const bytes: Buffer[] = [];
    const tags: number[] = [];
    for (let i = 0; i < this.#options.pipeline && this.#sent < this.#options.requests; i++) {
      const slot = client * this.#options.pipeline + i;
      this.#due[slot] = performance.now();
      bytes.push(this.#request());
      tags.push(slot);
      this.#sent++;
    }
    if (tags.length > 0) connection.send(Buffer.concat(bytes), tags);
  }

  /** Answers of one turn are followed by one write: the next batch goes when the whole pipeline has been answered. */
  #sendNext(connection: LoadConnection, slot: number): void {
    if (connection.unanswered > 0 || this.#sent >= this.#options.requests) return;
    this.#fill(connection, Math.floor(slot / this.#options.pipeline));
  }

  #startOpenLoop(connections: readonly LoadConnection[]): NodeJS.Timeout {
    const { ratePerSecond, requests } = this.#options;
    const started = performance.now();
    return setInterval(() => {
      const now = performance.now();
      const dueByNow = Math.min(requests, Math.floor(((now - started) * ratePerSecond) / 1000));
      while (this.#sent < dueByNow) {
        if (this.#sent - this.#answered >= MAX_UNANSWERED) {
          this.#finish(
            new QuoinError('OVERLOADED', `${MAX_UNANSWERED} requests are unanswered`, {
              remedy: 'Ask for a lower --rate: this one is far beyond the store.',
            }),
          );
          return;
        }
        const number = this.#sent++;
        this.#due[number % MAX_UNANSWERED] = started + (number * 1000) / ratePerSecond;
        connections[number % connections.length]!.send(this.#request(), [number % MAX_UNANSWERED]);
      }
    }, OPEN_LOOP_TICK_MS);
  }

  #onReply(slot: number, isError: boolean): void {
    const micros = Math.round((performance.now() - this.#due[slot]!) * 1000);
    this.#latencies.recordValue(Math.min(Math.max(micros, 1), 600_000_000));
    if (isError) this.#errors++;
    if (++this.#answered >= this.#options.requests) this.#finish();
  }

  #result(seconds: number): LoadResult {
    const at = (share: number): number => this.#latencies.getValueAtPercentile(share) / 1000;
    return {
      requests: this.#answered,
      errors: this.#errors,
      seconds,
      ratePerSecond: this.#answered / seconds,
      latencyMs: {
        mean: this.#latencies.mean / 1000,
        p50: at(50),
        p90: at(90),
        p99: at(99),
        p999: at(99.9),
        max: this.#latencies.maxValue / 1000,
      },
    };
  }
}

/** Runs the load to its end; rejects when a server refuses or leaves. */
export function runLoad(options: LoadOptions): Promise<LoadResult> {
  return new LoadRun(options).run();
}
