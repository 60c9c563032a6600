/** `quoin bench`: hands its words to the load generator, which is loaded only now. */
import type { Command } from 'commander';
import type { CliContext } from '../io.js';

const OPTIONS = `
Options:
  --url <url>             node to load, redis://host:port
  --clients <count>       connections
  --pipeline <count>      requests under way on each connection
  --requests <count>      requests in all
  --value-bytes <bytes>   size of a value
  --read-ratio <share>    share of reads, 0 to 1
  --json                  print one line of JSON
  -h, --help              display help for command

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
    .configureHelp({ visibleArguments: () => [], visibleOptions: () => [] })
    .addHelpText('after', OPTIONS)
    .action(async (words: string[]) => {
      const { runBenchCommand } = await import('../../../bench/main.js');
      context.exitCode = await runBenchCommand(words);
    });
}
