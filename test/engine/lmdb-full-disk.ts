/** A process whose files may not grow far: fills the store in its first argument and says what came of it. */
import { QuoinError } from '../../src/base/errors.js';
import { commit, contents, writeOf } from './disk-store-conformance.js';
import { openLmdb } from './support-lmdb.js';

const store = openLmdb(process.argv[2]!);
const table = store.openTable('t');
await commit(store, { tables: new Map([['t', [writeOf('x', 'before')]]]) });
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
process.stdout.write(`${outcome}; then ${later}; holds ${held.join()}\n`);
await store.close();
