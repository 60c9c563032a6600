/**
 * What a configuration may ask for that this version does not have. Such keys are checked like all others and then
 * refused: to accept and ignore `mirrorDir` or `tls` would promise what is not kept. A value that asks for nothing
 * (the default) passes. When a feature arrives, its line leaves this file.
 */
import type { BucketDocument, ConfigurationDocument } from './schema.js';

export interface Refusal {
  /** Where the key stands. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What of a bucket this version cannot do; paths are relative to the bucket. */
export function unsupportedInBucket(bucket: BucketDocument): Refusal[] {
  const refusals: Refusal[] = [];
  const refuse = (key: string, message: string): void => {
    refusals.push({ path: [key], message });
  };
  if (bucket.replication !== 'raft' && bucket.replication !== 'quorum')
    refuse('replication', `this version does not have ${bucket.replication} replication; use raft or quorum`);
  if (bucket.engine === 'level')
    refuse('engine', 'this version does not have the level engine; use lmdb or memory');
  if (bucket.acks !== undefined)
    refuse('acks', 'belongs to primary replication, which this version does not have');
  return refusals;
}

/** What of a whole configuration this version cannot do. */
export function unsupportedInConfiguration(document: ConfigurationDocument): Refusal[] {
  const refusals: Refusal[] = [];
  const refuse = (path: readonly (string | number)[], message: string): void => {
    refusals.push({ path, message });
  };
  const { node, cluster, storage, security } = document;
  if (node.roles.includes('log')) refuse(['node', 'roles'], 'this version does not have log replicas');
  if (cluster.topology !== 'managed')
    refuse(
      ['cluster', 'topology'],
      `this version does not have the ${cluster.topology} topology; use managed`,
    );
  if (cluster.placement !== 'balanced')
    refuse(
      ['cluster', 'placement'],
      `this version does not have ${cluster.placement} placement; use balanced`,
    );
  if (storage.mirrorDir !== undefined)
    refuse(['storage', 'mirrorDir'], 'this version does not mirror the log; leave the key out');
  if (storage.scrubInterval !== 0)
    refuse(['storage', 'scrubInterval'], 'this version does not scrub in the background; leave the key out');
  if (security.tls !== undefined)
    refuse(['security', 'tls'], 'this version does not have TLS; leave the key out');
  if (security.users.length > 0)
    refuse(['security', 'users'], 'this version does not have users; leave the key out');
  document.buckets.forEach((bucket, index) => {
    for (const refusal of unsupportedInBucket(bucket))
      refuse(['buckets', index, ...refusal.path], refusal.message);
  });
  return refusals;
}
