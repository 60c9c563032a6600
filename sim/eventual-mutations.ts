/** Planted bugs of the eventual buckets, in the manner of `mutations.ts`. */

import { tokenOf } from '../src/base/slots.js';
import { AntiEntropy } from '../src/protocol/quorum/anti-entropy.js';
import { PurgeDriver } from '../src/protocol/quorum/anti-entropy-purge.js';
import { QuorumCore } from '../src/protocol/quorum/core.js';
import { Filling } from '../src/protocol/quorum/filling.js';
import { Mending } from '../src/protocol/quorum/mending.js';
import { Participant } from '../src/protocol/quorum/participant.js';
import {
  isDead,
  type MutationPurpose,
  type QuorumRead,
  type QuorumRecord,
} from '../src/protocol/quorum/types.js';
import { Writes } from '../src/protocol/quorum/writes.js';
import { QuorumStore } from '../src/store/quorum/quorum-store.js';
import { StoredBucket } from '../src/store/quorum/stored-bucket.js';
import type { Mutation } from './mutation.js';
import { patchMethod, undoAll } from './patch.js';
import type { Focus } from './swarm.js';

/** Nothing but eventual buckets, on clocks that agree. */
const EVENTUAL: Focus = {
  eventualClients: 6,
  looseClients: 0,
  transferClients: 0,
  registerClients: 2,
  counterClients: 0,
  writeOnceClients: 0,
  expiryClients: 0,
  bucketClients: 0,
  clockSkewMaxMs: 0,
  clockDriftMax: 0,
  clockJumpEveryMs: 0,
  wrongClockMs: 0,
  wipeWithinMs: 0,
  quorum: { antiEntropy: true, maxClockDriftMs: 500 },
};

/** One node after the other is away for longer than deleted keys are kept in mind. */
const LONG_ABSENCES: Focus = {
  ...EVENTUAL,
  crashEveryMs: 0,
  massCrashRate: 0,
  partitionEveryMs: 0,
  awayEveryMs: 1000,
  awayMeanMs: 8_000,
  thinkMeanMs: 30,
  quorum: {
    ...EVENTUAL.quorum,
    readRepair: false,
    hintedHandoff: false,
    maxClockDriftMs: 100,
    maxHintAgeMs: 500,
    tombstoneGraceMs: 500,
    repairIntervalMs: 200,
  },
};

const CUT_OFF: Focus = {
  ...EVENTUAL,
  crashEveryMs: 0,
  partitionEveryMs: 300,
  partitionMeanMs: 300,
  oneWayRate: 0.3,
  thinkMeanMs: 1,
  homeRate: 0,
  clientTimeoutMs: 3000,
  quorum: {
    ...EVENTUAL.quorum,
    readRepair: true,
    hintedHandoff: true,
    timeoutMs: 200,
    maxHintAgeMs: 20_000,
    tombstoneGraceMs: 20_000,
    maxHintBytes: 256 * 1024,
    repairIntervalMs: 3000,
  },
};

const UNSYNCED: Focus = {
  ...EVENTUAL,
  crashEveryMs: 0,
  powerLossRate: 1,
  diskStallEveryMs: 500,
  diskStallMeanMs: 200,
  thinkMeanMs: 1,
  quorum: { ...EVENTUAL.quorum, hintedHandoff: false },
};

/** Mutations that are lost on their way to one replica are missing there until replicas are compared. */
const LOSSES: Focus = {
  ...EVENTUAL,
  looseClients: 6,
  crashEveryMs: 0,
  partitionEveryMs: 0,
  pauseEveryMs: 0,
  thinkMeanMs: 10,
  homeRate: 0,
  network: { dropRate: 0.08 },
  quorum: {
    ...EVENTUAL.quorum,
    readRepair: true,
    readRepairChance: 0,
    hintedHandoff: false,
    timeoutMs: 200,
    repairIntervalMs: 3000,
  },
};

/** The copies of a write that count are lost with the power, and another was lost on its way. */
const UNSYNCED_AND_LOST: Focus = {
  ...UNSYNCED,
  crashEveryMs: 200,
  downMeanMs: 50,
  disk: { syncMeanMs: 25 },
  network: { dropRate: 0.15 },
  quorum: { ...LOSSES.quorum, readRepair: false },
};

/** A disk is lost, and mutations are lost on their way: of some writes the empty node had one of two copies. */
const WIPED: Focus = {
  ...LOSSES,
  eventualClients: 16,
  looseClients: 0,
  registerClients: 0,
  wipeWithinMs: 4000,
  wipeAgainMeanMs: 0,
  thinkMeanMs: 20,
  network: { dropRate: 0.15 },
  quorum: {
    ...LOSSES.quorum,
    readRepair: false,
    repairIntervalMs: 10_000,
  },
};

/** The node with the empty disk takes long to be filled, has written back by then, and dies once more. */
const WIPED_AND_KILLED: Focus = {
  ...WIPED,
  wipeWithinMs: 1000,
  crashEveryMs: 2500,
  massCrashRate: 1,
  downMeanMs: 50,
  checkpointIntervalMs: 500,
  limits: { journalWriteBackMs: 500 },
  quorum: { ...WIPED.quorum, timeoutMs: 3000 },
};

const SKEWED: Focus = {
  ...EVENTUAL,
  clockSkewMaxMs: 2000,
  homeRate: 0,
  thinkMeanMs: 1,
  quorum: { ...EVENTUAL.quorum, maxClockDriftMs: 10_000 },
};

/** Further ahead than any drift that is configured. */
const FAR_AHEAD_MS = 1e9;

/** A read that is satisfied with one answer. */
function satisfiedWithOne(read: QuorumRead): QuorumRead {
  return {
    bucketId: read.bucketId,
    key: read.key,
    replicas: read.replicas,
    r: 1,
    repair: read.repair,
    found: (record) => read.found(record),
    failed: (reason) => read.failed(reason),
  };
}

/** What travels for this purpose replaces whatever is there. */
function overwriteBy(purpose: MutationPurpose): () => void {
  let overwrites = false;
  return undoAll([
    patchMethod(
      Participant.prototype,
      'mutate',
      (original) =>
        function (this: Participant, from, message) {
          overwrites = message.purpose === purpose;
          original.call(this, from, message);
          overwrites = false;
        },
    ),
    patchMethod(
      StoredBucket.prototype,
      'merge',
      (original) =>
        function (this: StoredBucket, key, value, version, expiresAtMs, nowMs) {
          if (overwrites) this.engine.remove(tokenOf(key), key);
          return original.call(this, key, value, version, expiresAtMs, nowMs);
        },
    ),
  ]);
}

/** Repairs of a key carry what the repair before carried. */
function repairWithOlder(): () => void {
  const records = new WeakMap<Mending, Map<string, QuorumRecord>>();
  return patchMethod(
    Mending.prototype,
    'mend',
    (original) =>
      function (this: Mending, peer, read, member, record) {
        const last = records.get(this) ?? new Map<string, QuorumRecord>();
        records.set(this, last);
        const name = `${read.read.bucketId}/${read.read.key.toString('latin1')}`;
        const older = last.get(name) ?? record;
        last.set(name, record);
        original.call(this, peer, read, member, older);
      },
  );
}

export const EVENTUAL_MUTATIONS: readonly Mutation[] = [
  {
    name: 'wiped-replica-answers',
    sentence: 'A replica that has lost its disk answers reads at once.',
    focus: WIPED,
    apply: () => patchMethod(Filling.prototype, 'isFilling', () => () => false),
  },
  {
    name: 'filled-is-noted-too-soon',
    sentence: 'A checkpoint says that a replica without its disk is filled before it is.',
    focus: WIPED_AND_KILLED,
    apply: () =>
      patchMethod(
        QuorumStore.prototype,
        'encodeHead',
        (original) =>
          function (this: QuorumStore) {
            const { filled } = this;
            this.filled = true;
            const head = original.call(this);
            this.filled = filled;
            return head;
          },
      ),
  },
  {
    name: 'repair-ignores-tombstones',
    sentence: 'Anti-entropy does not take deleted keys from other replicas.',
    focus: LONG_ABSENCES,
    apply: () =>
      patchMethod(
        StoredBucket.prototype,
        'mergeRepaired',
        (original) =>
          function (this: StoredBucket, key, value, version, expiresAtMs, nowMs) {
            if (isDead({ expiresAtMs }, nowMs)) return 'older';
            return original.call(this, key, value, version, expiresAtMs, nowMs);
          },
      ),
  },
  {
    name: 'purge-without-agreement',
    sentence: 'Tombstones are purged although a replica does not hold them.',
    focus: LONG_ABSENCES,
    apply: () =>
      undoAll([
        patchMethod(PurgeDriver.prototype, 'mayPurge', () => () => true),
        patchMethod(
          StoredBucket.prototype,
          'purge',
          (original) =>
            function (this: StoredBucket, slot, _digest, throughMs) {
              return original.call(this, slot, undefined, throughMs);
            },
        ),
      ]),
  },
  {
    name: 'hints-overwrite',
    sentence: 'A hint replaces what its target holds, newer or not.',
    focus: CUT_OFF,
    apply: () => overwriteBy('hint'),
  },
  {
    name: 'drift-is-not-refused',
    sentence: 'A replica takes versions from any future, and sets its clock by them.',
    focus: {
      ...EVENTUAL,
      wrongClockMs: 10_000,
      quorum: { ...EVENTUAL.quorum, maxClockDriftMs: 500 },
    },
    apply: () =>
      undoAll([
        patchMethod(
          QuorumCore.prototype,
          'step',
          (original) =>
            function (this: QuorumCore, from, message, nowMs, wallMs) {
              const seenMs = message.kind === 'mutate' ? wallMs + FAR_AHEAD_MS : wallMs;
              original.call(this, from, message, nowMs, seenMs);
            },
        ),
        patchMethod(
          AntiEntropy.prototype,
          'step',
          (original) =>
            function (this: AntiEntropy, from, body, nowMs, wallMs) {
              original.call(this, from, body, nowMs, wallMs + FAR_AHEAD_MS);
            },
        ),
      ]),
  },
  {
    name: 'replicas-acknowledge-unsynced',
    sentence: 'A replica acknowledges a write before its journal has it.',
    focus: UNSYNCED,
    apply: () =>
      patchMethod(
        QuorumCore.prototype,
        'takeEffects',
        (original) =>
          function (this: QuorumCore) {
            const effects = original.call(this);
            const messages = [...effects.messages, ...effects.messagesAfterPersist];
            return { ...effects, messages, messagesAfterPersist: [] };
          },
      ),
  },
  {
    name: 'coordinator-counts-itself-unsynced',
    sentence: 'A coordinator counts its own copy of a write before its journal has it.',
    focus: UNSYNCED_AND_LOST,
    apply: () =>
      patchMethod(
        QuorumCore.prototype,
        'takeEffects',
        (original) =>
          function (this: QuorumCore) {
            const effects = original.call(this);
            if (effects.persistToken !== 0) this.persisted(effects.persistToken);
            return effects;
          },
      ),
  },
  {
    name: 'reads-ask-one-replica',
    sentence: 'A read answers before r replicas have.',
    focus: CUT_OFF,
    apply: () =>
      patchMethod(
        QuorumCore.prototype,
        'read',
        (original) =>
          function (this: QuorumCore, read, nowMs, wallMs) {
            original.call(this, satisfiedWithOne(read), nowMs, wallMs);
          },
      ),
  },
  {
    name: 'restamp-is-skipped',
    sentence: 'A write that met a newer version is acknowledged all the same.',
    focus: SKEWED,
    apply: () =>
      patchMethod(
        Writes.prototype,
        'acknowledged',
        (original) =>
          function (this: Writes, peer, id, notes) {
            return original.call(
              this,
              peer,
              id,
              notes.filter(({ what }) => what !== 'newer'),
            );
          },
      ),
  },
  {
    name: 'read-repair-with-the-older',
    sentence: 'Read repair replaces what a replica holds by an older record than the newest one.',
    focus: LOSSES,
    apply: () => undoAll([overwriteBy('repair'), repairWithOlder()]),
  },
];
