/**
 * Every key that a configuration file may hold, with its rule and its default. This is the whole surface of the
 * contract: keys whose feature this version lacks are here too, so that they are checked as strictly as the others
 * before `unsupported.ts` refuses them.
 *
 * A rule's message says what is wanted, never only that something is wrong.
 */
import { z } from 'zod';
import { LIMITS } from '../../base/limits.js';
import { isHost, parseAddress } from './address.js';
import { DEFAULT_QUORUM, FIRST_BUCKETS } from './types.js';
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from './units.js';

function duration(range: { readonly minMs: number; readonly maxMs: number }) {
  return z.union([z.string(), z.number()]).transform((value, context) => {
    const durationMs = parseDurationMs(String(value));
    if (durationMs === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'must be a duration with its unit, such as 500ms, 10s or 30m',
      });
      return z.NEVER;
    }
    if (durationMs < range.minMs || durationMs > range.maxMs) {
      const bounds = `${formatDuration(range.minMs)} and ${formatDuration(range.maxMs)}`;
      context.addIssue({ code: 'custom', message: `must lie between ${bounds}` });
      return z.NEVER;
    }
    return durationMs;
  });
}

function size(range: { readonly minBytes: number; readonly maxBytes: number }) {
  return z.union([z.string(), z.number()]).transform((value, context) => {
    const sizeBytes = parseSizeBytes(String(value));
    if (sizeBytes === undefined) {
      context.addIssue({ code: 'custom', message: 'must be a size such as 100b, 64kb, 128mb or 1gb' });
      return z.NEVER;
    }
    if (sizeBytes < range.minBytes || sizeBytes > range.maxBytes) {
      const bounds = `${formatSize(range.minBytes)} and ${formatSize(range.maxBytes)}`;
      context.addIssue({ code: 'custom', message: `must lie between ${bounds}` });
      return z.NEVER;
    }
    return sizeBytes;
  });
}

function oneOf<const Values extends readonly [string, ...string[]]>(...values: Values) {
  return z.enum(values, { error: () => `must be one of ${values.join(', ')}` });
}

function text(wanted: string) {
  return z.string({ error: () => `must be ${wanted}` });
}

function integer(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .int({ error: () => message })
    .min(min, { error: message })
    .max(max, { error: message });
}

const address = text('an address host:port').refine((value) => parseAddress(value) !== undefined, {
  error: 'must be an address host:port, with a port from 0 to 65535 (IPv6 in brackets)',
});

/** A list of words; `a, b` in one string is a list too, which makes `--set` bearable. */
function listOf<Item extends z.ZodType>(item: Item) {
  return z.preprocess(
    (value) =>
      typeof value === 'string'
        ? value
            .split(',')
            .map((part) => part.trim())
            .filter((part) => part !== '')
        : value,
    z.array(item, { error: () => 'must be a list' }),
  );
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

function name(what: string, maxLength: number) {
  const wanted = `${what}: letters, digits, '.', '_' and '-', at most ${maxLength} of them, starting with a letter or digit`;
  return text(wanted).refine((value) => NAME.test(value) && value.length <= maxLength, {
    error: `must be ${wanted}`,
  });
}

/** Those that each cluster has need not be in the list. */
const MAX_LISTED_BUCKETS = LIMITS.maxBuckets - FIRST_BUCKETS.length;

const ONE_DAY_MS = 86_400_000;
const LONGEST_TTL_MS = 100 * 365 * ONE_DAY_MS;

/** `on` and `off` read better on a command line; YAML of our days takes them for words. */
const onOrOff = z.preprocess(
  (value) => (value === 'on' ? true : value === 'off' ? false : value),
  z.boolean({ error: () => 'must be true or false' }),
);

/** What of a bucket can be changed while data is in it; what is not given stays. */
const changeableOfBucket = {
  ttl: duration({ minMs: 0, maxMs: LONGEST_TTL_MS }).optional(),
  r: integer(1, 16).optional(),
  w: integer(1, 16).optional(),
  maxIdle: duration({ minMs: 0, maxMs: LONGEST_TTL_MS }).optional(),
  maxMemory: size({ minBytes: 0, maxBytes: 1024 ** 5 }).optional(),
  eviction: oneOf('noeviction', 'lru', 'lfu').optional(),
  readRepair: onOrOff.optional(),
  hintedHandoff: onOrOff.optional(),
  antiEntropy: onOrOff.optional(),
};

export const bucketChangesSchema = z.strictObject(changeableOfBucket);

/** A bucket, in the file and in the bodies of the HTTP door alike. */
export const bucketSchema = z.strictObject({
  name: name('a bucket name', LIMITS.maxBucketNameBytes),
  replication: oneOf('raft', 'mencius', 'quorum', 'primary').default('raft'),
  engine: oneOf('memory', 'lmdb', 'level').default('lmdb'),
  ...changeableOfBucket,
  ttl: duration({ minMs: 0, maxMs: LONGEST_TTL_MS }).default(0),
  n: integer(1, 16).optional(),
  acks: z
    .union([z.literal(0), z.literal(1), z.literal('all')], { error: () => 'must be 0, 1 or all' })
    .optional(),
});

/** A list of Slack's identifiers, or `*`. */
function slackIds(what: string, pattern: RegExp) {
  const message = `must be ${what}, or '*' for all`;
  return listOf(
    z
      .string({ error: () => message })
      .refine((value) => value === '*' || pattern.test(value), { error: message }),
  );
}

function filled<Item extends z.ZodType>(list: Item) {
  return list.refine((value) => !Array.isArray(value) || value.length > 0, { error: 'must not be empty' });
}

const slackPermissionSchema = z.strictObject({
  users: filled(slackIds("a member's ID such as U012AB3CD", /^[UW][A-Z0-9]{2,}$/)),
  channels: filled(slackIds("a channel's ID such as C012AB3CD", /^[CDG][A-Z0-9]{2,}$/)).default(['*']),
  teams: filled(slackIds("a workspace's ID such as T012AB3CD", /^[TE][A-Z0-9]{2,}$/)).default(['*']),
  bucket: filled(
    listOf(
      text('a bucket name').refine((value) => value === '*' || NAME.test(value), {
        error: "must be a bucket name, or '*' for all",
      }),
    ),
  ).default(['default']),
  allow: filled(listOf(oneOf('get', 'put', 'del'))),
});

const slackSchema = z.strictObject({
  listen: address.default('127.0.0.1:3000'),
  signingSecret: text("the Slack app's signing secret, in quotes")
    .min(1, { error: 'must not be empty' })
    .optional(),
  botToken: text("the Slack app's bot token")
    .refine((value) => value.startsWith('xoxb-'), { error: 'must be a bot token, which begins with xoxb-' })
    .optional(),
  responseType: oneOf('ephemeral', 'in_channel').default('ephemeral'),
  permissions: z
    .array(slackPermissionSchema, { error: () => 'must be a list of permissions' })
    .max(LIMITS.maxSlackPermissions, { error: `must have at most ${LIMITS.maxSlackPermissions} entries` })
    .default([]),
});

export const configurationSchema = z.strictObject({
  node: z
    .strictObject({
      id: name('a node name', 64).default('n1'),
      dataDir: text('a path').min(1, { error: 'must not be empty' }).optional(),
      roles: filled(listOf(oneOf('storage', 'coordinator', 'log'))).default(['storage', 'coordinator']),
      zone: text('a word').max(64, { error: 'must have at most 64 characters' }).default(''),
      weight: z
        .number({ error: () => 'must be a number' })
        .positive({ error: 'must be greater than 0' })
        .max(1000, { error: 'must be at most 1000' })
        .default(1),
    })
    .prefault({}),
  listen: z
    .strictObject({
      resp: address.default('127.0.0.1:7001'),
      http: address.default('127.0.0.1:8001'),
      grpc: address.default('127.0.0.1:9001'),
    })
    .prefault({}),
  advertise: text('a host name or address, without a port')
    .refine(isHost, { error: 'must be a host name or address, without a port' })
    .optional(),
  cluster: z
    .strictObject({
      name: name('a cluster name', 64).default('quoin'),
      topology: oneOf('managed', 'static', 'chord').default('managed'),
      join: listOf(address).default([]),
      replicas: integer(1, 16).default(3),
      placement: oneOf('balanced', 'ring', 'midpoint', 'modulo').default('balanced'),
      leaseReads: z.boolean({ error: () => 'must be true or false' }).default(false),
      electionTimeout: duration({ minMs: 50, maxMs: 60_000 }).default(1000),
      heartbeatInterval: duration({ minMs: 10, maxMs: 20_000 }).default(100),
    })
    .prefault({}),
  storage: z
    .strictObject({
      sync: oneOf('always').default('always'),
      mirrorDir: text('a path').optional(),
      checkpointInterval: duration({ minMs: 100, maxMs: ONE_DAY_MS }).default(10_000),
      scrubInterval: duration({ minMs: 0, maxMs: 365 * ONE_DAY_MS }).default(0),
      syncStrategy: oneOf('auto', 'blocking', 'background').default('auto'),
    })
    .prefault({}),
  quorum: z
    .strictObject({
      timeout: duration({ minMs: 10, maxMs: 60_000 }).default(DEFAULT_QUORUM.timeoutMs),
      maxClockDrift: duration({ minMs: 10, maxMs: ONE_DAY_MS }).default(DEFAULT_QUORUM.maxClockDriftMs),
      readRepairChance: z
        .number({ error: () => 'must be a number from 0 to 1' })
        .min(0, { error: 'must be a number from 0 to 1' })
        .max(1, { error: 'must be a number from 0 to 1' })
        .default(DEFAULT_QUORUM.readRepairChance),
      tombstoneGrace: duration({ minMs: 0, maxMs: LONGEST_TTL_MS }).default(DEFAULT_QUORUM.tombstoneGraceMs),
      maxHintAge: duration({ minMs: 0, maxMs: LONGEST_TTL_MS }).default(DEFAULT_QUORUM.maxHintAgeMs),
      maxHintBytes: size({ minBytes: 0, maxBytes: 1024 ** 5 }).default(DEFAULT_QUORUM.maxHintBytes),
      hintRate: size({ minBytes: 1024, maxBytes: 1024 ** 4 }).default(DEFAULT_QUORUM.hintBytesPerSecond),
      repairInterval: duration({ minMs: 100, maxMs: ONE_DAY_MS }).default(DEFAULT_QUORUM.repairIntervalMs),
      repairRate: size({ minBytes: 1024, maxBytes: 1024 ** 4 }).default(DEFAULT_QUORUM.repairBytesPerSecond),
    })
    .prefault({}),
  buckets: z
    .array(bucketSchema, { error: () => 'must be a list of buckets' })
    .max(MAX_LISTED_BUCKETS, { error: `must have at most ${MAX_LISTED_BUCKETS} entries` })
    .default([]),
  security: z
    .strictObject({
      tls: z
        .strictObject({ cert: text('a path'), key: text('a path'), ca: text('a path').optional() })
        .optional(),
      users: z
        .array(z.looseObject({ name: name('a user name', 64) }), { error: () => 'must be a list of users' })
        .default([]),
    })
    .prefault({}),
  limits: z
    .strictObject({
      maxKeyBytes: size({ minBytes: 1, maxBytes: LIMITS.maxKeyBytes }).default(LIMITS.maxKeyBytes),
      maxValueBytes: size({ minBytes: 1, maxBytes: LIMITS.maxValueBytes }).default(LIMITS.maxValueBytes),
      maxConnections: integer(1, 1_000_000).default(LIMITS.maxConnections),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent').default('info'),
      format: oneOf('json', 'text').default('text'),
    })
    .prefault({}),
  slack: slackSchema.optional(),
});

/** The file's content after its rules were applied, still in the file's own shape. */
export type ConfigurationDocument = z.output<typeof configurationSchema>;
export type BucketDocument = z.output<typeof bucketSchema>;
export type BucketChangesDocument = z.output<typeof bucketChangesSchema>;
