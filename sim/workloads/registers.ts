/**
 * Registers: reads, writes and every read-modify-write over a few keys at a time, checked for linearizability. Keys are
 * retired after some operations, because the search for an order grows with the length of a key's history.
 */

import { ErrorReply, type Reply } from '../../src/store/reply.js';
import { requireLinearizable } from '../checkers/require-linearizable.js';
import { type Answer, integerOf, type SimulatedClient, textOf } from '../client.js';
import { History, type OpenOperation, type OperationKind, type OperationResult } from '../history.js';
import type { SeededRandom } from '../random.js';
import type { FinalRead, Workload } from './workload.js';

const LIVE_KEYS = 5;
const OPERATIONS_PER_KEY = 80;
/** A key with more operations of unknown outcome is retired: each doubles the orders that are possible. */
const DOUBTS_PER_KEY = 6;

export class RegisterWorkload implements Workload {
  readonly name = 'registers';
  readonly history = new History();
  readonly #random: SeededRandom;
  readonly #uses = new Map<string, number>();
  readonly #doubts = new Map<string, number>();
  readonly #live: string[] = [];
  #keys = 0;
  #values = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    for (let i = 0; i < LIVE_KEYS; i++) this.#live.push(this.#newKey());
  }

  get operations(): number {
    return this.history.operations.length;
  }

  #newKey(): string {
    const key = `${this.#random.chance(0.3) ? 'number' : 'text'}-${this.#keys++}`;
    this.#uses.set(key, 0);
    return key;
  }

  #doubt(key: string): void {
    const doubts = (this.#doubts.get(key) ?? 0) + 1;
    this.#doubts.set(key, doubts);
    const at = this.#live.indexOf(key);
    if (doubts >= DOUBTS_PER_KEY && at >= 0) this.#live[at] = this.#newKey();
  }

  #pickKey(): string {
    const at = this.#random.integer(this.#live.length);
    const key = this.#live[at]!;
    const uses = this.#uses.get(key)! + 1;
    this.#uses.set(key, uses);
    if (uses >= OPERATIONS_PER_KEY) this.#live[at] = this.#newKey();
    return key;
  }

  operate(client: SimulatedClient, done: () => void): void {
    const key = this.#pickKey();
    const draw = client.random.float();
    if (draw < 0.45) this.#get(client, key, done);
    else if (key.startsWith('number')) this.#number(client, key, draw, done);
    else this.#text(client, key, draw, done);
  }

  #number(client: SimulatedClient, key: string, draw: number, done: () => void): void {
    if (draw < 0.85) {
      const by = String(1 + client.random.integer(5));
      this.#write(client, key, 'increment', by, 'incrby', [key, by], integerOf, done);
    } else if (draw < 0.95) {
      const value = String(++this.#values * 1000);
      this.#write(client, key, 'set', value, 'set', [key, value], () => undefined, done);
    } else this.#delete(client, key, done);
  }

  #text(client: SimulatedClient, key: string, draw: number, done: () => void): void {
    const value = `v${++this.#values}`;
    if (draw < 0.65) this.#write(client, key, 'set', value, 'set', [key, value], () => undefined, done);
    else if (draw < 0.7) this.#delete(client, key, done);
    else if (draw < 0.76)
      this.#write(client, key, 'append', `${value}.`, 'append', [key, `${value}.`], integerOf, done);
    else if (draw < 0.82)
      this.#write(
        client,
        key,
        'set-if-absent',
        value,
        'setnx',
        [key, value],
        (r) => integerOf(r) === 1,
        done,
      );
    else if (draw < 0.9) this.#write(client, key, 'get-and-set', value, 'getset', [key, value], textOf, done);
    else this.#compareAndSet(client, key, value, done);
  }

  #delete(client: SimulatedClient, key: string, done: () => void): void {
    this.#write(client, key, 'delete', '', 'del', [key], (r) => integerOf(r) === 1, done);
  }

  #get(client: SimulatedClient, key: string, done: (answered: boolean) => void): void {
    const operation = this.history.call(client.id, key, 'get');
    client.read('get', [key], (answer) => {
      done(this.#settle(operation, answer, textOf));
    });
  }

  #write(
    client: SimulatedClient,
    key: string,
    kind: OperationKind,
    argument: string,
    command: string,
    args: readonly string[],
    resultOf: (reply: Reply) => OperationResult,
    done: () => void,
  ): void {
    const operation = this.history.call(client.id, key, kind, argument);
    client.write(command, args, (answer) => {
      this.#settle(operation, answer, resultOf);
      done();
    });
  }

  /** Reads value and version, then writes on the condition that the version still stands. */
  #compareAndSet(client: SimulatedClient, key: string, value: string, done: () => void): void {
    const read = this.history.call(client.id, key, 'get');
    client.read('quoin.get', [key], (answer) => {
      let expected: string | null = null;
      let version = '';
      this.#settle(read, answer, (reply) => {
        if (!Array.isArray(reply)) return null;
        const parts: readonly Reply[] = reply;
        expected = textOf(parts[0] ?? null);
        version = String(integerOf(parts[1] ?? null));
        return expected;
      });
      if (version === '') return done();
      const operation = this.history.call(client.id, key, 'compare-and-set', value, expected);
      client.write('quoin.put', [key, value, '0', version], (outcome) => {
        const refused = outcome.kind === 'failed' && outcome.reply?.code === 'CONDITION_FAILED';
        if (refused) this.history.ok(operation, false);
        else this.#settle(operation, outcome, () => true);
        done();
      });
    });
  }

  #settle(operation: OpenOperation, answer: Answer, resultOf: (reply: Reply) => OperationResult): boolean {
    if (answer.kind === 'maybe' && operation.kind !== 'get') this.#doubt(operation.key);
    if (answer.kind === 'reply') this.history.ok(operation, resultOf(answer.reply));
    else if (answer.kind === 'failed') {
      if (
        answer.reply instanceof ErrorReply &&
        operation.kind === 'increment' &&
        answer.reply.code === 'WRONG_ARGUMENTS'
      )
        this.history.ok(operation, 'error');
      else this.history.failed(operation);
    }
    return answer.kind === 'reply';
  }

  finalReads(): readonly FinalRead[] {
    return [...this.#uses.keys()].map(
      (key): FinalRead =>
        (client, done) =>
          this.#get(client, key, done),
    );
  }

  check(): void {
    requireLinearizable(this.name, this.history.operations);
  }
}
