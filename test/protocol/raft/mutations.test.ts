/**
 * Planted bugs: each must be caught by the faulty network within a bounded number of seeds, by one of its checks or by
 * an invariant of the core itself. A check that never caught anything proves nothing. (Bugs that need a rare chain of
 * events, as figure 8 of the paper, are left to `raft-paper.test.ts`, which plays the chain.)
 */
import { describe, expect, it, vi } from 'vitest';
import { Election } from '../../../src/protocol/raft/election.js';
import { LogView } from '../../../src/protocol/raft/log-view.js';
import { Outbox } from '../../../src/protocol/raft/outbox.js';
import { Progress } from '../../../src/protocol/raft/progress.js';
import { VoterSet } from '../../../src/protocol/raft/quorum.js';
import { LeaderReads } from '../../../src/protocol/raft/reads.js';
import { runSeed } from './swarm.js';

const MAX_SEEDS = 400;

const mutations: [string, () => void][] = [
  [
    'half of the voters pass for a majority',
    () => {
      vi.spyOn(VoterSet.prototype, 'hasMajority').mockImplementation(function (this: VoterSet, predicate) {
        return this.members.filter(predicate).length * 2 >= this.members.length - 1;
      });
    },
  ],
  [
    'an entry is committed when anybody has it',
    () => {
      vi.spyOn(VoterSet.prototype, 'committedIndex').mockImplementation(function (this: VoterSet, reached) {
        return Math.max(...this.members.map(reached));
      });
    },
  ],
  [
    'votes are given without a look at log or vote',
    () => {
      vi.spyOn(Election.prototype, 'mayVote').mockReturnValue(true);
    },
  ],
  [
    'promises leave before they are durable',
    () => {
      vi.spyOn(Outbox.prototype, 'sendAfterPersist').mockImplementation(function (this: Outbox, to, message) {
        this.send(to, message);
      });
    },
  ],
  [
    'reads are answered without proof of leadership',
    () => {
      vi.spyOn(LeaderReads.prototype, 'isConfirmed').mockReturnValue(true);
    },
  ],
  [
    'the lease lasts as long as the leader leads',
    () => {
      vi.spyOn(LeaderReads.prototype, 'leaseHolds').mockReturnValue(true);
    },
  ],
  [
    'a stale refusal sends the leader where the logs do not agree',
    () => {
      vi.spyOn(Progress.prototype, 'acknowledge').mockImplementation(function (this: Progress, index) {
        this.matchIndex = Math.max(this.matchIndex, index, this.nextIndex - 1);
        this.becomeReplicate();
        return true;
      });
    },
  ],
  [
    'a follower takes appends wherever its log is long enough',
    () => {
      const original = Object.getOwnPropertyDescriptor(LogView.prototype, 'term')?.value as (
        this: LogView,
        index: number,
      ) => number;
      vi.spyOn(LogView.prototype, 'term').mockImplementation(function (this: LogView, index) {
        return index > this.lastIndex ? this.lastTerm : original.call(this, index);
      });
    },
  ],
];

describe('planted bugs', () => {
  for (const [name, plant] of mutations)
    it(`are caught: ${name}`, () => {
      let caught = '';
      plant();
      try {
        for (let seed = 1; seed <= MAX_SEEDS && caught === ''; seed++) {
          try {
            runSeed(seed);
          } catch (error) {
            caught = `seed ${seed}: ${String(error)}`;
          }
        }
      } finally {
        vi.restoreAllMocks();
      }
      expect(caught).not.toBe('');
    });
});
