/** LATENCY LATEST | HISTORY event | RESET [event ...] */
import { container } from '../container.js';
import { bulk } from '../words.js';

export const latency = container({
  name: 'latency',
  category: 'server',
  summary: 'Latency spikes above latency-monitor-threshold.',
  flags: ['admin', 'noscript', 'loading', 'stale'],
  inTransaction: 'queued',
  subcommands: [
    {
      name: 'latest',
      arity: 2,
      summary: 'Return the newest and the worst spike of every event.',
      run: (client) =>
        client.server.latency
          .latest()
          .map(({ event, sample, maxMs }) => [bulk(event), sample.atSeconds, sample.latencyMs, maxMs]),
    },
    {
      name: 'history',
      arity: 3,
      usage: '<event>',
      summary: 'Return the spikes of an event.',
      run: (client, args) =>
        client.server.latency
          .history(args[0]?.toString('utf8') ?? '')
          .map(({ atSeconds, latencyMs }) => [atSeconds, latencyMs]),
    },
    {
      name: 'reset',
      arity: -2,
      usage: '[<event> ...]',
      summary: 'Forget the spikes of some events, or of all.',
      run: (client, args) => client.server.latency.reset(args.map((arg) => arg.toString('utf8'))),
    },
  ],
});
