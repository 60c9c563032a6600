/**
 * What a bucket may be, and what of it may change: from a wish (`BucketSpecification`, `BucketChanges`) to the description
 * that the map carries. Group 0 and the first map ask here, so that no way leads around these rules.
 *
 * Invariants:
 * - a description has `quorum` exactly when its replication is `quorum`, and there 1 <= r, w <= n <= the size of a group;
 * - a description has `retention` only where it bounds something, and only with the memory engine;
 * - what a description was given keeps its meaning: name, replication, engine and n never change, and a flush is not undone.
 */
import type { ErrorCode } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { BucketDescription, QuorumPolicy, RetentionPolicy } from '../store/types.js';
import type { BucketChanges, BucketSpecification } from './map.js';

/** Why a wish is refused. */
export interface PolicyRefusal {
  readonly code: ErrorCode;
  /** Begins with the key that is wrong, where one is, as the configuration file names it. */
  readonly message: string;
  readonly key?: string;
}

/** Times of expiry, and so times to live, are below this (the contract of engines). */
const TTL_END_MS = 2 ** 48;
/** The engines that this version has; any other in a group's log would stop its replicas. */
const ENGINES: ReadonlySet<string> = new Set(['memory', 'lmdb']);
const REPLICATIONS: ReadonlySet<string> = new Set(['raft', 'quorum']);
const EVICTIONS: ReadonlySet<string> = new Set(['noeviction', 'lru', 'lfu']);
const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
/** Copies of an eventual bucket that says nothing else, where a group has as many members. */
const DEFAULT_REPLICAS = 3;

const UNBOUNDED: RetentionPolicy = { maxIdleMs: 0, maxMemoryBytes: 0, eviction: 'noeviction' };

const SWITCHES = ['readRepair', 'hintedHandoff', 'antiEntropy'] as const;
const QUORUM_CHANGES: readonly string[] = ['r', 'w', ...SWITCHES];
const CHANGEABLE: readonly string[] = ['ttlMs', 'maxIdleMs', 'maxMemoryBytes', 'eviction', ...QUORUM_CHANGES];
const FIXED: readonly string[] = ['id', 'name', 'replication', 'engine', 'n'];

export function isRefusal(outcome: BucketDescription | PolicyRefusal): outcome is PolicyRefusal {
  return 'code' in outcome;
}

/** The bucket that a specification asks for; `groupSize`: members of the groups that hold data. */
export function bucketFrom(
  id: number,
  specification: BucketSpecification,
  groupSize: number,
): BucketDescription | PolicyRefusal {
  const { name, replication, engine, ttlMs } = specification;
  const bucket = {
    id,
    name,
    replication,
    engine,
    ttlMs,
    ...(specification.retention === undefined ? {} : boundedRetention(specification.retention)),
    ...(replication === 'quorum' ? { quorum: filledQuorum(specification.quorum ?? {}, groupSize) } : {}),
  };
  return (
    refusedKind(specification) ??
    refusedTime('ttl', ttlMs) ??
    refusedRetention(engine, bucket.retention) ??
    refusedQuorum(bucket.quorum, groupSize) ??
    bucket
  );
}

/** The bucket as the changes leave it. */
export function changedBucket(
  bucket: BucketDescription,
  changes: BucketChanges,
  groupSize: number,
): BucketDescription | PolicyRefusal {
  const wrong = refusedChanges(bucket, changes);
  if (wrong !== undefined) return wrong;
  const ttlMs = changes.ttlMs ?? bucket.ttlMs;
  const { retention: before = UNBOUNDED, quorum: quorumBefore, ...rest } = bucket;
  const maxMemoryBytes = changes.maxMemoryBytes ?? before.maxMemoryBytes;
  // A bound that goes takes its policy along.
  const unbound = changes.maxMemoryBytes === 0 && changes.eviction === undefined;
  const wanted: RetentionPolicy = {
    maxIdleMs: changes.maxIdleMs ?? before.maxIdleMs,
    maxMemoryBytes,
    eviction: unbound ? 'noeviction' : (changes.eviction ?? before.eviction),
  };
  const retention = boundedRetention(wanted);
  const quorum = quorumBefore && { ...quorumBefore, ...quorumChanges(changes) };
  return (
    refusedTime('ttl', ttlMs) ??
    refusedRetention(bucket.engine, retention.retention) ??
    refusedQuorum(quorum, groupSize) ?? { ...rest, ttlMs, ...retention, ...(quorum && { quorum }) }
  );
}

/** The bucket after everything up to this version was flushed: it never goes back. */
export function flushedBucket(bucket: BucketDescription, version: number): BucketDescription | PolicyRefusal {
  if (bucket.quorum === undefined)
    return refused('NOT_SUPPORTED', `bucket '${bucket.name}' is not flushed through the cluster map`);
  if (!Number.isSafeInteger(version) || version < 0)
    return refused('WRONG_ARGUMENTS', 'a version is a whole number from 0 to 2^53 - 1');
  const flushedThrough = Math.max(bucket.quorum.flushedThrough, version);
  return { ...bucket, quorum: { ...bucket.quorum, flushedThrough } };
}

/** Replicas that make a majority: of so many, any two such sets share one. */
function majorityOf(n: number): number {
  return Math.floor(n / 2) + 1;
}

function boundedRetention(retention: RetentionPolicy): { readonly retention?: RetentionPolicy } {
  const { maxIdleMs, maxMemoryBytes, eviction } = retention;
  if (maxIdleMs === 0 && maxMemoryBytes === 0 && eviction === 'noeviction') return {};
  return { retention: { maxIdleMs, maxMemoryBytes, eviction } };
}

function filledQuorum(wanted: Partial<QuorumPolicy>, groupSize: number): QuorumPolicy {
  const n = wanted.n ?? Math.min(DEFAULT_REPLICAS, groupSize);
  return {
    n,
    r: wanted.r ?? majorityOf(n),
    w: wanted.w ?? majorityOf(n),
    readRepair: wanted.readRepair ?? true,
    hintedHandoff: wanted.hintedHandoff ?? true,
    antiEntropy: wanted.antiEntropy ?? true,
    flushedThrough: wanted.flushedThrough ?? 0,
  };
}

function quorumChanges({
  r,
  w,
  readRepair,
  hintedHandoff,
  antiEntropy,
}: BucketChanges): Partial<QuorumPolicy> {
  return {
    ...(r !== undefined && { r }),
    ...(w !== undefined && { w }),
    ...(readRepair !== undefined && { readRepair }),
    ...(hintedHandoff !== undefined && { hintedHandoff }),
    ...(antiEntropy !== undefined && { antiEntropy }),
  };
}

/** The text begins with the key where one is named: `w must be ...`. */
function refused(code: ErrorCode, message: string, key?: string): PolicyRefusal {
  return key === undefined ? { code, message } : { code, key, message: `${key} ${message}` };
}

function refusedKind({ name, replication, engine, quorum }: BucketSpecification): PolicyRefusal | undefined {
  if (!BUCKET_NAME.test(name) || name.length > LIMITS.maxBucketNameBytes || /^[0-9]+$/.test(name)) {
    return refused(
      'WRONG_ARGUMENTS',
      `bucket name '${name.slice(0, LIMITS.maxBucketNameBytes)}' must be letters, digits, '.', '_' or '-', begin with a letter or digit, not be a number, and have at most ${LIMITS.maxBucketNameBytes} characters`,
    );
  }
  if (!REPLICATIONS.has(replication))
    return refused(
      'NOT_SUPPORTED',
      `'${replication}' is not in this version; it has 'raft' and 'quorum'`,
      'replication',
    );
  if (!ENGINES.has(engine))
    return refused(
      'NOT_SUPPORTED',
      `'${engine}' is not in this version; it has 'memory' and 'lmdb'`,
      'engine',
    );
  if (quorum !== undefined && replication !== 'quorum')
    return ofQuorumOnly(Object.keys(quorum)[0] ?? 'n', name, replication);
  return undefined;
}

function ofQuorumOnly(key: string, name: string, replication: string): PolicyRefusal {
  const copies = key === 'n' ? '; the copies of all others are cluster.replicas' : '';
  return refused(
    'WRONG_ARGUMENTS',
    `belongs to buckets of quorum replication${copies}; '${name}' is one of ${replication}`,
    key,
  );
}

function isMilliseconds(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < TTL_END_MS;
}

/** Times that the groups' logs could not carry must not come into the map: they would stop over it. */
function refusedTime(key: string, valueMs: number): PolicyRefusal | undefined {
  if (isMilliseconds(valueMs)) return undefined;
  return refused('WRONG_ARGUMENTS', 'must be a whole number of milliseconds from 0 to 2^48 - 1', key);
}

function refusedRetention(engine: string, retention: RetentionPolicy | undefined): PolicyRefusal | undefined {
  if (retention === undefined) return undefined;
  const { maxIdleMs, maxMemoryBytes, eviction } = retention;
  const wrongTime = refusedTime('maxIdle', maxIdleMs);
  if (wrongTime !== undefined) return wrongTime;
  if (!Number.isSafeInteger(maxMemoryBytes) || maxMemoryBytes < 0)
    return refused('WRONG_ARGUMENTS', 'must be a whole number of bytes from 0 to 2^53 - 1', 'maxMemory');
  if (!EVICTIONS.has(eviction))
    return refused('WRONG_ARGUMENTS', `must be one of ${[...EVICTIONS].join(', ')}`, 'eviction');
  if (engine !== 'memory') {
    const key = maxIdleMs > 0 ? 'maxIdle' : maxMemoryBytes > 0 ? 'maxMemory' : 'eviction';
    return refused(
      'NOT_SUPPORTED',
      `needs the engine memory; the engine ${engine} keeps its keys on disk`,
      key,
    );
  }
  if (eviction !== 'noeviction' && maxMemoryBytes === 0)
    return refused('WRONG_ARGUMENTS', `${eviction} needs maxMemory, which says when to evict`, 'eviction');
  return undefined;
}

function refusedQuorum(quorum: QuorumPolicy | undefined, groupSize: number): PolicyRefusal | undefined {
  if (quorum === undefined) return undefined;
  const { n, r, w } = quorum;
  if (!Number.isInteger(n) || n < 1 || n > groupSize)
    return refused(
      'WRONG_ARGUMENTS',
      `must be a whole number from 1 to ${groupSize}, the members of a group (the storage nodes, at most cluster.replicas)`,
      'n',
    );
  for (const [name, value] of [
    ['r', r],
    ['w', w],
  ] as const)
    if (!Number.isInteger(value) || value < 1 || value > n)
      return refused('WRONG_ARGUMENTS', `must be a whole number from 1 to ${n}, which is n`, name);
  for (const name of SWITCHES)
    if (typeof quorum[name] !== 'boolean') return refused('WRONG_ARGUMENTS', 'must be true or false', name);
  return undefined;
}

function refusedChanges(bucket: BucketDescription, changes: BucketChanges): PolicyRefusal | undefined {
  for (const key of Object.keys(changes)) {
    if (FIXED.includes(key))
      return refused(
        'BUCKET_UNCHANGEABLE',
        `of bucket '${bucket.name}' cannot be changed while data is in it`,
        key,
      );
    if (!CHANGEABLE.includes(key)) return refused('WRONG_ARGUMENTS', `a bucket has no ${key} to change`);
    if (QUORUM_CHANGES.includes(key) && bucket.quorum === undefined)
      return ofQuorumOnly(key, bucket.name, bucket.replication);
  }
  return undefined;
}
