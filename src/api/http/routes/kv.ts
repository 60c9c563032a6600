/**
 * One key: `PUT`, `GET`, `HEAD`, `DELETE /v1/kv/{bucket}/{key}`. Values are raw bytes; the version is the ETag.
 */
import type { FastifyInstance } from 'fastify';
import { QuoinError } from '../../../base/errors.js';
import { parseDurationMs } from '../../../server/configuration/index.js';
import { alreadyHas, entityTag, sessionStamp, wantsAnother, writeCondition } from '../conditions.js';
import {
  bucketNamed,
  checkKey,
  checkValue,
  consistencyOf,
  type Door,
  quorumOf,
  submit,
  unexpectedReply,
} from '../door.js';
import { keyOfParameter, Query } from '../url.js';

interface KeyParameters {
  readonly bucket: string;
  readonly key: string;
}

export interface StoredValue {
  readonly value: Buffer;
  readonly version: number | bigint;
  readonly expiresAtMs: number;
}

const NO_BODY = Buffer.alloc(0);

/** Reads the reply of `quoin.get`. */
export function storedValue(reply: unknown): StoredValue | undefined {
  if (reply === null) return undefined;
  if (Array.isArray(reply)) {
    const [value, version, expiresAtMs] = reply as readonly unknown[];
    if (Buffer.isBuffer(value) && isVersion(version) && typeof expiresAtMs === 'number')
      return { value, version, expiresAtMs };
  }
  throw unexpectedReply('quoin.get');
}

export function isVersion(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** The store's word for a time to live: -1 the bucket's own, 0 none, else milliseconds. */
export function ttlArgument(text: string | undefined): Buffer {
  if (text === undefined) return Buffer.from('-1');
  const ttlMs = parseDurationMs(text);
  if (ttlMs === undefined)
    throw new QuoinError('WRONG_ARGUMENTS', 'ttl must be a duration with its unit, such as 500ms, 30s or 2h');
  return Buffer.from(String(ttlMs));
}

export function keyRoutes(server: FastifyInstance, door: Door): void {
  const path = '/v1/kv/:bucket/:key';

  server.put<{ Params: KeyParameters; Body: Buffer | undefined }>(
    path,
    { config: { maxBodyBytes: door.maxValueBytes, tooLarge: 'VALUE_TOO_LARGE' } },
    async (request, reply) => {
      const query = new Query(request.raw.url ?? '', ['ttl', 'w']);
      const bucket = bucketNamed(door, request.params.bucket);
      const quorum = quorumOf(query, bucket);
      const key = checkKey(door, keyOfParameter(request.params.key));
      const value = checkValue(door, request.body ?? NO_BODY);
      const condition = Buffer.from(writeCondition(request.headers));
      const ttl = ttlArgument(query.text('ttl'));
      const session = sessionStamp(request.headers);
      const args = [key, value, ttl, condition];
      const version = await submit(door, 'quoin.put', bucket, args, { session, quorum });
      if (!isVersion(version)) throw unexpectedReply('quoin.put');
      return reply.code(204).header('etag', entityTag(version)).send();
    },
  );

  server.get<{ Params: KeyParameters }>(path, async (request, reply) => {
    const query = new Query(request.raw.url ?? '', ['consistency', 'r']);
    const consistency = consistencyOf(query);
    const bucket = bucketNamed(door, request.params.bucket);
    const quorum = quorumOf(query, bucket);
    const key = checkKey(door, keyOfParameter(request.params.key));
    const stored = storedValue(await submit(door, 'quoin.get', bucket, [key], { consistency, quorum }));
    if (stored === undefined) throw new QuoinError('NOT_FOUND', `no such key in bucket '${bucket.name}'`);
    if (wantsAnother(request.headers, stored.version))
      throw new QuoinError('CONDITION_FAILED', `the key is at version ${entityTag(stored.version)}`);
    reply.header('etag', entityTag(stored.version));
    if (stored.expiresAtMs > 0) {
      const remainingMs = Math.max(1, stored.expiresAtMs - Date.now());
      reply.header('quoin-ttl', String(Math.ceil(remainingMs / 1000)));
      reply.header('quoin-expires-at', String(stored.expiresAtMs));
    }
    if (alreadyHas(request.headers, stored.version)) return reply.code(304).send();
    return reply.type('application/octet-stream').send(stored.value);
  });

  server.delete<{ Params: KeyParameters }>(path, async (request, reply) => {
    const query = new Query(request.raw.url ?? '', ['w']);
    const bucket = bucketNamed(door, request.params.bucket);
    const quorum = quorumOf(query, bucket);
    const key = checkKey(door, keyOfParameter(request.params.key));
    const condition = Buffer.from(writeCondition(request.headers));
    const session = sessionStamp(request.headers);
    const removed = await submit(door, 'quoin.delete', bucket, [key, condition], { session, quorum });
    if (removed === 0) throw new QuoinError('NOT_FOUND', `no such key in bucket '${bucket.name}'`);
    return reply.code(204).send();
  });
}
