/**
 * What every route of the HTTP door shares: the node, its limits, and the way to carry out one command. A request of
 * this door costs a Promise; the hot path of the store is the RESP door's.
 */
import { isUtf8 } from 'node:buffer';
import { type ErrorCode, QuoinError } from '../../base/errors.js';
import type { Completion, NodeServer, QuorumChoice, ReadConsistency } from '../../server/types.js';
import { commandByName } from '../../store/registry.js';
import { ErrorReply, type Reply } from '../../store/reply.js';
import type { BucketDescription, SessionStamp } from '../../store/types.js';
import type { BodyReader } from './body.js';
import { errorOfReply } from './problem.js';
import { refusalOfReplicas } from './quorum-choice.js';
import type { Query } from './url.js';

export interface Door {
  readonly node: NodeServer;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly bodies: BodyReader;
}

export interface SubmitOptions {
  readonly consistency?: ReadConsistency;
  readonly session?: SessionStamp | undefined;
  readonly quorum?: QuorumChoice | undefined;
}

class PromisedReply implements Completion {
  readonly promise: Promise<Reply>;
  #resolve: (reply: Reply) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  complete(reply: Reply): void {
    if (reply instanceof ErrorReply) this.#reject(errorOfReply(reply));
    else this.#resolve(reply);
  }
}

/** Carries out one of the store's internal commands. Error replies reject as `QuoinError`. */
export function submit(
  door: Door,
  command: string,
  bucket: BucketDescription,
  args: readonly Buffer[],
  options: SubmitOptions = {},
): Promise<Reply> {
  const definition = commandByName(command);
  if (definition === undefined) throw new QuoinError('INTERNAL', `no command ${command}`);
  const refusal = definition.validate?.(args);
  if (refusal !== undefined) throw errorOfReply(refusal);
  const completion = new PromisedReply();
  door.node.submit({
    definition,
    bucket,
    args,
    completion,
    consistency: options.consistency ?? 'linearizable',
    ordered: false,
    session: options.session,
    quorum: options.quorum,
  });
  return completion.promise;
}

/** The code that says why a node does not serve. */
export function codeOfPhase(phase: ReturnType<NodeServer['state']>['phase']): ErrorCode {
  switch (phase) {
    case 'stopping':
      return 'SHUTTING_DOWN';
    case 'failed':
      return 'SYNC_FAILED';
    case 'starting':
      return 'STARTING';
    case 'serving':
      return 'NO_LEADER';
  }
}

export function bucketNamed(door: Door, name: string): BucketDescription {
  const bucket = door.node.bucketByName(name);
  if (bucket !== undefined) return bucket;
  const { phase, reason } = door.node.state();
  // A node that has no map yet knows no buckets, which says nothing about the bucket.
  if (phase !== 'serving') throw new QuoinError(codeOfPhase(phase), reason || `the node is ${phase}`);
  throw new QuoinError('UNKNOWN_BUCKET', `no bucket '${name}'`);
}

export function checkKey(door: Door, key: Buffer): Buffer {
  if (key.length > door.maxKeyBytes)
    throw new QuoinError(
      'KEY_TOO_LARGE',
      `the key has ${key.length} bytes, at most ${door.maxKeyBytes} are allowed`,
    );
  return key;
}

export function checkValue(door: Door, value: Buffer): Buffer {
  if (value.length > door.maxValueBytes)
    throw new QuoinError(
      'VALUE_TOO_LARGE',
      `the value has ${value.length} bytes, at most ${door.maxValueBytes} are allowed`,
    );
  return value;
}

export function consistencyOf(query: Query): ReadConsistency {
  const text = query.text('consistency');
  if (text === undefined || text === 'linearizable') return 'linearizable';
  if (text === 'follower' || text === 'stale') return text;
  throw new QuoinError('WRONG_ARGUMENTS', 'consistency must be linearizable, follower or stale');
}

/** `?r=` and `?w=`: replicas that must answer or have it, in a bucket that lets a request say so. */
export function quorumOf(query: Query, bucket: BucketDescription): QuorumChoice | undefined {
  const r = replicasOf(query, 'r', bucket);
  const w = replicasOf(query, 'w', bucket);
  return r === undefined && w === undefined ? undefined : { r, w };
}

function replicasOf(query: Query, name: 'r' | 'w', bucket: BucketDescription): number | undefined {
  const text = query.text(name);
  if (text === undefined) return undefined;
  const replicas = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  const refusal = refusalOfReplicas(name, replicas, bucket);
  if (refusal !== undefined) throw new QuoinError('WRONG_ARGUMENTS', refusal);
  return replicas;
}

export function unexpectedReply(command: string): QuoinError {
  return new QuoinError('INTERNAL', `${command} gave a reply of an unexpected shape`);
}

/** Bytes in JSON: text where they are UTF-8, else `{"base64":"..."}`. */
export function jsonBytes(bytes: Buffer): string | { readonly base64: string } {
  return isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') };
}
