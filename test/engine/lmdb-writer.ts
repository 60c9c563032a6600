/**
 * A process to be killed: commits numbered batches to the store in its first argument for as long as it lives, and
 * prints the number of each once it is durable. Each batch writes its number to every key of two tables, clears a slot
 * and writes it anew, and notes the number.
 */
import { firstTokenOfSlot, slotOfToken, tokenOf } from '../../src/base/slots.js';
import { commit, writeOf } from './disk-store-conformance.js';
import { openLmdb } from './support-lmdb.js';

const KEYS = 1500;
const directory = process.argv[2]!;
const store = openLmdb(directory);
store.openTable('a');
store.openTable('b');
const slot = slotOfToken(tokenOf(Buffer.from('{s}')));
const range = { fromToken: firstTokenOfSlot(slot), toToken: firstTokenOfSlot(slot + 1) };
for (let batch = Number(store.note('batch') ?? 0) + 1; ; batch++) {
  const writes = Array.from({ length: KEYS }, (_, i) => writeOf(`key ${i}`, `${batch}`.repeat(20), batch));
  // Another name for each batch: without the clear, an earlier one's would remain.
  const tagged = writeOf(`{s}${batch}`, `${batch}`.repeat(20), batch);
  await commit(store, {
    cleared: new Map([['b', [range]]]),
    tables: new Map([
      ['a', writes],
      ['b', [...writes.filter(({ token }) => slotOfToken(token) !== slot), tagged]],
    ]),
    notes: new Map([['batch', Buffer.from(String(batch))]]),
  });
  process.stdout.write(`${batch}\n`);
}
