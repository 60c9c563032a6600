/**
 * A simulated client: one operation at a time, at whatever node it happens to ask, with a time-out of its own.
 *
 * Two habits. A plain client gives an operation up when its outcome is unknown. A persistent one holds a session and
 * repeats the operation, at another node, under the same sequence until it has an answer: exactly once is its right.
 */
import { ERRORS } from '../src/base/errors.js';
import type { QuorumChoice, ReadConsistency } from '../src/server/types.js';
import { ErrorReply, type Reply } from '../src/store/reply.js';
import type { SessionStamp } from '../src/store/types.js';
import type { SeededRandom } from './random.js';

/**
 * How an operation ended. `failed`: certainly without effect. `maybe`: nobody knows. `version`: what a write to an eventual
 * bucket got.
 */
export type Answer =
  | { readonly kind: 'reply'; readonly reply: Reply; readonly version?: number | undefined }
  | { readonly kind: 'failed'; readonly reply: ErrorReply | undefined }
  | { readonly kind: 'maybe' };

/** One attempt at one node. */
export interface Attempt {
  readonly command: string;
  readonly bucket: string;
  readonly args: readonly Buffer[];
  readonly consistency: ReadConsistency;
  readonly session: SessionStamp | undefined;
  /** The node to ask, when it runs; undefined: any. */
  readonly home: number | undefined;
  /** For eventual buckets. */
  readonly quorum?: QuorumChoice | undefined;
}

/** What a client needs of the simulated cluster. */
export interface Gate {
  /** Virtual time. */
  readonly nowMs: number;
  /** True once clients shall repeat nothing more. */
  readonly closing: boolean;
  /** Carries an attempt to some node that runs; `done` is called once, never from within. */
  attempt(random: SeededRandom, attempt: Attempt, done: (answer: Answer) => void): void;
  later(delayMs: number, callback: () => void): void;
}

const RETRY_MEAN_MS = 60;
/** After so many attempts even a persistent client lives with not knowing. */
const MAX_ATTEMPTS = 60;

export class SimulatedClient {
  readonly id: string;
  readonly random: SeededRandom;
  /** Repeats under a session until it knows. */
  readonly persistent: boolean;
  /** Asks always the same node, as a client with one connection does. */
  readonly home: number | undefined;
  readonly #gate: Gate;
  readonly #session: string;
  #sequence = 0;

  constructor(id: string, random: SeededRandom, gate: Gate, persistent: boolean, home?: number) {
    this.home = home;
    this.id = id;
    this.random = random;
    this.persistent = persistent;
    this.#gate = gate;
    this.#session = random.hex(8);
  }

  get nowMs(): number {
    return this.#gate.nowMs;
  }

  later(delayMs: number, callback: () => void): void {
    this.#gate.later(delayMs, callback);
  }

  /** One attempt with a quorum of its own, at an eventual bucket. Never repeated: each repetition would be a write of its own. */
  once(
    command: string,
    args: readonly string[],
    bucket: string,
    quorum: QuorumChoice,
    done: (answer: Answer) => void,
  ): void {
    this.#gate.attempt(
      this.random,
      {
        command,
        bucket,
        args: args.map((word) => Buffer.from(word)),
        consistency: 'linearizable',
        session: undefined,
        home: this.home,
        quorum,
      },
      done,
    );
  }

  read(command: string, args: readonly string[], done: (answer: Answer) => void, bucket = 'default'): void {
    this.#gate.attempt(
      this.random,
      {
        command,
        bucket,
        args: args.map((word) => Buffer.from(word)),
        consistency: this.random.chance(0.25) ? 'follower' : 'linearizable',
        session: undefined,
        home: this.home,
      },
      done,
    );
  }

  write(
    command: string,
    args: readonly (string | Buffer)[],
    done: (answer: Answer) => void,
    bucket = 'default',
  ): void {
    const words = args.map((word) => (typeof word === 'string' ? Buffer.from(word) : word));
    const sequence = this.#sequence++;
    const session = this.persistent
      ? { session: this.#session, sequence, acknowledgedBelow: sequence }
      : undefined;
    const attempt: Attempt = {
      command,
      bucket,
      args: words,
      consistency: 'linearizable',
      session,
      // Whoever repeats tries another node.
      home: this.persistent ? undefined : this.home,
    };
    let doubtful = false;
    let attemptsLeft = MAX_ATTEMPTS;
    const attemptOnce = (): void => {
      attemptsLeft--;
      this.#gate.attempt(this.random, attempt, (answer) => {
        if (answer.kind === 'maybe') doubtful = true;
        const repeat =
          this.persistent &&
          (answer.kind === 'maybe' || (answer.kind === 'failed' && (doubtful || isRetriable(answer.reply))));
        if (!repeat) done(answer);
        else if (this.#gate.closing || attemptsLeft === 0) done(doubtful ? { kind: 'maybe' } : answer);
        else this.later(this.random.exponential(RETRY_MEAN_MS), attemptOnce);
      });
    };
    attemptOnce();
  }
}

function isRetriable(reply: ErrorReply | undefined): boolean {
  return reply === undefined || ERRORS[reply.code].retriable;
}

/** Sorts a node's reply: errors are no answers, unless the caller knows better. */
export function answerOf(reply: Reply): Answer {
  if (!(reply instanceof ErrorReply)) return { kind: 'reply', reply };
  return ERRORS[reply.code].definite ? { kind: 'failed', reply } : { kind: 'maybe' };
}

/** The text of a bulk reply; null for the absent one. */
export function textOf(reply: Reply): string | null {
  if (reply === null) return null;
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  throw new TypeError(`expected a bulk string, got ${describeReply(reply)}`);
}

export function integerOf(reply: Reply): number {
  if (typeof reply === 'number') return reply;
  throw new TypeError(`expected an integer, got ${describeReply(reply)}`);
}

function describeReply(reply: Reply): string {
  if (Buffer.isBuffer(reply)) return JSON.stringify(reply.toString('latin1'));
  if (reply instanceof ErrorReply) return reply.text;
  return JSON.stringify(reply, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}
