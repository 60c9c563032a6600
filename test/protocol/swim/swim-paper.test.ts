/**
 * The sections of the papers as tests: Das, Gupta and Motivala, "SWIM" (DSN 2002); Dadgar, Phillips and Currey,
 * "Lifeguard" (2018).
 */
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { SWIM_TIMING } from '../../../src/protocol/swim/options.js';
import type { LoadDigest, MemberState } from '../../../src/protocol/swim/types.js';
import { Single, TICK_MS, update } from './single.js';

const { periodMs, pingTimeoutMs, indirectProbes, suspicionMultiplier, suspicionMaxMultiplier } = SWIM_TIMING;
const OTHERS = ['b', 'c', 'd', 'e', 'f'];

const digest = (requestsPerSecond: number): LoadDigest => ({
  loopLagMs: 3,
  requestsPerSecond,
  memoryBytes: 1_000_000,
  readP99Ms: 0.25,
  epoch: 4,
});

describe('SWIM 3.1: the failure detector', () => {
  test('pings one member in each period', () => {
    const node = new Single(OTHERS);
    node.sent();
    node.advance(10 * periodMs, OTHERS);
    expect(node.sentOf('ping')).toHaveLength(10);
  });

  test('answers a ping with an ack of the same number', () => {
    const node = new Single(OTHERS);
    node.sent();
    node.hear('c', 'ping', { sequence: 77 });
    expect(node.sent()).toMatchObject([{ to: 'c', message: { kind: 'ack', sequence: 77, incarnation: 1 } }]);
  });

  test('asks others to ping a member that does not answer, and pings it once more itself', () => {
    const node = new Single(OTHERS);
    const [first] = node.sentOf('ping');
    node.advance(pingTimeoutMs - TICK_MS / 2);
    expect(node.sent()).toEqual([]);
    node.advance(TICK_MS);
    const sent = node.sent();
    const requests = sent.filter(({ message }) => message.kind === 'ping-request');
    expect(new Set(requests.map(({ to }) => to)).size).toBe(indirectProbes);
    for (const { to, message } of requests) {
      expect(to).not.toBe(first!.to);
      expect(message).toMatchObject({ target: first!.to, sequence: first!.message.sequence });
    }
    const again = sent.filter(({ message }) => message.kind === 'ping');
    expect(again).toMatchObject([{ to: first!.to, message: { sequence: first!.message.sequence } }]);
  });

  test('does not suspect a member that answers one of those who were asked', () => {
    const node = new Single(OTHERS);
    const [probe] = node.sentOf('ping');
    node.advance(pingTimeoutMs + TICK_MS);
    const [request] = node.sentOf('ping-request');
    node.hear(request!.to, 'ack', { sequence: probe!.message.sequence });
    node.advance(periodMs, OTHERS);
    expect(node.events).toEqual([]);
  });

  test('suspects a member that has not answered when the period ends, not before', () => {
    const node = new Single(OTHERS);
    const [probe] = node.sentOf('ping');
    node.advance(periodMs - 1);
    expect(node.events).toEqual([]);
    node.advance(1);
    expect(node.events).toEqual([{ kind: 'suspect', node: probe!.to }]);
  });

  test.each([
    ['of somebody who was not asked', 'z', 0],
    ['of another number', undefined, 1],
  ])('counts no ack %s', (_name, from, shift) => {
    const node = new Single([...OTHERS, 'z']);
    let [probe] = node.sentOf('ping');
    while (probe!.to === 'z') {
      node.advance(periodMs, ['z']);
      [probe] = node.sentOf('ping');
    }
    node.hear(from ?? probe!.to, 'ack', { sequence: probe!.message.sequence + shift });
    node.advance(periodMs);
    expect(node.stateOf(probe!.to)).toBe('suspect');
  });

  test('pings for others, and passes the answer on under their number', () => {
    const node = new Single(OTHERS);
    node.sent();
    node.hearRequest('b', 900, 'c');
    const [ping] = node.sent();
    expect(ping).toMatchObject({ to: 'c', message: { kind: 'ping' } });
    expect(ping!.message.sequence).not.toBe(900);
    node.hear('d', 'ack', { sequence: ping!.message.sequence });
    expect(node.sent()).toEqual([]);
    node.hear('c', 'ack', { sequence: ping!.message.sequence });
    expect(node.sent()).toMatchObject([{ to: 'b', message: { kind: 'ack', sequence: 900 } }]);
  });

  test('pings nobody for others that it does not know, and no more at a time than it has room for', () => {
    const node = new Single(OTHERS);
    node.sent();
    node.hearRequest('b', 1, 'stranger');
    node.hearRequest('b', 1, 'a');
    expect(node.sent()).toEqual([]);
    for (let i = 0; i < LIMITS.maxSwimRelays + 5; i++) node.hearRequest('b', i, 'c');
    expect(node.sent()).toHaveLength(LIMITS.maxSwimRelays);
  });

  test('listens to no stranger', () => {
    const node = new Single(OTHERS);
    node.sent();
    node.hear('stranger', 'ping', { updates: [update('b', 'dead', 9)] });
    expect(node.sent()).toEqual([]);
    expect(node.events).toEqual([]);
  });
});

describe('SWIM 4.1: dissemination by piggybacking', () => {
  test('tells what it has heard with its own pings and acks, a bounded number of times', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 3, 'd')] });
    node.hear('b', 'ping', { updates: [update('c', 'alive', 4)] });
    node.sent();
    node.advance(20 * periodMs, OTHERS);
    const tellings = node
      .sent()
      .filter(({ message }) => message.updates.some(({ member }) => member === 'c'));
    // Six other members and itself.
    expect(tellings).toHaveLength(Math.ceil(3 * Math.log(7)) - 1);
  });

  test('prefers what it has told least often', () => {
    const node = new Single(OTHERS, { disseminationMultiplier: 2 });
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'd')] });
    node.hear('b', 'ping', { updates: [update('e', 'suspect', 1, 'd')] });
    node.sent();
    node.hear('b', 'ping');
    const [answer] = node.sent();
    expect(answer!.message.updates.map(({ member }) => member)).toEqual(['e', 'c']);
  });

  test('keeps every message within its bounds, whatever there is to tell', () => {
    const many = Array.from({ length: 300 }, (_, i) => `m${i}`);
    const node = new Single(many);
    const updates = many.map((member) => update(member, 'suspect', 1, 'm1'));
    const loads = many.map((member) => ({ member, version: 5, digest: digest(1) }));
    node.hear('m2', 'ping', { updates, loads });
    node.advance(5 * periodMs);
    for (const { message } of node.sent()) {
      expect(message.updates.length).toBeLessThanOrEqual(LIMITS.maxSwimUpdates);
      expect(message.loads.length).toBeLessThanOrEqual(LIMITS.maxSwimLoads);
    }
  });

  test('does not spread that members which were alive are', () => {
    const node = new Single(OTHERS);
    for (const other of OTHERS) node.hear(other, 'ping', { incarnation: 1000 });
    node.sent();
    node.hear('b', 'ping', { incarnation: 1000 });
    expect(node.sent()[0]!.message.updates).toEqual([]);
    expect(node.incarnationOf('c')).toBe(1000);
  });
});

describe('SWIM 4.2: suspicion before death', () => {
  const states: readonly MemberState[] = ['alive', 'suspect', 'dead'];
  const rows = states.flatMap((known) =>
    states.flatMap((told) => [-1, 0, 1].map((difference) => ({ known, told, difference }))),
  );
  /** What is known afterwards, by the paper's rules; for the dead by this project's. */
  const expected = (known: MemberState, told: MemberState, difference: number): 'known' | 'told' => {
    if (difference !== 0) return difference > 0 ? 'told' : 'known';
    return states.indexOf(told) > states.indexOf(known) ? 'told' : 'known';
  };

  test.each(rows)('$known, then told $told of an incarnation $difference higher', (row) => {
    const { known, told, difference } = row;
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', known, 5, 'b')] });
    node.hear('b', 'ping', { updates: [update('c', told, 5 + difference, 'b')] });
    const isTold = expected(known, told, difference) === 'told';
    expect(node.stateOf('c')).toBe(isTold ? told : known);
    expect(node.incarnationOf('c')).toBe(isTold ? 5 + difference : 5);
  });

  test('a suspect that does not contradict is dead', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    const answering = OTHERS.filter((other) => other !== 'c');
    node.advanceUntil(() => node.stateOf('c') === 'dead', answering);
    expect(node.events).toEqual([
      { kind: 'suspect', node: 'c' },
      { kind: 'dead', node: 'c' },
    ]);
  });

  test('a suspect that contradicts in time is alive', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    node.advance(periodMs, OTHERS);
    node.hear('d', 'ping', { updates: [update('c', 'alive', 2)] });
    node.advance(100 * periodMs, OTHERS);
    expect(node.events).toEqual([
      { kind: 'suspect', node: 'c' },
      { kind: 'alive', node: 'c' },
    ]);
  });

  test('a node contradicts bad news of itself by a higher incarnation, once', () => {
    const node = new Single(OTHERS);
    node.sent();
    for (const from of ['b', 'c']) node.hear(from, 'ping', { updates: [update('a', 'suspect', 6, 'd')] });
    const [first, second] = node.sent();
    expect(first!.message.incarnation).toBe(7);
    expect(first!.message.updates).toEqual([update('a', 'alive', 7)]);
    expect(second!.message.incarnation).toBe(7);
    expect(node.core.statistics().refutations).toBe(1);
  });

  test('a node that is told old bad news says again how it is', () => {
    const node = new Single(OTHERS, {}, 50);
    node.sent();
    node.hear('b', 'ping', { updates: [update('a', 'dead', 3)] });
    const [answer] = node.sent();
    expect(answer!.message.updates).toEqual([update('a', 'alive', 50)]);
  });

  test('bad news of an incarnation that is past are answered with the present one', () => {
    const node = new Single(OTHERS);
    node.hear('c', 'ping', { incarnation: 9 });
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 8, 'b')] });
    expect(node.sent().at(-1)!.message.updates).toEqual([update('c', 'alive', 9)]);
    expect(node.events).toEqual([]);
  });

  test('whoever pings a suspect tells it so first', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    node.sent();
    node.hear('c', 'ping', { incarnation: 1 });
    expect(node.sent()[0]!.message.updates[0]).toEqual(update('c', 'suspect', 1, 'b'));
  });

  test('whoever has missed a member goes on pinging it while it is suspect', () => {
    const node = new Single(OTHERS);
    const [probe] = node.sentOf('ping');
    const suspect = probe!.to;
    node.advance(periodMs - TICK_MS);
    node.sent();
    node.advance(
      10 * periodMs,
      OTHERS.filter((other) => other !== suspect),
    );
    const pings = node.sentOf('ping').filter(({ to }) => to === suspect);
    expect(pings.length).toBeGreaterThanOrEqual(3);
    expect(pings[0]!.message.updates[0]).toEqual(update(suspect, 'suspect', 0, 'a'));
  });

  test('the incarnation of a node never goes beyond what has room on the wire', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('a', 'suspect', 2 ** 52, 'd')] });
    expect(node.incarnationOf('a')).toBe(1);
    node.hear('b', 'ping', { updates: [update('a', 'suspect', 2 ** 52 - 1, 'd')] });
    expect(node.incarnationOf('a')).toBe(2 ** 52);
  });
});

describe('SWIM 4.3: round-robin probing', () => {
  test('probes every member once in each round, in an order of its own', () => {
    const node = new Single(OTHERS);
    const targets = node.sentOf('ping').map(({ to }) => to);
    node.advance(19 * periodMs + TICK_MS, OTHERS);
    targets.push(...node.sentOf('ping').map(({ to }) => to));
    const rounds = [0, 1, 2, 3].map((round) => targets.slice(round * 5, round * 5 + 5));
    for (const round of rounds) expect([...round].sort()).toEqual(OTHERS);
    expect(new Set(rounds.map((round) => round.join())).size).toBeGreaterThan(1);
  });

  test('gives a newcomer a place in the present round or the next', () => {
    const node = new Single(OTHERS);
    node.advance(2 * periodMs, OTHERS);
    node.sent();
    node.core.setMembers(['a', ...OTHERS, 'g']);
    node.advance(11 * periodMs, [...OTHERS, 'g']);
    expect(node.sentOf('ping').map(({ to }) => to)).toContain('g');
  });

  test('has nothing more to do with a member that has left the map', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    node.core.setMembers(['a', ...OTHERS.filter((other) => other !== 'c')]);
    node.sent();
    node.events.length = 0;
    node.advance(50 * periodMs, OTHERS);
    expect(node.events).toEqual([]);
    for (const { to, message } of node.sent()) {
      expect(to).not.toBe('c');
      expect(message.updates).toEqual([]);
    }
    expect(node.core.members().map(({ id }) => id)).toEqual(['a', 'b', 'd', 'e', 'f']);
  });

  test('alone in its cluster it has nothing to say', () => {
    const node = new Single([]);
    node.advance(20 * periodMs);
    expect(node.sent()).toEqual([]);
    expect(node.core.members()).toMatchObject([{ id: 'a', state: 'alive' }]);
  });
});

describe('the dead', () => {
  const deadNode = (): Single => {
    const node = new Single(OTHERS);
    node.hear('c', 'ping', { incarnation: 4 });
    node.core.confirmDead('c', node.nowMs);
    node.advance(TICK_MS);
    return node;
  };

  test('are dead at once when there is proof', () => {
    const node = deadNode();
    expect(node.events).toEqual([{ kind: 'dead', node: 'c' }]);
    const told = node.sent().flatMap(({ message }) => message.updates);
    node.advance(periodMs, OTHERS);
    told.push(...node.sent().flatMap(({ message }) => message.updates));
    expect(told).toContainEqual(update('c', 'dead', 4));
  });

  test('stay dead while they speak under their old incarnation, and are told', () => {
    const node = deadNode();
    node.sent();
    node.hear('c', 'ping', { incarnation: 4 });
    expect(node.stateOf('c')).toBe('dead');
    expect(node.sent()[0]!.message.updates[0]).toEqual(update('c', 'dead', 4));
  });

  test('live again with the first word under a higher incarnation', () => {
    const node = deadNode();
    node.hear('c', 'ack', { incarnation: 5 });
    expect(node.stateOf('c')).toBe('alive');
  });

  test('are pinged once a round, without consequence', () => {
    const node = deadNode();
    node.sent();
    const answering = OTHERS.filter((other) => other !== 'c');
    node.advance(20 * periodMs, answering);
    const pings = node.sentOf('ping');
    // Twenty probes of four members make five rounds.
    expect(pings.filter(({ to }) => to === 'c')).toHaveLength(5);
    expect(pings).toHaveLength(25);
    expect(node.events).toHaveLength(1);
  });

  test('are made known to whoever may not have heard, long after the news has been spread', () => {
    const node = deadNode();
    node.advance(
      100 * periodMs,
      OTHERS.filter((other) => other !== 'c'),
    );
    node.sent();
    node.hear('b', 'ping');
    expect(node.sent()[0]!.message.updates).toContainEqual(update('c', 'dead', 4));
  });

  test('that come back with a lower incarnation are told how far their former life had come', () => {
    const node = new Single(OTHERS);
    node.hear('c', 'ping', {
      incarnation: 900,
      loads: [{ member: 'c', version: 950, digest: digest(5) }],
    });
    node.sent();
    node.hear('c', 'ping', { incarnation: 3 });
    const [answer] = node.sent();
    expect(answer!.message.updates[0]).toEqual(update('c', 'alive', 900));
    expect(answer!.message.loads[0]).toMatchObject({ member: 'c', version: 950 });
    const returned = new Single(OTHERS, {}, 3);
    returned.core.setLoad(digest(8));
    const { updates, loads } = answer!.message;
    const renamed = {
      updates: updates.map((one) => (one.member === 'c' ? { ...one, member: 'a' } : one)),
      loads: loads.map((one) => ({ ...one, member: 'a' })),
    };
    returned.sent();
    returned.hear('b', 'ping', renamed);
    const [word] = returned.sent();
    expect(word!.message.incarnation).toBe(901);
    expect(word!.message.loads).toEqual([{ member: 'a', version: 951, digest: digest(8) }]);
  });
});

describe('Lifeguard: local health', () => {
  test('time in which the process stood still accuses nobody', () => {
    const node = new Single(OTHERS);
    for (let i = 0; i < 20; i++) {
      node.advance(periodMs / 2, OTHERS);
      node.stall(10_000);
      // What lay unread is read only after the timer.
      for (const { to, message } of node.sent())
        if (message.kind === 'ping') node.hear(to, 'ack', { sequence: message.sequence });
    }
    expect(node.events).toEqual([]);
  });

  test('a stall does not use up the time of a suspect', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    node.stall(1_000_000);
    expect(node.stateOf('c')).toBe('suspect');
  });

  test('a node that was late probes more slowly, until its probes succeed again', () => {
    const node = new Single(OTHERS);
    node.advance(periodMs, OTHERS);
    for (let i = 0; i < 3; i++) node.stall(1000);
    expect(node.core.statistics().localHealth).toBeGreaterThanOrEqual(3);
    node.sent();
    node.advance(2 * periodMs, OTHERS);
    expect(node.sentOf('ping').length).toBeLessThanOrEqual(1);
    node.advance(60 * periodMs, OTHERS);
    expect(node.core.statistics().localHealth).toBe(0);
  });

  test('whoever is asked to ping and gets no answer says nack', () => {
    const node = new Single(OTHERS);
    node.hearRequest('b', 900, 'c');
    node.sent();
    node.advance(pingTimeoutMs - TICK_MS);
    expect(node.sentOf('nack')).toEqual([]);
    node.advance(2 * TICK_MS);
    expect(node.sentOf('nack')).toMatchObject([{ to: 'b', message: { sequence: 900 } }]);
  });

  test.each([
    ['healthy when those whom it asked say nack', true, 0],
    ['ill when they are silent too', false, indirectProbes],
  ])('after a failed probe a node takes itself for %s', (_name, says, score) => {
    const node = new Single(OTHERS);
    const [probe] = node.sentOf('ping');
    node.advance(pingTimeoutMs + TICK_MS);
    const requests = node.sentOf('ping-request');
    if (says) for (const { to, message } of requests) node.hear(to, 'nack', { sequence: message.sequence });
    node.advanceUntil(() => node.stateOf(probe!.to) === 'suspect');
    expect(node.core.statistics().localHealth).toBe(score);
  });

  test('hearing bad news of itself makes a node doubt itself', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('a', 'suspect', 1, 'd')] });
    expect(node.core.statistics().localHealth).toBe(1);
  });
});

describe('Lifeguard: suspicion that shrinks', () => {
  const shortestMs = suspicionMultiplier * periodMs;
  const answering = OTHERS.filter((other) => other !== 'c');

  /** How long `c` lives after so many members have accused it. */
  const lifeMs = (accusers: readonly string[]): number => {
    // The node itself takes long to come to `c`: it has missed it in the test of none.
    const node = new Single(OTHERS, {
      periodMs: periodMs * 1000,
      suspicionMultiplier: suspicionMultiplier / 1000,
    });
    for (const accuser of accusers) node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, accuser)] });
    return node.advanceUntil(() => node.stateOf('c') === 'dead', answering);
  };

  test('with one accuser it lasts longest', () => {
    expect(lifeMs(['b'])).toBe(shortestMs * suspicionMaxMultiplier);
  });

  test('each further accuser shortens it, down to the shortest', () => {
    const lives = [['b'], ['b', 'd'], ['b', 'd', 'e'], ['b', 'd', 'e', 'f']].map(lifeMs);
    expect([...lives].sort((left, right) => right - left)).toEqual(lives);
    expect(new Set(lives).size).toBe(4);
    expect(lives[3]).toBe(shortestMs);
  });

  test('the same accuser twice is one', () => {
    expect(lifeMs(['b', 'b', 'b', 'b'])).toBe(lifeMs(['b']));
  });

  test('a further accusation is spread, as often as it shortens something', () => {
    const node = new Single(OTHERS);
    const told: string[] = [];
    for (const accuser of ['b', 'b', 'd', 'e', 'f', 'a']) {
      node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, accuser)] });
      const [answer] = node.sentOf('ack');
      told.push(...answer!.message.updates.slice(0, 1).map((one) => one.accuser));
    }
    expect(told).toEqual(['b', 'b', 'd', 'e', 'f', 'f']);
  });

  test('where nobody could confirm it is short at once', () => {
    const node = new Single(['b'], {}, 1);
    node.hear('b', 'ping', { updates: [update('b', 'suspect', 1, 'b')] });
    expect(node.advanceUntil(() => node.stateOf('b') === 'dead')).toBe(shortestMs);
  });
});

describe('load digests', () => {
  test('are spread like news, and the newest wins', () => {
    const node = new Single(OTHERS);
    node.sent();
    const loads = [2, 1].map((version) => ({ member: 'c', version, digest: digest(version) }));
    node.hear('b', 'ping', { loads });
    expect(node.core.loadOf('c')).toEqual(digest(2));
    expect(node.sent()[0]!.message.loads).toEqual([loads[0]]);
    node.hear('b', 'ping', { loads: [{ member: 'c', version: 3, digest: digest(3) }] });
    expect(node.core.loadOf('c')).toEqual(digest(3));
  });

  test('of the node itself have a version that grows, also over its lives', () => {
    const versions = [10, 5000].flatMap((firstIncarnation) => {
      const node = new Single(OTHERS, {}, firstIncarnation);
      return [1, 2].map((requests) => {
        node.core.setLoad(digest(requests));
        node.sent();
        node.hear('b', 'ping');
        return node.sent()[0]!.message.loads[0]!.version;
      });
    });
    expect([...versions].sort((left, right) => left - right)).toEqual(versions);
    expect(new Set(versions).size).toBe(4);
  });

  test('hold what the wire can carry', () => {
    const node = new Single(OTHERS);
    node.core.setLoad({
      loopLagMs: -1,
      requestsPerSecond: 10.6,
      memoryBytes: Number.POSITIVE_INFINITY,
      readP99Ms: 1.2345,
      epoch: Number.NaN,
    });
    expect(node.core.loadOf('a')).toEqual({
      loopLagMs: 0,
      requestsPerSecond: 11,
      memoryBytes: 2 ** 48,
      readP99Ms: 1.23,
      epoch: 0,
    });
  });

  test('of the dead are forgotten', () => {
    const node = new Single(OTHERS);
    const load = { member: 'c', version: 3, digest: digest(3) };
    node.hear('b', 'ping', { loads: [load] });
    node.core.confirmDead('c', node.nowMs);
    node.hear('b', 'ping', { loads: [{ ...load, version: 4 }] });
    expect(node.core.loadOf('c')).toBeUndefined();
  });
});

describe('the next deadline', () => {
  test('is never behind what a tick does', () => {
    const node = new Single(OTHERS);
    node.hear('b', 'ping', { updates: [update('c', 'suspect', 1, 'b')] });
    for (let i = 0; i < 500; i++) {
      const deadlineMs = node.core.nextDeadlineMs();
      const before = node.events.length;
      node.sent();
      node.advance(5);
      if (node.nowMs < deadlineMs) {
        expect(node.sent()).toEqual([]);
        expect(node.events.length).toBe(before);
      }
    }
    expect(node.events.length).toBeGreaterThan(2);
  });
});
