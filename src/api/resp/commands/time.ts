/** TIME */
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { bulk } from '../words.js';

export const time: ConnectionCommand = {
  ...KEYLESS,
  name: 'time',
  arity: 1,
  flags: ['fast', 'loading', 'stale'],
  category: 'server',
  summary: "Answers this node's wall clock: seconds since 1970 and microseconds.",
  inTransaction: 'queued',
  run() {
    const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    return [bulk(String(Math.floor(micros / 1_000_000))), bulk(String(micros % 1_000_000))];
  },
};
