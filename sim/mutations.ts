/**
 * Planted bugs: a checker that has never caught one is not a checker. Each mutation changes real code from outside while
 * a run lasts, and the simulator must find it within a bounded number of seeds (`test/sim/mutations.test.ts`).
 *
 * Bugs that need a rare chain of events (a vote given twice across a restart, figure 8 of the Raft paper) are left to the
 * tests of the Raft core, which play the chain. Those of the eventual buckets stand in `eventual-mutations.ts`.
 */
import type { Env } from '../src/env/env.js';
import { RaftCore } from '../src/protocol/raft/core.js';
import { Election } from '../src/protocol/raft/election.js';
import { VoterSet } from '../src/protocol/raft/quorum.js';
import { LeaderReads } from '../src/protocol/raft/reads.js';
import { Replication } from '../src/protocol/raft/replication.js';
import { RaftState } from '../src/protocol/raft/state.js';
import type { LogEntry } from '../src/protocol/raft/types.js';
import { DataReplica } from '../src/replica/data-replica.js';
import { Replica } from '../src/replica/replica.js';
import { BucketKeySpace } from '../src/store/key-space.js';
import { Session, SessionTable } from '../src/store/sessions.js';
import { createStateMachine } from '../src/store/state-machine.js';
import type { GroupStateMachine } from '../src/store/types.js';
import { EVENTUAL_MUTATIONS } from './eventual-mutations.js';
import { Inode } from './inode.js';
import type { Mutation } from './mutation.js';
import type { AnyReplica } from './observe.js';
import { patchHidden, patchMethod, undoAll } from './patch.js';
import type { Focus } from './swarm.js';

const POWER_LOSSES: Focus = { crashEveryMs: 600, massCrashRate: 0.3, powerLossRate: 1, downMeanMs: 50 };

const STALLED_DISKS: Focus = {
  ...POWER_LOSSES,
  crashEveryMs: 0,
  diskStallEveryMs: 500,
  diskStallMeanMs: 200,
  electionTimeoutMs: 150,
  heartbeatIntervalMs: 30,
  thinkMeanMs: 1,
};

const STALE_LEADERS: Focus = {
  electionTimeoutMs: 150,
  heartbeatIntervalMs: 50,
  pauseEveryMs: 500,
  pauseMeanMs: 600,
  isolatedPauseRate: 1,
  partitionEveryMs: 1500,
  partitionMeanMs: 500,
  leaderBias: 1,
  homeRate: 1,
  clientTimeoutMs: 300,
  thinkMeanMs: 1,
  registerClients: 8,
};

const RESTARTS: Focus = {
  crashEveryMs: 250,
  massCrashRate: 0.3,
  downMeanMs: 50,
  electionTimeoutMs: 150,
  heartbeatIntervalMs: 30,
  counterClients: 4,
};

const SNAPSHOTS: Focus = {
  limits: { retainedLogEntries: 0, maxFrameBytes: 16 * 1024 },
  crashEveryMs: 500,
  downMeanMs: 500,
  checkpointIntervalMs: 500,
  valueBytes: 3000,
  writeOnceClients: 3,
  counterClients: 3,
  thinkMeanMs: 1,
};

const EMPTY = Buffer.alloc(0);

function isEntry(value: unknown): value is LogEntry {
  return typeof value === 'object' && value !== null && 'payload' in value && 'index' in value;
}

/** The class of the state machine is nobody's business; its prototype is found through an instance. */
function stateMachinePrototype(): GroupStateMachine {
  const engines = {
    open: () => {
      throw new Error('this machine opens no bucket');
    },
    drop: () => {},
  };
  const prototype: unknown = Object.getPrototypeOf(createStateMachine({ group: 1, slots: [], engines }));
  return prototype as GroupStateMachine;
}

/** The entry, with the time of the replica's own clock in it (bytes 1 to 8 of the payload). */
function stampedByOwnClock(replica: object, entry: unknown): unknown {
  if (!(replica instanceof DataReplica) || !isEntry(entry) || entry.payload.length < 9) return entry;
  const host: unknown = Reflect.get(replica, 'host');
  if (!isHost(host)) return entry;
  const payload = Buffer.from(entry.payload);
  payload.writeBigUInt64LE(BigInt(host.env.clock.wallMs()), 1);
  return { ...entry, payload };
}

function isHost(value: unknown): value is { readonly env: Env } {
  return typeof value === 'object' && value !== null && 'env' in value;
}

const RAFT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'sync-does-nothing',
    sentence: 'The disk answers that a sync is done and writes nothing.',
    focus: POWER_LOSSES,
    apply: () => patchMethod(Inode.prototype, 'finishSync', () => () => {}),
  },
  {
    name: 'promises-before-sync',
    sentence: 'Votes and acknowledgements are sent before what they promise is durable.',
    focus: STALLED_DISKS,
    apply: () =>
      patchMethod(
        RaftCore.prototype,
        'takeEffects',
        (original) =>
          function (this: RaftCore) {
            const effects = original.call(this);
            const messages = [...effects.messages, ...effects.messagesAfterPersist];
            return { ...effects, messages, messagesAfterPersist: [] };
          },
      ),
  },
  {
    name: 'leader-counts-itself-unsynced',
    sentence: 'The leader counts its own copy of an entry before its disk has it.',
    focus: STALLED_DISKS,
    apply: () =>
      patchMethod(
        RaftCore.prototype,
        'propose',
        (original) =>
          function (this: RaftCore, payload, nowMs) {
            const outcome = original.call(this, payload, nowMs);
            if (outcome.accepted) this.persisted(outcome.index, outcome.term);
            return outcome;
          },
      ),
  },
  {
    name: 'minority-is-enough',
    sentence: 'One member less than a majority elects, confirms reads and keeps a leader in office.',
    focus: {},
    apply: () =>
      patchMethod(
        VoterSet.prototype,
        'hasMajority',
        () =>
          function (this: VoterSet, predicate) {
            return this.members.filter(predicate).length * 2 >= this.members.length - 1;
          },
      ),
  },
  {
    name: 'commit-without-majority',
    sentence: 'An entry counts as committed when one member has it.',
    focus: {},
    apply: () =>
      patchMethod(
        VoterSet.prototype,
        'committedIndex',
        () =>
          function (this: VoterSet, matchOf) {
            return Math.max(...this.members.map(matchOf));
          },
      ),
  },
  {
    name: 'reads-without-barrier',
    sentence: 'A leader answers reads without asking whether it still leads.',
    focus: STALE_LEADERS,
    apply: () => patchMethod(LeaderReads.prototype, 'leaseHolds', () => () => true),
  },
  {
    name: 'votes-for-anyone',
    sentence: 'A vote is given whoever had it already.',
    focus: RESTARTS,
    apply: () =>
      undoAll([
        patchMethod(
          Election.prototype,
          'mayVote',
          () =>
            function (this: Election) {
              return true;
            },
        ),
        patchMethod(
          RaftState.prototype,
          'vote',
          (original) =>
            function (this: RaftState, candidate) {
              if (this.votedFor === '') original.call(this, candidate);
            },
        ),
      ]),
  },
  {
    name: 'votes-for-short-logs',
    sentence: 'A vote is given to a candidate whose log is behind.',
    focus: STALE_LEADERS,
    apply: () => patchMethod(RaftState.prototype, 'isUpToDate', () => () => true),
  },
  {
    name: 'sessions-forgotten',
    sentence: 'A repeated command is not recognized and happens again.',
    focus: RESTARTS,
    apply: () =>
      patchMethod(
        SessionTable.prototype,
        'use',
        () => (key, floor, nowMs) => new Session(key, floor, nowMs, { rememberedBytes: 0 }),
      ),
  },
  {
    name: 'time-of-the-own-clock',
    sentence: 'A replica applies entries by its own clock instead of the time that stands in the log.',
    focus: {},
    apply: () =>
      patchHidden(DataReplica.prototype, 'applyEntry', (receiver, [entry], next) =>
        next([stampedByOwnClock(receiver, entry)]),
      ),
  },
  {
    name: 'follower-skips-entries',
    sentence: 'A follower leaves out one entry in thirty.',
    focus: {},
    apply: () =>
      patchHidden(DataReplica.prototype, 'applyEntry', (receiver, [entry], next) => {
        const skips = receiver instanceof DataReplica && !receiver.leading;
        return next([
          skips && isEntry(entry) && entry.index % 30 === 0 ? { ...entry, payload: EMPTY } : entry,
        ]);
      }),
  },
  {
    name: 'snapshot-misses-slots',
    sentence: 'A snapshot leaves out the keys of one slot in eight.',
    focus: SNAPSHOTS,
    apply: () =>
      patchMethod(
        BucketKeySpace.prototype,
        'scanSlot',
        (original) =>
          function (this: BucketKeySpace, slot, visitor) {
            if (slot % 8 !== 0) original.call(this, slot, visitor);
          },
      ),
  },
  {
    name: 'snapshot-slots-applied-twice',
    sentence: 'Entries that a snapshot of a slot already reflects are applied to it once more.',
    focus: SNAPSHOTS,
    apply: () => patchMethod(stateMachinePrototype(), 'setSlotReflects', () => () => {}),
  },
  {
    name: 'compacts-beyond-checkpoint',
    sentence: 'The log is dropped as far as it was applied, not only as far as a checkpoint is durable.',
    focus: SNAPSHOTS,
    apply: () =>
      patchMethod(
        Replica.prototype as AnyReplica,
        'checkpointed',
        (original) =>
          function (this: AnyReplica, note) {
            return original.call(this, note) > 0 ? this.appliedIndex : 0;
          },
      ),
  },
  {
    name: 'follower-reads-without-barrier',
    sentence: 'A follower answers reads from its own state without asking the leader how far it must be.',
    focus: STALE_LEADERS,
    apply: () =>
      patchHidden(Replica.prototype, 'registerReads', (receiver, args, next) => {
        const [reads] = args;
        const serve: unknown = Reflect.get(receiver, 'serveRead');
        if (!(receiver instanceof Replica) || receiver.leading) return next(args);
        if (!Array.isArray(reads) || typeof serve !== 'function') return next(args);
        for (const read of reads) Reflect.apply(serve, receiver, [read]);
        return undefined;
      }),
  },
  {
    name: 'leader-never-beats',
    sentence: 'A leader sends no heartbeats and repeats nothing that was lost.',
    focus: {},
    apply: () => patchMethod(Replication.prototype, 'tick', () => () => {}),
  },
];

export const MUTATIONS: readonly Mutation[] = [...RAFT_MUTATIONS, ...EVENTUAL_MUTATIONS];

export function mutationByName(name: string): Mutation | undefined {
  return MUTATIONS.find((mutation) => mutation.name === name);
}
