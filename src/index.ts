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
export type { Bucket, Bytes, Entry, ScanOptions, WriteOptions } from './client/bucket.js';
export { EmbeddedNode } from './embed/embedded-node.js';
export type { NodeAddresses } from './embed/protocol.js';
export {
  EmbeddedCluster,
  type StartClusterOptions,
  type StartNodeOptions,
  startCluster,
  startNode,
} from './embed/start.js';
export type { NodeConfiguration } from './server/configuration/types.js';
