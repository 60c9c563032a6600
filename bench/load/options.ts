/** What the load generator is told on the command line. */
import { parseArgs } from 'node:util';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface LoadOptions {
  /** Clients are spread evenly over these. */
  readonly targets: readonly Target[];
  /** SELECTed at the start; undefined: the default bucket. */
  readonly bucket: string | undefined;
  readonly clients: number;
  readonly pipeline: number;
  readonly requests: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** Share of reads, 0 to 1. */
  readonly readRatio: number;
  /** Requests a second over all clients; 0: closed loop, each client sends when it has been answered. */
  readonly ratePerSecond: number;
  readonly seed: number;
  readonly json: boolean;
}

/** A wrong command line: one line for stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const LOAD_USAGE = `Usage: quoin bench [options]
       quoin bench compare [options]    side by side with etcd and Redis (see --help there)

Loads a running cluster and prints rate and latency.

  --url URLS          redis://host:port, several separated by commas (default QUOIN_URL, else redis://127.0.0.1:7001)
  --bucket NAME       bucket to use (default: default)
  --clients N         connections (default 50)
  --pipeline N        requests each client has under way (default 1)
  --requests N        requests in all (default 100000)
  --keys N            size of the key space (default 100000)
  --value-bytes N     size of a value (default 64)
  --read-ratio R      share of GET, 0 to 1; the rest is SET (default 0.5)
  --rate N            open loop: N requests a second, whatever the answers do; latency counts from when a request was due
  --seed N            seed of the choice of keys (default 1)
  --json              one line of JSON

Example: quoin bench --url redis://127.0.0.1:7001 --clients 256 --pipeline 16 --read-ratio 0.9`;

function whole(name: string, text: string | undefined, fallback: number, least: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
    throw new UsageError(`--${name} must be a whole number of at least ${least}, not '${text}'`);
  return value;
}

function target(text: string): Target {
  let url: URL;
  try {
    url = new URL(text.includes('://') ? text : `redis://${text}`);
  } catch {
    throw new UsageError(`--url must be redis://host:port, not '${text}'`);
  }
  if (url.protocol !== 'redis:' || url.hostname === '')
    throw new UsageError(`--url must be redis://host:port, not '${text}'`);
  return { host: url.hostname, port: url.port === '' ? 7001 : Number(url.port) };
}

/** Throws `UsageError`; returns undefined when help was asked for. */
export function parseLoadOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): LoadOptions | undefined {
  let values: Partial<Record<string, string | boolean>>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        url: { type: 'string' },
        bucket: { type: 'string' },
        clients: { type: 'string' },
        pipeline: { type: 'string' },
        requests: { type: 'string' },
        keys: { type: 'string' },
        'value-bytes': { type: 'string' },
        'read-ratio': { type: 'string' },
        rate: { type: 'string' },
        seed: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return undefined;
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const ratio = Number(text('read-ratio') ?? '0.5');
  if (!(ratio >= 0 && ratio <= 1)) throw new UsageError('--read-ratio must be a number from 0 to 1');
  const urls = text('url') ?? environment.QUOIN_URL ?? 'redis://127.0.0.1:7001';
  return {
    targets: urls.split(',').map(target),
    bucket: text('bucket'),
    clients: whole('clients', text('clients'), 50, 1),
    pipeline: whole('pipeline', text('pipeline'), 1, 1),
    requests: whole('requests', text('requests'), 100_000, 1),
    keys: whole('keys', text('keys'), 100_000, 1),
    valueBytes: whole('value-bytes', text('value-bytes'), 64, 0),
    readRatio: ratio,
    ratePerSecond: whole('rate', text('rate'), 0, 0),
    seed: whole('seed', text('seed'), 1, 0),
    json: values.json === true,
  };
}
