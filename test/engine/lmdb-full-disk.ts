/** A process whose files may not grow far: fills the store in its first argument and says what came of it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { QuoinError } from '../../src/base/errors.js';
import { commit, contents, writeOf } from './disk-store-conformance.js';
import { openLmdb } from './support-lmdb.js';

const store = openLmdb(process.argv[2]!);
const table = store.openTable('t');
await commit(store, { tables: new Map([['t', [writeOf('x', 'before')]]]) });
// LMDB's writer has come to rest, as it has between two checkpoints: what it promises then differs.
for (let turn = 0; turn < 100; turn++) await nextTurn();
const large = Array.from({ length: 200 }, (_, i) => writeOf(`key ${i}`, Buffer.alloc(100_000, i)));
const attempt = async (batch: Parameters<typeof commit>[1]): Promise<string> => {
  try {
    await commit(store, batch);
    return 'durable';
  } catch (error) {
    return error instanceof QuoinError ? error.code : String(error);
  }
};
const outcome = await attempt({ tables: new Map([['t', [writeOf('x', 'after'), ...large]]]) });
const later = await attempt({ notes: new Map([['n', Buffer.from('1')]]) });
const held = contents(table).map(([, value]) => value);
// A rejection that nobody heard ends the process at a turn of its loop.
await nextTurn();
process.stdout.write(`${outcome}; then ${later}; holds ${held.join()}\n`);
await store.close();
