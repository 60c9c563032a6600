/**
 * Several operations as one: `POST /v1/kv/{bucket}` with a JSON list. All keys lie in one slot, the list is one command of
 * the log, and either all of it is carried out or, when a condition does not hold, nothing.
 *
 *   [{"op": "get", "key": "{a}1"},
 *    {"op": "put", "key": "{a}2", "value": "text", "ttl": "30s", "ifAbsent": true},
 *    {"op": "delete", "key": {"base64": "AP8="}, "ifVersion": "4096"}]
 *
 * Keys and values are text, or `{"base64": "..."}` for any bytes.
 *
 * An eventual bucket has no such command: there the list is carried out operation by operation, at the same time, its keys
 * may lie anywhere, and conditions are refused.
 */
import type { FastifyInstance } from 'fastify';
import { ERRORS, QuoinError } from '../../../base/errors.js';
import { LIMITS } from '../../../base/limits.js';
import { slotOf } from '../../../base/slots.js';
import { nearest } from '../../../server/configuration/index.js';
import type { QuorumChoice } from '../../../server/types.js';
import { commandByName } from '../../../store/registry.js';
import { ErrorReply, NullArray, type Reply } from '../../../store/reply.js';
import { encodeTransaction, type QueuedCommand, type WatchedKey } from '../../../store/transaction.js';
import type { BucketDescription } from '../../../store/types.js';
import { entityTag, sessionStamp } from '../conditions.js';
import {
  bucketNamed,
  checkKey,
  checkValue,
  type Door,
  jsonBytes,
  quorumOf,
  submit,
  unexpectedReply,
} from '../door.js';
import { isObject, jsonList } from '../json.js';
import { errorOfReply } from '../problem.js';
import { Query } from '../url.js';
import { isVersion, storedValue, ttlArgument } from './kv.js';

const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  get: ['op', 'key'],
  put: ['op', 'key', 'value', 'ttl', 'ifAbsent', 'ifVersion'],
  delete: ['op', 'key', 'ifVersion'],
};

interface Operation {
  readonly op: 'get' | 'put' | 'delete';
  readonly key: Buffer;
  readonly command: QueuedCommand;
  /** Version that the key must have; 0: it must be absent. */
  readonly version: number | undefined;
}

function wrong(place: string, message: string): QuoinError {
  return new QuoinError('WRONG_ARGUMENTS', `${place}: ${message}`);
}

function bytesOf(value: unknown, place: string): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'utf8');
  const base64 = isObject(value) && Object.keys(value).length === 1 ? value.base64 : undefined;
  if (typeof base64 === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    return Buffer.from(base64, 'base64');
  throw wrong(place, 'must be a text or {"base64": "..."}');
}

/** The version that an operation is conditional on. */
function conditionOf(item: Readonly<Record<string, unknown>>, place: string): number | undefined {
  const { ifAbsent, ifVersion } = item;
  if (ifAbsent !== undefined && typeof ifAbsent !== 'boolean')
    throw wrong(`${place}.ifAbsent`, 'must be true or false');
  if (ifVersion === undefined) return ifAbsent === true ? 0 : undefined;
  if (ifAbsent === true) throw wrong(place, 'give ifAbsent or ifVersion, not both');
  const text = typeof ifVersion === 'number' ? String(ifVersion) : ifVersion;
  const digits = typeof text === 'string' ? /^"?([1-9]\d{0,15})"?$/.exec(text)?.[1] : undefined;
  const version = digits === undefined ? Number.NaN : Number(digits);
  if (!Number.isSafeInteger(version)) throw wrong(`${place}.ifVersion`, 'must be the version of an ETag');
  return version;
}

function commandNamed(name: string): QueuedCommand['definition'] {
  const definition = commandByName(name);
  if (definition === undefined) throw new QuoinError('INTERNAL', `no command ${name}`);
  return definition;
}

const ANY = Buffer.from('any');

function argumentsOf(
  door: Door,
  op: Operation['op'],
  key: Buffer,
  item: Readonly<Record<string, unknown>>,
  place: string,
): Buffer[] {
  if (op === 'get') return [key];
  if (op === 'delete') return [key, ANY];
  const { ttl } = item;
  if (ttl !== undefined && typeof ttl !== 'string')
    throw wrong(`${place}.ttl`, 'must be a text such as "30s"');
  const value = checkValue(door, bytesOf(item.value, `${place}.value`));
  return [key, value, ttlArgument(ttl), ANY];
}

function parseOperation(door: Door, bucket: BucketDescription, item: unknown, index: number): Operation {
  const place = `[${index}]`;
  if (!isObject(item)) throw wrong(place, 'must be a JSON object');
  const { op } = item;
  if (op !== 'get' && op !== 'put' && op !== 'delete')
    throw wrong(`${place}.op`, 'must be get, put or delete');
  const known = KNOWN_KEYS[op] ?? [];
  for (const name of Object.keys(item)) {
    if (known.includes(name)) continue;
    const guess = nearest(name, known);
    throw wrong(
      `${place}.${name}`,
      `unknown key; ${guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}?`}`,
    );
  }
  const key = checkKey(door, bytesOf(item.key, `${place}.key`));
  const args = argumentsOf(door, op, key, item, place);
  const definition = commandNamed(`quoin.${op}`);
  const refusal = definition.validate?.(args);
  if (refusal !== undefined) throw wrong(place, errorOfReply(refusal).message);
  return { op, key, command: { bucketId: bucket.id, definition, args }, version: conditionOf(item, place) };
}

function resultOf(operation: Operation, reply: Reply | undefined): Readonly<Record<string, unknown>> {
  if (reply instanceof ErrorReply) throw errorOfReply(reply);
  switch (operation.op) {
    case 'get': {
      const stored = storedValue(reply);
      return stored === undefined
        ? { found: false }
        : { found: true, value: jsonBytes(stored.value), version: String(stored.version) };
    }
    case 'put':
      if (!isVersion(reply)) throw unexpectedReply('quoin.put');
      return { version: String(reply) };
    case 'delete':
      return { deleted: reply === 1 };
  }
}

/** In an eventual bucket each operation of a list is carried out for itself. */
async function oneByOne(
  door: Door,
  bucket: BucketDescription,
  operations: readonly Operation[],
  quorum: QuorumChoice | undefined,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  if (operations.some(({ version }) => version !== undefined)) {
    throw new QuoinError(
      'READ_MODIFY_WRITE',
      `a condition needs a bucket of raft replication; '${bucket.name}' is eventually consistent`,
    );
  }
  // All are begun before any is waited for: one that fails leaves none unheard.
  const outcomes = await Promise.allSettled(
    operations.map(({ command }) => submit(door, command.definition.name, bucket, command.args, { quorum })),
  );
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    const mayStand = operations.some(
      ({ command }, index) => command.definition.isWrite && !isUndone(outcomes[index]!),
    );
    if (!mayStand) throw failed.reason;
    throw new QuoinError('OUTCOME_UNKNOWN', `carried out in part: ${messageOf(failed.reason)}`);
  }
  return operations.map((operation, index) => {
    const outcome = outcomes[index]!;
    return resultOf(operation, outcome.status === 'fulfilled' ? outcome.value : null);
  });
}

function isUndone(outcome: PromiseSettledResult<unknown>): boolean {
  return (
    outcome.status === 'rejected' &&
    outcome.reason instanceof QuoinError &&
    ERRORS[outcome.reason.code].definite
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function operationRoutes(server: FastifyInstance, door: Door): void {
  server.post<{ Params: { readonly bucket: string }; Body: Buffer | undefined }>(
    '/v1/kv/:bucket',
    { config: { maxBodyBytes: LIMITS.maxRequestBytes } },
    async (request) => {
      const query = new Query(request.raw.url ?? '', ['r', 'w']);
      const bucket = bucketNamed(door, request.params.bucket);
      const quorum = quorumOf(query, bucket);
      const session = sessionStamp(request.headers);
      const items = jsonList(request.body);
      if (items.length > LIMITS.maxPostedOperations)
        throw new QuoinError(
          'REQUEST_TOO_LARGE',
          `at most ${LIMITS.maxPostedOperations} operations in one list`,
        );
      const operations = items.map((item, index) => parseOperation(door, bucket, item, index));
      const first = operations[0];
      if (first === undefined) return { results: [] };
      if (bucket.quorum !== undefined) return { results: await oneByOne(door, bucket, operations, quorum) };
      const slot = slotOf(first.key);
      const stray = operations.findIndex((operation) => slotOf(operation.key) !== slot);
      if (stray > 0)
        throw new QuoinError('CROSS_SLOT', `the keys of [0] and [${stray}] lie in different slots`);

      const watched: WatchedKey[] = [];
      for (const { key, version } of operations)
        if (version !== undefined) watched.push({ bucketId: bucket.id, key, version });
      const commands = operations.map((operation) => operation.command);
      const args = encodeTransaction(first.key, watched, commands);
      const reply = await submit(door, 'quoin.exec', bucket, args, { session });
      if (reply instanceof NullArray) {
        const conditions = watched.map(({ version }) => (version === 0 ? 'absent' : entityTag(version)));
        throw new QuoinError(
          'CONDITION_FAILED',
          `a key is not at the version asked for (${conditions.slice(0, 8).join(', ')}); nothing was done`,
        );
      }
      const replies: readonly Reply[] | undefined = Array.isArray(reply) ? reply : undefined;
      if (replies?.length !== operations.length) throw unexpectedReply('quoin.exec');
      return { results: operations.map((operation, index) => resultOf(operation, replies[index])) };
    },
  );
}
