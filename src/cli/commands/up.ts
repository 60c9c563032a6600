/** `quoin up`: a cluster on this machine, one process for each node. */
import type { Command } from 'commander';
import { integerOption } from '../connection.js';
import type { CliContext } from '../io.js';
import { runUp, type UpOptions } from '../up/supervise.js';

const EXAMPLES = `
Node i (from 1) listens for Redis clients on port 7000+i, for HTTP on 8000+i and for its peers on 9000+i.

Examples:
  $ quoin up
  $ quoin up --nodes 5 --dir /tmp/five
  $ quoin up --ephemeral --base-port 17001 --json
  $ quoin up --set cluster.electionTimeout=500ms`;

export function addUpCommand(program: Command, { io }: CliContext): void {
  program
    .command('up')
    .description('run a local cluster until Ctrl-C')
    .option('--nodes <count>', 'number of nodes', integerOption(1, 32), 3)
    .option('--dir <dir>', 'where the data is kept', '.quoin')
    .option('--preset <name>', 'practical (Raft, B+tree on disk)', 'practical')
    .option('--base-port <port>', 'RESP port of the first node', integerOption(1024, 63_000), 7001)
    .option('--ephemeral', 'keep the data in a temporary directory that goes at the end')
    .option('--restart', 'bring a node back when it dies')
    .option('--set <key=value...>', 'change a key of every node’s configuration')
    .option('--json', 'print one line of JSON when all nodes serve')
    .addHelpText('after', EXAMPLES)
    .action((options: UpOptions) => runUp(options, io));
}
