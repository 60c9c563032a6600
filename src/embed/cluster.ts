/**
 * A whole cluster in one process, for development, tests and small machines; production runs a node on each machine.
 *
 * Invariant: a start that fails leaves nothing behind: no thread, no temporary directory.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QuoinError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { checkBucketName } from '../client/arguments.js';
import type { Bucket } from '../client/bucket.js';
import {
  type ClusterLayout,
  hasFormed,
  newClusterName,
  nodeDirectory,
  readLayout,
  writeLayout,
} from './cluster-layout.js';
import { EmbeddedBucket } from './embedded-bucket.js';
import { EmbeddedNode } from './embedded-node.js';
import { addressesFrom, freeAddresses } from './ports.js';
import { type BucketOptions, configurationOf, type StartNodeOptions } from './start.js';

const MAX_NODES = 32;
const DEFAULT_NODES = 3;
const READY_TIMEOUT_MS = 60_000;
/** Starts with ports of their own choice: another program may take one in between. */
const ATTEMPTS = 5;

export interface StartClusterOptions {
  /** Default: as many as `dir` holds, else 3. */
  readonly nodes?: number;
  /**
   * Keeps the data, in a directory for each node; the next start with it finds everything again, at the same addresses.
   * Default: a temporary directory that goes when the cluster stops.
   */
  readonly dir?: string;
  /** Node i (from 0): RESP here + i, HTTP + 1000 + i, gRPC + 2000 + i. Default: ports that are free. */
  readonly basePort?: number;
  /** Made when the cluster forms, beside `default`, `raft` (both raft, lmdb) and `quorum` (quorum, lmdb), unless they describe these. */
  readonly buckets?: readonly BucketOptions[];
  /** How long the cluster may take to answer requests, in milliseconds. Default: 60000. */
  readonly readyTimeoutMs?: number;
  /** `level`: the lines that reach `logger`. */
  readonly log?: StartNodeOptions['log'];
  /** Gets the log lines of all nodes. Default: nobody. */
  readonly logger?: Logger;
}

/** Several nodes in one process. */
export class EmbeddedCluster {
  readonly nodes: readonly EmbeddedNode[];
  readonly #temporary: string | undefined;

  /** Applications call `startCluster`. */
  constructor(nodes: readonly EmbeddedNode[], temporary: string | undefined) {
    this.nodes = nodes;
    this.#temporary = temporary;
  }

  /** A handle on a bucket, through the first node that runs. Throws WRONG_ARGUMENTS for what is no bucket name. */
  bucket(name = 'default'): Bucket {
    return new EmbeddedBucket(checkBucketName(name), (bucket, command, args, quorum) => {
      const node = this.nodes.find(({ running }) => running);
      if (node === undefined) return Promise.reject(new QuoinError('CLOSED', 'no node of the cluster runs'));
      return node.call(bucket, command, args, quorum);
    });
  }

  /** Stops all nodes; a temporary directory goes. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }
}

/**
 * Starts a cluster on loopback. Resolves when it answers requests. Rejects with `QuoinError`: CONFIG_INVALID,
 * ADDRESS_IN_USE (when `basePort` or `dir` prescribes addresses that are taken), DIRECTORY_IN_USE, TIMEOUT, ...
 */
export async function startCluster(options: StartClusterOptions = {}): Promise<EmbeddedCluster> {
  const { dir, basePort } = options;
  const stored = dir === undefined ? undefined : await readLayout(dir);
  if (dir !== undefined && stored !== undefined && hasFormed(dir, stored.nodes.length)) {
    checkAgainst(stored, options);
    return await startOnce(options, stored).catch((error: unknown) => {
      throw addressesTaken(error, `the cluster in ${dir} was made at its addresses and needs them again`);
    });
  }
  const count = checkedCount(options.nodes ?? DEFAULT_NODES);
  const name = stored?.name ?? newClusterName();
  for (let attempt = 1; ; attempt++) {
    const nodes = basePort === undefined ? await freeAddresses(count) : addressesFrom(basePort, count);
    try {
      return await startOnce(options, { name, nodes });
    } catch (error) {
      if (basePort !== undefined) throw addressesTaken(error, 'choose another basePort');
      const taken = error instanceof QuoinError && error.code === 'ADDRESS_IN_USE';
      if (!taken || attempt === ATTEMPTS) throw error;
    }
  }
}

function checkedCount(count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= MAX_NODES) return count;
  throw new QuoinError('CONFIG_INVALID', `startCluster: nodes must be a whole number from 1 to ${MAX_NODES}`);
}

/** A cluster that has formed keeps its nodes and their addresses: they know each other by them. */
function checkAgainst(stored: ClusterLayout, { dir, nodes, basePort }: StartClusterOptions): void {
  const count = stored.nodes.length;
  if (nodes !== undefined && nodes !== count)
    throw new QuoinError(
      'CONFIG_INVALID',
      `startCluster: nodes: ${dir} holds a cluster of ${count} nodes, not ${nodes}`,
    );
  const first = stored.nodes[0]?.resp;
  if (basePort !== undefined && addressesFrom(basePort, count)[0]?.resp !== first)
    throw new QuoinError(
      'CONFIG_INVALID',
      `startCluster: basePort: the cluster in ${dir} was made at ${first}; leave basePort out`,
    );
}

function addressesTaken(error: unknown, remedy: string): unknown {
  if (!(error instanceof QuoinError) || error.code !== 'ADDRESS_IN_USE') return error;
  return new QuoinError('ADDRESS_IN_USE', `${error.message}; ${remedy}`, { cause: error });
}

async function startOnce(options: StartClusterOptions, layout: ClusterLayout): Promise<EmbeddedCluster> {
  const { dir, logger, readyTimeoutMs = READY_TIMEOUT_MS } = options;
  const members = layout.nodes.map(({ grpc }) => grpc);
  // Checked before anything is made.
  const configurations = (directory: string) =>
    layout.nodes.map((listen, index) =>
      configurationOf(
        {
          node: { id: `n${index + 1}`, dataDir: nodeDirectory(directory, index) },
          listen,
          cluster: { name: layout.name, join: members },
          ...(options.buckets === undefined ? {} : { buckets: options.buckets }),
          ...(options.log === undefined ? {} : { log: options.log }),
        },
        'startCluster',
      ),
    );
  configurations(dir ?? tmpdir());
  const temporary = dir === undefined ? await mkdtemp(join(tmpdir(), 'quoin-')) : undefined;
  const directory = dir ?? temporary ?? '';
  // Kept before the cluster can form: a formed one is of no use without it.
  if (dir !== undefined) await writeLayout(dir, layout);
  const nodes: EmbeddedNode[] = [];
  const cluster = new EmbeddedCluster(nodes, temporary);
  try {
    for (const configuration of configurations(directory))
      nodes.push(new EmbeddedNode(configuration, { logger }));
    await Promise.all(nodes.map((node) => node.ready(readyTimeoutMs)));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
