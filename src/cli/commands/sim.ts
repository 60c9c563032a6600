/** `quoin sim`: hands its words to the simulator, which is loaded only now. */
import type { Command } from 'commander';
import type { CliContext } from '../io.js';

const OPTIONS = `
Options:
  --seed <seed>       seed of the run, or of the first of several (default 1)
  --steps <count>     events in each run (default 100000)
  --nodes <count>     nodes in the cluster (default 5)
  --seeds <count>     so many runs, counting up from --seed
  --mutation <name>   plant a bug that the simulator must catch; 'list' names them
  --json              print one line of JSON for each run
  -h, --help          display help for command

Exit code 1 on a violation, with the command that replays it.

Examples:
  $ quoin sim --seed 7 --steps 200000
  $ quoin sim --seeds 20 --json`;

export function addSimCommand(program: Command, context: CliContext): void {
  program
    .command('sim')
    .description('run a whole cluster under a seed, with faults, and check its promises')
    .usage('[options]')
    .argument('[options...]')
    .allowUnknownOption()
    .configureHelp({ visibleArguments: () => [], visibleOptions: () => [] })
    .addHelpText('after', OPTIONS)
    .action(async (words: string[]) => {
      const { runSimCommand } = await import('../../../sim/main.js');
      context.exitCode = await runSimCommand(words);
    });
}
