/** `quoin bucket list|create|update|describe|drop` */
import { confirm, isCancel } from '@clack/prompts';
import { type Command, InvalidArgumentError } from 'commander';
import { QuoinError } from '../../base/errors.js';
import { formatDuration, formatSize, parseSizeBytes } from '../../server/configuration/index.js';
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
  readonly maxIdle?: number;
  readonly maxMemory?: number;
  readonly eviction?: string;
  readonly n?: number;
  readonly r?: number;
  readonly w?: number;
  readonly readRepair?: boolean;
  readonly hintedHandoff?: boolean;
  readonly antiEntropy?: boolean;
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
  const { replication, engine, n, r, w, eviction, readRepair, hintedHandoff, antiEntropy } = options;
  const duration = (durationMs?: number) =>
    durationMs === undefined ? undefined : formatDuration(durationMs);
  const given = {
    replication,
    engine,
    n,
    r,
    w,
    ttl: duration(options.ttl),
    maxIdle: duration(options.maxIdle),
    maxMemory: options.maxMemory === undefined ? undefined : formatSize(options.maxMemory),
    eviction,
    readRepair,
    hintedHandoff,
    antiEntropy,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function sizeOption(text: string): number {
  const sizeBytes = parseSizeBytes(text);
  if (sizeBytes === undefined)
    throw new InvalidArgumentError('It must be a size such as 100b, 64kb, 128mb or 1gb.');
  return sizeBytes;
}

function switchOption(text: string): boolean {
  if (text !== 'on' && text !== 'off') throw new InvalidArgumentError('It must be on or off.');
  return text === 'on';
}

function withProperties(command: Command): Command {
  return command
    .option('--replication <kind>', 'raft, mencius, quorum or primary (default raft)')
    .option('--engine <kind>', 'memory, lmdb or level (default lmdb)')
    .option('--n <count>', 'copies of each key (quorum; default 3)', integerOption(1, 16))
    .option(
      '--r <count>',
      'copies that must answer a read (quorum; default a majority)',
      integerOption(1, 16),
    )
    .option('--w <count>', 'copies that must have a write (quorum; default a majority)', integerOption(1, 16))
    .option('--ttl <duration>', 'time to live of keys written without one; 0 for none', durationOption)
    .option('--max-idle <duration>', 'keys not used for so long go; 0 for never (memory)', durationOption)
    .option('--max-memory <size>', 'memory on each node; 0 for no bound (memory)', sizeOption)
    .option('--eviction <policy>', 'what goes when that is reached: noeviction, lru or lfu (memory)')
    .option('--read-repair <on|off>', 'mend copies that a read finds stale (quorum)', switchOption)
    .option('--hinted-handoff <on|off>', 'keep what a node misses while it is away (quorum)', switchOption)
    .option('--anti-entropy <on|off>', 'compare and mend copies in the background (quorum)', switchOption);
}

/** A bucket's bounds in one cell: `1h idle, 1gb lru`. */
function boundsOf(bucket: JsonObject): string {
  const bounds: string[] = [];
  if (Number(bucket.maxIdleMs ?? 0) > 0) bounds.push(`${String(bucket.maxIdle)} idle`);
  if (Number(bucket.maxMemoryBytes ?? 0) > 0)
    bounds.push(`${String(bucket.maxMemory)} ${String(bucket.eviction)}`);
  return bounds.length === 0 ? '-' : bounds.join(', ');
}

function rowOf(bucket: JsonObject): string[] {
  const { name, replication, engine, n, r, w, ttl, ttlMs } = bucket;
  const quorum = n === undefined ? '-' : [n, r, w].join('/');
  return [name, replication, engine, quorum, ttlMs === 0 ? '-' : ttl, boundsOf(bucket)].map(String);
}

/** What a person reads of a bucket: the numbers beside the texts and the switches as such are for programs. */
function linesOf(description: JsonObject): string[] {
  const shown = Object.entries(description).filter(
    ([key]) => !(/(Ms|Bytes)$/.test(key) && Object.hasOwn(description, key.replace(/(Ms|Bytes)$/, ''))),
  );
  const isNone = (key: string): boolean => description[`${key}Ms`] === 0 || description[`${key}Bytes`] === 0;
  const words = (key: string, value: unknown): string => {
    if (typeof value === 'boolean') return value ? 'on' : 'off';
    return isNone(key) ? 'none' : String(value);
  };
  return shown.map(([key, value]) => `${key}: ${words(key, value)}`);
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
      const rows = buckets.map(asObject).map(rowOf);
      printLine(io.stdout, formatTable(['name', 'replication', 'engine', 'n/r/w', 'ttl', 'bounds'], rows));
    });

  withHttp(bucket.command('describe'))
    .description('show one bucket')
    .argument('<name>')
    .option('--json', 'print a JSON object')
    .addHelpText('after', '\nExamples:\n  $ quoin bucket describe sessions')
    .action(async (name: string, options: BucketOptions) => {
      const description = asObject(await request(options, io, 'GET', pathOf(name)));
      if (options.json === true) printJson(io, description);
      else for (const line of linesOf(description)) printLine(io.stdout, line);
    });

  withProperties(withHttp(bucket.command('create')))
    .description('create a bucket')
    .argument('<name>')
    .option('--json', 'print the bucket')
    .addHelpText(
      'after',
      '\nExamples:\n  $ quoin bucket create ledger --replication raft --engine lmdb\n  $ quoin bucket create sessions --replication quorum --engine memory --n 3 --r 2 --w 2 --ttl 30m\n  $ quoin bucket create cache --engine memory --max-memory 1gb --eviction lru',
    )
    .action(async (name: string, options: PropertyOptions) => {
      const created = await request(options, io, 'POST', '/v1/buckets', { name, ...propertiesOf(options) });
      printBucket(io, options, created, `created ${name}`);
    });

  withProperties(withHttp(bucket.command('update')))
    .description('change what can be changed while data is in the bucket')
    .argument('<name>')
    .option('--json', 'print the bucket')
    .addHelpText(
      'after',
      '\nExamples:\n  $ quoin bucket update sessions --ttl 1h\n  $ quoin bucket update sessions --r 1 --w 1 --hinted-handoff off',
    )
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
