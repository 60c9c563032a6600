/**
 * A group of real replicas on simulated machines, without the node around them: each member has a log, engines, a peer
 * hub, a pump, a checkpointer and a `DataReplica`. Tests let virtual time pass, drop messages, crash and restart members.
 */

import { addressOfNode } from '../../../sim/addresses.js';
import { SimulatedDiskContents, SimulatedDiskStore } from '../../../sim/disk-store.js';
import { SimulatedMachine } from '../../../sim/env.js';
import type { CrashMode } from '../../../sim/inode.js';
import { SimulatedFabric } from '../../../sim/network.js';
import { SeededRandom } from '../../../sim/random.js';
import { Scheduler } from '../../../sim/scheduler.js';
import { Trace } from '../../../sim/trace.js';
import { invariant } from '../../../src/base/errors.js';
import { SLOT_COUNT } from '../../../src/base/slots.js';
import { EngineHost } from '../../../src/engine/engine-host.js';
import type { Env } from '../../../src/env/env.js';
import type { WriteAheadLog } from '../../../src/log/types.js';
import { openLog } from '../../../src/log/write-ahead-log.js';
import { Checkpointer } from '../../../src/replica/checkpointer.js';
import { DataReplica } from '../../../src/replica/data-replica.js';
import { MESSAGE } from '../../../src/replica/peers/frame.js';
import { PeerHub } from '../../../src/replica/peers/peer-hub.js';
import type { PendingRequest, Refusal } from '../../../src/replica/pending.js';
import { Pump } from '../../../src/replica/pump.js';
import { recoverGroup } from '../../../src/server/recovery.js';
import type { Reply } from '../../../src/store/reply.js';
import { createStateMachine } from '../../../src/store/state-machine.js';
import type { BucketDescription } from '../../../src/store/types.js';
import { describeNode } from '../../support/fake-node.js';
import { handlersOf, helloOf } from '../../support/hub.js';
import { bucketOf, bytes, command, plain, type Word } from '../../support/test-machine.js';

const GROUP = 1;
const TICK_MS = 20;

/** A request as a test holds it: what became of it stands in `outcome`. */
export class TestRequest implements PendingRequest {
  readonly definition: PendingRequest['definition'];
  readonly bucketId: number;
  readonly args: readonly Buffer[];
  readonly stamp: PendingRequest['stamp'];
  readonly throughLog: boolean;
  /** The replies and refusals that came: there must never be more than one. */
  readonly outcomes: unknown[] = [];

  constructor(
    words: readonly Word[],
    stamp: PendingRequest['stamp'],
    options: { bucketId?: number; throughLog?: boolean } = {},
  ) {
    this.definition = command(String(words[0]));
    this.args = words.slice(1).map(bytes);
    this.stamp = stamp;
    this.bucketId = options.bucketId ?? 0;
    this.throughLog = options.throughLog ?? this.definition.isWrite;
  }

  answer(reply: Reply): void {
    this.outcomes.push(plain(reply));
  }

  refuse(refusal: Refusal): void {
    this.outcomes.push({ refused: refusal });
  }

  get outcome(): unknown {
    invariant(this.outcomes.length <= 1, 'a request ends once');
    return this.outcomes[0];
  }
}

/** One message between two members, as a filter sees it. */
export interface SeenMessage {
  readonly from: string;
  readonly to: string;
  readonly kind: number;
  readonly body: Buffer;
}

class Life {
  readonly env: Env;
  readonly contents: SimulatedDiskContents;
  readonly store: SimulatedDiskStore;
  readonly log: WriteAheadLog;
  readonly engines: EngineHost;
  readonly hub: PeerHub;
  readonly pump: Pump;
  readonly checkpointer: Checkpointer;
  readonly replica: DataReplica;
  running = true;

  constructor(world: ReplicaWorld, member: Member, env: Env) {
    this.env = env;
    this.contents = member.contents;
    this.log = openLog(env.disk, env.clock, '/data/log', { syncStrategy: 'blocking' });
    this.store = new SimulatedDiskStore(member.contents, {
      clock: env.clock,
      commitLatencyMs: () => world.commitLatencyMs,
    });
    this.engines = new EngineHost({ openDiskStore: () => this.store, clock: env.clock });
    this.hub = new PeerHub(
      env,
      member.id,
      `${member.id}-incarnation`,
      handlersOf(member.id, {
        hello: (_peer, wantsAnswer) =>
          helloOf(member.id, {
            node: { ...describeNode(member.id), grpc: member.machine.address },
            wantsAnswer,
          }),
        onMessage: (from, kind, _group, body) => {
          const message = { from, to: member.id, kind, body };
          world.seen(message);
          if (!world.filter(message)) return;
          if (kind === MESSAGE.raft || kind === MESSAGE.heartbeat) this.replica.receive(from, body);
          else if (kind === MESSAGE.snapshotChunk) this.replica.receiveSnapshotChunk(from, body);
          else if (kind === MESSAGE.snapshotAcknowledgement)
            this.replica.receiveSnapshotAcknowledgement(from, body);
          else if (kind === MESSAGE.snapshotWanted) this.replica.snapshotRequested(from, body);
        },
        onPeerUp: () => this.pump.schedule(),
        onPeerDead: (peer) => this.replica.peerDead(peer),
      }),
    );
    this.pump = new Pump(env.clock, this.log, this.hub, (error) => world.failures.push(error));
    this.checkpointer = new Checkpointer({
      clock: env.clock,
      engines: this.engines,
      log: this.log,
      replicas: () => [this.replica],
      intervalMs: world.checkpointIntervalMs,
      onDone: () => {
        member.commits++;
        if (this.replica.applyBacklog) this.pump.markDirty(this.replica);
      },
      onFailure: (error) => world.failures.push(error),
    });
    const machine = createStateMachine({
      group: GROUP,
      slots: [{ first: 0, last: SLOT_COUNT - 1 }],
      engines: this.engines,
    });
    const members = world.members.map(({ id }) => id);
    const start = recoverGroup({
      engines: this.engines,
      log: this.log,
      group: GROUP,
      members,
      restoreHead: (head) => machine.restoreHead(head),
    });
    this.replica = new DataReplica(
      {
        env,
        self: member.id,
        log: this.log,
        peers: this.hub,
        pump: this.pump,
        timing: {
          electionTimeoutMs: 300,
          heartbeatIntervalMs: 30,
          leaseReads: false,
          maxAppendBytes: 64 * 1024,
          maxInflightAppends: 16,
          maxUncommittedBytes: 64 * 1024 * 1024,
        },
        bucketsById: () => member.buckets,
        nextBucketId: () => member.nextBucketId,
        mayApply: () => member.mayApply && this.checkpointer.mayApply(),
        requestCheckpoint: (onDurable) => this.checkpointer.request(onDurable),
        onLeadership: () => {},
        onFatal: (_group, error) => world.failures.push(error),
      },
      start,
      machine,
    );
    void this.hub.listen(member.machine.address);
    this.hub.setCluster('test', 1);
    this.hub.setPeers(world.members.map(({ id, machine: { address } }) => ({ id, grpc: address })));
    this.#tick();
  }

  #tick(): void {
    if (!this.running) return;
    const nowMs = this.env.clock.monotonicMs();
    this.replica.tick(nowMs);
    this.checkpointer.tick(nowMs);
    this.pump.schedule();
    this.env.clock.setTimer(TICK_MS, () => this.#tick());
  }
}

export class Member {
  readonly id: string;
  readonly machine: SimulatedMachine;
  readonly contents = new SimulatedDiskContents();
  /** The buckets of the map as this member knows it. */
  readonly buckets = new Map<number, BucketDescription>([[0, bucketOf(0)]]);
  nextBucketId = 100;
  /** Checkpoints that its lives have made durable. */
  commits = 0;
  mayApply = true;
  readonly #world: ReplicaWorld;
  #life: Life | undefined;

  constructor(world: ReplicaWorld, id: string, machine: SimulatedMachine) {
    this.#world = world;
    this.id = id;
    this.machine = machine;
  }

  get up(): boolean {
    return this.#life !== undefined;
  }

  get life(): Life {
    invariant(this.#life !== undefined, `${this.id} is up`);
    return this.#life;
  }

  get replica(): DataReplica {
    return this.life.replica;
  }

  start(): void {
    this.#life = new Life(this.#world, this, this.machine.start().env);
  }

  crash(mode: CrashMode = 'lose'): void {
    this.life.running = false;
    this.life.store.crash();
    this.#life = undefined;
    this.machine.kill(mode);
  }

  /** Digests of all slots that hold anything. */
  digests(): Map<number, number> {
    const digests = new Map<number, number>();
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const digest = this.replica.machine.digestOfSlot(slot);
      if (digest !== 0) digests.set(slot, digest);
    }
    return digests;
  }
}

export interface WorldOptions {
  readonly seed?: string;
  readonly members?: number;
  readonly checkpointIntervalMs?: number;
  readonly commitLatencyMs?: number;
}

export class ReplicaWorld {
  readonly scheduler = new Scheduler(new Trace());
  readonly fabric: SimulatedFabric;
  readonly members: readonly Member[];
  readonly checkpointIntervalMs: number;
  commitLatencyMs: number;
  /** Whatever no replica may do: broken invariants, failed logs. */
  readonly failures: unknown[] = [];
  /** False: the message is lost. */
  filter: (message: SeenMessage) => boolean = () => true;
  seen: (message: SeenMessage) => void = () => {};
  #sequence = 0;

  constructor(options: WorldOptions = {}) {
    const random = new SeededRandom(options.seed ?? 'replicas');
    const count = options.members ?? 3;
    this.checkpointIntervalMs = options.checkpointIntervalMs ?? 1000;
    this.commitLatencyMs = options.commitLatencyMs ?? 1;
    this.fabric = new SimulatedFabric(this.scheduler, random.fork('network'), count);
    this.members = Array.from({ length: count }, (_, node) => {
      const machine = new SimulatedMachine({
        node,
        scheduler: this.scheduler,
        fabric: this.fabric,
        random,
        diskFaults: { syncFailureRate: 0, syncMeanMs: 0.2, slowSyncRate: 0 },
        clockSkewMs: 0,
        clockRate: 1,
      });
      invariant(machine.address === addressOfNode(node), 'machines are found by their number');
      return new Member(this, `n${node + 1}`, machine);
    });
    for (const member of this.members) member.start();
  }

  member(id: string): Member {
    const member = this.members.find((candidate) => candidate.id === id);
    invariant(member !== undefined, `${id} is a member`);
    return member;
  }

  get running(): Member[] {
    return this.members.filter(({ up }) => up);
  }

  /** Lets virtual time pass until something holds. */
  until(what: string, condition: () => boolean, withinMs = 60_000): void {
    const deadlineMs = this.scheduler.nowMs + withinMs;
    while (!condition()) {
      if (this.scheduler.nowMs > deadlineMs || !this.scheduler.step())
        throw new Error(`it did not come to pass within ${withinMs} ms that ${what}`);
      if (this.failures.length > 0) throw this.failures[0];
    }
  }

  pass(ms: number): void {
    const untilMs = this.scheduler.nowMs + ms;
    let over = false;
    this.scheduler.schedule(ms, undefined, () => {
      over = true;
    });
    this.until('time passed', () => over || this.scheduler.nowMs > untilMs, ms + 1000);
  }

  /** The member that leads and is ready for requests. */
  leader(): Member {
    const find = (): Member | undefined =>
      this.running.find(({ replica }) => replica.leading && replica.machine.buckets.has(0));
    this.until('someone leads', () => find() !== undefined);
    return find()!;
  }

  request(words: readonly Word[], options: { bucketId?: number; throughLog?: boolean } = {}): TestRequest {
    const sequence = ++this.#sequence;
    return new TestRequest(words, { session: '00000000000000aa', sequence, acknowledgedBelow: 0 }, options);
  }

  /** Carries a command out at the leader, and waits for its answer. */
  run(...words: Word[]): unknown {
    const request = this.request(words);
    for (;;) {
      const attempt = new TestRequest(words, request.stamp);
      this.leader().replica.enqueue(attempt);
      this.until(`${words.join(' ')} is answered`, () => attempt.outcomes.length > 0);
      const { outcome } = attempt;
      if (typeof outcome !== 'object' || outcome === null || !('refused' in outcome)) return outcome;
      this.pass(10);
    }
  }

  /** All running members have applied the same, and hold the same. */
  agree(): void {
    const first = this.running[0]!;
    this.until('all have applied the same', () => {
      const indexes = this.running.map(({ replica }) => (replica.stateMissing ? -1 : replica.appliedIndex));
      const last = Math.max(...this.running.map(({ replica }) => replica.status().lastIndex));
      return indexes.every((index) => index === last);
    });
    for (const member of this.running) {
      const same = JSON.stringify([...member.digests()]) === JSON.stringify([...first.digests()]);
      if (!same) throw new Error(`${member.id} and ${first.id} hold different keys`);
    }
  }
}
