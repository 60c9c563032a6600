/**
 * Transfers between accounts of one slot, by MULTI and by WATCH: money is neither made nor lost. Every read of all accounts,
 * at any time and at any replica, adds up to nothing, as at the beginning.
 */
import type { CommandDefinition } from '../../src/store/command.js';
import { commandByName } from '../../src/store/registry.js';
import type { Reply } from '../../src/store/reply.js';
import { encodeTransaction, type WatchedKey } from '../../src/store/transaction.js';
import { SimulationViolation } from '../checkers/violation.js';
import { type SimulatedClient, textOf } from '../client.js';
import type { FinalRead, Workload } from './workload.js';

const ACCOUNTS = ['{bank}:a', '{bank}:b', '{bank}:c', '{bank}:d'];
/** The bucket `default`. */
const BUCKET_ID = 0;

function definitionOf(name: string): CommandDefinition {
  const definition = commandByName(name);
  if (definition === undefined) throw new Error(`command ${name} is not registered`);
  return definition;
}

const isList = (reply: Reply | undefined): reply is readonly Reply[] => Array.isArray(reply);

export class TransferWorkload implements Workload {
  readonly name = 'transfers';
  operations = 0;
  transferred = 0;

  operate(client: SimulatedClient, done: () => void): void {
    this.operations++;
    const draw = client.random.float();
    if (draw < 0.4) this.#audit(client, () => done());
    else if (draw < 0.8) this.#transfer(client, done);
    else this.#watchedTransfer(client, done);
  }

  #pickTwo(client: SimulatedClient): [string, string] {
    const from = client.random.pick(ACCOUNTS);
    const to = client.random.pick(ACCOUNTS.filter((account) => account !== from));
    return [from, to];
  }

  #transfer(client: SimulatedClient, done: () => void): void {
    const [from, to] = this.#pickTwo(client);
    const amount = 1 + client.random.integer(50);
    this.#execute(
      client,
      [],
      'incrby',
      [
        [from, String(-amount)],
        [to, String(amount)],
      ],
      done,
    );
  }

  #watchedTransfer(client: SimulatedClient, done: () => void): void {
    const [from, to] = this.#pickTwo(client);
    this.#readVersioned(client, from, (fromBalance, fromWatched) => {
      if (fromWatched === undefined) return done();
      this.#readVersioned(client, to, (toBalance, toWatched) => {
        if (toWatched === undefined) return done();
        const amount = 1 + client.random.integer(50);
        this.#execute(
          client,
          [fromWatched, toWatched],
          'set',
          [
            [from, String(fromBalance - amount)],
            [to, String(toBalance + amount)],
          ],
          done,
        );
      });
    });
  }

  #readVersioned(
    client: SimulatedClient,
    key: string,
    done: (balance: number, watched: WatchedKey | undefined) => void,
  ): void {
    client.read('quoin.get', [key], (answer) => {
      if (answer.kind !== 'reply') return done(0, undefined);
      const parts = isList(answer.reply) ? answer.reply : [null, 0];
      const version = Number(parts[1]);
      done(Number(textOf(parts[0] ?? null) ?? '0'), {
        bucketId: BUCKET_ID,
        key: Buffer.from(key),
        version,
      });
    });
  }

  #execute(
    client: SimulatedClient,
    watched: readonly WatchedKey[],
    command: string,
    steps: readonly (readonly string[])[],
    done: () => void,
  ): void {
    const definition = definitionOf(command);
    const commands = steps.map((words) => ({
      bucketId: BUCKET_ID,
      definition,
      args: words.map((word) => Buffer.from(word)),
    }));
    client.write('quoin.exec', encodeTransaction(Buffer.from(ACCOUNTS[0]!), watched, commands), (answer) => {
      if (answer.kind === 'reply' && isList(answer.reply)) this.transferred++;
      done();
    });
  }

  #audit(client: SimulatedClient, done: (answered: boolean) => void): void {
    client.read('mget', ACCOUNTS, (answer) => {
      if (answer.kind === 'reply' && isList(answer.reply)) {
        const balances = answer.reply.map((balance) => Number(textOf(balance) ?? '0'));
        const sum = balances.reduce((total, balance) => total + balance, 0);
        if (sum !== 0)
          throw new SimulationViolation('transfers', `balances ${balances.join(', ')} add up to ${sum}`);
      }
      done(answer.kind === 'reply');
    });
  }

  finalReads(): readonly FinalRead[] {
    return [(client, done) => this.#audit(client, done)];
  }

  check(): void {
    // Judged while it runs.
  }
}
