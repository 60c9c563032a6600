/**
 * Buckets as people write them, in the file and in the bodies of the HTTP door, and the buckets that a cluster has from the
 * start.
 *
 * Invariant: whether a bucket may be is decided by `cluster/bucket-policy.ts`, here as in group 0; what is said here is said
 * earlier, with the line of the file.
 */
import { QuoinError } from '../../base/errors.js';
import { bucketFrom, isRefusal } from '../../cluster/bucket-policy.js';
import type { BucketChanges, BucketSpecification } from '../../cluster/map.js';
import type { QuorumPolicy, RetentionPolicy } from '../../store/types.js';
import { type Complaint, complaintsOf, joinComplaints, keyAndMessage } from './complaints.js';
import {
  type BucketChangesDocument,
  type BucketDocument,
  bucketChangesSchema,
  bucketSchema,
} from './schema.js';
import { FIRST_BUCKETS } from './types.js';
import { unsupportedInBucket } from './unsupported.js';

/** Cannot be changed while data is in the bucket. */
const FIXED: readonly string[] = ['name', 'replication', 'engine', 'n'];

/** Reads a bucket. Throws WRONG_ARGUMENTS for bad input and NOT_SUPPORTED for what this version lacks. */
export function parseBucket(value: unknown): BucketSpecification {
  const parsed = bucketSchema.safeParse(value);
  if (!parsed.success) throw wrong(complaintsOf(parsed.error, bucketSchema, value));
  const unsupported = unsupportedInBucket(parsed.data);
  if (unsupported.length > 0)
    throw new QuoinError('NOT_SUPPORTED', joinComplaints(unsupported.map(keyAndMessage)));
  return specificationFrom(parsed.data);
}

/** Reads changes of a bucket. Throws WRONG_ARGUMENTS for bad input and BUCKET_UNCHANGEABLE for what stays as it is. */
export function parseBucketChanges(value: unknown): BucketChanges {
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const fixed = keys.find((key) => FIXED.includes(key));
  if (fixed !== undefined)
    throw new QuoinError('BUCKET_UNCHANGEABLE', `${fixed} of a bucket cannot be changed while data is in it`);
  if (keys.includes('acks'))
    throw new QuoinError(
      'NOT_SUPPORTED',
      'acks belongs to primary replication, which this version does not have',
    );
  const parsed = bucketChangesSchema.safeParse(value);
  if (!parsed.success) throw wrong(complaintsOf(parsed.error, bucketChangesSchema, value));
  if (keys.length === 0) throw new QuoinError('WRONG_ARGUMENTS', 'nothing to change was given, such as ttl');
  return changesFrom(parsed.data);
}

/** Every bucket of the first map: those that each cluster has, which the file may describe otherwise, then the file's others. */
export function initialBuckets(documents: readonly BucketDocument[]): BucketSpecification[] {
  const described = documents.map(specificationFrom);
  const standing = new Set(FIRST_BUCKETS.map((bucket) => bucket.name));
  return [
    ...FIRST_BUCKETS.map((first) => described.find((bucket) => bucket.name === first.name) ?? first),
    ...described.filter((bucket) => !standing.has(bucket.name)),
  ];
}

/** What is wrong between the keys of a bucket, and between buckets. `groupSize`: as large as a group can be. */
export function brokenBucketRules(documents: readonly BucketDocument[], groupSize: number): Complaint[] {
  const complaints: Complaint[] = [];
  documents.forEach((bucket, index) => {
    const earlier = documents.findIndex((other) => other.name === bucket.name);
    if (earlier !== index)
      complaints.push({
        path: ['buckets', index, 'name'],
        message: `a bucket ${bucket.name} stands there twice`,
      });
    const outcome = bucketFrom(index, specificationFrom(bucket), groupSize);
    if (!isRefusal(outcome)) return;
    const { key, message } = outcome;
    complaints.push(
      key === undefined
        ? { path: ['buckets', index], message }
        : { path: ['buckets', index, key], message: message.slice(key.length + 1) },
    );
  });
  return complaints;
}

function wrong(complaints: readonly Complaint[]): QuoinError {
  return new QuoinError('WRONG_ARGUMENTS', joinComplaints(complaints.map(keyAndMessage)));
}

function specificationFrom(bucket: BucketDocument): BucketSpecification {
  const { name, replication, engine, ttl: ttlMs } = bucket;
  const retention = retentionFrom(bucket);
  const quorum = quorumFrom(bucket);
  return {
    name,
    replication,
    engine,
    ttlMs,
    ...(retention === undefined ? {} : { retention }),
    // Where it does not belong it is carried along, so that whoever decides refuses it by name.
    ...(Object.keys(quorum).length === 0 ? {} : { quorum }),
  };
}

function retentionFrom({ maxIdle, maxMemory, eviction }: BucketDocument): RetentionPolicy | undefined {
  if (maxIdle === undefined && maxMemory === undefined && eviction === undefined) return undefined;
  return { maxIdleMs: maxIdle ?? 0, maxMemoryBytes: maxMemory ?? 0, eviction: eviction ?? 'noeviction' };
}

function quorumFrom({ n, ...bucket }: BucketDocument): Partial<QuorumPolicy> {
  return { ...(n === undefined ? {} : { n }), ...quorumChangesFrom(bucket) };
}

type QuorumChanges = Pick<BucketChanges, 'r' | 'w' | 'readRepair' | 'hintedHandoff' | 'antiEntropy'>;

function quorumChangesFrom(document: BucketChangesDocument): QuorumChanges {
  const { r, w, readRepair, hintedHandoff, antiEntropy } = document;
  return {
    ...(r === undefined ? {} : { r }),
    ...(w === undefined ? {} : { w }),
    ...(readRepair === undefined ? {} : { readRepair }),
    ...(hintedHandoff === undefined ? {} : { hintedHandoff }),
    ...(antiEntropy === undefined ? {} : { antiEntropy }),
  };
}

function changesFrom(document: BucketChangesDocument): BucketChanges {
  const { ttl, maxIdle, maxMemory, eviction } = document;
  return {
    ...(ttl === undefined ? {} : { ttlMs: ttl }),
    ...(maxIdle === undefined ? {} : { maxIdleMs: maxIdle }),
    ...(maxMemory === undefined ? {} : { maxMemoryBytes: maxMemory }),
    ...(eviction === undefined ? {} : { eviction }),
    ...quorumChangesFrom(document),
  };
}
