/**
 * The state machine of group 0: the cluster map and the changes it takes. Every accepted change makes a new map with the
 * next epoch; a repeated change (same request id) gets its first answer.
 */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { BucketDescription } from '../store/types.js';
import type { BucketSpecification, ClusterMap } from './map.js';
import { decodeMap, encodeMap } from './map-codec.js';

export type MapChange =
  | { readonly change: 'create-bucket'; readonly bucket: BucketSpecification }
  | { readonly change: 'update-bucket'; readonly name: string; readonly changes: { readonly ttlMs?: number } }
  | { readonly change: 'drop-bucket'; readonly name: string };

export type MapAnswer =
  | { readonly ok: true; readonly bucket: BucketDescription }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

interface ProposedChange {
  readonly requestId: string;
  readonly change: MapChange;
}

/** Answers kept for repeats: as many as several nodes together may wait for (`Administration` bounds each of them). */
const REMEMBERED_ANSWERS = 4 * LIMITS.maxBuckets;
/** Times of expiry, and so times to live, are below this (the contract of engines). */
const TTL_END_MS = 2 ** 48;
/** The engines that this version has; any other in a group's log would stop its replicas. */
const ENGINES: ReadonlySet<string> = new Set(['memory', 'lmdb']);

const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

export function encodeChange(requestId: string, change: MapChange): Buffer {
  const proposed: ProposedChange = { requestId, change };
  return Buffer.from(JSON.stringify(proposed), 'utf8');
}

/** The bucket, or the error that the answer stands for. */
export function unwrapAnswer(answer: MapAnswer): BucketDescription {
  if (answer.ok) return answer.bucket;
  throw new QuoinError(answer.code in ERRORS ? answer.code : 'INTERNAL', answer.message);
}

export class MapState {
  #map: ClusterMap;
  /** By request id, oldest first. */
  readonly #answers = new Map<string, MapAnswer>();

  constructor(map: ClusterMap) {
    this.#map = map;
  }

  get map(): ClusterMap {
    return this.#map;
  }

  apply(payload: Buffer): { readonly requestId: string; readonly answer: MapAnswer } {
    const { requestId, change } = JSON.parse(payload.toString('utf8')) as ProposedChange;
    const remembered = this.#answers.get(requestId);
    if (remembered !== undefined) return { requestId, answer: remembered };
    const answer = this.#change(change);
    this.#answers.set(requestId, answer);
    if (this.#answers.size > REMEMBERED_ANSWERS) {
      for (const oldest of this.#answers.keys()) {
        this.#answers.delete(oldest);
        break;
      }
    }
    return { requestId, answer };
  }

  encode(): Buffer {
    return Buffer.from(
      JSON.stringify({ map: encodeMap(this.#map).toString('utf8'), answers: [...this.#answers] }),
      'utf8',
    );
  }

  restore(bytes: Buffer): void {
    const { map, answers } = JSON.parse(bytes.toString('utf8')) as {
      map: string;
      answers: [string, MapAnswer][];
    };
    this.#map = decodeMap(Buffer.from(map, 'utf8'));
    this.#answers.clear();
    for (const [requestId, answer] of answers) this.#answers.set(requestId, answer);
  }

  #change(change: MapChange): MapAnswer {
    switch (change.change) {
      case 'create-bucket':
        return this.#create(change.bucket);
      case 'update-bucket':
        return this.#update(change.name, change.changes);
      case 'drop-bucket':
        return this.#drop(change.name);
    }
  }

  #create(bucket: BucketSpecification): MapAnswer {
    const { buckets, nextBucketId } = this.#map;
    if (
      !BUCKET_NAME.test(bucket.name) ||
      bucket.name.length > LIMITS.maxBucketNameBytes ||
      /^[0-9]+$/.test(bucket.name)
    ) {
      return refused(
        'WRONG_ARGUMENTS',
        `bucket name '${bucket.name.slice(0, LIMITS.maxBucketNameBytes)}' must be letters, digits, '.', '_' or '-', begin with a letter or digit, not be a number, and have at most ${LIMITS.maxBucketNameBytes} characters`,
      );
    }
    if (buckets.some(({ name }) => name === bucket.name))
      return refused('BUCKET_EXISTS', `bucket '${bucket.name}' exists`);
    if (buckets.length >= LIMITS.maxBuckets)
      return refused('OVERLOADED', `there are ${LIMITS.maxBuckets} buckets already`);
    if (bucket.replication !== 'raft') {
      return refused(
        'NOT_SUPPORTED',
        `replication '${bucket.replication}' is not in this version; it has 'raft'`,
      );
    }
    if (!ENGINES.has(bucket.engine)) {
      return refused(
        'NOT_SUPPORTED',
        `engine '${bucket.engine}' is not in this version; it has 'memory' and 'lmdb'`,
      );
    }
    const wrongTtl = refusedTtl(bucket.ttlMs);
    if (wrongTtl !== undefined) return wrongTtl;
    const created: BucketDescription = { id: nextBucketId, ...bucket };
    this.#replace({ buckets: [...buckets, created], nextBucketId: nextBucketId + 1 });
    return { ok: true, bucket: created };
  }

  #update(name: string, changes: { readonly ttlMs?: number }): MapAnswer {
    const bucket = this.#map.buckets.find((candidate) => candidate.name === name);
    if (bucket === undefined) return refused('UNKNOWN_BUCKET', `there is no bucket '${name}'`);
    const wrongTtl = changes.ttlMs === undefined ? undefined : refusedTtl(changes.ttlMs);
    if (wrongTtl !== undefined) return wrongTtl;
    const updated: BucketDescription = { ...bucket, ttlMs: changes.ttlMs ?? bucket.ttlMs };
    this.#replace({
      buckets: this.#map.buckets.map((candidate) => (candidate === bucket ? updated : candidate)),
    });
    return { ok: true, bucket: updated };
  }

  #drop(name: string): MapAnswer {
    const bucket = this.#map.buckets.find((candidate) => candidate.name === name);
    if (bucket === undefined) return refused('UNKNOWN_BUCKET', `there is no bucket '${name}'`);
    if (bucket.id === 0)
      return refused(
        'BUCKET_UNCHANGEABLE',
        `bucket '${name}' is the first one and stays; FLUSHDB empties it`,
      );
    this.#replace({ buckets: this.#map.buckets.filter((candidate) => candidate !== bucket) });
    return { ok: true, bucket };
  }

  #replace(changes: Partial<ClusterMap>): void {
    this.#map = { ...this.#map, ...changes, epoch: this.#map.epoch + 1 };
  }
}

function refused(code: ErrorCode, message: string): MapAnswer {
  return { ok: false, code, message };
}

/** A time to live that the groups' logs could not carry must not come into the map: they would stop over it. */
function refusedTtl(ttlMs: number): MapAnswer | undefined {
  if (Number.isSafeInteger(ttlMs) && ttlMs >= 0 && ttlMs < TTL_END_MS) return undefined;
  return refused('WRONG_ARGUMENTS', `a time to live is a whole number of milliseconds from 0 to 2^48 - 1`);
}
