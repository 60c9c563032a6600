/**
 * Full write load on one eventual bucket from real clients, with the newest acknowledged and the newest attempted value of
 * every key known.
 *
 * Each lane writes keys of its own, one write at a time, with values that count up. So whatever is read later is judged
 * without doubt: not older than the newest acknowledged value, not newer than the newest attempted one. Many lanes share
 * a connection and keep its pipeline full.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../bench/support/wait.js';
import { type Fleet, PATIENCE_MS, portOf } from './fleet.js';
import { connectRealClient, type RealClient, textOf, within } from './real-clients.js';

/** Longer than the server takes to give a request up. */
const ANSWER_TIMEOUT_MS = 20_000;
const RECONNECT_MS = 50;
const KEYS_READ_AT_ONCE = 500;

export interface EventualLoadOptions {
  readonly bucket: string;
  /** Clients speak to these nodes; one of each kind to each. */
  readonly nodes: readonly string[];
  /** Writes under way on each connection. */
  readonly lanes?: number;
  readonly keysPerLane?: number;
  readonly valueBytes?: number;
}

interface KeyState {
  acknowledged: number;
  attempted: number;
}

function paddedValue(key: string, count: number, sizeBytes: number): string {
  return `${key}=${count};`.padEnd(sizeBytes, '.');
}

function countOf(key: string, value: string | null): number {
  if (value === null) return 0;
  const [start, count = ''] = value.split(';', 1)[0]?.split('=') ?? [];
  if (start !== key || !/^\d+$/.test(count)) throw new Error(`${key} holds a value of no one: ${value}`);
  return Number(count);
}

export class EventualLoad {
  readonly keys = new Map<string, KeyState>();
  acknowledged = 0;
  readonly #fleet: Fleet;
  readonly #options: Required<EventualLoadOptions>;
  readonly #connections: Promise<void>[] = [];
  readonly #failures = new Map<string, number>();
  #stopped = false;

  private constructor(fleet: Fleet, options: EventualLoadOptions) {
    this.#fleet = fleet;
    this.#options = { lanes: 16, keysPerLane: 200, valueBytes: 200, ...options };
  }

  static start(fleet: Fleet, options: EventualLoadOptions): EventualLoad {
    const load = new EventualLoad(fleet, options);
    for (const node of options.nodes)
      for (const kind of ['ioredis', 'node-redis'] as const)
        load.#connections.push(load.#connection(node, kind));
    return load;
  }

  /** Resolves once `count` more writes are acknowledged than now. */
  async untilAcknowledged(count: number): Promise<void> {
    const wanted = this.acknowledged + count;
    await waitFor(`${count} more writes to be acknowledged (${this.summary()})`, PATIENCE_MS, () =>
      this.acknowledged >= wanted ? true : undefined,
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#connections);
  }

  /** For a person. */
  summary(): string {
    const failures = [...this.#failures].map(([message, count]) => `${count} x ${message}`).join('; ');
    return `${this.acknowledged} acknowledged on ${this.keys.size} keys; ${failures}`;
  }

  /** Bytes of keys and values written since `earlier`, each key once: what a node that missed them lacks. */
  bytesSince(earlier: ReadonlyMap<string, number>): number {
    let bytes = 0;
    for (const [key, { attempted }] of this.keys)
      if (attempted > (earlier.get(key) ?? 0)) bytes += key.length + this.#options.valueBytes;
    return bytes;
  }

  /** The newest attempt of each key. */
  attempts(): Map<string, number> {
    return new Map([...this.keys].map(([key, { attempted }]) => [key, attempted]));
  }

  /**
   * What a node answers for every key when `r` replicas must agree (1: what it holds itself). The counts, 0 for absent.
   */
  async readAll(node: string, r: number): Promise<Map<string, number>> {
    const client = await connectRealClient('ioredis', portOf(this.#fleet.node(node).resp));
    try {
      await client.call('SELECT', this.#options.bucket);
      await client.call('CLIENT', 'QUORUM', 'r', String(r));
      const counts = new Map<string, number>();
      const keys = [...this.keys.keys()];
      for (let at = 0; at < keys.length; at += KEYS_READ_AT_ONCE) {
        const some = keys.slice(at, at + KEYS_READ_AT_ONCE);
        const values = await Promise.all(
          some.map((key) => within(ANSWER_TIMEOUT_MS, client.call('GET', key))),
        );
        for (const [index, key] of some.entries()) counts.set(key, countOf(key, textOf(values[index])));
      }
      return counts;
    } finally {
      client.close();
    }
  }

  /** Keys whose counts lie outside of what was acknowledged and what was attempted: none, if promises were kept. */
  broken(counts: ReadonlyMap<string, number>): string[] {
    const broken: string[] = [];
    for (const [key, { acknowledged, attempted }] of this.keys) {
      const count = counts.get(key) ?? 0;
      if (count < acknowledged || count > attempted)
        broken.push(`${key}: read ${count}, acknowledged ${acknowledged}, attempted ${attempted}`);
    }
    return broken;
  }

  async #connection(node: string, kind: 'ioredis' | 'node-redis'): Promise<void> {
    const lanes = Array.from({ length: this.#options.lanes }, (_, lane) => ({
      prefix: `${node}-${kind}-${lane}`,
      writes: 0,
    }));
    while (!this.#stopped) {
      let client: RealClient;
      try {
        client = await connectRealClient(kind, portOf(this.#fleet.node(node).resp));
      } catch {
        await delay(RECONNECT_MS);
        continue;
      }
      try {
        await within(ANSWER_TIMEOUT_MS, client.call('SELECT', this.#options.bucket));
        await Promise.all(lanes.map((lane) => this.#lane(client, lane)));
      } catch (error) {
        this.#count(error);
        await delay(RECONNECT_MS);
      } finally {
        client.close();
      }
    }
  }

  /** Writes until told to stop; rejects when the connection is of no use any more. */
  async #lane(client: RealClient, lane: { readonly prefix: string; writes: number }): Promise<void> {
    const { keysPerLane, valueBytes } = this.#options;
    while (!this.#stopped) {
      const key = `${lane.prefix}-${lane.writes++ % keysPerLane}`;
      let state = this.keys.get(key);
      if (state === undefined) {
        state = { acknowledged: 0, attempted: 0 };
        this.keys.set(key, state);
      }
      const count = ++state.attempted;
      try {
        await within(ANSWER_TIMEOUT_MS, client.call('SET', key, paddedValue(key, count, valueBytes)));
        state.acknowledged = count;
        this.acknowledged++;
      } catch (error) {
        // A refusal or an unknown outcome: the server is still there, perhaps.
        if (
          !(error instanceof Error) ||
          !/^(CLUSTERDOWN|UNKNOWN|TRYAGAIN|OVERLOADED|LOADING)/.test(error.message)
        )
          throw error;
        this.#count(error);
        await delay(RECONNECT_MS);
      }
    }
  }

  #count(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#failures.set(message, (this.#failures.get(message) ?? 0) + 1);
  }
}
