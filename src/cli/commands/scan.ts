/** `quoin scan [PREFIX]` */
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { type ConnectionOptions, integerOption, readFrom, withBucket, withClient } from '../connection.js';
import type { CliContext } from '../io.js';
import { jsonValue } from './get.js';

interface ScanOptions extends ConnectionOptions {
  readonly limit?: number;
  readonly json?: boolean;
}

const PAGE = '1000';

/** A prefix as a pattern: what glob patterns would take for special stands for itself. */
function patternOfPrefix(prefix: string): string {
  return `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
}

export function addScanCommand(program: Command, { io }: CliContext): void {
  withBucket(program.command('scan'))
    .description('print the keys of a bucket, one on each line, in no particular order')
    .argument('[prefix]', 'only keys that start with this', '')
    .option('--limit <count>', 'stop after so many keys', integerOption(1, 999_999_999))
    .option('--json', 'print a JSON list')
    .addHelpText(
      'after',
      '\nExamples:\n  $ quoin scan user:\n  $ quoin scan --bucket sessions --limit 10 --json',
    )
    .action(async (prefix: string, options: ScanOptions) => {
      await withClient(options, io, async (client) => {
        const limit = options.limit ?? Number.POSITIVE_INFINITY;
        const json = options.json === true;
        let printed = 0;
        let cursor = '0';
        if (json) io.stdout.write('[');
        do {
          const match = prefix === '' ? [] : ['MATCH', patternOfPrefix(prefix)];
          const reply = await readFrom(client, 'SCAN', cursor, ...match, 'COUNT', PAGE);
          const [next, keys] = Array.isArray(reply) ? reply : [];
          if (!Array.isArray(keys) || next === undefined)
            throw new QuoinError('PROTOCOL_ERROR', 'SCAN gave an answer of an unexpected shape');
          for (const key of keys) {
            if (printed === limit) break;
            if (!Buffer.isBuffer(key)) continue;
            if (json) io.stdout.write((printed === 0 ? '' : ',') + JSON.stringify(jsonValue(key)));
            else io.stdout.write(Buffer.concat([key, Buffer.from('\n')]));
            printed++;
          }
          cursor = String(next);
        } while (cursor !== '0' && printed < limit);
        if (json) io.stdout.write(']\n');
      });
    });
}
