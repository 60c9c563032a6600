/**
 * From text to a `NodeConfiguration`: YAML, then the schema's rules, then what this version lacks, then the rules
 * between keys. Every complaint names the place (file and line, or `--set`), the key, the rule and, where there is one,
 * the likely fix; all complaints of a stage are reported together.
 */
import { QuoinError } from '../../base/errors.js';
import { formatAddress, isWildcardHost, parseAddress } from './address.js';
import { brokenBucketRules, initialBuckets } from './buckets.js';
import { type Complaint, complaintsOf, joinComplaints, keyAndMessage } from './complaints.js';
import { ConfigurationSource } from './document.js';
import { type ConfigurationDocument, configurationSchema } from './schema.js';
import type { NodeConfiguration, SlackConfiguration } from './types.js';
import { formatDuration } from './units.js';
import { unsupportedInConfiguration } from './unsupported.js';

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

function invalid(source: ConfigurationSource, complaints: readonly Complaint[]): QuoinError {
  const texts = complaints.map((complaint) => `${source.place(complaint.path)}: ${keyAndMessage(complaint)}`);
  return new QuoinError('CONFIG_INVALID', joinComplaints(texts));
}

function advertisedHost(document: ConfigurationDocument): string {
  if (document.advertise !== undefined) return document.advertise;
  const host = parseAddress(document.listen.grpc)?.host ?? '127.0.0.1';
  return isWildcardHost(host) ? '127.0.0.1' : host;
}

function fromDocument(document: ConfigurationDocument): NodeConfiguration {
  const { node, cluster, storage, quorum, limits } = document;
  return {
    node: {
      id: node.id,
      dataDir: node.dataDir ?? `.quoin/${node.id}`,
      roles: [...new Set(node.roles)],
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
    buckets: initialBuckets(document.buckets),
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

  if (cluster.join.length === 0 && !configuration.node.roles.includes('storage'))
    complaints.push({
      path: ['node', 'roles'],
      message: 'a node on its own needs the role storage; cluster.join names the others',
    });
  if (cluster.join.length === 0 && !configuration.node.roles.includes('coordinator'))
    complaints.push({
      path: ['node', 'roles'],
      message: 'a node on its own needs the role coordinator; cluster.join names the others',
    });
  // How many of the others store is not known here; with all of them a group is at most so large.
  const groupSize = Math.min(cluster.replicas, Math.max(1, cluster.join.length));
  complaints.push(...brokenBucketRules(document.buckets, groupSize));
  return complaints;
}
