/**
 * Counters: every increment happens once. Each acknowledged INCR got a number of its own, and in the end a counter
 * stands between the acknowledged increments and those plus the doubtful ones.
 */
import { SimulationViolation } from '../checkers/violation.js';
import { integerOf, type SimulatedClient, textOf } from '../client.js';
import type { FinalRead, Workload } from './workload.js';

const COUNTERS = 4;

interface Counter {
  readonly key: string;
  acknowledged: number;
  doubtful: number;
  readonly numbers: Set<number>;
}

export class CounterWorkload implements Workload {
  readonly name = 'counters';
  operations = 0;
  readonly #counters: readonly Counter[] = Array.from({ length: COUNTERS }, (_, i) => ({
    key: `counter-${i}`,
    acknowledged: 0,
    doubtful: 0,
    numbers: new Set<number>(),
  }));

  operate(client: SimulatedClient, done: () => void): void {
    const counter = client.random.pick(this.#counters);
    this.operations++;
    // In doubt until answered: the run may end first.
    counter.doubtful++;
    client.write('incr', [counter.key], (answer) => {
      if (answer.kind !== 'maybe') counter.doubtful--;
      if (answer.kind === 'reply') {
        const number = integerOf(answer.reply);
        if (counter.numbers.has(number))
          throw new SimulationViolation(
            'exactly once',
            `two increments of ${counter.key} answered ${number}`,
          );
        counter.numbers.add(number);
        counter.acknowledged++;
      }
      done();
    });
  }

  finalReads(): readonly FinalRead[] {
    return this.#counters.map(
      (counter): FinalRead =>
        (client, done) =>
          client.read('get', [counter.key], (answer) => {
            if (answer.kind === 'reply') this.#judge(counter, Number(textOf(answer.reply) ?? '0'));
            done(answer.kind === 'reply');
          }),
    );
  }

  #judge(counter: Counter, value: number): void {
    const { key, acknowledged, doubtful } = counter;
    if (value < acknowledged || value > acknowledged + doubtful)
      throw new SimulationViolation(
        'exactly once',
        `${key} is ${value} after ${acknowledged} acknowledged and ${doubtful} doubtful increments`,
      );
  }

  check(): void {
    // Judged while it runs.
  }
}
