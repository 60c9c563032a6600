/**
 * Planted bugs: a checker that has never caught one is not a checker. Each mutation changes real code from outside while
 * a run lasts, and the simulator must find it within a bounded number of seeds (`test/sim/mutations.test.ts`).
 */

import { RaftCore } from '../src/protocol/raft/core.js';
import { Election } from '../src/protocol/raft/election.js';
import { VoterSet } from '../src/protocol/raft/quorum.js';
import { LeaderReads } from '../src/protocol/raft/reads.js';
import { Replication } from '../src/protocol/raft/replication.js';
import { RaftState } from '../src/protocol/raft/state.js';
import { Inode } from './inode.js';
import { patchMethod, undoAll } from './patch.js';

export interface Mutation {
  readonly name: string;
  /** What is wrong, as one sentence. */
  readonly sentence: string;
  /** Plants the bug; returns how to take it out again. */
  apply(): () => void;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'sync-does-nothing',
    sentence: 'The disk answers that a sync is done and writes nothing.',
    apply: () => patchMethod(Inode.prototype, 'finishSync', () => () => {}),
  },
  {
    name: 'promises-before-sync',
    sentence: 'Votes and acknowledgements are sent before what they promise is durable.',
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
    apply: () => patchMethod(LeaderReads.prototype, 'isConfirmed', () => () => true),
  },
  {
    name: 'lease-never-ends',
    sentence: 'A leader under a lease believes in it for good.',
    apply: () => patchMethod(LeaderReads.prototype, 'leaseHolds', () => () => true),
  },
  {
    name: 'votes-for-anyone',
    sentence: 'A vote is given whoever had it already.',
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
    apply: () => patchMethod(RaftState.prototype, 'isUpToDate', () => () => true),
  },
  {
    name: 'old-terms-committed-by-counting',
    sentence: 'Entries of earlier terms are committed by counting copies (figure 8).',
    apply: () => patchMethod(Replication.prototype, 'mayCommit', () => () => true),
  },
  {
    name: 'stale-acknowledgements-counted',
    sentence: 'Acknowledgements from earlier terms are taken for those of the present one.',
    apply: () =>
      patchMethod(
        RaftCore.prototype,
        'step',
        (original) =>
          function (this: RaftCore, from, message, nowMs) {
            const { term } = this.status();
            const stale = message.kind === 'append-response' && message.term < term;
            original.call(this, from, stale ? { ...message, term } : message, nowMs);
          },
      ),
  },
];

/** Plants a bug by name; returns how to take it out again. */
export function applyMutation(name: string): () => void {
  const mutation = MUTATIONS.find((candidate) => candidate.name === name);
  if (mutation === undefined) throw new RangeError(`no mutation ${name}`);
  return mutation.apply();
}
