/**
 * Load from real clients while nodes die, with everything that was asked and answered written down.
 *
 * Each worker has one connection to one node and one operation under way. When an operation fails in a way that leaves its
 * outcome open (the connection broke, time was up, the server says UNKNOWN), it is recorded as a 'maybe', the connection
 * is given up, and the worker goes on with another node. A refusal that the server's error registry calls definite is
 * recorded as failed. So the history says no more than what a client can know.
 *
 * Keys belong to rounds, so that each key's history stays short enough to be checked.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { AcknowledgedWrites } from '../../sim/checkers/acknowledged-writes.js';
import { checkHistory } from '../../sim/checkers/linearizability.js';
import { History, type OpenOperation, type OperationKind, type OperationResult } from '../../sim/history.js';
import { SeededRandom } from '../../sim/random.js';
import { slotOf } from '../../src/base/slots.js';
import { type Fleet, type GroupView, PATIENCE_MS, portOf } from './fleet.js';
import { type ClientKind, connectRealClient, type RealClient, textOf, within } from './real-clients.js';

/** Longer than the server takes to give a request up. */
const ANSWER_TIMEOUT_MS = 20_000;
const KEYS_PER_ROUND = 36;
const CONNECTIONS_PER_NODE = 4;
/** Mean pause of a worker between two operations: nodes and clients share few processors. */
const PAUSE_MS = 4;
/** Error words whose codes are definite: the request had no effect. */
const DEFINITE_WORDS = new Set(['CLUSTERDOWN', 'TRYAGAIN', 'LOADING', 'OVERLOADED']);

const WORDS: Readonly<Partial<Record<OperationKind, (key: string, argument: string) => string[]>>> = {
  get: (key) => ['GET', key],
  set: (key, value) => ['SET', key, value],
  delete: (key) => ['DEL', key],
  increment: (key, by) => (by === '1' ? ['INCR', key] : ['INCRBY', key, by]),
  append: (key, value) => ['APPEND', key, value],
  'set-if-absent': (key, value) => ['SETNX', key, value],
  'get-and-set': (key, value) => ['GETSET', key, value],
};
const REGISTER_KINDS: readonly OperationKind[] = [
  'get',
  'get',
  'get',
  'set',
  'set',
  'delete',
  'set-if-absent',
  'get-and-set',
];
const COUNTER_KINDS: readonly OperationKind[] = ['get', 'increment', 'increment', 'increment', 'delete'];

function resultOf(kind: OperationKind, reply: unknown): OperationResult {
  switch (kind) {
    case 'get':
    case 'get-and-set':
      return textOf(reply);
    case 'delete':
    case 'set-if-absent':
      return Number(reply) === 1;
    case 'increment':
    case 'append':
      return Number(reply);
    default:
      return undefined;
  }
}

type Failure = 'not-a-number' | 'definite' | 'unknown';

function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes('value is not an integer')) return 'not-a-number';
  return DEFINITE_WORDS.has(message.split(' ', 1)[0] ?? '') ? 'definite' : 'unknown';
}

export class RecordedLoad {
  readonly history = new History();
  readonly #writes = new AcknowledgedWrites();
  readonly #fleet: Fleet;
  readonly #random: SeededRandom;
  readonly #workers: Promise<void>[] = [];
  /** Answered writes so far, by group: what shows that writes flow. */
  readonly #answered = new Map<number, number>();
  readonly #groupOfSlot = new Uint16Array(16384);
  /** Errors of the outcome-unknown kind, counted, for messages. */
  readonly #failures = new Map<string, number>();
  #round = 0;
  #nextValue = 0;
  #stopped = false;
  #defect: Error | undefined;

  private constructor(fleet: Fleet, groups: readonly GroupView[], seed: string) {
    this.#fleet = fleet;
    this.#random = new SeededRandom(seed);
    for (const { id, slots } of groups)
      for (const { from, to } of slots) this.#groupOfSlot.fill(id, from, to + 1);
  }

  /** Begins with workers on every node. */
  static async start(fleet: Fleet, seed: string): Promise<RecordedLoad> {
    const load = new RecordedLoad(fleet, await fleet.groups(fleet.nodes[0]?.id ?? ''), seed);
    for (const [index] of fleet.nodes.entries())
      for (let connection = 0; connection < CONNECTIONS_PER_NODE; connection++)
        load.#workers.push(load.#work(index, connection));
    return load;
  }

  groupOfKey(key: string): number {
    return this.#groupOfSlot[slotOf(Buffer.from(key))] ?? 0;
  }

  /** Later operations use new keys. */
  nextRound(): void {
    this.#round++;
  }

  /** Resolves once every group has acknowledged `count` more writes than now. */
  async untilWritesFlow(count = 5, groups: readonly number[] = this.dataGroups()): Promise<void> {
    const before = new Map(this.#answered);
    await waitFor(`${count} more writes acknowledged in groups ${groups.join(', ')}`, PATIENCE_MS, () => {
      if (this.#defect !== undefined) throw this.#defect;
      const flows = groups.every(
        (group) => (this.#answered.get(group) ?? 0) >= (before.get(group) ?? 0) + count,
      );
      return flows ? true : undefined;
    });
  }

  /** Resolves once `count` more operations have been asked for, answered or not. */
  async untilAsked(count: number): Promise<void> {
    const before = this.history.operations.length;
    await waitFor(`${count} more operations asked for`, PATIENCE_MS, () =>
      this.history.operations.length >= before + count ? true : undefined,
    );
  }

  dataGroups(): number[] {
    return [...new Set(this.#groupOfSlot)];
  }

  /** Ends the load; every operation under way is answered or given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    if (this.#defect !== undefined) throw this.#defect;
  }

  /**
   * With the load stopped and all nodes up: reads every key through every node, and checks everything that was promised.
   * The history must be linearizable with those reads, acknowledged writes present, and replicas equal.
   */
  async check(): Promise<void> {
    const keys = new Set(this.history.operations.map(({ key }) => key));
    for (const [index, node] of this.#fleet.nodes.entries()) {
      const client = await connectRealClient(index % 2 === 0 ? 'ioredis' : 'node-redis', portOf(node.resp));
      try {
        for (const key of keys) {
          const operation = this.history.call(`reader-${node.id}`, key, 'get');
          const reply = await within(ANSWER_TIMEOUT_MS, client.call('GET', key));
          this.history.ok(operation, resultOf('get', reply));
        }
        for (const key of this.#writes.keys()) {
          const reply = await within(ANSWER_TIMEOUT_MS, client.call('GET', key));
          this.#writes.read(key, textOf(reply));
        }
      } finally {
        client.close();
      }
    }
    const verdict = checkHistory(this.history.operations);
    expect(verdict.ok ? 'linearizable' : `${verdict.kind}: ${verdict.explanation}`).toBe('linearizable');
    await this.#compareReplicas([...keys, ...this.#writes.keys()]);
  }

  /** For a person: how much was asked, and what came of it. */
  summary(): string {
    const outcomes = { ok: 0, failed: 0, maybe: 0 };
    for (const { outcome } of this.history.operations) outcomes[outcome]++;
    const failures = [...this.#failures].map(([message, count]) => `${count} x ${message}`).join('; ');
    return `${outcomes.ok} ok, ${outcomes.failed} failed, ${outcomes.maybe} maybe, ${this.#writes.acknowledged} write-once keys; ${failures}`;
  }

  async #compareReplicas(keys: readonly string[]): Promise<void> {
    // Nothing is written any more, so all members come to the same index; there they must be the same.
    const views = await waitFor('all replicas to have applied the same index', PATIENCE_MS, async () => {
      const all = await Promise.all(this.#fleet.nodes.map(({ id }) => this.#fleet.groups(id)));
      const equal = all.every((groups) =>
        groups.every(({ id, local }) => {
          const first = all[0]?.find((group) => group.id === id)?.local;
          return local !== null && first?.appliedIndex === local.appliedIndex;
        }),
      );
      return equal ? all : undefined;
    });
    const digests = (groups: readonly GroupView[]): unknown =>
      groups.map(({ id, local }) => ({ id, appliedIndex: local?.appliedIndex, digest: local?.digest }));
    for (const view of views) expect(digests(view)).toEqual(digests(views[0] ?? []));
    // The digest tells of what a replica has applied; this, of what it really holds.
    for (let at = 0; at < keys.length; at += 200) {
      const some = keys.slice(at, at + 200);
      const held = await Promise.all(
        this.#fleet.nodes.map(({ http }) =>
          Promise.all(
            some.map(async (key) => {
              const answer = await fetch(
                `http://${http}/v1/kv/default/${encodeURIComponent(key)}?consistency=stale`,
              );
              return { key, status: answer.status, value: await answer.text() };
            }),
          ),
        ),
      );
      const plain = (of: (typeof held)[number] | undefined): unknown =>
        of?.map(({ key, status, value }) =>
          status === 404 ? `${key}: absent` : `${key}: ${status} ${value}`,
        );
      for (const node of held) expect(plain(node)).toEqual(plain(held[0]));
    }
  }

  async #work(nodeIndex: number, connection: number): Promise<void> {
    const kind: ClientKind = connection % 2 === 0 ? 'ioredis' : 'node-redis';
    const random = this.#random.fork(`worker ${nodeIndex}.${connection}`);
    let home = nodeIndex;
    let life = 0;
    while (!this.#stopped) {
      const node = this.#fleet.nodes[home % this.#fleet.nodes.length];
      if (node === undefined) return;
      let client: RealClient;
      try {
        client = await connectRealClient(kind, portOf(node.resp));
      } catch {
        // Nothing was asked yet. Half of the workers wait for their node to come back, the others go elsewhere.
        if (connection >= 2) home++;
        await delay(50);
        continue;
      }
      try {
        const name = `${kind}-${node.id}-${connection}-${life++}`;
        while (!this.#stopped && (await this.#operate(client, name, random)))
          await delay(random.exponential(PAUSE_MS));
      } catch (error) {
        this.#defect ??= error instanceof Error ? error : new Error('a worker failed', { cause: error });
        return;
      } finally {
        client.close();
      }
      if (connection >= 2) home++;
    }
  }

  /** One operation. False when the connection is not to be used any more. */
  async #operate(client: RealClient, name: string, random: SeededRandom): Promise<boolean> {
    if (random.chance(0.1)) return await this.#writeOnce(client);
    const number = random.integer(KEYS_PER_ROUND);
    const isCounter = number % 3 === 0;
    const key = `round${this.#round}:${isCounter ? 'counter' : 'register'}:${number}`;
    const kind = random.pick(isCounter ? COUNTER_KINDS : REGISTER_KINDS);
    const argument = isCounter ? String(1 + random.integer(3)) : `v${this.#nextValue++}`;
    const operation = this.history.call(name, key, kind, kind === 'get' || kind === 'delete' ? '' : argument);
    const words = WORDS[kind]?.(key, argument) ?? [];
    try {
      const reply = await within(ANSWER_TIMEOUT_MS, client.call(...words));
      this.history.ok(operation, resultOf(kind, reply));
      if (kind !== 'get') this.#noteAnswer(key);
      return true;
    } catch (error) {
      return this.#failed(operation, kind, error);
    }
  }

  /** What failed without a definite answer ends this connection; a read may have failed as it likes, it changed nothing. */
  #failed(operation: OpenOperation, kind: OperationKind, error: unknown): boolean {
    const failure = failureOf(error);
    if (failure === 'not-a-number') {
      this.history.ok(operation, 'error');
      return true;
    }
    this.#count(error);
    if (failure === 'definite' || kind === 'get') this.history.failed(operation);
    return failure === 'definite';
  }

  async #writeOnce(client: RealClient): Promise<boolean> {
    const value = `once${this.#nextValue++}`;
    const key = `write-once:${value}`;
    this.#writes.attempt(key, value);
    try {
      await within(ANSWER_TIMEOUT_MS, client.call('SET', key, value));
      this.#writes.acknowledge(key);
      this.#noteAnswer(key);
      return true;
    } catch (error) {
      this.#count(error);
      return failureOf(error) === 'definite';
    }
  }

  #noteAnswer(key: string): void {
    const group = this.groupOfKey(key);
    this.#answered.set(group, (this.#answered.get(group) ?? 0) + 1);
  }

  #count(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#failures.set(message, (this.#failures.get(message) ?? 0) + 1);
  }
}
