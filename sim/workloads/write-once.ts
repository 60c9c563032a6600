/** Keys written once: none that was acknowledged may be missing in the end. */
import { AcknowledgedWrites } from '../checkers/acknowledged-writes.js';
import { type SimulatedClient, textOf } from '../client.js';
import type { FinalRead, Workload } from './workload.js';

export class WriteOnceWorkload implements Workload {
  readonly name = 'write-once';
  operations = 0;
  readonly #writes = new AcknowledgedWrites();
  readonly #maxValueBytes: number;

  constructor(maxValueBytes: number) {
    this.#maxValueBytes = maxValueBytes;
  }

  get acknowledged(): number {
    return this.#writes.acknowledged;
  }

  operate(client: SimulatedClient, done: () => void): void {
    const key = `once-${this.operations++}`;
    const value = `${key}-by-${client.id}`.padEnd(client.random.integer(this.#maxValueBytes + 1), '.');
    this.#writes.attempt(key, value);
    client.write('set', [key, value], (answer) => {
      if (answer.kind === 'reply') this.#writes.acknowledge(key);
      done();
    });
  }

  finalReads(): readonly FinalRead[] {
    return [...this.#writes.keys()].map(
      (key): FinalRead =>
        (client, done) =>
          client.read('get', [key], (answer) => {
            if (answer.kind === 'reply') this.#writes.read(key, textOf(answer.reply));
            done(answer.kind === 'reply');
          }),
    );
  }

  check(): void {
    // Judged by the final reads.
  }
}
