/** `quoin put KEY VALUE` */
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { type ConnectionOptions, durationOption, withBucket, withClient } from '../connection.js';
import { type CliContext, printJson, printLine, readStdin } from '../io.js';

interface PutOptions extends ConnectionOptions {
  readonly ttl?: number;
  readonly ifAbsent?: boolean;
  readonly ifPresent?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ quoin put greeting hello
  $ quoin put session:7 alive --ttl 30m
  $ quoin put photo - < photo.jpg          the value from stdin, any bytes
  $ quoin put number -- -5                 a value that looks like an option`;

export function addPutCommand(program: Command, { io }: CliContext): void {
  withBucket(program.command('put'))
    .description('set a key')
    .argument('<key>')
    .argument('<value>', "the value; '-' reads it from stdin")
    .option('--ttl <duration>', 'time to live, such as 30s or 2h', durationOption)
    .option('--if-absent', 'only when the key does not exist')
    .option('--if-present', 'only when the key exists')
    .option('--json', 'print {"key", "written"}')
    .addHelpText('after', EXAMPLES)
    .action(async (key: string, value: string, options: PutOptions) => {
      if (options.ifAbsent === true && options.ifPresent === true)
        throw new QuoinError('USAGE', 'give --if-absent or --if-present, not both');
      const bytes = value === '-' ? await readStdin(io) : Buffer.from(value);
      const words: (string | Buffer)[] = ['SET', key, bytes];
      if (options.ttl !== undefined) words.push('PX', String(options.ttl));
      if (options.ifAbsent === true) words.push('NX');
      if (options.ifPresent === true) words.push('XX');
      const answer = await withClient(options, io, (client) => client.command(...words));
      const written = answer !== null;
      if (options.json === true) printJson(io, { key, written });
      if (!written) {
        const reason = options.ifAbsent === true ? 'exists already' : 'does not exist';
        throw new QuoinError('CONDITION_FAILED', `'${key}' ${reason}`);
      }
      if (options.json !== true) printLine(io.stdout, 'OK');
    });
}
