/**
 * How the simulator starts one real node (`src/server/node.ts`) in a simulated environment, and the home of its disk
 * engines, which outlives the process as a disk does.
 */
import { SILENT_LOGGER } from '../src/base/logger.js';
import type { Env } from '../src/env/env.js';
import { defaultConfiguration, type NodeConfiguration } from '../src/server/configuration/types.js';
import { createNode } from '../src/server/create-node.js';
import type { BucketSpecification, NodeServer } from '../src/server/types.js';
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

/** Buckets of quorum replication: one whose quorums overlap, one where a single replica's word is enough. */
export const EVENTUAL_BUCKET = 'eventual';
export const LOOSE_BUCKET = 'loose';
const EVENTUAL_REPLICAS = 3;

/** Replicas of each key of an eventual bucket. */
export function eventualReplicas(nodes: number): number {
  return Math.min(EVENTUAL_REPLICAS, nodes);
}

function eventualBucket({ addresses, swarm }: NodeStart, name: string, quorum: number): BucketSpecification {
  const { engine, readRepair, hintedHandoff, antiEntropy } = swarm.quorum;
  const n = eventualReplicas(addresses.length);
  const count = Math.min(quorum, n);
  return {
    name,
    replication: 'quorum',
    engine,
    ttlMs: 0,
    quorum: { n, r: count, w: count, readRepair, hintedHandoff, antiEntropy },
  };
}

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
    quorum: swarm.quorum,
    buckets: [
      { name: 'default', replication: 'raft', engine: swarm.engine, ttlMs: 0 },
      eventualBucket(start, EVENTUAL_BUCKET, 2),
      eventualBucket(start, LOOSE_BUCKET, 1),
    ],
  };
}

export async function startNode(start: NodeStart): Promise<NodeServer> {
  return createNode(configurationOf(start), {
    env: start.env,
    logger: SILENT_LOGGER,
    openDiskStore: () => start.storage.open(start.env.clock),
  });
}
