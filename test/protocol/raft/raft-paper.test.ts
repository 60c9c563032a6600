/** Table tests, grouped by the sections of the Raft paper (2014) and of Ongaro's thesis that they check. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../../src/base/errors.js';
import { RaftCore } from '../../../src/protocol/raft/core.js';
import type { RaftOptions } from '../../../src/protocol/raft/options.js';
import type {
  HardState,
  LogEntry,
  NodeId,
  OutgoingMessage,
  RaftEffects,
  RaftMessage,
} from '../../../src/protocol/raft/types.js';
import { MemoryLog } from './memory-log.js';

const ELECTION_TIMEOUT_MS = 100;

interface Setup {
  readonly voters?: readonly NodeId[];
  /** Terms of the entries 1, 2, ... in the log. */
  readonly terms?: readonly number[];
  readonly hardState?: HardState;
  readonly appliedIndex?: number;
  readonly options?: Partial<RaftOptions>;
}

/** One core, `n1`, with everything around it played by the test. */
class Bench {
  readonly log = new MemoryLog();
  readonly core: RaftCore;
  nowMs = 0;

  constructor(setup: Setup = {}) {
    const terms = setup.terms ?? [];
    this.log.append(terms.map((term, i) => entry(i + 1, term)));
    this.core = new RaftCore({
      id: 'n1',
      voters: setup.voters ?? ['n1', 'n2', 'n3'],
      learners: [],
      log: this.log,
      hardState: setup.hardState ?? { term: terms.at(-1) ?? 0, votedFor: '' },
      appliedIndex: setup.appliedIndex ?? 0,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      heartbeatIntervalMs: 20,
      maxAppendBytes: 1000,
      maxInflightAppends: 8,
      maxUncommittedBytes: 10_000,
      leaseReads: false,
      maxClockDrift: 0.1,
      random: () => 0,
      nowMs: 0,
      ...setup.options,
    });
  }

  /** Takes effects and writes them; the disk is not durable until `persist`. */
  take(): RaftEffects {
    const effects = this.core.takeEffects();
    this.log.append(effects.entries);
    if (effects.hardState !== undefined) this.log.saveHardState(effects.hardState);
    return effects;
  }

  persist(): void {
    this.core.persisted(this.log.lastIndex(), this.log.term(this.log.lastIndex()));
  }

  /** Gives a message and returns all that is sent in answer, once durable. */
  step(from: NodeId, message: RaftMessage): OutgoingMessage[] {
    this.core.step(from, message, this.nowMs);
    const effects = this.take();
    this.persist();
    return [...effects.messages, ...effects.messagesAfterPersist];
  }

  answer(from: NodeId, message: RaftMessage): RaftMessage | undefined {
    return this.step(from, message).find(({ to }) => to === from)?.message;
  }

  elapse(durationMs: number): RaftEffects[] {
    const all: RaftEffects[] = [];
    for (const endMs = this.nowMs + durationMs; this.nowMs < endMs; ) {
      this.nowMs += 10;
      this.core.tick(this.nowMs);
      if (this.core.hasEffects()) all.push(this.take());
    }
    return all;
  }

  lead(): void {
    this.elapse(ELECTION_TIMEOUT_MS);
    const { term } = this.core.status();
    this.step('n2', { kind: 'pre-vote-response', term: term + 1, granted: true });
    this.step('n2', { kind: 'vote-response', term: term + 1, granted: true });
    expect(this.core.status().role).toBe('leader');
  }
}

function entry(index: number, term: number, text = ''): LogEntry {
  return { index, term, payload: Buffer.from(text) };
}

function append(
  term: number,
  previous: readonly [index: number, term: number],
  entries: readonly LogEntry[],
  commitIndex = 0,
): RaftMessage {
  return {
    kind: 'append-request',
    term,
    previousIndex: previous[0],
    previousTerm: previous[1],
    commitIndex,
    entries,
  };
}

function accepted(term: number, index: number): RaftMessage {
  return { kind: 'append-response', term, success: true, index, hintIndex: 0, hintTerm: 0 };
}

function voteRequest(term: number, lastIndex: number, lastTerm: number, force = false): RaftMessage {
  return { kind: 'vote-request', term, lastIndex, lastTerm, force };
}

describe('section 5.1, terms', () => {
  it('a newer term makes a follower of whoever sees it, leaders included', () => {
    const bench = new Bench();
    bench.lead();
    bench.step('n3', { kind: 'heartbeat-response', term: 9, readRound: 0 });
    expect(bench.core.status()).toMatchObject({ role: 'follower', term: 9, leader: undefined });
    expect(bench.log.hardState).toEqual({ term: 9, votedFor: '' });
  });

  it('a leader of an older term is told the newer one and not obeyed', () => {
    const bench = new Bench({ hardState: { term: 5, votedFor: '' } });
    expect(bench.answer('n2', append(4, [0, 0], [entry(1, 4)]))).toMatchObject({ term: 5, success: false });
    expect(bench.answer('n2', { kind: 'heartbeat', term: 4, commitIndex: 0, readRound: 7 })).toEqual({
      kind: 'heartbeat-response',
      term: 5,
      readRound: 0,
    });
    expect(bench.log.lastIndex()).toBe(0);
  });

  it('a stranger is not listened to', () => {
    const bench = new Bench();
    expect(bench.step('n9', voteRequest(7, 100, 6, true))).toEqual([]);
    expect(bench.core.status().term).toBe(0);
  });
});

describe('section 5.2, leader election', () => {
  it('a vote is given to the first who asks in a term, and again to the same, but to no other', () => {
    const bench = new Bench();
    const request = voteRequest(1, 0, 0);
    expect(bench.answer('n2', request)).toMatchObject({ granted: true });
    expect(bench.answer('n3', request)).toMatchObject({ granted: false });
    expect(bench.answer('n2', request)).toMatchObject({ granted: true });
  });

  it('a vote that was given before a restart is remembered', () => {
    const bench = new Bench({ hardState: { term: 4, votedFor: 'n3' } });
    expect(bench.answer('n2', voteRequest(4, 0, 0))).toMatchObject({ granted: false });
    expect(bench.answer('n3', voteRequest(4, 0, 0))).toMatchObject({ granted: true });
  });

  it('a granted vote is handed out only with what must be durable before it', () => {
    const bench = new Bench();
    bench.core.step('n2', voteRequest(1, 0, 0), 0);
    const effects = bench.take();
    expect(effects.hardState).toEqual({ term: 1, votedFor: 'n2' });
    expect(effects.messages).toEqual([]);
    expect(effects.messagesAfterPersist).toHaveLength(1);
  });

  it('the wait before an election is drawn from one to two election time-outs', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), (chance) => {
        const bench = new Bench({ options: { random: () => chance } });
        const waitMs = ELECTION_TIMEOUT_MS * (1 + chance);
        while (bench.nowMs + 10 < waitMs) {
          bench.elapse(10);
          expect(bench.core.status().role).toBe('follower');
        }
        bench.elapse(10);
        expect(bench.core.status().role).toBe('pre-candidate');
      }),
      { numRuns: 30 },
    );
  });

  it('needs more than half of the voters, whatever their number', () => {
    for (const [size, needed] of [
      [2, 1],
      [3, 1],
      [4, 2],
      [5, 2],
    ] as const) {
      const voters = ['n1', 'n2', 'n3', 'n4', 'n5'].slice(0, size);
      const bench = new Bench({ voters });
      bench.elapse(ELECTION_TIMEOUT_MS);
      for (const id of voters.slice(1)) bench.step(id, { kind: 'pre-vote-response', term: 1, granted: true });
      for (let votes = 1; votes <= needed; votes++) {
        expect(bench.core.status().role, `${votes - 1} votes of ${size}`).toBe('candidate');
        bench.step(voters[votes]!, { kind: 'vote-response', term: 1, granted: true });
        bench.step(voters[votes]!, { kind: 'vote-response', term: 1, granted: true });
      }
      expect(bench.core.status().role, `${needed} votes of ${size}`).toBe('leader');
    }
  });

  it('a candidate that meets the leader of its term follows it', () => {
    const bench = new Bench();
    bench.elapse(ELECTION_TIMEOUT_MS);
    bench.step('n3', { kind: 'pre-vote-response', term: 1, granted: true });
    expect(bench.core.status().role).toBe('candidate');
    bench.step('n2', append(1, [0, 0], [entry(1, 1)]));
    expect(bench.core.status()).toMatchObject({ role: 'follower', term: 1, leader: 'n2' });
  });

  it('two leaders in one term stop the replica that sees them', () => {
    const bench = new Bench();
    bench.step('n2', append(1, [0, 0], []));
    expect(() => bench.step('n3', append(1, [0, 0], []))).toThrow(InvariantViolation);
  });
});

describe('section 5.3, log replication', () => {
  const log = [1, 1, 2, 2, 2];
  const cases: [string, RaftMessage, object, number[]][] = [
    ['follows on', append(3, [5, 2], [entry(6, 3)]), { success: true, index: 6 }, [1, 1, 2, 2, 2, 3]],
    ['is a repeat', append(3, [1, 1], [entry(2, 1), entry(3, 2)]), { success: true, index: 3 }, log],
    ['is empty', append(3, [4, 2], []), { success: true, index: 4 }, log],
    ['contradicts', append(3, [3, 2], [entry(4, 3)]), { success: true, index: 4 }, [1, 1, 2, 3]],
    [
      'contradicts after a common part',
      append(3, [2, 1], [entry(3, 2), entry(4, 3), entry(5, 3)]),
      { success: true, index: 5 },
      [1, 1, 2, 3, 3],
    ],
    ['leaves a gap', append(3, [7, 2], []), { success: false, index: 7, hintIndex: 5, hintTerm: 2 }, log],
    [
      'follows an entry of a newer term than ours',
      append(4, [5, 3], []),
      { success: false, index: 5, hintIndex: 5, hintTerm: 2 },
      log,
    ],
    [
      'follows an entry of an older term than ours',
      append(4, [5, 1], []),
      { success: false, index: 5, hintIndex: 2, hintTerm: 1 },
      log,
    ],
  ];
  for (const [name, message, expected, terms] of cases)
    it(`an append that ${name} is answered and leaves the log as figure 2 says`, () => {
      const bench = new Bench({ terms: log });
      expect(bench.answer('n2', message)).toMatchObject(expected);
      const left = Array.from({ length: bench.log.lastIndex() }, (_, i) => bench.log.term(i + 1));
      expect(left).toEqual(terms);
    });

  it('an append that begins before the commit index counts from there', () => {
    const bench = new Bench({ terms: [1, 1, 1], appliedIndex: 3 });
    bench.log.compact(3);
    expect(bench.answer('n2', append(2, [1, 1], [entry(2, 1), entry(3, 1), entry(4, 2)]))).toMatchObject({
      success: true,
      index: 4,
    });
    // Of what is older than that, no more is confirmed than is certain.
    expect(bench.answer('n2', append(2, [0, 0], [entry(1, 1)]))).toMatchObject({ success: true, index: 3 });
  });

  it('a leader that contradicts what is committed stops the replica', () => {
    const bench = new Bench({ terms: [1, 1], appliedIndex: 2 });
    expect(() => bench.step('n2', append(3, [1, 1], [entry(2, 3)]))).toThrow(InvariantViolation);
  });

  it('the commit index follows the leader only as far as the log is known to agree', () => {
    const bench = new Bench({ terms: [1, 1, 1] });
    bench.step('n2', { kind: 'heartbeat', term: 2, commitIndex: 3, readRound: 0 });
    expect(bench.core.status().commitIndex).toBe(0);
    bench.step('n2', append(2, [1, 1], [entry(2, 1)], 3));
    expect(bench.core.status().commitIndex).toBe(2);
    bench.step('n2', { kind: 'heartbeat', term: 2, commitIndex: 3, readRound: 0 });
    expect(bench.core.status().commitIndex).toBe(2);
  });

  it('entries are handed out to be applied once, in order, and not before they are durable', () => {
    const bench = new Bench();
    bench.core.step('n2', append(1, [0, 0], [entry(1, 1, 'a'), entry(2, 1, 'b')], 2), 0);
    expect(bench.take().committed).toEqual([]);
    bench.persist();
    expect(bench.take().committed.map(({ payload }) => payload.toString())).toEqual(['a', 'b']);
    expect(bench.take().committed).toEqual([]);
  });

  it('a report of durability from before a truncation counts for nothing', () => {
    const bench = new Bench();
    bench.core.step('n2', append(1, [0, 0], [entry(1, 1), entry(2, 1)]), 0);
    bench.take();
    bench.core.step('n3', append(2, [0, 0], [entry(1, 2), entry(2, 2)], 2), 0);
    bench.take();
    bench.core.persisted(2, 1);
    expect(bench.take().committed).toEqual([]);
    bench.core.persisted(2, 2);
    expect(bench.take().committed).toHaveLength(2);
  });
});

describe('section 5.4.1, election restriction', () => {
  const cases: [string, number, number, boolean][] = [
    ['ends in a newer term', 1, 3, true],
    ['is as long and ends in the same term', 3, 2, true],
    ['is longer and ends in the same term', 4, 2, true],
    ['is shorter and ends in the same term', 2, 2, false],
    ['is longer and ends in an older term', 9, 1, false],
  ];
  for (const [name, lastIndex, lastTerm, granted] of cases)
    it(`a candidate whose log ${name} gets ${granted ? 'the vote' : 'no vote'}, and likewise the pre-vote`, () => {
      const bench = new Bench({ terms: [1, 1, 2] });
      expect(
        bench.answer('n2', { kind: 'pre-vote-request', term: 4, lastIndex, lastTerm, force: false }),
      ).toMatchObject({ granted });
      expect(bench.answer('n2', voteRequest(4, lastIndex, lastTerm))).toMatchObject({ granted });
    });
});

describe('section 5.4.2, entries of earlier terms', () => {
  it('are not committed by counting, only together with one of the own term (figure 8)', () => {
    const bench = new Bench({ terms: [1, 2] });
    bench.lead();
    const { term } = bench.core.status();
    bench.step('n3', accepted(term, 2));
    expect(bench.core.status().commitIndex).toBe(0);
    bench.step('n3', accepted(term, 3));
    expect(bench.core.status().commitIndex).toBe(3);
  });

  it('a late acknowledgement moves nothing back', () => {
    const bench = new Bench();
    bench.lead();
    bench.core.propose(Buffer.from('a'), bench.nowMs);
    bench.take();
    bench.persist();
    bench.step('n2', accepted(1, 2));
    bench.step('n2', accepted(1, 1));
    expect(bench.core.status().matchIndexes.get('n2')).toBe(2);
    expect(bench.core.status().commitIndex).toBe(2);
  });
});

describe('section 7, log compaction', () => {
  it('a snapshot within the own log leaves the entries after it alone', () => {
    const bench = new Bench({ terms: [1, 1, 1, 1] });
    bench.step('n2', append(1, [4, 1], []));
    expect(bench.core.planRestore(2, 1)).toBe('keep-log');
    bench.core.restore(2, 1);
    expect(bench.core.status()).toMatchObject({ commitIndex: 2, appliedIndex: 2, lastIndex: 4 });
    bench.step('n2', { kind: 'heartbeat', term: 1, commitIndex: 3, readRound: 0 });
    expect(bench.core.status().commitIndex).toBe(3);
  });

  it('a snapshot beyond the own log replaces it and is acknowledged to the leader', () => {
    const bench = new Bench({ terms: [1] });
    bench.step('n2', append(3, [9, 3], []));
    expect(bench.core.planRestore(8, 2)).toBe('reset-log');
    bench.log.resetTo(8, 2);
    bench.core.restore(8, 2);
    expect(bench.take().messagesAfterPersist).toEqual([{ to: 'n2', message: accepted(3, 8) }]);
    expect(bench.answer('n2', append(3, [8, 2], [entry(9, 3)]))).toMatchObject({ success: true, index: 9 });
  });

  it('a snapshot that is no newer than the state is only acknowledged', () => {
    const bench = new Bench({ terms: [1, 1, 1], appliedIndex: 3 });
    bench.step('n2', append(1, [3, 1], []));
    expect(bench.core.planRestore(2, 1)).toBe('ignore');
    bench.core.restore(2, 1);
    expect(bench.core.status().appliedIndex).toBe(3);
    expect(bench.take().messagesAfterPersist).toEqual([{ to: 'n2', message: accepted(1, 3) }]);
  });
});

describe('section 8 and thesis 6.4, client interaction', () => {
  it('a follower takes no proposals', () => {
    expect(new Bench().core.propose(Buffer.from('a'), 0)).toEqual({ accepted: false, reason: 'not-leader' });
  });

  it('a read is refused at once where no leader is known', () => {
    const bench = new Bench();
    bench.core.requestRead(7, 0);
    expect(bench.take().readsReady).toEqual([{ id: 7, index: -1 }]);
  });

  it('an answer to a read from before a restart is not taken for an answer to a later one', () => {
    const heartbeat: RaftMessage = { kind: 'heartbeat', term: 1, commitIndex: 0, readRound: 0 };
    const before = new Bench({ options: { random: () => 0.25 } });
    before.step('n2', heartbeat);
    before.core.requestRead(1, 0);
    const asked = before.take().messages[0]!.message;
    if (asked.kind !== 'read-index-request') throw new Error('the read was not forwarded');
    const after = new Bench({ options: { random: () => 0.75 } });
    after.step('n2', heartbeat);
    after.core.requestRead(1, 0);
    after.take();
    after.core.step('n2', { kind: 'read-index-response', term: 1, id: asked.id, index: 0 }, 0);
    expect(after.take().readsReady).toEqual([]);
  });

  it('a read whose question or answer was lost is refused after an election time-out', () => {
    const bench = new Bench();
    bench.step('n2', { kind: 'heartbeat', term: 1, commitIndex: 0, readRound: 0 });
    bench.core.requestRead(1, 0);
    bench.take();
    expect(bench.elapse(ELECTION_TIMEOUT_MS).flatMap(({ readsReady }) => readsReady)).toEqual([
      { id: 1, index: -1 },
    ]);
  });

  it('reads that wait with a leader are refused as soon as it leads no more, those of others too', () => {
    const bench = new Bench();
    bench.lead();
    bench.core.requestRead(1, bench.nowMs);
    bench.core.step('n3', { kind: 'read-index-request', term: 1, id: 55 }, bench.nowMs);
    bench.core.step('n2', append(2, [0, 0], []), bench.nowMs);
    const effects = bench.take();
    expect(effects.readsReady).toEqual([{ id: 1, index: -1 }]);
    expect(effects.messages).toContainEqual({
      to: 'n3',
      message: { kind: 'read-index-response', term: 1, id: 55, index: -1 },
    });
  });
});

describe('thesis 6.4.1, leases', () => {
  it('a node that keeps leases gives no vote for an election time-out after its start, unless the leader hands over', () => {
    const bench = new Bench({ options: { leaseReads: true } });
    expect(bench.answer('n2', voteRequest(1, 0, 0))).toBeUndefined();
    expect(bench.answer('n3', voteRequest(1, 0, 0, true))).toMatchObject({ granted: true });
    const later = new Bench({ options: { leaseReads: true } });
    later.nowMs = ELECTION_TIMEOUT_MS;
    expect(later.answer('n2', voteRequest(1, 0, 0))).toMatchObject({ granted: true });
  });
});

describe('thesis 4.2.3 and 9.6, disruptive servers', () => {
  it('whoever hears a leader gives neither vote nor pre-vote and keeps its term', () => {
    const bench = new Bench();
    bench.step('n2', append(1, [0, 0], []));
    bench.nowMs = ELECTION_TIMEOUT_MS - 1;
    expect(bench.answer('n3', voteRequest(5, 9, 4))).toBeUndefined();
    expect(
      bench.answer('n3', { kind: 'pre-vote-request', term: 5, lastIndex: 9, lastTerm: 4, force: false }),
    ).toMatchObject({ granted: false, term: 1 });
    expect(bench.core.status()).toMatchObject({ term: 1, leader: 'n2' });
    bench.nowMs = ELECTION_TIMEOUT_MS;
    expect(bench.answer('n3', voteRequest(5, 9, 4))).toMatchObject({ granted: true });
  });

  it('a pre-vote changes neither the term nor the vote of who gives it', () => {
    const bench = new Bench();
    expect(
      bench.answer('n2', { kind: 'pre-vote-request', term: 1, lastIndex: 0, lastTerm: 0, force: false }),
    ).toMatchObject({ granted: true });
    expect(bench.core.status().term).toBe(0);
    expect(bench.log.hardState).toEqual({ term: 0, votedFor: '' });
  });
});

describe('an event loop that stood still', () => {
  it('campaigns only after what was sent to it meanwhile could be read', () => {
    const bench = new Bench();
    bench.step('n2', append(1, [0, 0], []));
    bench.core.tick(5000);
    expect(bench.core.status().leader).toBe('n2');
    bench.core.step('n2', { kind: 'heartbeat', term: 1, commitIndex: 0, readRound: 0 }, 5001);
    bench.core.tick(5025);
    expect(bench.core.status()).toMatchObject({ role: 'follower', leader: 'n2' });
  });

  it('campaigns all the same when the leader stays silent', () => {
    const bench = new Bench();
    bench.step('n2', append(1, [0, 0], []));
    bench.core.tick(5000);
    bench.core.tick(5010);
    bench.core.tick(5021);
    expect(bench.core.status().role).toBe('pre-candidate');
  });
});

describe('the recovered state', () => {
  it('must lie within the recovered log', () => {
    expect(() => new Bench({ terms: [1, 1], appliedIndex: 3 })).toThrow(InvariantViolation);
  });

  it('takes the term of its log when that is ahead of what was saved', () => {
    const bench = new Bench({ terms: [1, 4], hardState: { term: 2, votedFor: 'n3' } });
    expect(bench.core.status().term).toBe(4);
    expect(bench.take().hardState).toEqual({ term: 4, votedFor: '' });
  });
});

describe('effects', () => {
  it('cost nothing when nothing has happened', () => {
    const bench = new Bench();
    expect(bench.core.hasEffects()).toBe(false);
    expect(bench.core.takeEffects()).toBe(bench.core.takeEffects());
  });

  it('gather the proposals of a turn in one append for each follower', () => {
    const bench = new Bench();
    bench.lead();
    bench.step('n2', accepted(1, 1));
    bench.step('n3', accepted(1, 1));
    for (const text of ['a', 'b', 'c']) bench.core.propose(Buffer.from(text), bench.nowMs);
    const { messages, entries } = bench.take();
    expect(entries).toHaveLength(3);
    expect(messages.map(({ to, message }) => [to, 'entries' in message && message.entries.length])).toEqual([
      ['n2', 3],
      ['n3', 3],
    ]);
  });
});
