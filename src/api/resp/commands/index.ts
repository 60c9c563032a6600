/** All connection-scope commands. A new one is a file here, a line below and a test. */
import type { ConnectionCommand } from '../connection-command.js';
import { acl } from './acl.js';
import { asking } from './asking.js';
import { auth } from './auth.js';
import { client } from './client.js';
import { cluster } from './cluster.js';
import { command } from './command.js';
import { config } from './config.js';
import { debug } from './debug.js';
import { discard } from './discard.js';
import { echo } from './echo.js';
import { exec } from './exec.js';
import { hello } from './hello.js';
import { info } from './info.js';
import { latency } from './latency.js';
import { memory } from './memory.js';
import { multi } from './multi.js';
import { ping } from './ping.js';
import { quit } from './quit.js';
import { readonly } from './readonly.js';
import { readwrite } from './readwrite.js';
import { reset } from './reset.js';
import { role } from './role.js';
import { select } from './select.js';
import { shutdown } from './shutdown.js';
import { slowlog } from './slowlog.js';
import { time } from './time.js';
import { unwatch } from './unwatch.js';
import { wait } from './wait.js';
import { watch } from './watch.js';

export const CONNECTION_COMMANDS: readonly ConnectionCommand[] = [
  acl,
  asking,
  auth,
  client,
  cluster,
  command,
  config,
  debug,
  discard,
  echo,
  exec,
  hello,
  info,
  latency,
  memory,
  multi,
  ping,
  quit,
  readonly,
  readwrite,
  reset,
  role,
  select,
  shutdown,
  slowlog,
  time,
  unwatch,
  wait,
  watch,
];
