/** `quoin del KEY...` */
import type { Command } from 'commander';
import { type ConnectionOptions, withBucket, withClient } from '../connection.js';
import { type CliContext, printJson, printLine } from '../io.js';

export function addDelCommand(program: Command, { io }: CliContext): void {
  withBucket(program.command('del'))
    .description('delete keys and print how many there were')
    .argument('<keys...>')
    .option('--json', 'print {"deleted"}')
    .addHelpText('after', '\nExamples:\n  $ quoin del greeting\n  $ quoin del a b c --bucket sessions')
    .action(async (keys: string[], options: ConnectionOptions & { json?: boolean }) => {
      const deleted = await withClient(options, io, (client) => client.command('DEL', ...keys));
      if (options.json === true) printJson(io, { deleted: Number(deleted) });
      else printLine(io.stdout, String(deleted));
    });
}
