/**
 * The rule for what one request may ask of an eventual bucket's copies: the same for the HTTP door and for calls of an embedding
 * application. Only a bucket of quorum replication has a choice, of 1 to n.
 */
import type { BucketDescription } from '../../store/types.js';

/** Why `replicas` cannot be the r or w of a request; undefined when it can, or none is asked for. */
export function refusalOfReplicas(
  name: 'r' | 'w',
  replicas: number | undefined,
  { name: bucket, quorum, replication }: BucketDescription,
): string | undefined {
  if (replicas === undefined) return undefined;
  if (quorum === undefined)
    return `${name} belongs to buckets of quorum replication; '${bucket}' is one of ${replication}`;
  if (Number.isInteger(replicas) && replicas >= 1 && replicas <= quorum.n) return undefined;
  return `${name} must be a whole number from 1 to ${quorum.n}`;
}
