/** MEMORY USAGE | STATS | DOCTOR | PURGE */
import { commandByName } from '../../../store/registry.js';
import { DoubleReply, MapReply, OK, type Reply, VerbatimReply } from '../../../store/reply.js';
import type { ClientConnection } from '../connection.js';
import { container } from '../container.js';
import { NOT_AN_INTEGER, SYNTAX_ERROR } from '../messages.js';
import { bulk, integer, lower } from '../words.js';

/** What a key costs beside its own bytes and its value's: version, expiry, checksum, place in the index. */
const OVERHEAD_BYTES = 48;

async function usage(client: ClientConnection, args: readonly Buffer[]): Promise<Reply> {
  const key = args[0]!;
  if (args.length !== 1) {
    if (args.length !== 3 || lower(args[1]) !== 'samples') return SYNTAX_ERROR;
    if (integer(args[2]) === undefined) return NOT_AN_INTEGER;
  }
  const strlen = commandByName('quoin.get');
  if (strlen === undefined) return null;
  const reply = await client.request(strlen, [key]);
  if (!Array.isArray(reply)) return reply;
  const value: unknown = reply[0];
  return Buffer.isBuffer(value) ? key.length + value.length + OVERHEAD_BYTES : null;
}

function stats(client: ClientConnection): Reply {
  const { node } = client.server;
  const { memoryBytes, dataBytes } = node.counters();
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  const rows: [string, Reply][] = [
    ['peak.allocated', process.resourceUsage().maxRSS * 1024],
    ['total.allocated', rss],
    ['startup.allocated', 0],
    ['heap.total', heapTotal],
    ['heap.used', heapUsed],
    ['external.allocated', external],
    ['engine.allocated', memoryBytes],
    ['dataset.bytes', dataBytes],
    ['dataset.percentage', new DoubleReply(rss === 0 ? 0 : Math.round((dataBytes / rss) * 10_000) / 100)],
  ];
  return new MapReply(rows.map(([name, value]) => [bulk(name), value]));
}

export const memory = container({
  name: 'memory',
  category: 'server',
  summary: 'Memory of this node and of keys.',
  flags: ['readonly'],
  inTransaction: 'refused',
  subcommands: [
    {
      name: 'usage',
      arity: -3,
      usage: '<key> [SAMPLES <count>]',
      summary: 'Return about how many bytes a key and its value take.',
      run: usage,
    },
    { name: 'stats', arity: 2, summary: 'Return where the memory of this node goes.', run: stats },
    {
      name: 'doctor',
      arity: 2,
      summary: 'Return advice about memory.',
      run(client) {
        const { dataBytes } = client.server.node.counters();
        return new VerbatimReply(
          dataBytes === 0
            ? 'This node holds no data yet; there is nothing to judge.'
            : 'Nothing unusual was found in the memory of this node.',
        );
      },
    },
    { name: 'purge', arity: 2, summary: 'Nothing to do: the engines reuse their memory.', run: () => OK },
  ],
});
