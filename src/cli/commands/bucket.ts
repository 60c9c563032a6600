/** `quoin bucket list|create|update|describe|drop` */
import { confirm, isCancel } from '@clack/prompts';
import type { Command } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { formatDuration } from '../../server/configuration/index.js';
import {
  type ConnectionOptions,
  durationOption,
  httpAddressOf,
  integerOption,
  withHttp,
} from '../connection.js';
import { asList, asObject, httpRequest, type JsonObject } from '../http-client.js';
import { type CliContext, type CliIo, printJson, printLine } from '../io.js';
import { formatTable } from '../table.js';

interface BucketOptions extends ConnectionOptions {
  readonly json?: boolean;
}

interface PropertyOptions extends BucketOptions {
  readonly replication?: string;
  readonly engine?: string;
  readonly ttl?: number;
  readonly n?: number;
  readonly r?: number;
  readonly w?: number;
  readonly yes?: boolean;
}

async function request(
  options: ConnectionOptions,
  io: CliIo,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const address = await httpAddressOf(options, io);
  return httpRequest(address, method, path, { body, timeoutMs: options.timeout });
}

const pathOf = (name: string): string => `/v1/buckets/${encodeURIComponent(name)}`;

/** The properties that were given, as the HTTP door names them. */
function propertiesOf(options: PropertyOptions): JsonObject {
  const { replication, engine, ttl, n, r, w } = options;
  const given = { replication, engine, ttl: ttl === undefined ? undefined : formatDuration(ttl), n, r, w };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function withProperties(command: Command): Command {
  return command
    .option('--replication <kind>', 'raft, mencius, quorum or primary (default raft)')
    .option('--engine <kind>', 'memory, lmdb or level (default lmdb)')
    .option('--ttl <duration>', 'time to live of keys written without one; 0 for none', durationOption)
    .option('--n <count>', 'copies (quorum)', integerOption(1, 16))
    .option('--r <count>', 'answers that a read waits for (quorum)', integerOption(1, 16))
    .option('--w <count>', 'answers that a write waits for (quorum)', integerOption(1, 16));
}

function printBucket(io: CliIo, options: BucketOptions, bucket: unknown, done: string): void {
  if (options.json === true) printJson(io, bucket);
  else printLine(io.stdout, done);
}

async function agreed(name: string): Promise<boolean> {
  const answer = await confirm({ message: `Drop bucket '${name}' and all its data?`, initialValue: false });
  return !isCancel(answer) && answer;
}

export function addBucketCommand(program: Command, { io }: CliContext): void {
  const bucket = program
    .command('bucket')
    .description('list, create, change and drop buckets')
    .addHelpText(
      'after',
      '\nExamples:\n  $ quoin bucket list\n  $ quoin bucket create sessions --engine memory --ttl 30m',
    );

  withHttp(bucket.command('list'))
    .description('list all buckets')
    .option('--json', 'print a JSON list')
    .addHelpText('after', '\nExamples:\n  $ quoin bucket list\n  $ quoin bucket list --json')
    .action(async (options: BucketOptions) => {
      const buckets = asList(asObject(await request(options, io, 'GET', '/v1/buckets')).buckets);
      if (options.json === true) {
        printJson(io, buckets);
        return;
      }
      const rows = buckets
        .map(asObject)
        .map((one) => [one.name, one.replication, one.engine, one.ttlMs === 0 ? '-' : one.ttl].map(String));
      printLine(io.stdout, formatTable(['name', 'replication', 'engine', 'ttl'], rows));
    });

  withHttp(bucket.command('describe'))
    .description('show one bucket')
    .argument('<name>')
    .option('--json', 'print a JSON object')
    .addHelpText('after', '\nExamples:\n  $ quoin bucket describe sessions')
    .action(async (name: string, options: BucketOptions) => {
      const description = asObject(await request(options, io, 'GET', pathOf(name)));
      if (options.json === true) printJson(io, description);
      else
        for (const [key, value] of Object.entries(description))
          printLine(io.stdout, `${key}: ${String(value)}`);
    });

  withProperties(withHttp(bucket.command('create')))
    .description('create a bucket')
    .argument('<name>')
    .option('--json', 'print the bucket')
    .addHelpText(
      'after',
      '\nExamples:\n  $ quoin bucket create ledger --replication raft --engine lmdb\n  $ quoin bucket create sessions --engine memory --ttl 30m',
    )
    .action(async (name: string, options: PropertyOptions) => {
      const created = await request(options, io, 'POST', '/v1/buckets', { name, ...propertiesOf(options) });
      printBucket(io, options, created, `created ${name}`);
    });

  withProperties(withHttp(bucket.command('update')))
    .description('change what can be changed while data is in the bucket')
    .argument('<name>')
    .option('--json', 'print the bucket')
    .addHelpText('after', '\nExamples:\n  $ quoin bucket update sessions --ttl 1h')
    .action(async (name: string, options: PropertyOptions) => {
      const changes = propertiesOf(options);
      if (Object.keys(changes).length === 0)
        throw new QuoinError('USAGE', 'nothing to change was given, such as --ttl 1h');
      const updated = await request(options, io, 'PATCH', pathOf(name), changes);
      printBucket(io, options, updated, `updated ${name}`);
    });

  withHttp(bucket.command('drop'))
    .description('drop a bucket and all its data')
    .argument('<name>')
    .option('--yes', 'do not ask')
    .option('--json', 'print {"dropped"}')
    .addHelpText('after', '\nExamples:\n  $ quoin bucket drop sessions --yes')
    .action(async (name: string, options: PropertyOptions) => {
      if (io.interactive && options.yes !== true && options.json !== true && !(await agreed(name))) {
        printLine(io.stdout, 'not dropped');
        return;
      }
      await request(options, io, 'DELETE', pathOf(name));
      printBucket(io, options, { dropped: name }, `dropped ${name}`);
    });
}
