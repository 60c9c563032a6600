/** CONFIG GET | SET | RESETSTAT | REWRITE */
import { GlobPattern } from '../../../store/glob.js';
import { MapReply, OK } from '../../../store/reply.js';
import { container } from '../container.js';
import { invalidArgument, wrongArity } from '../messages.js';
import { bulk, lower } from '../words.js';

export const config = container({
  name: 'config',
  category: 'server',
  summary: 'Settings of this node.',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  inTransaction: 'queued',
  subcommands: [
    {
      name: 'get',
      arity: -3,
      usage: '<pattern> [<pattern> ...]',
      summary: 'Return the settings whose names match.',
      run(client, args) {
        const patterns = args.map((arg) => new GlobPattern(bulk(lower(arg))));
        const found = client.server.settings.read((name) => {
          const bytes = bulk(name);
          return patterns.some((pattern) => pattern.matches(bytes));
        });
        return new MapReply(found.map(([name, value]) => [bulk(name), bulk(value)]));
      },
    },
    {
      name: 'set',
      arity: -4,
      usage: '<directive> <value> [<directive> <value> ...]',
      summary: 'Change settings of this node until it stops.',
      run(client, args) {
        if (args.length % 2 !== 0) return wrongArity('config|set');
        const changes: [string, string][] = [];
        for (let i = 0; i < args.length; i += 2) {
          changes.push([lower(args[i]), args[i + 1]!.toString('utf8')]);
        }
        return client.server.settings.write(changes) ?? OK;
      },
    },
    {
      name: 'resetstat',
      arity: 2,
      summary: 'Start the statistics of this door anew.',
      run(client) {
        client.server.resetStatistics();
        return OK;
      },
    },
    {
      name: 'rewrite',
      arity: 2,
      summary: 'Refused: settings live in the configuration file.',
      run: () => invalidArgument('The server is running without a config file'),
    },
  ],
});
