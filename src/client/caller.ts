/**
 * Carries a call to the cluster: picks a node, tries again elsewhere when that one cannot answer, and gives up at the
 * deadline.
 *
 * What is tried again: reads always; writes when it is certain that they did not happen, or under a session, where a
 * repeat is recognized. Eventual buckets know no sessions: there a repeat is a newer write, which would replace what others wrote
 * in between. So before a write in doubt is repeated, a node is asked what kind of bucket it is for. It is asked then
 * and not before, nor remembered: a call without trouble costs nothing more, and a bucket's name may pass to one of another kind.
 * A write that is given up while one of its attempts may have happened ends with OUTCOME_UNKNOWN, whatever was answered last.
 *
 * Invariants: every call settles at its deadline or before; a call has one attempt under way at a time; a write that may have
 * happened is sent again only to a bucket whose replication recognizes it.
 */
import { Agent } from 'node:http';
import { type ErrorCode, QuoinError } from '../base/errors.js';
import { exchange, type HttpAnswer, type HttpCall, NoAnswer } from './exchange.js';
import { Gate } from './gate.js';
import { type NodeAddress, NodeChoice } from './node-choice.js';
import { jsonObjectOf, problemOf } from './problem.js';
import { WriteSessions, type WriteStamp } from './write-sessions.js';

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/** What a node says of itself, not of the request: another node may do better. */
const TROUBLE_OF_THE_NODE: ReadonlySet<ErrorCode> = new Set([
  'STARTING',
  'SHUTTING_DOWN',
  'SYNC_FAILED',
  'DISK_FULL',
  'DISK_FAILED',
  'LOST_DISK',
]);

/** Replications that carry a session's write out once, however often it comes. Any other, also one of a later version, may not. */
const RECOGNIZES_REPEATS: ReadonlySet<unknown> = new Set(['raft']);

export interface CallerOptions {
  readonly nodes: readonly NodeAddress[];
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly maxInflight: number;
  readonly exactlyOnce: boolean;
}

export interface Operation {
  readonly bucket: string;
  readonly method: HttpCall['method'];
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export class Caller {
  readonly #options: CallerOptions;
  readonly #agent = new Agent({ keepAlive: true, scheduling: 'lifo' });
  readonly #gate: Gate;
  readonly #nodes: NodeChoice;
  readonly #sessions = new WriteSessions();
  readonly #underWay = new Set<AbortController>();
  #closed = false;

  constructor(options: CallerOptions) {
    this.#options = options;
    this.#gate = new Gate(options.maxInflight);
    this.#nodes = new NodeChoice(options.nodes);
  }

  /** The answer, when it is a success or says that there is no such key (404). Rejects with `QuoinError`. */
  async call(operation: Operation): Promise<HttpAnswer> {
    if (this.#closed) throw new QuoinError('CLOSED', 'the client is closed');
    const { timeoutMs } = this.#options;
    const ending = new AbortController();
    const deadline = setTimeout(
      () => ending.abort(new QuoinError('TIMEOUT', `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    this.#underWay.add(ending);
    try {
      const sizeBytes = operation.path.length + (operation.body?.length ?? 0);
      return await this.#gate.run(sizeBytes, ending.signal, () => this.#carryOut(operation, ending.signal));
    } finally {
      clearTimeout(deadline);
      this.#underWay.delete(ending);
    }
  }

  /** Ends all connections and all calls. */
  close(): void {
    this.#closed = true;
    for (const ending of this.#underWay) ending.abort(new QuoinError('CLOSED', 'the client was closed'));
    this.#agent.destroy();
  }

  async #carryOut(operation: Operation, signal: AbortSignal): Promise<HttpAnswer> {
    const stamped = operation.method !== 'GET' && this.#options.exactlyOnce;
    const stamp = stamped ? this.#sessions.begin() : undefined;
    try {
      return await new Attempts(operation, stamp, this.#nodes, (node, call) =>
        exchange(this.#agent, node, call, this.#options.attemptTimeoutMs, signal),
      ).run(signal);
    } finally {
      stamp?.end();
    }
  }
}

/** The attempts of one call. */
class Attempts {
  readonly #operation: Operation;
  readonly #stamp: WriteStamp | undefined;
  readonly #nodes: NodeChoice;
  readonly #exchange: (node: NodeAddress, call: HttpCall) => Promise<HttpAnswer>;
  readonly #isWrite: boolean;
  readonly #tried = new Set<NodeAddress>();
  #pauseMs = FIRST_PAUSE_MS;
  #mayHaveHappened = false;
  /** Why an earlier attempt may have happened. */
  #doubt: QuoinError | undefined;
  /** The bucket is known to carry out once what is sent twice. */
  #mayRepeat = false;
  #last: QuoinError | undefined;

  constructor(
    operation: Operation,
    stamp: WriteStamp | undefined,
    nodes: NodeChoice,
    attempt: (node: NodeAddress, call: HttpCall) => Promise<HttpAnswer>,
  ) {
    this.#operation = operation;
    this.#stamp = stamp;
    this.#nodes = nodes;
    this.#exchange = attempt;
    this.#isWrite = operation.method !== 'GET';
  }

  async run(signal: AbortSignal): Promise<HttpAnswer> {
    for (;;) {
      const node = this.#nodes.next(this.#tried, performance.now());
      if (node === undefined) {
        this.#tried.clear();
        await this.#pause(signal);
      } else {
        this.#tried.add(node);
        const outcome = (await this.#obstacle(node, signal)) ?? (await this.#attempt(node, signal));
        if (!(outcome instanceof QuoinError)) return outcome;
        this.#last = outcome;
        if (outcome.code === 'OVERLOADED') await this.#pause(signal);
      }
      if (signal.aborted) throw this.#givenUp(signal.reason as QuoinError);
    }
  }

  /**
   * Why this node cannot tell yet that a write in doubt may be repeated; undefined when it may be, or nothing is in doubt. Throws
   * when it may not.
   */
  async #obstacle(node: NodeAddress, signal: AbortSignal): Promise<QuoinError | undefined> {
    if (!this.#mayHaveHappened || this.#mayRepeat) return undefined;
    const { bucket } = this.#operation;
    const path = `/v1/buckets/${bucket}`;
    let answer: HttpAnswer;
    try {
      answer = await this.#exchange(node, { method: 'GET', path, headers: {}, body: undefined });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      if (!signal.aborted) this.#nodes.putAside(node, performance.now());
      return new QuoinError('UNREACHABLE', `${node.url}: ${error.message}`, { cause: error });
    }
    if (answer.status >= 300) {
      const problem = problemOf(answer, node.url);
      if (problem.code === 'UNKNOWN_BUCKET') throw this.#unrepeatable(problem.message);
      if (TROUBLE_OF_THE_NODE.has(problem.code)) this.#nodes.putAside(node, performance.now());
      return problem;
    }
    if (!RECOGNIZES_REPEATS.has(jsonObjectOf(answer.body)?.replication))
      throw this.#unrepeatable(`a repeat in bucket '${bucket}' would be one more write`);
    this.#mayRepeat = true;
    return undefined;
  }

  #unrepeatable(reason: string): QuoinError {
    const cause = this.#doubt;
    const text = `${cause?.message}; it is not sent again: ${reason}`;
    return new QuoinError('OUTCOME_UNKNOWN', text, { cause });
  }

  /** An answer, or an error after which another attempt may be made; throws what is final. */
  async #attempt(node: NodeAddress, signal: AbortSignal): Promise<HttpAnswer | QuoinError> {
    const { method, path, body } = this.#operation;
    const headers = { ...this.#operation.headers, ...this.#stamp?.headers() };
    let answer: HttpAnswer;
    try {
      answer = await this.#exchange(node, { method, path, headers, body });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      if (signal.aborted) {
        if (error.mayHaveArrived && this.#isWrite) this.#mayHaveHappened = true;
        throw this.#givenUp(signal.reason as QuoinError);
      }
      this.#nodes.putAside(node, performance.now());
      return this.#unanswered(node, error);
    }
    if (answer.status < 300) {
      this.#nodes.welcomeBack(node);
      return answer;
    }
    const problem = problemOf(answer, node.url);
    if (problem.code === 'NOT_FOUND') return answer;
    if (TROUBLE_OF_THE_NODE.has(problem.code)) this.#nodes.putAside(node, performance.now());
    const repeats = problem.retriable || TROUBLE_OF_THE_NODE.has(problem.code);
    if (problem.definite || !this.#isWrite) {
      if (repeats || problem.code === 'OUTCOME_UNKNOWN') return problem;
      throw problem;
    }
    return this.#doubtful(problem, repeats || problem.code === 'OUTCOME_UNKNOWN');
  }

  #unanswered(node: NodeAddress, error: NoAnswer): QuoinError {
    const text = `${node.url}: ${error.message}`;
    if (!this.#isWrite || !error.mayHaveArrived) return new QuoinError('UNREACHABLE', text, { cause: error });
    const unknown = new QuoinError('OUTCOME_UNKNOWN', `${text}; the write may have happened`, {
      cause: error,
    });
    return this.#doubtful(unknown, true);
  }

  /** A write that may have happened can be sent again only under a session. */
  #doubtful(error: QuoinError, repeats: boolean): QuoinError {
    this.#mayHaveHappened = true;
    this.#doubt = error;
    if (this.#stamp === undefined || !repeats) throw error;
    return error;
  }

  /** The end that the signal's reason asks for; the last attempt's error says more than that time is up. */
  #givenUp(reason: QuoinError): QuoinError {
    const last = this.#last;
    const text = last === undefined ? reason.message : `${reason.message}; the last attempt: ${last.message}`;
    const cause = last ?? reason;
    if (this.#mayHaveHappened) return new QuoinError('OUTCOME_UNKNOWN', text, { cause });
    const code = reason.code === 'TIMEOUT' ? cause.code : reason.code;
    return new QuoinError(code, text, { cause });
  }

  /** Waits a little longer each time, by chance up to twice as long, so that clients do not come back all at once. */
  #pause(signal: AbortSignal): Promise<void> {
    const pauseMs = this.#pauseMs * (1 + Math.random());
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, pauseMs);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}
