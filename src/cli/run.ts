/**
 * The command line: one program, one file for each command. `run` never throws and never ends the process; it returns
 * the exit code: 0 success, 1 failure, 2 wrong usage.
 */
import { Command, CommanderError } from 'commander';
import { QuoinError } from '../base/errors.js';
import { addBenchCommand } from './commands/bench.js';
import { addBucketCommand } from './commands/bucket.js';
import { addClusterCommand } from './commands/cluster.js';
import { addDelCommand } from './commands/del.js';
import { addGetCommand } from './commands/get.js';
import { addProxyCommand } from './commands/proxy.js';
import { addPutCommand } from './commands/put.js';
import { addScanCommand } from './commands/scan.js';
import { addSimCommand } from './commands/sim.js';
import { addStartCommand } from './commands/start.js';
import { addUpCommand } from './commands/up.js';
import { exitCodeOf, failureLine } from './failure.js';
import { type CliContext, type CliIo, printLine } from './io.js';
import { packageVersion } from './version.js';

const OVERVIEW = `
Examples:
  $ quoin up                        three nodes on this machine, until Ctrl-C
  $ quoin put greeting hello
  $ quoin get greeting
  $ quoin cluster status

Client commands speak to --url or QUOIN_URL (default redis://127.0.0.1:7001).`;

function createProgram(context: CliContext, bare: boolean): Command {
  const { io } = context;
  const program = new Command('quoin')
    .description('A distributed key-value store; each bucket has its own guarantee.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .addHelpText('after', OVERVIEW)
    .exitOverride()
    // What follows the first word of `bench compare` is not for this program.
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      // `quoin` alone shows the help; whoever has typed a command gets one line.
      writeErr: (text) => (bare ? io.stderr.write(text) : undefined),
      // The exception carries the message; it is printed once, in the form of all errors.
      outputError: () => undefined,
    });
  addUpCommand(program, context);
  addStartCommand(program, context);
  addGetCommand(program, context);
  addPutCommand(program, context);
  addDelCommand(program, context);
  addScanCommand(program, context);
  addBucketCommand(program, context);
  addClusterCommand(program, context);
  addProxyCommand(program, context);
  addSimCommand(program, context);
  addBenchCommand(program, context);
  return program;
}

/**
 * The words up to one that should name a command and does not, else all of them: `--help` behind such a word would show
 * the help of what stands before it, as if the command were there.
 */
function upToUnknownCommand(program: Command, argv: readonly string[]): readonly string[] {
  let command = program;
  for (const [index, word] of argv.entries()) {
    if (word.startsWith('-') || word === 'help' || command.commands.length === 0) return argv;
    const next = command.commands.find((known) => known.name() === word);
    if (next === undefined) return argv.slice(0, index + 1);
    command = next;
  }
  return argv;
}

function commanderOutcome(error: CommanderError, io: CliIo): number {
  if (error.exitCode === 0) return 0;
  const message =
    error.code === 'commander.help' ? 'a command is missing' : error.message.replace(/^error: /, '');
  printLine(io.stderr, failureLine(new QuoinError('USAGE', message)));
  return 2;
}

/** Carries out one command line (without `node` and the script). */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  const context: CliContext = { io, exitCode: 0 };
  try {
    const program = createProgram(context, argv.length === 0);
    await program.parseAsync([...upToUnknownCommand(program, argv)], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return commanderOutcome(error, io);
    printLine(io.stderr, failureLine(error));
    if (io.environment.QUOIN_DEBUG !== undefined && error instanceof Error)
      printLine(io.stderr, error.stack ?? '');
    return exitCodeOf(error);
  }
}
