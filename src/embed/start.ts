/**
 * The embedding API: one node, or a whole cluster on this machine for development and tests.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QuoinError } from '../base/errors.js';
import type { Bucket } from '../client/bucket.js';
import type { BucketSpecification } from '../cluster/map.js';
import { defaultConfiguration, type NodeConfiguration } from '../server/configuration/types.js';
import { EmbeddedNode } from './embedded-node.js';

/** Parts of a node's configuration; what is left out has its default (`docs/configuration.md`). */
export type StartNodeOptions = {
  readonly [Part in keyof NodeConfiguration]?: NodeConfiguration[Part] extends readonly unknown[] | string
    ? NodeConfiguration[Part]
    : Partial<NodeConfiguration[Part]>;
};

/**
 * Starts a node on a thread of its own. Resolves when its front doors are open; `node.ready()` waits for its cluster.
 * Rejects with `QuoinError` (`CONFIG_INVALID`, `ADDRESS_IN_USE`, `DIRECTORY_IN_USE`, ...).
 */
export async function startNode(options: StartNodeOptions = {}): Promise<EmbeddedNode> {
  const defaults = defaultConfiguration();
  const node = new EmbeddedNode({
    node: { ...defaults.node, ...options.node },
    listen: { ...defaults.listen, ...options.listen },
    advertise: options.advertise ?? defaults.advertise,
    cluster: { ...defaults.cluster, ...options.cluster },
    storage: { ...defaults.storage, ...options.storage },
    buckets: options.buckets ?? defaults.buckets,
    limits: { ...defaults.limits, ...options.limits },
    log: { ...defaults.log, ...options.log },
  });
  await node.started();
  return node;
}

export interface StartClusterOptions {
  /** Default: 3. */
  readonly nodes?: number;
  /** Parent of the nodes' data directories. Default: a temporary directory that goes when the cluster stops. */
  readonly dir?: string;
  /** Default: one bucket, `default` (raft, lmdb). */
  readonly buckets?: readonly BucketSpecification[];
}

/** Several nodes in one process. Fine for tests and small machines; production runs a node on each machine. */
export class EmbeddedCluster {
  readonly nodes: readonly EmbeddedNode[];
  readonly #temporary: string | undefined;

  constructor(nodes: readonly EmbeddedNode[], temporary: string | undefined) {
    this.nodes = nodes;
    this.#temporary = temporary;
  }

  /** A handle on a bucket, through the first node. */
  bucket(name = 'default'): Bucket {
    const first = this.nodes[0];
    if (first === undefined) throw new QuoinError('NOT_FOUND', 'the cluster has no node');
    return first.bucket(name);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }
}

/** Starts a cluster on loopback ports that are free now. Resolves when it answers requests. */
export async function startCluster(options: StartClusterOptions = {}): Promise<EmbeddedCluster> {
  const count = options.nodes ?? 3;
  const temporary = options.dir === undefined ? await mkdtemp(join(tmpdir(), 'quoin-')) : undefined;
  const directory = options.dir ?? temporary ?? '';
  const ports = await freePorts(count * 3);
  const address = (index: number): string => `127.0.0.1:${ports[index] ?? 0}`;
  const members = Array.from({ length: count }, (_, index) => address(3 * index + 2));
  const defaults = defaultConfiguration();
  const nodes = members.map(
    (grpc, index) =>
      new EmbeddedNode({
        ...defaults,
        node: { ...defaults.node, id: `n${index + 1}`, dataDir: join(directory, `n${index + 1}`) },
        listen: { resp: address(3 * index), http: address(3 * index + 1), grpc },
        cluster: { ...defaults.cluster, join: members },
        buckets: options.buckets ?? defaults.buckets,
      }),
  );
  const cluster = new EmbeddedCluster(nodes, temporary);
  try {
    await Promise.all(nodes.map((node) => node.ready()));
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/** Ports that nobody listens on at this moment. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', () => resolve(server));
      });
    }),
  );
  const ports = servers.map((server) => {
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}
