/** Buckets: list, describe, create, change, drop. The command line's `quoin bucket` speaks to these. */
import type { FastifyInstance } from 'fastify';
import {
  formatDuration,
  formatSize,
  parseBucket,
  parseBucketChanges,
} from '../../../server/configuration/index.js';
import type { BucketDescription, QuorumPolicy, RetentionPolicy } from '../../../store/types.js';
import { bucketNamed, type Door } from '../door.js';
import { jsonObject } from '../json.js';

type Json = Readonly<Record<string, unknown>>;

interface BucketParameters {
  readonly name: string;
}

/** A bucket in JSON. Times and sizes are text with their unit, and once more numbers whose name tells it. */
export function bucketJson(bucket: BucketDescription): Json {
  const { id, name, replication, engine, ttlMs, retention, quorum } = bucket;
  return {
    id,
    name,
    replication,
    engine,
    ...(quorum === undefined ? {} : quorumJson(quorum)),
    ttl: formatDuration(ttlMs),
    ttlMs,
    ...(retention === undefined ? {} : retentionJson(retention)),
  };
}

/** Without `flushedThrough`, which is the map's own business. */
function quorumJson({ n, r, w, readRepair, hintedHandoff, antiEntropy }: QuorumPolicy): Json {
  return { n, r, w, readRepair, hintedHandoff, antiEntropy };
}

function retentionJson({ maxIdleMs, maxMemoryBytes, eviction }: RetentionPolicy): Json {
  return {
    maxIdle: formatDuration(maxIdleMs),
    maxIdleMs,
    maxMemory: formatSize(maxMemoryBytes),
    maxMemoryBytes,
    eviction,
  };
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
      const changes = parseBucketChanges(jsonObject(request.body));
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
