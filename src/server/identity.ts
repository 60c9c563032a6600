/**
 * Who a data directory belongs to: the node's id and the incarnation, a random id written when the directory is created.
 * The same node with a new incarnation is one that has lost its disk, and with it its promises.
 */
import { QuoinError } from '../base/errors.js';
import type { Env } from '../env/env.js';

export interface Identity {
  readonly nodeId: string;
  readonly incarnation: string;
  readonly clusterName: string;
}

const IDENTITY_FILE = 'node.json';
const IDENTITY_FORMAT = 1;

/** Reads the directory's identity, or gives an empty directory one. */
export function openIdentity(env: Env, directory: string, nodeId: string, clusterName: string): Identity {
  const { disk } = env;
  disk.makeDirectory(directory);
  const path = `${directory}/${IDENTITY_FILE}`;
  if (!disk.exists(path)) {
    const strangers = disk
      .list(directory)
      .filter((name) => !name.startsWith('LOCK') && !name.startsWith(`${IDENTITY_FILE}.`));
    if (strangers.length > 0) {
      throw new QuoinError(
        'FOREIGN_DIRECTORY',
        `${directory} holds files (${strangers.slice(0, 3).join(', ')}) but no ${IDENTITY_FILE}`,
      );
    }
    const identity: Identity = { nodeId, incarnation: env.random.hex(16), clusterName };
    disk.replace(path, Buffer.from(`${JSON.stringify({ format: IDENTITY_FORMAT, ...identity })}\n`, 'utf8'));
    return identity;
  }
  let stored: Partial<Identity> & { format?: unknown };
  try {
    stored = { ...(JSON.parse(disk.read(path).toString('utf8')) as object) };
  } catch (error) {
    throw new QuoinError('FOREIGN_DIRECTORY', `${path} is not a node's identity`, { cause: error });
  }
  if (typeof stored.format === 'number' && stored.format > IDENTITY_FORMAT) {
    throw new QuoinError(
      'LOG_TOO_NEW',
      `${path} has format ${stored.format}, this program knows ${IDENTITY_FORMAT}`,
    );
  }
  const { nodeId: storedId, incarnation, clusterName: storedCluster } = stored;
  if (typeof storedId !== 'string' || typeof incarnation !== 'string' || typeof storedCluster !== 'string') {
    throw new QuoinError('FOREIGN_DIRECTORY', `${path} is not a node's identity`);
  }
  if (storedId !== nodeId) {
    throw new QuoinError(
      'FOREIGN_DIRECTORY',
      `${directory} belongs to node '${storedId}', not to '${nodeId}'`,
    );
  }
  if (storedCluster !== clusterName) {
    throw new QuoinError(
      'WRONG_CLUSTER',
      `${directory} belongs to cluster '${storedCluster}', not to '${clusterName}'`,
    );
  }
  return { nodeId, incarnation, clusterName };
}
