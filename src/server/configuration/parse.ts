/**
 * From text to a `NodeConfiguration`: YAML, then the schema's rules, then what this version lacks, then the rules
 * between keys. Every complaint names the place (file and line, or `--set`), the key, the rule and, where there is one,
 * the likely fix; all complaints of a stage are reported together.
 */
import type { z } from 'zod';
import { QuoinError } from '../../base/errors.js';
import type { BucketSpecification } from '../types.js';
import { formatAddress, isWildcardHost, parseAddress } from './address.js';
import { ConfigurationSource, formatPath, type Path } from './document.js';
import {
  type BucketDocument,
  bucketSchema,
  type ConfigurationDocument,
  configurationSchema,
} from './schema.js';
import { nearest } from './suggestion.js';
import type { NodeConfiguration, SlackConfiguration } from './types.js';
import { formatDuration } from './units.js';
import { unsupportedInBucket, unsupportedInConfiguration } from './unsupported.js';

interface Complaint {
  readonly path: Path;
  readonly message: string;
}

/** Complaints shown at once; more are counted. */
const SHOWN_COMPLAINTS = 8;

/**
 * Reads a configuration. `overrides` are `key=value` texts, later ones win. Throws CONFIG_INVALID.
 */
export function parseConfiguration(
  text: string,
  fileName: string,
  overrides: readonly string[] = [],
): NodeConfiguration {
  const source = new ConfigurationSource(text, fileName);
  for (const assignment of overrides) source.override(assignment);
  return configurationOf(source);
}

/**
 * The same for a configuration given as a value, with the keys and the rules of the file; `origin` is named in
 * complaints instead of the file. Throws CONFIG_INVALID.
 */
export function checkConfiguration(value: unknown, origin: string): NodeConfiguration {
  return configurationOf(ConfigurationSource.ofValue(value, origin));
}

function configurationOf(source: ConfigurationSource): NodeConfiguration {
  const parsed = configurationSchema.safeParse(source.value);
  if (!parsed.success) throw invalid(source, complaintsOf(parsed.error, configurationSchema, source.value));
  const document = parsed.data;
  const unsupported = unsupportedInConfiguration(document);
  if (unsupported.length > 0) throw invalid(source, unsupported);
  const configuration = fromDocument(document);
  const relations = brokenRelations(document, configuration);
  if (relations.length > 0) throw invalid(source, relations);
  return configuration;
}

/** Reads a bucket as the HTTP door gets it. Throws WRONG_ARGUMENTS for bad input and NOT_SUPPORTED for what is missing here. */
export function parseBucket(value: unknown): BucketSpecification {
  const parsed = bucketSchema.safeParse(value);
  if (!parsed.success)
    throw new QuoinError(
      'WRONG_ARGUMENTS',
      join(complaintsOf(parsed.error, bucketSchema, value).map(keyAndMessage)),
    );
  const unsupported = unsupportedInBucket(parsed.data);
  if (unsupported.length > 0) throw new QuoinError('NOT_SUPPORTED', join(unsupported.map(keyAndMessage)));
  return bucketFrom(parsed.data);
}

function keyAndMessage(complaint: Complaint): string {
  return complaint.path.length === 0
    ? complaint.message
    : `${formatPath(complaint.path)}: ${complaint.message}`;
}

function join(texts: readonly string[]): string {
  const more = texts.length - SHOWN_COMPLAINTS;
  const shown = texts.slice(0, SHOWN_COMPLAINTS).join('; ');
  return more > 0 ? `${shown}; and ${more} more` : shown;
}

function invalid(source: ConfigurationSource, complaints: readonly Complaint[]): QuoinError {
  const texts = complaints.map((complaint) => `${source.place(complaint.path)}: ${keyAndMessage(complaint)}`);
  return new QuoinError('CONFIG_INVALID', join(texts));
}

function complaintsOf(error: z.ZodError, schema: z.ZodType, value: unknown): Complaint[] {
  const complaints: Complaint[] = [];
  for (const issue of error.issues) {
    const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') {
      const known = keysAt(schema, path);
      for (const key of issue.keys) {
        const guess = nearest(key, known);
        const hint = guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}?`;
        complaints.push({ path: [...path, key], message: `unknown key; ${hint}` });
      }
    } else if (issue.code === 'invalid_type' && issue.expected === 'object') {
      complaints.push({ path, message: `must be a group of keys: ${keysAt(schema, path).join(', ')}` });
    } else if (issue.code === 'invalid_union') {
      complaints.push({ path, message: unionMessage(issue.message) });
    } else if (valueAt(value, path) === undefined && path.length > 0) {
      complaints.push({ path, message: `is missing; it ${issue.message}` });
    } else complaints.push({ path, message: issue.message });
  }
  return complaints;
}

function unionMessage(message: string): string {
  return message === 'Invalid input' ? 'must be a single value, not a group or a list' : message;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    // A list that was written as one string.
    if (typeof current === 'string' && typeof part === 'number') return current;
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Readonly<Record<string | number, unknown>>)[part];
  }
  return current;
}

/** The keys that the schema knows at a path. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let current: SchemaNode = schema as SchemaNode;
  for (const part of path) {
    current = unwrap(current);
    const next = typeof part === 'number' ? current.element : current.shape?.[part];
    if (next === undefined) return [];
    current = next;
  }
  return Object.keys(unwrap(current).shape ?? {});
}

/** What of zod's schema objects is looked at to list the keys of a group. */
interface SchemaNode {
  readonly shape?: Readonly<Record<string, SchemaNode>>;
  readonly element?: SchemaNode;
  readonly def?: { readonly innerType?: SchemaNode };
}

/** Takes the wrappers `default`, `prefault` and `optional` off. */
function unwrap(schema: SchemaNode): SchemaNode {
  let current = schema;
  while (current.def?.innerType !== undefined) current = current.def.innerType;
  return current;
}

function bucketFrom(bucket: BucketDocument): BucketSpecification {
  return { name: bucket.name, replication: bucket.replication, engine: bucket.engine, ttlMs: bucket.ttl };
}

function advertisedHost(document: ConfigurationDocument): string {
  if (document.advertise !== undefined) return document.advertise;
  const host = parseAddress(document.listen.grpc)?.host ?? '127.0.0.1';
  return isWildcardHost(host) ? '127.0.0.1' : host;
}

function fromDocument(document: ConfigurationDocument): NodeConfiguration {
  const { node, cluster, storage, quorum, limits } = document;
  const buckets = document.buckets.map(bucketFrom);
  // The bucket `default` exists from the start, whatever else the file asks for.
  if (!buckets.some((bucket) => bucket.name === 'default'))
    buckets.unshift({ name: 'default', replication: 'raft', engine: 'lmdb', ttlMs: 0 });
  return {
    node: {
      id: node.id,
      dataDir: node.dataDir ?? `.quoin/${node.id}`,
      roles: node.roles,
      zone: node.zone,
      weight: node.weight,
    },
    listen: document.listen,
    advertise: advertisedHost(document),
    cluster: {
      name: cluster.name,
      topology: 'managed',
      join: cluster.join,
      replicas: cluster.replicas,
      placement: 'balanced',
      leaseReads: cluster.leaseReads,
      electionTimeoutMs: cluster.electionTimeout,
      heartbeatIntervalMs: cluster.heartbeatInterval,
    },
    storage: {
      sync: storage.sync,
      checkpointIntervalMs: storage.checkpointInterval,
      syncStrategy: storage.syncStrategy,
    },
    quorum: {
      timeoutMs: quorum.timeout,
      maxClockDriftMs: quorum.maxClockDrift,
      readRepairChance: quorum.readRepairChance,
      tombstoneGraceMs: quorum.tombstoneGrace,
      maxHintAgeMs: quorum.maxHintAge,
      maxHintBytes: quorum.maxHintBytes,
      hintBytesPerSecond: quorum.hintRate,
      repairIntervalMs: quorum.repairInterval,
      repairBytesPerSecond: quorum.repairRate,
    },
    buckets,
    limits,
    log: document.log,
    ...(document.slack === undefined ? {} : { slack: slackFrom(document.slack) }),
  };
}

function slackFrom(slack: NonNullable<ConfigurationDocument['slack']>): SlackConfiguration {
  return {
    listen: slack.listen,
    signingSecret: slack.signingSecret,
    botToken: slack.botToken,
    responseType: slack.responseType,
    permissions: slack.permissions.map(({ bucket, ...permission }) => ({ ...permission, buckets: bucket })),
  };
}

/** Rules that concern more than one key. */
function brokenRelations(document: ConfigurationDocument, configuration: NodeConfiguration): Complaint[] {
  const complaints: Complaint[] = [];
  const { cluster, listen } = configuration;
  if (cluster.heartbeatIntervalMs * 3 > cluster.electionTimeoutMs)
    complaints.push({
      path: ['cluster', 'heartbeatInterval'],
      message: `must be at most a third of cluster.electionTimeout (${formatDuration(cluster.electionTimeoutMs)})`,
    });

  const { tombstoneGraceMs, maxHintAgeMs } = configuration.quorum;
  if (maxHintAgeMs > tombstoneGraceMs)
    complaints.push({
      path: ['quorum', 'maxHintAge'],
      message: `must be at most quorum.tombstoneGrace (${formatDuration(tombstoneGraceMs)}): a later hint could bring a deleted key back`,
    });

  const duplicateJoin = cluster.join.findIndex((item, index) => cluster.join.indexOf(item) !== index);
  if (duplicateJoin >= 0)
    complaints.push({
      path: ['cluster', 'join', duplicateJoin],
      message: `${cluster.join[duplicateJoin]} stands there twice`,
    });
  const grpcPort = parseAddress(listen.grpc)?.port ?? 0;
  const own = formatAddress(configuration.advertise, grpcPort);
  if (cluster.join.length > 0 && !cluster.join.includes(own)) {
    const hint =
      document.advertise === undefined
        ? 'set advertise to the host by which the others reach this node'
        : 'add it, or correct advertise or listen.grpc';
    complaints.push({
      path: ['cluster', 'join'],
      message: `must list all first nodes, this one (${own}) included; ${hint}`,
    });
  }

  const doors = ['resp', 'http', 'grpc'] as const;
  doors.forEach((door, index) => {
    const earlier = doors.slice(0, index).find((other) => listen[other] === listen[door]);
    if (earlier !== undefined && parseAddress(listen[door])?.port !== 0)
      complaints.push({
        path: ['listen', door],
        message: `is the address of listen.${earlier} too; give each its own`,
      });
  });

  const slackListen = configuration.slack?.listen;
  const taken = doors.find((door) => listen[door] === slackListen);
  if (slackListen !== undefined && taken !== undefined && parseAddress(slackListen)?.port !== 0)
    complaints.push({
      path: ['slack', 'listen'],
      message: `is the address of listen.${taken} too; give each its own`,
    });

  document.buckets.forEach((bucket, index) => {
    const earlier = document.buckets.findIndex((other) => other.name === bucket.name);
    if (earlier !== index)
      complaints.push({
        path: ['buckets', index, 'name'],
        message: `a bucket ${bucket.name} stands there twice`,
      });
  });
  return complaints;
}
