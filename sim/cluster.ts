/**
 * A cluster of real nodes on simulated machines: starts and kills them, carries clients' requests to them, and reports
 * whatever a node does that it must not (an exception, a broken invariant, a failure without a cause).
 *
 * Invariants:
 * - a client's answer reaches it in an event of the simulator's, so that nothing it does runs inside a node;
 * - a request under way at a node that is killed ends as 'maybe' (writes may have happened).
 */
import { InvariantViolation, QuoinError } from '../src/base/errors.js';
import { slotOf } from '../src/base/slots.js';
import type { ClusterMap } from '../src/cluster/map.js';
import type { NodeServer } from '../src/server/types.js';
import { commandByName } from '../src/store/registry.js';
import type { Checkers } from './checkers/checkers.js';
import { SimulationViolation } from './checkers/violation.js';
import type { Answer, Attempt, Gate, SimulatedClient } from './client.js';
import { SimulatedMachine } from './env.js';
import type { CrashMode } from './inode.js';
import type { SimulatedFabric } from './network.js';
import { startNode } from './node.js';
import type { SeededRandom } from './random.js';
import type { ScheduledEvent, Scheduler, SimulatedProcess } from './scheduler.js';
import { NodeStorage } from './storage.js';
import type { Swarm } from './swarm.js';
import { Underway } from './underway.js';
import type { BucketAdministration } from './workloads/buckets.js';

/** How long a client waits for a change of the cluster map. */
const ADMINISTRATION_TIMEOUT_MS = 3_000;
const WATCH_INTERVAL_MS = 250;
const CLIENT_LATENCY_MS = 0.2;
/** A node that did not start is started again after so long. */
const RESTART_MS = 500;

export interface ClusterNode {
  readonly index: number;
  readonly id: string;
  readonly machine: SimulatedMachine;
  readonly storage: NodeStorage;
  state: 'down' | 'starting' | 'running';
  server: NodeServer | undefined;
  lives: number;
  /** Takes back the bit that was flipped on its disk. */
  undoFlip: (() => void) | undefined;
  /** Sync failures when this life began: more of them excuse a failure. */
  excusedFailures: number;
  /** The operator leaves it dead. */
  retired: boolean;
  /** It is not started before. */
  awayUntilMs: number;
  /** Its disk was replaced by an empty one. */
  wiped: boolean;
  readonly underWay: Set<Underway>;
}

/** A disk that was replaced by an empty one. */
export interface LostDisk {
  readonly node: string;
  readonly atMs: number;
}

export interface ClusterCounters {
  starts: number;
  refusedStarts: number;
  excusedFailures: number;
}

export interface ClusterOptions {
  readonly nodes: number;
  readonly scheduler: Scheduler;
  readonly fabric: SimulatedFabric;
  readonly random: SeededRandom;
  readonly swarm: Swarm;
  readonly checkers: Checkers;
}

export class SimulatedCluster implements Gate, BucketAdministration {
  readonly nodes: readonly ClusterNode[];
  readonly fabric: SimulatedFabric;
  readonly counters: ClusterCounters = { starts: 0, refusedStarts: 0, excusedFailures: 0 };
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #swarm: Swarm;
  readonly #checkers: Checkers;
  closing = false;
  /** Processes that ended without a word so far. */
  kills = 0;
  readonly lostDisks: LostDisk[] = [];
  clocksHealedAtMs = 0;
  /** The attempt that a node is being handed right now. */
  submitting: { version: number | undefined } | undefined;
  #violation: Error | undefined;
  #layout: ClusterMap | undefined;

  constructor(options: ClusterOptions) {
    const { scheduler, fabric, random, swarm } = options;
    this.#scheduler = scheduler;
    this.fabric = fabric;
    this.#random = random.fork('cluster');
    this.#swarm = swarm;
    this.#checkers = options.checkers;
    this.nodes = Array.from({ length: options.nodes }, (_, index): ClusterNode => {
      const machine = new SimulatedMachine({
        node: index,
        scheduler,
        fabric,
        random,
        diskFaults: { ...swarm.disk, syncFailureRate: 0 },
        clockSkewMs: Math.round(this.#random.between(-swarm.clockSkewMaxMs, swarm.clockSkewMaxMs)),
        clockRate: 1 + this.#random.between(-swarm.clockDriftMax, swarm.clockDriftMax),
      });
      return {
        index,
        id: `n${index + 1}`,
        machine,
        storage: new NodeStorage(this.#random.fork(`storage-${index}`), swarm.disk.syncMeanMs),
        state: 'down',
        server: undefined,
        lives: 0,
        undoFlip: undefined,
        excusedFailures: 0,
        retired: false,
        awayUntilMs: 0,
        wiped: false,
        underWay: new Set(),
      };
    });
    this.#watch();
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }

  get clientTimeoutMs(): number {
    return this.#swarm.clientTimeoutMs;
  }

  /** What went wrong first, if anything did. */
  get violation(): Error | undefined {
    return this.#violation;
  }

  report(error: unknown): void {
    this.#violation ??= error instanceof Error ? error : new Error(String(error));
  }

  later(delayMs: number, callback: () => void): ScheduledEvent {
    return this.#scheduler.schedule(delayMs, undefined, callback);
  }

  start(node: ClusterNode): void {
    if (node.state !== 'down' || node.retired || node.awayUntilMs > this.nowMs) return;
    const { process, env } = node.machine.start();
    node.state = 'starting';
    node.lives++;
    node.excusedFailures = node.machine.disk.counters.syncFailures;
    this.counters.starts++;
    this.#scheduler.schedule(CLIENT_LATENCY_MS, process, () => {
      const addresses = this.nodes.map((peer) => peer.machine.address);
      startNode({
        id: node.id,
        index: node.index,
        env,
        addresses,
        swarm: this.#swarm,
        storage: node.storage,
      }).then(
        (server) => {
          if (!process.alive) return;
          node.server = server;
          node.state = 'running';
        },
        (error: unknown) => {
          if (process.alive) this.#startFailed(node, error);
        },
      );
    });
  }

  startLater(node: ClusterNode, delayMs: number): void {
    this.later(delayMs, () => this.start(node));
  }

  /** A node may refuse to start for damage that was done to its disk, and for nothing else. */
  #startFailed(node: ClusterNode, error: unknown): void {
    const damaged = error instanceof QuoinError && DAMAGE.has(error.code) && node.undoFlip !== undefined;
    const diskFailed = this.#diskFailedInThisLife(node);
    if (!damaged && !diskFailed) {
      this.report(new SimulationViolation('start', `${node.id} does not start: ${describeError(error)}`));
      return;
    }
    this.counters.refusedStarts++;
    this.kill(node, 'lose');
    // The operator brings the damaged file back from a backup.
    node.undoFlip?.();
    node.undoFlip = undefined;
    this.startLater(node, RESTART_MS);
  }

  kill(node: ClusterNode, mode: CrashMode): void {
    this.kills++;
    node.machine.kill(mode);
    node.storage.crash();
    node.state = 'down';
    node.server = undefined;
    for (const attempt of [...node.underWay]) attempt.end({ kind: 'maybe' });
  }

  /** The disk dies and is replaced; the node starts anew without knowing what it had promised, and is let in again. */
  wipe(node: ClusterNode): void {
    this.kill(node, 'lose');
    node.machine.disk.wipe();
    node.storage.wipe();
    node.wiped = true;
    node.undoFlip = undefined;
    this.lostDisks.push({ node: node.id, atMs: this.nowMs });
    this.startLater(node, RESTART_MS);
  }

  flipBit(node: ClusterNode): void {
    if (node.undoFlip !== undefined) return;
    node.undoFlip = node.machine.disk.flipBit((path) => path.includes('/log'))?.undo;
  }

  /** From now on syncs may fail: a cluster is formed on disks that work. */
  beginDiskFaults(): void {
    for (const node of this.nodes) node.machine.disk.faults = this.#swarm.disk;
  }

  endDiskFaults(): void {
    for (const node of this.nodes)
      node.machine.disk.faults = { ...this.#swarm.disk, syncFailureRate: 0, slowSyncRate: 0 };
  }

  /** A replica gave up: excused only by what was done to its disk. */
  replicaFailed(nodeId: string, group: number, error: unknown): void {
    const node = this.nodes.find((candidate) => candidate.id === nodeId);
    const process = node?.machine.process;
    if (node === undefined || process === undefined || !process.alive) return;
    if (!(error instanceof InvariantViolation) && this.#excused(node, error)) return;
    if (error instanceof SimulationViolation) this.report(error);
    this.report(
      new SimulationViolation(
        'replica',
        `${nodeId} stopped its replica of group ${group}: ${describeError(error)}`,
      ),
    );
  }

  #excused(node: ClusterNode, error: unknown): boolean {
    if (!(error instanceof QuoinError)) return false;
    return (DAMAGE.has(error.code) && node.undoFlip !== undefined) || this.#diskFailedInThisLife(node);
  }

  #diskFailedInThisLife(node: ClusterNode): boolean {
    return node.machine.disk.counters.syncFailures > node.excusedFailures;
  }

  /** Looks at all nodes now and then: at their maps, and for failures that nobody excuses. */
  #watch(): void {
    for (const node of this.nodes) {
      const { server } = node;
      if (server === undefined) continue;
      const map = server.map();
      if (map !== undefined) this.#checkers.ownership.holds(`${node.id}, life ${node.lives}`, map);
      const { phase, reason } = server.state();
      if (node.wiped && server.groupStatus().some(({ local }) => local !== undefined)) {
        this.report(
          new SimulationViolation('lost disk', `${node.id} is in a Raft group although it has lost its disk`),
        );
        return;
      }
      if (phase !== 'failed') continue;
      if (!this.#diskFailedInThisLife(node) && node.undoFlip === undefined) {
        this.report(new SimulationViolation('node', `${node.id} has failed: ${reason}`));
        return;
      }
      // The operator replaces what is broken and starts the machine again; its unsynced writes are lost.
      this.counters.excusedFailures++;
      this.kill(node, this.#random.chance(0.5) ? 'lose' : 'tear');
      node.undoFlip?.();
      node.undoFlip = undefined;
      this.startLater(node, RESTART_MS);
    }
    this.later(WATCH_INTERVAL_MS, () => this.#guarded(() => this.#watch()));
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.report(error);
    }
  }

  /** Groups, their members and slots, which never change. */
  get layout(): ClusterMap {
    this.#layout ??= this.nodes.find(({ server }) => server?.map() !== undefined)?.server?.map();
    if (this.#layout === undefined) throw new Error('no cluster has formed');
    return this.#layout;
  }

  /** Nodes that hold a key of an eventual bucket with n replicas. */
  replicasOf(key: string, n: number): readonly string[] {
    const { slotOwners, groups } = this.layout;
    const owner = slotOwners[slotOf(Buffer.from(key))];
    return groups.find(({ id }) => id === owner)?.members.slice(0, n) ?? [];
  }

  /** Wall times of all machines, the latest first; of a machine whose clock was wrong, as if it still were. */
  wallTimesMs(wrongClockMs: number): readonly number[] {
    return this.nodes
      .map(({ machine: { clock } }) => {
        const extraMs = clock.wasWrong ? wrongClockMs - clock.aheadMs : 0;
        return clock.wallMs(this.nowMs) + extraMs;
      })
      .sort((a, b) => b - a);
  }

  /** Someone sets the wrong clocks right. */
  healClocks(): void {
    this.clocksHealedAtMs = this.nowMs;
    for (const { machine } of this.nodes) machine.clock.aheadMs = 0;
  }

  running(): ClusterNode[] {
    return this.nodes.filter((node) => node.state === 'running');
  }

  attempt(random: SeededRandom, attempt: Attempt, done: (answer: Answer) => void): void {
    const candidates = this.running();
    if (candidates.length === 0) {
      this.later(CLIENT_LATENCY_MS, () => done({ kind: 'failed', reply: undefined }));
      return;
    }
    const home = candidates.find(({ index }) => index === attempt.home);
    this.attemptAt(home ?? random.pick(candidates), attempt, done);
  }

  /** Carries an attempt to one node. */
  attemptAt(node: ClusterNode, attempt: Attempt, done: (answer: Answer) => void): void {
    const { server } = node;
    const process: SimulatedProcess | undefined = node.machine.process;
    const underWay = new Underway(this, node, done);
    if (server === undefined || process === undefined) {
      underWay.end({ kind: 'failed', reply: undefined });
      return;
    }
    const definition = commandByName(attempt.command);
    if (definition === undefined) throw new Error(`command ${attempt.command} is not registered`);
    this.#scheduler.schedule(CLIENT_LATENCY_MS, process, () => {
      const bucket = server.bucketByName(attempt.bucket);
      if (bucket === undefined) {
        underWay.end({ kind: 'failed', reply: undefined });
        return;
      }
      this.submitting = underWay;
      server.submit({
        definition,
        bucket,
        args: attempt.args,
        completion: underWay,
        consistency: attempt.consistency,
        ordered: false,
        session: attempt.session,
        quorum: attempt.quorum,
      });
      this.submitting = undefined;
    });
  }

  create(client: SimulatedClient, name: string, done: (created: boolean) => void): void {
    const { engine } = this.#swarm;
    this.#administer(
      client,
      (server) => server.createBucket({ name, replication: 'raft', engine, ttlMs: 0 }),
      done,
    );
  }

  drop(client: SimulatedClient, name: string, done: (dropped: boolean) => void): void {
    this.#administer(client, (server) => server.dropBucket(name), done);
  }

  #administer(
    client: SimulatedClient,
    act: (server: NodeServer) => Promise<unknown>,
    done: (confirmed: boolean) => void,
  ): void {
    const candidates = this.running();
    const node = candidates.length === 0 ? undefined : client.random.pick(candidates);
    const server = node?.server;
    const process = node?.machine.process;
    let over = false;
    const end = (confirmed: boolean): void => {
      if (over) return;
      over = true;
      timeout.cancel();
      this.later(0, () => done(confirmed));
    };
    const timeout = this.later(ADMINISTRATION_TIMEOUT_MS, () => end(false));
    if (server === undefined || process === undefined) return;
    this.#scheduler.schedule(CLIENT_LATENCY_MS, process, () => {
      act(server).then(
        () => end(true),
        () => end(false),
      );
    });
  }
}

/** Codes with which a node may refuse a damaged disk. */
const DAMAGE: ReadonlySet<string> = new Set([
  'LOG_DAMAGED',
  'CHECKPOINT_DAMAGED',
  'VALUE_DAMAGED',
  'LOG_TOO_NEW',
  'FOREIGN_DIRECTORY',
]);

function describeError(error: unknown): string {
  if (error instanceof QuoinError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
