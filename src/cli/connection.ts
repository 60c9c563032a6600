/**
 * How client commands reach a node: `--url redis://[user:password@]host:port[/bucket]`, else `QUOIN_URL`, else the first
 * node of `quoin up`. Buckets and the cluster are administered through the same node's HTTP door; the node tells where
 * that is, and `--http` overrides.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { QuoinError } from '../base/errors.js';
import { RespClient } from '../client/resp-client.js';
import { RespError, type RespValue } from '../client/resp-reader.js';
import { formatAddress, parseAddress, parseDurationMs } from '../server/configuration/index.js';
import type { CliIo } from './io.js';

const DEFAULT_URL = 'redis://127.0.0.1:7001';
/** As `quoin up` lays the ports out. */
const HTTP_PORT_OFFSET = 1000;

export interface ConnectionOptions {
  readonly url?: string;
  readonly bucket?: string;
  readonly http?: string;
  readonly timeout: number;
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly bucket: string | undefined;
}

/** For `--timeout`, `--ttl` and the like. */
export function durationOption(text: string): number {
  const durationMs = parseDurationMs(text);
  if (durationMs === undefined)
    throw new InvalidArgumentError('It must be a duration such as 500ms, 10s or 30m.');
  return durationMs;
}

/** For counts. */
export function integerOption(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max))
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** Options of every command that speaks to a node. */
function withConnection(command: Command): Command {
  return command
    .option('--url <url>', `node to speak to, redis://host:port (or QUOIN_URL; default ${DEFAULT_URL})`)
    .addOption(
      new Option('--timeout <duration>', 'how long to wait for an answer')
        .argParser(durationOption)
        .default(15_000, '15s'),
    );
}

export function withBucket(command: Command): Command {
  return withConnection(command).option('--bucket <name>', 'bucket to use', undefined);
}

export function withHttp(command: Command): Command {
  return withConnection(command).option(
    '--http <address>',
    'HTTP address of the node, host:port (default: asked of the node)',
  );
}

function targetOf(options: ConnectionOptions, io: CliIo): Target {
  const text = options.url ?? io.environment.QUOIN_URL ?? DEFAULT_URL;
  let url: URL;
  try {
    url = new URL(text.includes('://') ? text : `redis://${text}`);
  } catch (cause) {
    throw new QuoinError('USAGE', `'${text}' is no URL; it must look like ${DEFAULT_URL}`, { cause });
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'quoin:')
    throw new QuoinError('USAGE', `'${text}': this version speaks redis:// only`);
  const path = decodeURIComponent(url.pathname.replace(/^\//, ''));
  return {
    host: url.hostname === '' ? '127.0.0.1' : url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 7001 : Number(url.port),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    bucket: options.bucket ?? (path === '' ? undefined : path),
  };
}

/** Connects, authenticates when the URL has a password, and selects the bucket. */
async function connectTo(options: ConnectionOptions, io: CliIo): Promise<RespClient> {
  const target = targetOf(options, io);
  const client = await RespClient.connect({
    host: target.host,
    port: target.port,
    timeoutMs: options.timeout,
  });
  try {
    if (target.password !== '')
      await client.command('AUTH', ...(target.username === '' ? [] : [target.username]), target.password);
    if (target.bucket !== undefined) await select(client, target.bucket);
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

async function select(client: RespClient, bucket: string): Promise<void> {
  try {
    await client.command('SELECT', bucket);
  } catch (error) {
    if (error instanceof RespError && error.message.startsWith('ERR '))
      throw new QuoinError('UNKNOWN_BUCKET', `no bucket '${bucket}'`, { cause: error });
    throw error;
  }
}

/** Runs `action` with a connection and closes it whatever happens. */
export async function withClient<Result>(
  options: ConnectionOptions,
  io: CliIo,
  action: (client: RespClient) => Promise<Result>,
): Promise<Result> {
  const client = await connectTo(options, io);
  try {
    return await action(client);
  } finally {
    client.close();
  }
}

/** A read that was lost on its way changed nothing, whatever became of it. */
export async function readFrom(
  client: RespClient,
  ...args: readonly (string | Buffer)[]
): Promise<RespValue> {
  try {
    return await client.command(...args);
  } catch (error) {
    if (error instanceof QuoinError && error.code === 'OUTCOME_UNKNOWN')
      throw new QuoinError('UNREACHABLE', error.message, { cause: error });
    throw error;
  }
}

/** The HTTP address of the node that `--url` names. */
export async function httpAddressOf(options: ConnectionOptions, io: CliIo): Promise<string> {
  if (options.http !== undefined) {
    const address = options.http.replace(/^http:\/\//, '').replace(/\/$/, '');
    if (parseAddress(address) === undefined)
      throw new QuoinError('USAGE', `--http ${options.http}: must be an address host:port`);
    return address;
  }
  const target = targetOf(options, io);
  const derived = formatAddress(target.host, target.port + HTTP_PORT_OFFSET);
  const { bucket: _bucket, ...withoutBucket } = options;
  return withClient(withoutBucket, io, async (client) => {
    const information = await client.command('INFO', 'server').catch((error: unknown) => {
      // A node that is starting refuses INFO, and still answers over HTTP.
      if (error instanceof RespError) return null;
      throw error;
    });
    const told = /^quoin_http_address:(\S+)\s*$/m.exec(String(information ?? ''))?.[1];
    return told !== undefined && parseAddress(told) !== undefined ? told : derived;
  });
}
