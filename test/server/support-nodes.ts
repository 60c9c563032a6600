/** Whole nodes on simulated machines, without the simulator's faults and workloads: for tests of a node's life. */

import { addressOfNode } from '../../sim/addresses.js';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../sim/disk-store.js';
import { SimulatedMachine } from '../../sim/env.js';
import type { CrashMode } from '../../sim/inode.js';
import { SimulatedFabric } from '../../sim/network.js';
import { SeededRandom } from '../../sim/random.js';
import { Scheduler } from '../../sim/scheduler.js';
import { Trace } from '../../sim/trace.js';
import { SILENT_LOGGER } from '../../src/base/logger.js';
import type { BucketSpecification, NodeRole } from '../../src/cluster/map.js';
import { defaultConfiguration, type QuorumConfiguration } from '../../src/server/configuration/types.js';
import { createNode } from '../../src/server/create-node.js';
import type { Node } from '../../src/server/node.js';
import type { QuorumChoice, ReadConsistency } from '../../src/server/types.js';
import type { Reply } from '../../src/store/reply.js';
import { bytes, command, plain, type Word } from '../support/test-machine.js';

export interface StartOptions {
  readonly id?: string;
  readonly clusterName?: string;
  readonly join?: readonly string[];
  readonly replicas?: number;
  readonly buckets?: readonly BucketSpecification[];
  readonly checkpointIntervalMs?: number;
  readonly roles?: readonly NodeRole[];
  readonly quorum?: Partial<QuorumConfiguration>;
}

export const DEFAULT_BUCKET: BucketSpecification = {
  name: 'default',
  replication: 'raft',
  engine: 'memory',
  ttlMs: 0,
};

export const EVENTUAL_BUCKET: BucketSpecification = {
  name: 'eventual',
  replication: 'quorum',
  engine: 'memory',
  ttlMs: 0,
  quorum: { n: 3, r: 2, w: 2 },
};

export class NodeWorld {
  readonly scheduler = new Scheduler(new Trace());
  readonly fabric: SimulatedFabric;
  readonly machines: readonly SimulatedMachine[];
  readonly contents: readonly SimulatedDiskContents[];
  readonly nodes = new Map<number, Node>();
  readonly #stores = new Map<number, SimulatedDiskStore>();
  /** Why nodes have failed, by number. */
  readonly failures = new Map<number, Error>();
  commitLatencyMs = 1;

  constructor(seed: string, count: number) {
    const random = new SeededRandom(seed);
    this.fabric = new SimulatedFabric(this.scheduler, random.fork('network'), count);
    this.contents = Array.from({ length: count }, () => new SimulatedDiskContents());
    this.machines = Array.from(
      { length: count },
      (_, node) =>
        new SimulatedMachine({
          node,
          scheduler: this.scheduler,
          fabric: this.fabric,
          random,
          diskFaults: { syncFailureRate: 0, syncMeanMs: 0.2, slowSyncRate: 0 },
          clockSkewMs: 0,
          clockRate: 1,
        }),
    );
  }

  async start(number: number, options: StartOptions = {}): Promise<Node> {
    const { env } = this.machines[number]!.start();
    const address = addressOfNode(number);
    const host = address.slice(0, address.lastIndexOf(':'));
    const defaults = defaultConfiguration();
    const node = await createNode(
      {
        ...defaults,
        node: {
          ...defaults.node,
          id: options.id ?? `n${number + 1}`,
          dataDir: '/data',
          roles: options.roles ?? defaults.node.roles,
        },
        listen: { resp: `${host}:7001`, http: `${host}:8001`, grpc: address },
        advertise: host,
        cluster: {
          ...defaults.cluster,
          name: options.clusterName ?? 'test',
          join: options.join ?? this.machines.map((machine) => machine.address),
          replicas: options.replicas ?? 3,
          electionTimeoutMs: 300,
          heartbeatIntervalMs: 30,
        },
        storage: {
          ...defaults.storage,
          syncStrategy: 'blocking',
          checkpointIntervalMs: options.checkpointIntervalMs ?? 1000,
        },
        quorum: { ...defaults.quorum, ...options.quorum },
        buckets: options.buckets ?? [DEFAULT_BUCKET],
      },
      {
        env,
        logger: SILENT_LOGGER,
        openDiskStore: () => {
          const store = new SimulatedDiskStore(this.contents[number]!, {
            clock: env.clock,
            commitLatencyMs: () => this.commitLatencyMs,
          });
          this.#stores.set(number, store);
          return store;
        },
        onFailed: (error) => this.failures.set(number, error),
      },
    );
    this.nodes.set(number, node);
    return node;
  }

  async startAll(options: StartOptions = {}): Promise<Node[]> {
    const nodes: Node[] = [];
    for (const [number] of this.machines.entries()) nodes.push(await this.start(number, options));
    await this.until('all nodes are ready', () => nodes.every((node) => node.ready()));
    return nodes;
  }

  crash(number: number, mode: CrashMode = 'lose'): void {
    this.#stores.get(number)?.crash();
    this.nodes.delete(number);
    this.machines[number]!.kill(mode);
  }

  /** The process has ended by itself; its machine goes on. */
  ended(number: number): void {
    this.crash(number, 'keep');
  }

  /** Lets virtual time pass until something holds. */
  async until(what: string, condition: () => boolean, withinMs = 60_000): Promise<void> {
    const deadlineMs = this.scheduler.nowMs + withinMs;
    let idle = 0;
    while (!condition()) {
      idle = this.scheduler.step() ? 0 : idle + 1;
      if (this.scheduler.nowMs > deadlineMs || idle > 100)
        throw new Error(`it did not come to pass within ${withinMs} ms that ${what}`);
      // Promises of the nodes go on between events, and are through before time passes.
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  }

  async settled<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const noted = promise.finally(() => {
      over = true;
    });
    noted.catch(() => {});
    await this.until('it has ended', () => over);
    return noted;
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.scheduler.nowMs + ms;
    this.scheduler.schedule(ms, undefined, () => {});
    await this.until('time passes', () => this.scheduler.nowMs >= untilMs, ms + 1000);
  }

  /** Carries a command out at a node. */
  async run(
    node: Node,
    words: readonly Word[],
    options: { bucket?: string; consistency?: ReadConsistency; quorum?: QuorumChoice } = {},
  ): Promise<unknown> {
    const replies: Reply[] = [];
    const bucket = node.bucketByName(options.bucket ?? 'default');
    if (bucket === undefined) throw new Error('there is no such bucket');
    node.submit({
      definition: command(String(words[0])),
      bucket,
      args: words.slice(1).map(bytes),
      completion: { complete: (reply) => replies.push(reply) },
      consistency: options.consistency ?? 'linearizable',
      ordered: false,
      session: undefined,
      quorum: options.quorum,
    });
    await this.until(`${words.join(' ')} is answered`, () => replies.length > 0);
    return plain(replies[0]!);
  }
}
