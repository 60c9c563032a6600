/**
 * The two endpoints of 'A Simple Distributed KV Store' (section API): `/put?key=some-key&value=some-value` and
 * `/get?key=some-key`, on the default bucket. An absent key gives an empty 200, as there.
 *
 * Departure: where the paper's node redirects to the master of the right shard, a node here carries the request out.
 */
import type { FastifyInstance } from 'fastify';
import { QuoinError } from '../../../base/errors.js';
import { bucketNamed, checkKey, checkValue, type Door, submit } from '../door.js';
import { Query } from '../url.js';
import { storedValue } from './kv.js';

const PLAIN_TEXT = 'text/plain; charset=utf-8';

function required(query: Query, name: string): Buffer {
  const value = query.bytes(name);
  if (value === undefined) throw new QuoinError('WRONG_ARGUMENTS', `query parameter '${name}' is missing`);
  return value;
}

export function simpleRoutes(server: FastifyInstance, door: Door): void {
  server.get('/get', async (request, reply) => {
    const query = new Query(request.raw.url ?? '', ['key']);
    const key = checkKey(door, required(query, 'key'));
    const stored = storedValue(await submit(door, 'quoin.get', bucketNamed(door, 'default'), [key]));
    return reply.type(PLAIN_TEXT).send(stored?.value ?? Buffer.alloc(0));
  });

  // A HEAD that writes would surprise everyone, so this one has none.
  server.get('/put', { exposeHeadRoute: false }, async (request, reply) => {
    const query = new Query(request.raw.url ?? '', ['key', 'value']);
    const key = checkKey(door, required(query, 'key'));
    const value = checkValue(door, required(query, 'value'));
    const args = [key, value, Buffer.from('-1'), Buffer.from('any')];
    await submit(door, 'quoin.put', bucketNamed(door, 'default'), args);
    return reply.type(PLAIN_TEXT).send('OK\n');
  });
}
