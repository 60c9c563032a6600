/**
 * FLUSHDB and FLUSHALL where eventual buckets are concerned. What is flushed there is named by a version: everything up
 * to it is gone on every node that knows the map, and a replica that was away learns it with the map. So a flush is
 * decided by group 0, and is the one command on an eventual bucket that is not eventual: it needs a majority of the nodes
 * that decide the map.
 */
import { QuoinError } from '../base/errors.js';
import { ErrorReply, OK, type Reply } from '../store/reply.js';
import type { BucketDescription } from '../store/types.js';
import { oneOf } from './router.js';
import type { Request } from './types.js';

export interface FlushHost {
  /** A version at or above all that was given by now; this node's later writes lie above it. 0: there is none. */
  fence(): number;
  buckets(): Iterable<BucketDescription>;
  /** Decides it in the cluster map. */
  flushBucket(name: string, version: number): Promise<unknown>;
  /** Carries the command out in the Raft groups. */
  submitToGroups(request: Request): void;
}

const CLOCK_BEHIND = ErrorReply.of(
  'CLOCK_DRIFT',
  'the bucket holds records of a node whose clock is too far ahead of the clock of this one; nothing was flushed',
);

/** True when the request is a flush of an eventual bucket, or of all buckets, and so is answered here. */
export function flushEventual(request: Request, host: FlushHost): boolean {
  const { definition, bucket, completion } = request;
  if (definition.name !== 'flushdb' && definition.name !== 'flushall') return false;
  const isAll = definition.name === 'flushall';
  const flushed = [...host.buckets()].filter(
    (candidate) => candidate.quorum !== undefined && (isAll || candidate.id === bucket.id),
  );
  if (flushed.length === 0) return false;
  const version = host.fence();
  if (version === 0) {
    completion.complete(CLOCK_BEHIND);
    return true;
  }
  const parts: Promise<Reply>[] = flushed.map(({ name }) => answerOf(host.flushBucket(name, version)));
  const linearizable = isAll
    ? [...host.buckets()].find((candidate) => candidate.quorum === undefined)
    : undefined;
  if (linearizable !== undefined) {
    parts.push(
      new Promise((resolve) => {
        host.submitToGroups({ ...request, bucket: linearizable, completion: { complete: resolve } });
      }),
    );
  }
  void Promise.all(parts).then((replies) => {
    completion.complete(oneOf(definition, replies, () => OK));
  });
  return true;
}

function answerOf(flushing: Promise<unknown>): Promise<Reply> {
  return flushing.then(
    () => OK,
    (error: unknown) =>
      error instanceof QuoinError ? ErrorReply.from(error) : ErrorReply.of('INTERNAL', String(error)),
  );
}
