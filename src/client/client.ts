/**
 * The TypeScript client: buckets of a running cluster over HTTP, with fail-over between nodes and writes that happen once
 * however often they are sent.
 *
 * ```ts
 * import { connect } from 'quoin/client';
 *
 * const client = connect({ nodes: ['http://127.0.0.1:8001', 'http://127.0.0.1:8002', 'http://127.0.0.1:8003'] });
 * await client.bucket().set('greeting', 'hello');
 * client.close();
 * ```
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import { checkBucketName } from './arguments.js';
import type { Bucket } from './bucket.js';
import { Caller } from './caller.js';
import { HttpBucket } from './http-bucket.js';
import { parseNodeUrl } from './node-choice.js';

/** Longer than a node waits for a leader, so that its own answer comes first. */
const DEFAULT_TIMEOUT_MS = LIMITS.requestTimeoutMs + 5000;
const DEFAULT_ATTEMPT_TIMEOUT_MS = 4000;
const DEFAULT_MAX_INFLIGHT = 64;
const MAX_TIMEOUT_MS = 3_600_000;
const MAX_INFLIGHT = 1024;

export interface ConnectOptions {
  /** HTTP addresses of nodes, `http://host:port`; any one answers for all keys, several make for fail-over. */
  readonly nodes: readonly string[];
  /** A call that has not succeeded by then is given up, in milliseconds. Default: 15000. */
  readonly timeoutMs?: number;
  /** How long one node may be silent before another is asked, in milliseconds. Default: 4000. */
  readonly attemptTimeoutMs?: number;
  /** Calls on their way at one time, from 1 to 1024; more wait for their turn. Default: 64. */
  readonly maxInflight?: number;
  /**
   * Writes travel under a session, so that one whose answer was lost is sent again and still happens once. False: such a
   * write ends with OUTCOME_UNKNOWN instead. Default: true.
   */
  readonly session?: boolean;
}

/** A connection to a cluster. It keeps no process alive; `close` ends it at once. */
export interface Client {
  /**
   * A handle on a bucket (default: `default`). Whether the bucket exists shows with the first call. Throws WRONG_ARGUMENTS
   * for what is no bucket name.
   */
  bucket(name?: string): Bucket;
  /**
   * Ends all connections. Calls under way are rejected: with CLOSED, or with OUTCOME_UNKNOWN where a write may have
   * happened; later ones with CLOSED.
   */
  close(): void;
}

function wholeNumber(name: string, value: number | undefined, otherwise: number, max: number): number {
  if (value === undefined) return otherwise;
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new QuoinError('WRONG_ARGUMENTS', `${name} must be a whole number from 1 to ${max}`);
}

/**
 * Prepares a client; connections are made when they are needed, so an address where nobody listens shows with the first
 * call (UNREACHABLE, once its time is up). Throws WRONG_ARGUMENTS for options that make no sense.
 */
export function connect(options: ConnectOptions): Client {
  const { nodes } = options;
  if (!Array.isArray(nodes) || nodes.length === 0)
    throw new QuoinError('WRONG_ARGUMENTS', 'nodes must list at least one address http://host:port');
  const addresses = [...new Set(nodes as readonly string[])].map(parseNodeUrl);
  const timeoutMs = wholeNumber('timeoutMs', options.timeoutMs, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS);
  const caller = new Caller({
    nodes: addresses,
    timeoutMs,
    attemptTimeoutMs: wholeNumber(
      'attemptTimeoutMs',
      options.attemptTimeoutMs,
      Math.min(DEFAULT_ATTEMPT_TIMEOUT_MS, timeoutMs),
      MAX_TIMEOUT_MS,
    ),
    maxInflight: wholeNumber('maxInflight', options.maxInflight, DEFAULT_MAX_INFLIGHT, MAX_INFLIGHT),
    exactlyOnce: options.session !== false,
  });
  return {
    bucket: (name = 'default') =>
      new HttpBucket(checkBucketName(name), (operation) => caller.call(operation)),
    close: () => caller.close(),
  };
}
