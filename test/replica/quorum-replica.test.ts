import { describe, expect, test } from 'vitest';
import { ByteWriter, DecodeError } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { MemoryEngine } from '../../src/engine/memory/memory-engine.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { AntiEntropy } from '../../src/protocol/quorum/anti-entropy.js';
import { composeVersion } from '../../src/protocol/quorum/clock.js';
import { encodeQuorumMessage, MutationEncoder } from '../../src/protocol/quorum/codec.js';
import { QuorumCore } from '../../src/protocol/quorum/core.js';
import type { QuorumMessage, ReplicaSet, WriteOutcome } from '../../src/protocol/quorum/types.js';
import { Pump } from '../../src/replica/pump.js';
import { EventualRetention } from '../../src/replica/quorum/eventual-retention.js';
import { HintedHandoff } from '../../src/replica/quorum/hinted-handoff.js';
import { Journal } from '../../src/replica/quorum/journal.js';
import { QuorumReplica } from '../../src/replica/quorum/quorum-replica.js';
import { NOW_MS, quorumBucket, StoreMachine } from '../store/quorum-support.js';
import { quietHub } from '../support/hub.js';
import { manualEnv } from './support/manual-env.js';

const ALONE: ReplicaSet = { members: ['n1'], includesSelf: true, others: [] };

/** The replica of n1 with all its parts, on a disk that a test may let wait. */
class Fixture {
  readonly env = manualEnv('quorum replica');
  readonly machine = new StoreMachine();
  readonly log = openLog(this.env.disk, this.env.clock, '/log', { syncStrategy: 'blocking' });
  readonly failures: Error[] = [];
  mayApply = true;
  readonly journal: Journal;
  readonly replica: QuorumReplica;

  constructor() {
    const { env, machine, log } = this;
    env.clock.nowMs = NOW_MS;
    machine.store.openBucket(quorumBucket(1));
    const peers = quietHub(env);
    const random = () => 0.5;
    this.journal = new Journal({
      log,
      note: () => undefined,
      encodeHead: () => Buffer.alloc(0),
      restoreHead: () => {},
      waitingBytes: () => 0,
    });
    this.replica = new QuorumReplica({
      env,
      peers,
      pump: new Pump(env.clock, log, peers, (error) => this.failures.push(error)),
      journal: this.journal,
      core: new QuorumCore({
        self: 'n1',
        ordinal: 0,
        store: machine.store,
        random,
        timing: {
          timeoutMs: 2000,
          maxClockDriftMs: 2000,
          speculationQuantile: 0.99,
          minSpeculationMs: 2,
          readRepairChance: 0,
        },
        lastVersion: 0,
        maxUnackedBytes: LIMITS.maxUncommittedBytes,
      }),
      antiEntropy: new AntiEntropy({
        self: 'n1',
        contents: machine.store.contents,
        random,
        intervalMs: 10_000,
        maxBytesPerSecond: 1e6,
        answerTimeoutMs: 5000,
        graceMs: 3_600_000,
        maxClockDriftMs: 2000,
      }),
      handoff: new HintedHandoff({
        engine: new MemoryEngine(),
        ordinalOf: (node) => Number(node.slice(1)) - 1,
        nodeOf: (ordinal) => `n${ordinal + 1}`,
        knowsBucket: () => true,
        random,
        maxHintBytes: 1e6,
        maxHintAgeMs: 1_800_000,
        bytesPerSecond: 1e6,
        answerTimeoutMs: 2000,
      }),
      retention: new EventualRetention({
        bounded: machine.store.bounded,
        peers,
        replicasOf: () => undefined,
      }),
      mayApply: () => this.mayApply,
    });
  }

  /** Writes one key at this node alone; the outcome, once there is one. */
  write(key: string, options: { durable?: boolean; value?: Buffer } = {}): WriteOutcome[] {
    const outcomes: WriteOutcome[] = [];
    this.replica.write({
      bucketId: 1,
      key: Buffer.from(key),
      value: options.value ?? Buffer.from('v'),
      expiresAtMs: 0,
      replicas: ALONE,
      w: 1,
      durable: options.durable ?? false,
      hinted: false,
      written: (outcome) => outcomes.push(outcome),
    });
    return outcomes;
  }

  /** A peer sends one mutation. */
  receive(key: string, extra: Buffer = Buffer.alloc(0)): void {
    const encoder = new MutationEncoder();
    encoder.add(1, Buffer.from(key), Buffer.from('v'), composeVersion(this.env.clock.nowMs, 0, 1), 0);
    const message: QuorumMessage = {
      kind: 'mutate',
      id: 1,
      purpose: 'write',
      durable: true,
      batch: encoder.take(),
    };
    const writer = new ByteWriter();
    encodeQuorumMessage(writer, message);
    this.replica.receive('n2', Buffer.concat([writer.take(), extra]));
  }
}

describe('the replica of eventual buckets', () => {
  test('acknowledges a durable write once its journal is synced, and one of memory at once', () => {
    const { replica, env, write, journal } = bound();
    expect(write('memory')).toMatchObject([{ ok: true }]);
    const durable = write('disk', { durable: true });
    expect(durable).toEqual([]);
    env.clock.run();
    expect(durable).toMatchObject([{ ok: true }]);
    expect(journal.lastIndex).toBeGreaterThan(0);
    expect(replica.takesMutations).toBe(true);
  });

  test('syncs within a short time what nobody waits for', () => {
    const { env, write, log, replica } = bound();
    const before = log.statistics().syncs;
    write('memory');
    env.clock.run();
    expect(log.statistics().syncs).toBe(before);
    env.clock.nowMs += 100;
    replica.tick(env.clock.nowMs);
    env.clock.run();
    expect(log.statistics().syncs).toBe(before + 1);
  });

  test('gathers what nobody waits for: the first goes at once, those soon after it together', () => {
    const { env, write, journal } = bound();
    const before = journal.lastIndex;
    write('first');
    env.clock.run();
    expect(journal.lastIndex).toBe(before + 1);
    for (const key of ['second', 'third', 'fourth']) {
      expect(write(key)).toMatchObject([{ ok: true }]);
      env.clock.run();
    }
    expect(journal.lastIndex).toBe(before + 1);
    env.clock.advance(2);
    env.clock.run();
    expect(journal.lastIndex).toBe(before + 2);
  });

  test('takes along what was gathered when somebody waits', () => {
    const { env, write, journal } = bound();
    write('first');
    env.clock.run();
    const before = journal.lastIndex;
    write('gathered');
    const durable = write('durable', { durable: true });
    env.clock.run();
    expect(durable).toMatchObject([{ ok: true }]);
    expect(journal.lastIndex).toBe(before + 2);
  });

  test('leaves nothing gathered behind when it stops', () => {
    const { env, write, journal, replica } = bound();
    write('first');
    env.clock.run();
    const before = journal.lastIndex;
    write('gathered');
    replica.stop();
    expect(replica.finish()).toBe(true);
    expect(journal.lastIndex).toBe(before + 1);
    expect(env.clock.waitingMs).toEqual([]);
  });

  test('takes nothing while too much waits for the disk, and goes on afterwards', () => {
    const fixture = bound();
    const { replica, machine } = fixture;
    fixture.setMayApply(false);
    expect(replica.takesMutations).toBe(false);
    fixture.receive('shed');
    expect(machine.value(1, 'shed')).toBeUndefined();
    expect(replica.batchesShed).toBe(1);
    fixture.setMayApply(true);
    fixture.receive('taken');
    expect(machine.value(1, 'taken')).toBe('v');
  });

  test('bounds the journal that is not synced yet', () => {
    const { replica, env, write } = bound();
    const value = Buffer.alloc(900_000);
    // The turns of the clock stand still: what is written is neither collected nor synced.
    for (let i = 0; i < 80; i++) write(`k${i}`, { value });
    const awaiting: Parameters<QuorumReplica['collect']>[0] = [];
    replica.collect(awaiting);
    expect(awaiting).toHaveLength(1);
    expect(replica.takesMutations).toBe(false);
    replica.sendAfterPersist();
    expect(replica.takesMutations).toBe(true);
    env.clock.run();
  });

  test('after its stop appends what memory had acknowledged, and takes nothing more', () => {
    const { replica, write, journal, machine, receive } = bound();
    write('late');
    replica.stop();
    const before = journal.lastIndex;
    expect(replica.finish()).toBe(true);
    expect(journal.lastIndex).toBe(before + 1);
    receive('too late');
    expect(machine.value(1, 'too late')).toBeUndefined();
    expect(write('refused')).toEqual([{ ok: false, reason: 'unreachable' }]);
  });

  test('refuses messages with bytes behind them', () => {
    const { receive } = bound();
    expect(() => receive('k', Buffer.from('x'))).toThrow(DecodeError);
  });
});

/** The fixture with its methods as functions. */
function bound() {
  const fixture = new Fixture();
  return {
    env: fixture.env,
    log: fixture.log,
    machine: fixture.machine,
    journal: fixture.journal,
    replica: fixture.replica,
    write: (key: string, options?: Parameters<Fixture['write']>[1]) => fixture.write(key, options),
    receive: (key: string, extra?: Buffer) => fixture.receive(key, extra),
    setMayApply: (mayApply: boolean) => {
      fixture.mayApply = mayApply;
    },
  };
}
