/** Buckets: list, describe, create, change, drop. The command line's `quoin bucket` speaks to these. */
import type { FastifyInstance } from 'fastify';
import { QuoinError } from '../../../base/errors.js';
import {
  formatDuration,
  nearest,
  parseBucket,
  parseDurationMs,
} from '../../../server/configuration/index.js';
import type { BucketDescription } from '../../../store/types.js';
import { bucketNamed, type Door } from '../door.js';
import { jsonObject } from '../json.js';

interface BucketParameters {
  readonly name: string;
}

/** A bucket in JSON. `ttl` is text with its unit, `ttlMs` the same as a number. */
export function bucketJson(bucket: BucketDescription): Readonly<Record<string, unknown>> {
  const { id, name, replication, engine, ttlMs } = bucket;
  return { id, name, replication, engine, ttl: formatDuration(ttlMs), ttlMs };
}

const CHANGEABLE = ['ttl'];
const FIXED = ['name', 'replication', 'engine', 'n'];
const OF_QUORUM = ['r', 'w'];
const OF_LATER = ['maxIdle', 'maxMemory', 'eviction', 'acks'];

/** What a PATCH may change; all else is refused by name. */
function changesOf(body: Readonly<Record<string, unknown>>): { readonly ttlMs: number } {
  for (const key of Object.keys(body)) {
    if (FIXED.includes(key))
      throw new QuoinError('BUCKET_UNCHANGEABLE', `${key} of a bucket cannot be changed while data is in it`);
    if (OF_QUORUM.includes(key))
      throw new QuoinError('NOT_SUPPORTED', `${key} belongs to buckets with quorum replication`);
    if (OF_LATER.includes(key)) throw new QuoinError('NOT_SUPPORTED', `this version does not have ${key}`);
    if (!CHANGEABLE.includes(key)) {
      const guess = nearest(key, [...CHANGEABLE, ...FIXED, ...OF_QUORUM]);
      const hint = guess === undefined ? `changeable is ${CHANGEABLE.join(', ')}` : `did you mean ${guess}?`;
      throw new QuoinError('WRONG_ARGUMENTS', `${key}: unknown key; ${hint}`);
    }
  }
  const ttlMs = typeof body.ttl === 'string' ? parseDurationMs(body.ttl) : undefined;
  if (ttlMs === undefined)
    throw new QuoinError(
      'WRONG_ARGUMENTS',
      'ttl: must be a duration with its unit, such as 30m, or 0 for none',
    );
  return { ttlMs };
}

export function bucketRoutes(server: FastifyInstance, door: Door): void {
  server.get('/v1/buckets', async () => ({ buckets: (door.node.map()?.buckets ?? []).map(bucketJson) }));

  server.get<{ Params: BucketParameters }>('/v1/buckets/:name', async (request) =>
    bucketJson(bucketNamed(door, request.params.name)),
  );

  server.post<{ Body: Buffer | undefined }>('/v1/buckets', async (request, reply) => {
    const bucket = await door.node.createBucket(parseBucket(jsonObject(request.body)));
    return reply.code(201).header('location', `/v1/buckets/${bucket.name}`).send(bucketJson(bucket));
  });

  server.patch<{ Params: BucketParameters; Body: Buffer | undefined }>(
    '/v1/buckets/:name',
    async (request) => {
      const changes = changesOf(jsonObject(request.body));
      const bucket = bucketNamed(door, request.params.name);
      return bucketJson(await door.node.updateBucket(bucket.name, changes));
    },
  );

  server.delete<{ Params: BucketParameters }>('/v1/buckets/:name', async (request, reply) => {
    const bucket = bucketNamed(door, request.params.name);
    await door.node.dropBucket(bucket.name);
    return reply.code(204).send();
  });
}
