/** One attempt of a client at one node, until it is answered or the client has waited for long enough. */
import type { Completion } from '../src/server/types.js';
import type { Reply } from '../src/store/reply.js';
import { type Answer, answerOf } from './client.js';
import type { ScheduledEvent } from './scheduler.js';

/** What it needs of the cluster. */
interface Waiting {
  readonly clientTimeoutMs: number;
  later(delayMs: number, callback: () => void): ScheduledEvent;
}

export class Underway implements Completion {
  readonly #gate: Waiting;
  readonly #node: { readonly underWay: Set<Underway> };
  readonly #done: (answer: Answer) => void;
  #timeout: ScheduledEvent | undefined;
  #over = false;
  /** Of a write to an eventual bucket: see `observeWrites`. */
  version: number | undefined;

  constructor(gate: Waiting, node: { readonly underWay: Set<Underway> }, done: (answer: Answer) => void) {
    this.#gate = gate;
    this.#node = node;
    this.#done = done;
    this.#timeout = gate.later(gate.clientTimeoutMs, () => this.end({ kind: 'maybe' }));
    node.underWay.add(this);
  }

  complete(reply: Reply): void {
    const answer = answerOf(reply);
    this.end(answer.kind === 'reply' ? { ...answer, version: this.version } : answer);
  }

  end(answer: Answer): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout?.cancel();
    this.#timeout = undefined;
    this.#node.underWay.delete(this);
    this.#gate.later(0, () => this.#done(answer));
  }
}
