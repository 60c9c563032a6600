/** DEBUG SLEEP seconds: delays this connection's next command; other connections go on. Nothing else of DEBUG is here. */
import { OK } from '../../../store/reply.js';
import { container } from '../container.js';
import { invalidArgument } from '../messages.js';

const LONGEST_SLEEP_SECONDS = 3600;

export const debug = container({
  name: 'debug',
  category: 'server',
  summary: 'Delays this connection; for tests of clients.',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  inTransaction: 'refused',
  subcommands: [
    {
      name: 'sleep',
      arity: 3,
      usage: '<seconds>',
      summary: 'Answer after so many seconds.',
      run(_client, args) {
        const seconds = Number(args[0]?.toString('latin1').trim());
        if (args[0]?.length === 0 || !Number.isFinite(seconds) || seconds < 0) {
          return invalidArgument('value is not a valid float');
        }
        const delayMs = Math.min(seconds, LONGEST_SLEEP_SECONDS) * 1000;
        return new Promise((resolve) => setTimeout(() => resolve(OK), delayMs).unref());
      },
    },
  ],
});
