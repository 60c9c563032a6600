/** The client's side of exactly-once writes: what the groups' state machines rely on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import { WriteSessions, type WriteStamp } from '../../src/client/write-sessions.js';

interface Sent {
  readonly session: string;
  readonly sequence: number;
  readonly acknowledgedBelow: number;
}

function sent(stamp: WriteStamp): Sent {
  const headers = stamp.headers();
  return {
    session: headers['quoin-session'] ?? '',
    sequence: Number(headers['quoin-sequence']),
    acknowledgedBelow: Number(headers['quoin-acknowledged-below']),
  };
}

describe('write sessions', () => {
  test('a session is 16 hex digits and counts from 1', () => {
    const stamp = new WriteSessions().begin();
    const { session, sequence, acknowledgedBelow } = sent(stamp);
    expect(session).toMatch(/^(?!0{16})[0-9a-f]{16}$/);
    expect([sequence, acknowledgedBelow]).toEqual([1, 1]);
  });

  test('every attempt of a write carries the same sequence', () => {
    const sessions = new WriteSessions();
    const stamp = sessions.begin();
    const first = sent(stamp);
    sessions.begin().end();
    expect(sent(stamp)).toEqual(first);
  });

  test('two clients never share a session', () => {
    expect(sent(new WriteSessions().begin()).session).not.toBe(sent(new WriteSessions().begin()).session);
  });

  test('a write that is stuck makes the client go on under a new session, and does not end its own', () => {
    const sessions = new WriteSessions();
    const stuck = sessions.begin();
    const before = sent(stuck);
    const others = Array.from({ length: LIMITS.maxSessionWindow }, () => {
      const stamp = sessions.begin();
      const was = sent(stamp);
      stamp.end();
      return was;
    });
    const old = others.filter(({ session }) => session === before.session);
    expect(old).toHaveLength(LIMITS.maxSessionWindow - 1);
    expect(others.at(-1)?.session).not.toBe(before.session);
    expect(sent(stuck)).toEqual(before);
  });

  test('what is acknowledged is never open, never sent again, and within the window of the state machine', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 3000 }), (script) => {
        const sessions = new WriteSessions();
        const open: { readonly stamp: WriteStamp; readonly sent: Sent }[] = [];
        for (const step of script) {
          if (step < 6) {
            const stamp = sessions.begin();
            open.push({ stamp, sent: sent(stamp) });
          } else open.splice(step % Math.max(1, open.length), 1)[0]?.stamp.end();
          for (const { stamp, sent: at } of open.slice(-3)) {
            const now = sent(stamp);
            expect(now.sequence).toBe(at.sequence);
            const sameSession = open.filter((other) => other.sent.session === at.session);
            const lowest = Math.min(...sameSession.map((other) => other.sent.sequence));
            expect(now.acknowledgedBelow).toBe(lowest);
            expect(now.sequence - now.acknowledgedBelow).toBeLessThan(LIMITS.maxSessionWindow);
          }
        }
      }),
      { seed: 7, numRuns: 30 },
    );
  });
});
