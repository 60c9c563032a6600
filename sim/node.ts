/**
 * How the simulator starts one real node (`src/server/node.ts`) in a simulated environment, and the home of its disk
 * engines, which outlives the process as a disk does.
 */
import { SILENT_LOGGER } from '../src/base/logger.js';
import type { Env } from '../src/env/env.js';
import { defaultConfiguration, type NodeConfiguration } from '../src/server/configuration/types.js';
import { createNode } from '../src/server/create-node.js';
import type { NodeServer } from '../src/server/types.js';
import type { NodeStorage } from './storage.js';
import type { Swarm } from './swarm.js';

export interface NodeStart {
  readonly id: string;
  readonly index: number;
  readonly env: Env;
  /** Peer addresses of all nodes. */
  readonly addresses: readonly string[];
  readonly swarm: Swarm;
  readonly storage: NodeStorage;
}

const DATA_DIRECTORY = '/data';

function configurationOf(start: NodeStart): NodeConfiguration {
  const { id, addresses, swarm } = start;
  const address = addresses[start.index] ?? '';
  const host = address.slice(0, address.lastIndexOf(':'));
  const defaults = defaultConfiguration();
  return {
    ...defaults,
    node: { ...defaults.node, id, dataDir: DATA_DIRECTORY },
    listen: { resp: `${host}:7001`, http: `${host}:8001`, grpc: address },
    advertise: host,
    cluster: {
      ...defaults.cluster,
      join: addresses,
      leaseReads: swarm.leaseReads,
      electionTimeoutMs: swarm.electionTimeoutMs,
      heartbeatIntervalMs: swarm.heartbeatIntervalMs,
    },
    storage: {
      ...defaults.storage,
      checkpointIntervalMs: swarm.checkpointIntervalMs,
      syncStrategy: swarm.syncStrategy,
    },
    buckets: [{ name: 'default', replication: 'raft', engine: swarm.engine, ttlMs: 0 }],
  };
}

export async function startNode(start: NodeStart): Promise<NodeServer> {
  return createNode(configurationOf(start), {
    env: start.env,
    logger: SILENT_LOGGER,
    openDiskStore: () => start.storage.open(start.env.clock),
  });
}
