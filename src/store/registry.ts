/**
 * All commands of the state machine, by name and by id. A new command is a file in `commands/`, a line here and a test.
 *
 * Invariant: names and ids are unique; an id stands in logs and is never changed or reused (a golden test pins them).
 */
import { invariant } from '../base/errors.js';
import type { CommandDefinition } from './command.js';
import { append } from './commands/append.js';
import { copy } from './commands/copy.js';
import { dbsize } from './commands/dbsize.js';
import { decr } from './commands/decr.js';
import { decrby } from './commands/decrby.js';
import { del } from './commands/del.js';
import { exists } from './commands/exists.js';
import { expire } from './commands/expire.js';
import { expireat } from './commands/expireat.js';
import { expiretime } from './commands/expiretime.js';
import { flushall } from './commands/flushall.js';
import { flushdb } from './commands/flushdb.js';
import { get } from './commands/get.js';
import { getdel } from './commands/getdel.js';
import { getex } from './commands/getex.js';
import { getrange } from './commands/getrange.js';
import { getset } from './commands/getset.js';
import { incr } from './commands/incr.js';
import { incrby } from './commands/incrby.js';
import { incrbyfloat } from './commands/incrbyfloat.js';
import { keys } from './commands/keys.js';
import { mget } from './commands/mget.js';
import { mset } from './commands/mset.js';
import { msetnx } from './commands/msetnx.js';
import { object } from './commands/object.js';
import { persist } from './commands/persist.js';
import { pexpire } from './commands/pexpire.js';
import { pexpireat } from './commands/pexpireat.js';
import { pexpiretime } from './commands/pexpiretime.js';
import { psetex } from './commands/psetex.js';
import { pttl } from './commands/pttl.js';
import { quoinDelete } from './commands/quoin-delete.js';
import { quoinDeny } from './commands/quoin-deny.js';
import { quoinDropBucket } from './commands/quoin-drop-bucket.js';
import { quoinEvict } from './commands/quoin-evict.js';
import { quoinExec } from './commands/quoin-exec.js';
import { quoinExpire } from './commands/quoin-expire.js';
import { quoinGet } from './commands/quoin-get.js';
import { quoinList } from './commands/quoin-list.js';
import { quoinOpenBucket } from './commands/quoin-open-bucket.js';
import { quoinPut } from './commands/quoin-put.js';
import { quoinSlotCount } from './commands/quoin-slot-count.js';
import { quoinSlotKeys } from './commands/quoin-slot-keys.js';
import { quoinUpdateBucket } from './commands/quoin-update-bucket.js';
import { quoinVersion } from './commands/quoin-version.js';
import { randomkey } from './commands/randomkey.js';
import { rename } from './commands/rename.js';
import { renamenx } from './commands/renamenx.js';
import { scan } from './commands/scan.js';
import { set } from './commands/set.js';
import { setex } from './commands/setex.js';
import { setnx } from './commands/setnx.js';
import { setrange } from './commands/setrange.js';
import { strlen } from './commands/strlen.js';
import { substr } from './commands/substr.js';
import { touch } from './commands/touch.js';
import { ttl } from './commands/ttl.js';
import { type } from './commands/type.js';
import { unlink } from './commands/unlink.js';

/** In the order of their ids. */
export const ALL_COMMANDS: readonly CommandDefinition[] = [
  get,
  set,
  del,
  incr,
  setnx,
  setex,
  psetex,
  getset,
  getdel,
  getex,
  mget,
  mset,
  msetnx,
  append,
  strlen,
  getrange,
  substr,
  setrange,
  decr,
  incrby,
  decrby,
  incrbyfloat,
  unlink,
  exists,
  expire,
  pexpire,
  expireat,
  pexpireat,
  ttl,
  pttl,
  expiretime,
  pexpiretime,
  persist,
  type,
  scan,
  keys,
  randomkey,
  rename,
  renamenx,
  copy,
  touch,
  dbsize,
  flushdb,
  flushall,
  object,
  quoinGet,
  quoinPut,
  quoinDelete,
  quoinList,
  quoinVersion,
  quoinExpire,
  quoinExec,
  quoinOpenBucket,
  quoinUpdateBucket,
  quoinDropBucket,
  quoinSlotCount,
  quoinSlotKeys,
  quoinEvict,
  quoinDeny,
];

const byName = new Map<string, CommandDefinition>();
const byId: (CommandDefinition | undefined)[] = [];
for (const definition of ALL_COMMANDS) {
  invariant(!byName.has(definition.name), `command name ${definition.name} is unique`);
  invariant(byId[definition.id] === undefined, `command id ${definition.id} is unique`);
  byName.set(definition.name, definition);
  byId[definition.id] = definition;
}

/** The command with this lower-case name. */
export function commandByName(lowerCaseName: string): CommandDefinition | undefined {
  return byName.get(lowerCaseName);
}

/** The command with this id in the log. */
export function commandById(id: number): CommandDefinition | undefined {
  return byId[id];
}
