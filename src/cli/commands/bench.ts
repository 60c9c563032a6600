/** `quoin bench`: hands its words to the load generator, which is loaded only now. */
import type { Command } from 'commander';
import type { CliContext } from '../io.js';

const OPTIONS = `
Options:
  --url <urls>            nodes to load, redis://host:port, separated by commas (or QUOIN_URL)
  --bucket <name>         bucket to use
  --clients <count>       connections (default 50)
  --pipeline <count>      requests that each client has under way (default 1)
  --requests <count>      requests in all (default 100000)
  --keys <count>          size of the key space (default 100000)
  --value-bytes <bytes>   size of a value (default 64)
  --read-ratio <share>    share of reads, 0 to 1 (default 0.5)
  --rate <count>          open loop: so many requests a second, whatever the answers do
  --seed <seed>           seed of the choice of keys
  --json                  print one line of JSON
  -h, --help              display help for command

'quoin bench compare' measures side by side with other stores; see its own --help.

Examples:
  $ quoin bench --clients 64 --requests 100000
  $ quoin bench --pipeline 16 --read-ratio 0.9 --json`;

export function addBenchCommand(program: Command, context: CliContext): void {
  program
    .command('bench')
    .description('load a cluster and print throughput and latency')
    .usage('[options]')
    .argument('[options...]')
    .allowUnknownOption()
    .passThroughOptions()
    .configureHelp({ visibleArguments: () => [], visibleOptions: () => [] })
    .addHelpText('after', OPTIONS)
    .action(async (words: string[]) => {
      const { runBenchCommand } = await import('../../../bench/main.js');
      context.exitCode = await runBenchCommand(words);
    });
}
