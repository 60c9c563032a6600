/** `quoin get KEY` */
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { type ConnectionOptions, readFrom, withBucket, withClient } from '../connection.js';
import { type CliContext, printJson } from '../io.js';

/** Bytes in JSON: as text where they are UTF-8, else marked base64. */
export function jsonValue(bytes: Buffer): string | { readonly base64: string } {
  return isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') };
}

export function addGetCommand(program: Command, { io }: CliContext): void {
  withBucket(program.command('get'))
    .description('print the value of a key; exit 1 when there is none')
    .argument('<key>')
    .option('--raw', 'print the bytes alone, without a line end')
    .option('--json', 'print {"key", "found", "value"}')
    .addHelpText('after', '\nExamples:\n  $ quoin get greeting\n  $ quoin get photo --raw > photo.jpg')
    .action(async (key: string, options: ConnectionOptions & { raw?: boolean; json?: boolean }) => {
      const value = await withClient(options, io, (client) => readFrom(client, 'GET', key));
      const found = Buffer.isBuffer(value);
      if (options.json === true) printJson(io, { key, found, value: found ? jsonValue(value) : null });
      if (!found) throw new QuoinError('NOT_FOUND', `no such key '${key}'`);
      if (options.json === true) return;
      io.stdout.write(value);
      if (options.raw !== true) io.stdout.write('\n');
    });
}
