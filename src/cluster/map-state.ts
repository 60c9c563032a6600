/**
 * The state machine of group 0: the cluster map and the changes it takes. Every accepted change makes a new map with the
 * next epoch; a repeated change (same request id) gets its first answer.
 */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { BucketDescription } from '../store/types.js';
import { bucketFrom, changedBucket, flushedBucket, isRefusal, type PolicyRefusal } from './bucket-policy.js';
import {
  type BucketChanges,
  type BucketSpecification,
  type ClusterMap,
  groupSizeOf,
  type NodeDescription,
} from './map.js';
import { decodeMap, encodeMap } from './map-codec.js';

export type MapChange =
  | { readonly change: 'create-bucket'; readonly bucket: BucketSpecification }
  | { readonly change: 'update-bucket'; readonly name: string; readonly changes: BucketChanges }
  | { readonly change: 'drop-bucket'; readonly name: string }
  /** Everything of an eventual bucket up to this version is gone; a lower version than before changes nothing. */
  | { readonly change: 'flush-bucket'; readonly name: string; readonly version: number }
  /**
   * A node that is known came back with a new data directory: it has lost what it had promised. `replaces`: the incarnation it
   * was known by to whoever let it in. It may lose its disk again, and what was proposed for the earlier time comes late.
   */
  | { readonly change: 'renew-node'; readonly node: NodeDescription; readonly replaces?: string };

export type MapAnswer =
  | { readonly ok: true; readonly bucket: BucketDescription }
  | { readonly ok: true; readonly node: NodeDescription }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

interface ProposedChange {
  readonly requestId: string;
  readonly change: MapChange;
}

/** Answers kept for repeats: as many as several nodes together may wait for (`Administration` bounds each of them). */
const REMEMBERED_ANSWERS = 4 * LIMITS.maxBuckets;
export function encodeChange(requestId: string, change: MapChange): Buffer {
  const proposed: ProposedChange = { requestId, change };
  return Buffer.from(JSON.stringify(proposed), 'utf8');
}

/** The bucket, or the error that the answer stands for. */
export function unwrapAnswer(answer: MapAnswer): BucketDescription {
  if (answer.ok && 'bucket' in answer) return answer.bucket;
  throw errorOf(answer);
}

/** The node, or the error that the answer stands for. */
export function unwrapNode(answer: MapAnswer): NodeDescription {
  if (answer.ok && 'node' in answer) return answer.node;
  throw errorOf(answer);
}

function errorOf(answer: MapAnswer): QuoinError {
  if (answer.ok) return new QuoinError('INTERNAL', 'the change of the cluster map was answered by another');
  return new QuoinError(answer.code in ERRORS ? answer.code : 'INTERNAL', answer.message);
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
      case 'flush-bucket':
        return this.#flush(change.name, change.version);
      case 'renew-node':
        return this.#renew(change.node, change.replaces);
    }
  }

  #create(bucket: BucketSpecification): MapAnswer {
    const { buckets, groups, nextBucketId } = this.#map;
    if (buckets.some(({ name }) => name === bucket.name))
      return refused('BUCKET_EXISTS', `bucket '${bucket.name}' exists`);
    if (buckets.length >= LIMITS.maxBuckets)
      return refused('OVERLOADED', `there are ${LIMITS.maxBuckets} buckets already`);
    const created = bucketFrom(nextBucketId, bucket, groupSizeOf(groups));
    if (isRefusal(created)) return refusedBy(created);
    this.#replace({ buckets: [...buckets, created], nextBucketId: nextBucketId + 1 });
    return { ok: true, bucket: created };
  }

  #update(name: string, changes: BucketChanges): MapAnswer {
    const bucket = this.#bucket(name);
    if (bucket === undefined) return unknownBucket(name);
    return this.#replaceBucket(bucket, changedBucket(bucket, changes, groupSizeOf(this.#map.groups)));
  }

  #flush(name: string, version: number): MapAnswer {
    const bucket = this.#bucket(name);
    if (bucket === undefined) return unknownBucket(name);
    const flushed = flushedBucket(bucket, version);
    if (!isRefusal(flushed) && flushed.quorum?.flushedThrough === bucket.quorum?.flushedThrough)
      return { ok: true, bucket };
    return this.#replaceBucket(bucket, flushed);
  }

  #renew(node: NodeDescription, replaces: string | undefined): MapAnswer {
    const known = this.#map.nodes.find((candidate) => candidate.id === node.id);
    if (known === undefined) return refused('NOT_FOUND', `there is no node '${node.id}'`);
    if (node.incarnation === '' || node.incarnation === known.incarnation)
      return refused('WRONG_ARGUMENTS', `node '${node.id}' is known by this incarnation; nothing is renewed`);
    // Without it: from a log of before.
    if (replaces !== undefined && replaces !== known.incarnation)
      return refused('WRONG_ARGUMENTS', `node '${node.id}' has been renewed by another incarnation already`);
    const { resp, http, grpc, incarnation } = node;
    const renewed: NodeDescription = { ...known, resp, http, grpc, incarnation, forgot: true };
    this.#replace({
      nodes: this.#map.nodes.map((candidate) => (candidate === known ? renewed : candidate)),
    });
    return { ok: true, node: renewed };
  }

  #drop(name: string): MapAnswer {
    const bucket = this.#bucket(name);
    if (bucket === undefined) return unknownBucket(name);
    if (bucket.id === 0)
      return refused(
        'BUCKET_UNDROPPABLE',
        `bucket '${name}' is the first one, which new connections use; it stays`,
      );
    this.#replace({ buckets: this.#map.buckets.filter((candidate) => candidate !== bucket) });
    return { ok: true, bucket };
  }

  #bucket(name: string): BucketDescription | undefined {
    return this.#map.buckets.find((candidate) => candidate.name === name);
  }

  #replaceBucket(before: BucketDescription, after: BucketDescription | PolicyRefusal): MapAnswer {
    if (isRefusal(after)) return refusedBy(after);
    this.#replace({
      buckets: this.#map.buckets.map((candidate) => (candidate === before ? after : candidate)),
    });
    return { ok: true, bucket: after };
  }

  #replace(changes: Partial<ClusterMap>): void {
    this.#map = { ...this.#map, ...changes, epoch: this.#map.epoch + 1 };
  }
}

function refused(code: ErrorCode, message: string): MapAnswer {
  return { ok: false, code, message };
}

function refusedBy({ code, message }: PolicyRefusal): MapAnswer {
  return refused(code, message);
}

function unknownBucket(name: string): MapAnswer {
  return refused('UNKNOWN_BUCKET', `there is no bucket '${name}'`);
}
