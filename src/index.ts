/**
 * Quoin inside an application.
 *
 * ```ts
 * import { startCluster } from 'quoin';
 *
 * const cluster = await startCluster({ nodes: 3 });
 * const users = cluster.bucket('default');
 * await users.set('ada', '{"name":"Ada"}');
 * console.log(await users.getText('ada'));
 * await cluster.stop();
 * ```
 */
export { ERRORS, type ErrorCode, QuoinError } from './base/errors.js';
export type { Logger } from './base/logger.js';
export type {
  Bucket,
  Bytes,
  DeleteOptions,
  Entry,
  ExpiryOptions,
  ReadOptions,
  ScanOptions,
  WriteOptions,
} from './client/bucket.js';
export { EmbeddedCluster, type StartClusterOptions, startCluster } from './embed/cluster.js';
export { EmbeddedNode } from './embed/embedded-node.js';
export type { NodeAddresses } from './embed/protocol.js';
export { type BucketOptions, type StartNodeOptions, startNode } from './embed/start.js';
