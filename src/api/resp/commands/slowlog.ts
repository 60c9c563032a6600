/** SLOWLOG GET | LEN | RESET */
import { OK } from '../../../store/reply.js';
import { container } from '../container.js';
import { invalidArgument } from '../messages.js';
import { bulk, integer } from '../words.js';

const DEFAULT_COUNT = 10;

export const slowlog = container({
  name: 'slowlog',
  category: 'server',
  summary: 'The latest requests that took long.',
  flags: ['admin', 'loading', 'stale'],
  inTransaction: 'queued',
  subcommands: [
    {
      name: 'get',
      arity: -2,
      usage: '[<count>]',
      summary: `Return the newest <count> entries (default ${DEFAULT_COUNT}, -1 for all).`,
      run(client, args) {
        const count = args.length === 0 ? DEFAULT_COUNT : integer(args[0]);
        if (count === undefined || count < -1 || args.length > 1) {
          return invalidArgument('count should be greater than or equal to -1');
        }
        const { slowLog } = client.server;
        return slowLog
          .latest(count === -1 ? slowLog.length : count)
          .map((entry) => [
            entry.id,
            Math.floor(entry.wallMs / 1000),
            entry.durationMicros,
            entry.words,
            bulk(entry.address),
            bulk(entry.clientName),
          ]);
      },
    },
    {
      name: 'len',
      arity: 2,
      summary: 'Return how many entries there are.',
      run: (client) => client.server.slowLog.length,
    },
    {
      name: 'reset',
      arity: 2,
      summary: 'Forget all entries.',
      run(client) {
        client.server.slowLog.reset();
        return OK;
      },
    },
  ],
});
