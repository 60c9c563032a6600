/** `quoin up`: a cluster on this machine, one process for each node. */
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { integerOption } from '../connection.js';
import type { CliContext } from '../io.js';
import { PRESET_HELP } from '../up/layout.js';
import { runUp, type UpOptions } from '../up/supervise.js';

const EXAMPLES = `
Node i (from 1) listens for Redis clients on port 7000+i, for HTTP on 8000+i and for its peers on 9000+i. Nodes that
only coordinate are called c1, c2, ... and take the ports after the others'; the proxy of the preset memory listens on 8000.

Examples:
  $ quoin up
  $ quoin up --nodes 5 --dir /tmp/five
  $ quoin up --preset memory --coordinators 4
  $ quoin up --ephemeral --base-port 17001 --json
  $ quoin up --set cluster.electionTimeout=500ms`;

export function addUpCommand(program: Command, { io }: CliContext): void {
  program
    .command('up')
    .description('run a local cluster until Ctrl-C')
    .option('--nodes <count>', 'number of nodes that store and coordinate', integerOption(1, 32), 3)
    .option('--dir <dir>', 'where the data is kept', '.quoin')
    .option('--preset <name>', PRESET_HELP, 'practical')
    .option(
      '--coordinators <count>',
      'nodes that only coordinate, beside these (default: as the preset has)',
      integerOption(0, 32),
    )
    .option('--base-port <port>', 'RESP port of the first node', integerOption(1024, 63_000), 7001)
    .option('--ephemeral', 'keep the data in a temporary directory that goes at the end')
    .option('--restart', 'bring a node back when it dies')
    .option('--set <key=value...>', 'change a key of every node’s configuration')
    .option('--json', 'print one line of JSON when all nodes serve')
    .addHelpText('after', EXAMPLES)
    .action((options: UpOptions, command: Command) => {
      if (options.ephemeral === true && command.getOptionValueSource('dir') !== 'default')
        throw new QuoinError('USAGE', '--ephemeral keeps nothing, and so does not go with --dir');
      return runUp(options, io);
    });
}
