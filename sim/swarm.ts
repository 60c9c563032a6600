/**
 * Swarm testing (Groce et al., 2012): each seed turns every fault on or off and draws its rate, so that seeds differ in
 * kind and not only in luck. A run where everything fails at once finds less than many runs with a few faults each.
 *
 * Invariant: all that a run does follows from (seed, nodes, steps) through this file and the generators it seeds.
 */
import { LIMITS } from '../src/base/limits.js';
import type { QuorumConfiguration } from '../src/server/configuration/types.js';
import type { DiskFaults } from './disk.js';
import type { LimitChanges } from './limits.js';
import type { NetworkFaults } from './network.js';
import type { SeededRandom } from './random.js';

/** The eventual buckets, and how their nodes are configured. */
export interface QuorumSwarm extends QuorumConfiguration {
  readonly engine: 'memory' | 'lmdb';
  readonly readRepair: boolean;
  readonly hintedHandoff: boolean;
  /** False: hints alone must make replicas equal, and nothing happens that they cannot mend. */
  readonly antiEntropy: boolean;
}

/** How often something happens to the cluster, in virtual milliseconds; 0: never. */
export interface Swarm {
  /** Limits that are smaller than in production. */
  readonly limits: LimitChanges;
  readonly network: NetworkFaults;
  readonly disk: DiskFaults;
  readonly quorum: QuorumSwarm;
  readonly electionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly checkpointIntervalMs: number;
  readonly syncStrategy: 'auto' | 'blocking' | 'background';
  readonly leaseReads: boolean;
  readonly engine: 'memory' | 'lmdb';
  readonly crashEveryMs: number;
  readonly downMeanMs: number;
  /** One node is away for longer than a restart takes, perhaps longer than hints for it live. */
  readonly awayEveryMs: number;
  readonly awayMeanMs: number;
  /** Probability that a crash hits most nodes at once. */
  readonly massCrashRate: number;
  /** Of crashes: the machine loses power and unsynced writes with it. */
  readonly powerLossRate: number;
  /** Of power losses: sectors survive one by one. */
  readonly tornWriteRate: number;
  readonly bitFlipRate: number;
  /** A disk, or all disks, stop finishing syncs for a while; the machine may lose power meanwhile. */
  readonly diskStallEveryMs: number;
  readonly diskStallMeanMs: number;
  readonly partitionEveryMs: number;
  readonly partitionMeanMs: number;
  readonly oneWayRate: number;
  readonly pauseEveryMs: number;
  readonly pauseMeanMs: number;
  readonly isolatedPauseRate: number;
  readonly clockSkewMaxMs: number;
  readonly clockDriftMax: number;
  readonly clockJumpEveryMs: number;
  readonly clockJumpMaxMs: number;
  /** One machine's clock runs ahead by this much until the cluster is healed. */
  readonly wrongClockMs: number;
  readonly transferClients: number;
  readonly registerClients: number;
  readonly counterClients: number;
  readonly writeOnceClients: number;
  readonly expiryClients: number;
  readonly bucketClients: number;
  readonly eventualClients: number;
  readonly looseClients: number;
  readonly thinkMeanMs: number;
  /** How long a client waits for an answer. */
  readonly clientTimeoutMs: number;
  /** Probability that a client asks always the same node. */
  readonly homeRate: number;
  /** Longest value of the write-once workload; the longer, the sooner snapshots and segments come in several parts. */
  readonly valueBytes: number;
  /** Probability that a fault looks for a leader instead of any node. */
  readonly leaderBias: number;
  /** Some time, one disk is replaced by an empty one: its node is let in again for eventual buckets alone. */
  readonly wipeWithinMs: number;
  /** The same node loses its disk again after so long, on average, perhaps before it is filled; 0: never. */
  readonly wipeAgainMeanMs: number;
  /** One node stays dead when the rest is healed: a majority must do. */
  readonly healOnlyMajority: boolean;
}

/** Part of a swarm that is set instead of drawn: planted bugs are looked for where they hurt. */
export type Focus = Partial<Omit<Swarm, 'limits' | 'network' | 'disk' | 'quorum'>> & {
  readonly limits?: LimitChanges;
  readonly network?: Partial<NetworkFaults>;
  readonly disk?: Partial<DiskFaults>;
  readonly quorum?: Partial<QuorumSwarm>;
};

export function focusSwarm(swarm: Swarm, focus: Focus): Swarm {
  // With other faults than were drawn, hints alone may not be enough.
  const antiEntropy = swarm.quorum.antiEntropy || Object.keys(focus).length > 0;
  return {
    ...swarm,
    ...focus,
    limits: { ...swarm.limits, ...focus.limits },
    network: { ...swarm.network, ...focus.network },
    disk: { ...swarm.disk, ...focus.disk },
    quorum: { ...swarm.quorum, antiEntropy, ...focus.quorum },
  };
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** What wall clocks may differ by at this time of a run. */
export function clockDifferenceMs(swarm: Swarm, nowMs: number): number {
  const jumpMs = swarm.clockJumpEveryMs > 0 ? swarm.clockJumpMaxMs : 0;
  return 2 * (swarm.clockSkewMaxMs + jumpMs + swarm.clockDriftMax * nowMs) + swarm.wrongClockMs;
}

/** Times that fit into seconds of virtual time. */
function drawQuorum(random: SeededRandom): QuorumSwarm {
  const maxHintAgeMs = random.pick([500, 3000, 20_000]);
  return {
    engine: random.pick(['memory', 'lmdb']),
    readRepair: random.chance(0.7),
    hintedHandoff: random.chance(0.7),
    antiEntropy: true,
    timeoutMs: random.pick([200, 1000]),
    maxClockDriftMs: random.pick([100, 500, 2000, 10_000]),
    readRepairChance: random.pick([0, 0.1, 1]),
    tombstoneGraceMs: maxHintAgeMs * random.pick([1, 2]),
    maxHintAgeMs,
    maxHintBytes: random.pick([2 * KIB, 256 * KIB]),
    hintBytesPerSecond: random.pick([16 * KIB, 16 * MIB]),
    repairIntervalMs: random.pick([200, 1000, 3000]),
    repairBytesPerSecond: random.pick([64 * KIB, 16 * MIB]),
  };
}

/**
 * Hints alone make replicas equal when none is lost: they live long enough, their keepers do not crash before they are
 * journaled, and no clock is so far behind that it refuses what others have taken.
 */
function withHintsAlone(swarm: Swarm): Swarm {
  return {
    ...swarm,
    quorum: {
      ...swarm.quorum,
      hintedHandoff: true,
      antiEntropy: false,
      maxClockDriftMs: 20_000,
      maxHintAgeMs: 3_600_000,
      tombstoneGraceMs: 3_600_000,
      maxHintBytes: 16 * MIB,
    },
    disk: { ...swarm.disk, syncFailureRate: 0 },
    crashEveryMs: 0,
    awayEveryMs: 0,
    powerLossRate: 0,
    wipeWithinMs: 0,
    wrongClockMs: 0,
    clockDriftMax: 0,
    healOnlyMajority: false,
  };
}

export function drawSwarm(random: SeededRandom): Swarm {
  /** Zero with probability 1 - `enabled`, else something in [low, high), small values as likely as large ones. */
  const rate = (enabled: number, low: number, high: number): number =>
    random.chance(enabled) ? low * (high / low) ** random.float() : 0;
  const electionTimeoutMs = random.pick([150, 300, 600, 1000]);
  const logSegmentBytes = random.pick([64 * KIB, 256 * KIB, LIMITS.logSegmentBytes]);
  const small = (choices: readonly number[]): number => random.pick(choices);
  // Generators of their own: what they draw does not shift what follows.
  const writingBack = random.fork('writing back');
  const eventual = random.fork('eventual');
  const swarm: Swarm = {
    limits: {
      logSegmentBytes,
      logFillBytes: Math.min(LIMITS.logFillBytes, logSegmentBytes / 8),
      logRelocationBytes: Math.min(LIMITS.logRelocationBytes, logSegmentBytes / 8),
      retainedLogEntries: small([0, 20, LIMITS.retainedLogEntries]),
      logCacheBytes: small([1 * KIB, 64 * KIB, LIMITS.logCacheBytes]),
      maxFrameBytes: small([16 * KIB, LIMITS.maxFrameBytes]),
      maxAppendBytes: small([1 * KIB, LIMITS.maxAppendBytes]),
      maxInflightAppends: small([1, 4, LIMITS.maxInflightAppends]),
      journalWriteBackBytes: writingBack.pick([4 * KIB, 64 * KIB, LIMITS.journalWriteBackBytes]),
      journalWriteBackMs: writingBack.pick([500, 5000, LIMITS.journalWriteBackMs]),
    },
    network: {
      minimumLatencyMs: random.between(0.05, 1),
      meanExtraLatencyMs: random.pick([0.1, 0.5, 2, 10]),
      slowFrameRate: rate(0.4, 0.0005, 0.02),
      slowFrameMs: random.pick([50, 300, 2000]),
      resetRate: rate(0.3, 0.00005, 0.002),
      dropRate: rate(0.35, 0.0005, 0.03),
      duplicateRate: rate(0.35, 0.0005, 0.03),
      reorderRate: rate(0.35, 0.0005, 0.05),
    },
    disk: {
      syncFailureRate: rate(0.25, 0.00002, 0.0005),
      syncMeanMs: random.pick([0.1, 0.4, 2, 8, 25]),
      slowSyncRate: rate(0.3, 0.001, 0.02),
    },
    quorum: drawQuorum(eventual),
    electionTimeoutMs,
    heartbeatIntervalMs: Math.floor(electionTimeoutMs / random.pick([3, 5, 10])),
    checkpointIntervalMs: random.pick([500, 2000, 10_000]),
    syncStrategy: random.pick(['auto', 'blocking', 'background']),
    leaseReads: random.chance(0.2),
    engine: random.pick(['memory', 'lmdb']),
    crashEveryMs: rate(0.8, 200, 6_000),
    downMeanMs: random.pick([50, 500, 3000]),
    awayEveryMs: eventual.chance(0.4) ? eventual.pick([3000, 10_000]) : 0,
    awayMeanMs: eventual.pick([1500, 6000, 15_000]),
    massCrashRate: rate(0.5, 0.02, 0.3),
    powerLossRate: random.pick([0, 0.5, 1]),
    tornWriteRate: random.pick([0, 0.5, 1]),
    bitFlipRate: rate(0.2, 0.02, 0.2),
    diskStallEveryMs: rate(0.4, 500, 6_000),
    diskStallMeanMs: random.pick([50, 300, 1000]),
    partitionEveryMs: rate(0.7, 300, 6_000),
    partitionMeanMs: random.pick([300, 1500, 6000]),
    oneWayRate: random.pick([0, 0.3, 1]),
    pauseEveryMs: rate(0.5, 300, 6_000),
    pauseMeanMs: random.pick([50, 400, 2500]),
    isolatedPauseRate: random.pick([0, 0.5]),
    clockSkewMaxMs: random.pick([0, 50, 2000]),
    clockDriftMax: random.pick([0, 0.001, 0.04]),
    clockJumpEveryMs: rate(0.3, 500, 6_000),
    clockJumpMaxMs: random.pick([100, 2000]),
    wrongClockMs: eventual.chance(0.12) ? eventual.pick([3000, 10_000]) : 0,
    transferClients: random.integer(3),
    registerClients: 2 + random.integer(6),
    counterClients: random.integer(4),
    writeOnceClients: 1 + random.integer(2),
    expiryClients: random.integer(2),
    bucketClients: random.chance(0.3) ? 1 : 0,
    eventualClients: 2 + eventual.integer(4),
    looseClients: eventual.integer(3),
    thinkMeanMs: random.pick([1, 10, 50]),
    clientTimeoutMs: random.pick([300, 3000]),
    homeRate: random.pick([0, 0.7]),
    valueBytes: random.pick([0, 300, 3000]),
    leaderBias: random.pick([0, 0.5, 1]),
    wipeWithinMs: rate(0.2, 1000, 20_000),
    wipeAgainMeanMs: random.fork('wipe again').pick([0, 1000, 4000]),
    healOnlyMajority: random.chance(0.4),
  };
  return eventual.chance(0.06) ? withHintsAlone(swarm) : swarm;
}

/** The rates that are on, flat, as printed with the result. */
export function describeSwarm(swarm: Swarm): Record<string, number | string | boolean> {
  const flat: Record<string, number | string | boolean> = {};
  const add = (prefix: string, values: object): void => {
    for (const [name, value] of Object.entries(values) as [string, unknown][]) {
      if (typeof value === 'object' && value !== null) add(`${prefix}${name}.`, value);
      else if (typeof value === 'number')
        flat[prefix + name] = value === 0 ? 0 : Number(value.toPrecision(4));
      else if (typeof value === 'string' || typeof value === 'boolean') flat[prefix + name] = value;
    }
  };
  add('', swarm);
  return flat;
}
