/**
 * The keys of a bucket, page by page: `GET /v1/kv/{bucket}?prefix=&limit=&cursor=`. The order is that of the slots, not
 * of the alphabet. A key that is there throughout is listed at least once.
 */
import type { FastifyInstance } from 'fastify';
import { QuoinError } from '../../../base/errors.js';
import { LIMITS } from '../../../base/limits.js';
import { bucketNamed, consistencyOf, type Door, jsonBytes, submit, unexpectedReply } from '../door.js';
import { Query } from '../url.js';

/** A page is closed early after this long, with a cursor to go on, when matching keys are few and far between. */
const PAGE_TIME_MS = 2000;

export function listingRoutes(server: FastifyInstance, door: Door): void {
  server.get<{ Params: { readonly bucket: string } }>('/v1/kv/:bucket', async (request) => {
    const query = new Query(request.raw.url ?? '', ['prefix', 'limit', 'cursor', 'consistency']);
    const consistency = consistencyOf(query);
    const bucket = bucketNamed(door, request.params.bucket);
    const prefix = query.bytes('prefix') ?? Buffer.alloc(0);
    const limit = query.integer('limit', { min: 1, max: LIMITS.maxListedKeys }, 1000);
    let cursor = query.text('cursor') ?? '0';
    if (!/^\d{1,16}$/.test(cursor))
      throw new QuoinError('WRONG_ARGUMENTS', 'cursor must be one that a former page gave');

    const keys: Buffer[] = [];
    let sizeBytes = 0;
    const closesAtMs = performance.now() + PAGE_TIME_MS;
    do {
      const args = [Buffer.from(cursor), prefix, Buffer.from(String(limit - keys.length))];
      const reply = await submit(door, 'quoin.list', bucket, args, { consistency });
      const [next, found] = (Array.isArray(reply) ? reply : []) as readonly unknown[];
      if (!Array.isArray(found) || (!Buffer.isBuffer(next) && typeof next !== 'string'))
        throw unexpectedReply('quoin.list');
      for (const key of found as readonly unknown[]) {
        if (!Buffer.isBuffer(key)) throw unexpectedReply('quoin.list');
        keys.push(key);
        sizeBytes += key.length;
      }
      cursor = next.toString();
    } while (
      cursor !== '0' &&
      keys.length < limit &&
      sizeBytes < LIMITS.maxListedBytes &&
      performance.now() < closesAtMs
    );
    return { keys: keys.map(jsonBytes), cursor: cursor === '0' ? null : cursor };
  });
}
