/**
 * Expiry: each key is written once with a time to live. It must be there until that time and gone after it, give or take
 * what clocks may differ by; and once a read has found it gone, no later read may find it.
 */
import { SimulationViolation } from '../checkers/violation.js';
import { type SimulatedClient, textOf } from '../client.js';
import type { FinalRead, Workload } from './workload.js';

interface Expiring {
  readonly key: string;
  readonly ttlMs: number;
  readonly writtenFromMs: number;
  writtenByMs: number;
  acknowledged: boolean;
  /** Time at which a read that found it gone had returned. */
  goneByMs: number;
}

const REMEMBERED = 12;

export class ExpiryWorkload implements Workload {
  readonly name = 'expiry';
  operations = 0;
  readonly #toleranceMs: number;
  readonly #driftMax: number;
  readonly #keys: Expiring[] = [];

  /** `toleranceMs`: what two nodes' wall clocks may differ by, twice over. */
  constructor(toleranceMs: number, driftMax: number) {
    this.#toleranceMs = toleranceMs;
    this.#driftMax = driftMax;
  }

  operate(client: SimulatedClient, done: () => void): void {
    const number = this.operations++;
    if (this.#keys.length === 0 || client.random.chance(0.3)) this.#write(client, `expiring-${number}`, done);
    else this.#read(client, client.random.pick(this.#keys.slice(-REMEMBERED)), () => done());
  }

  #write(client: SimulatedClient, key: string, done: () => void): void {
    const ttlMs = client.random.pick([5, 200, 2000, 20_000]);
    const expiring: Expiring = {
      key,
      ttlMs,
      writtenFromMs: client.nowMs,
      writtenByMs: Number.POSITIVE_INFINITY,
      acknowledged: false,
      goneByMs: Number.POSITIVE_INFINITY,
    };
    this.#keys.push(expiring);
    client.write('set', [key, key, 'PX', String(ttlMs)], (answer) => {
      if (answer.kind === 'reply') {
        expiring.acknowledged = true;
        expiring.writtenByMs = client.nowMs;
      }
      done();
    });
  }

  #read(client: SimulatedClient, expiring: Expiring, done: (answered: boolean) => void): void {
    const calledMs = client.nowMs;
    const acknowledged = expiring.acknowledged;
    client.read('get', [expiring.key], (answer) => {
      if (answer.kind === 'reply')
        this.#judge(expiring, calledMs, client.nowMs, acknowledged, textOf(answer.reply));
      done(answer.kind === 'reply');
    });
  }

  #judge(
    expiring: Expiring,
    calledMs: number,
    returnedMs: number,
    acknowledged: boolean,
    value: string | null,
  ): void {
    const { key, ttlMs, writtenFromMs, writtenByMs, goneByMs } = expiring;
    const toleranceMs = this.#toleranceMs + 2 * this.#driftMax * returnedMs;
    const fail = (what: string): never => {
      throw new SimulationViolation('expiry', `${key} with ${ttlMs} ms to live ${what}`);
    };
    if (value !== null && calledMs > goneByMs)
      fail(`is back at ${calledMs}, after it was gone at ${goneByMs}`);
    if (value !== null && calledMs > writtenByMs + ttlMs + toleranceMs)
      fail(`is there at ${calledMs}, ${calledMs - writtenByMs} ms after it was written`);
    if (value === null && acknowledged && returnedMs < writtenFromMs + ttlMs - toleranceMs)
      fail(`is gone at ${returnedMs}, ${returnedMs - writtenFromMs} ms after it was written`);
    if (value === null && acknowledged) expiring.goneByMs = Math.min(goneByMs, returnedMs);
  }

  finalReads(): readonly FinalRead[] {
    return this.#keys.map(
      (expiring): FinalRead =>
        (client, done) =>
          this.#read(client, expiring, done),
    );
  }

  check(): void {
    // Judged while it runs.
  }
}
