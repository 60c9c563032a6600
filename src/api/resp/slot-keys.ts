/**
 * The keys of one slot, through the internal command that lists keys from a cursor. A slot is one range of tokens, and a
 * cursor is a token divided by four, so the walk begins and ends with the slot. It is bounded like a request.
 */
import { LIMITS } from '../../base/limits.js';
import { firstTokenOfSlot, slotOf } from '../../base/slots.js';
import { commandByName } from '../../store/registry.js';
import { ErrorReply, type Reply } from '../../store/reply.js';
import type { ClientConnection } from './connection.js';
import { bulk } from './words.js';

const PAGE_KEYS = 1000;

/** At most `most` keys of a slot in the connection's bucket, or an error. */
export async function keysInSlot(
  client: ClientConnection,
  slot: number,
  most: number,
): Promise<Buffer[] | ErrorReply> {
  const list = commandByName('quoin.list');
  if (list === undefined) return ErrorReply.of('NOT_SUPPORTED', 'this node does not list keys');
  const keys: Buffer[] = [];
  const limit = Math.min(most, LIMITS.maxArguments);
  let cursor = String(firstTokenOfSlot(slot) / 4);
  // A cursor of 0 is the start of slot 0, and as an answer the end of all.
  const slotEnd = firstTokenOfSlot(slot + 1) / 4;
  while (keys.length < limit) {
    const reply: Reply = await client.request(list, [bulk(cursor), Buffer.alloc(0), bulk(String(PAGE_KEYS))]);
    if (reply instanceof ErrorReply) return reply;
    if (!Array.isArray(reply)) break;
    const [next, page] = reply as readonly Reply[];
    if (!Buffer.isBuffer(next) || !Array.isArray(page)) break;
    for (const key of page) {
      if (!Buffer.isBuffer(key) || slotOf(key) !== slot) continue;
      keys.push(key);
      if (keys.length >= limit) return keys;
    }
    cursor = next.toString('latin1');
    if (cursor === '0' || Number(cursor) >= slotEnd) break;
  }
  return keys;
}
