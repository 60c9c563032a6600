import { describe, expect, test } from 'vitest';
import { SLOT_COUNT, slotOf } from '../../src/base/slots.js';
import type { PeerHub } from '../../src/replica/peers/peer-hub.js';
import { GroupRoute } from '../../src/server/group-route.js';
import { keyPositions, Router, sharedSlot } from '../../src/server/router.js';
import type { Request } from '../../src/server/types.js';
import { ErrorReply, OK, type Reply } from '../../src/store/reply.js';
import { manualEnv } from '../replica/support/manual-env.js';
import { quietHub } from '../support/hub.js';
import { bucketOf, bytes, command, plain, type Word } from '../support/test-machine.js';

/** A route that keeps what it is given, for the test to answer. */
class HeldRoute extends GroupRoute {
  readonly requests: Request[] = [];

  override submit(request: Request): void {
    this.requests.push(request);
  }
}

function hub(): PeerHub {
  return quietHub(manualEnv('router'));
}

/** Slots are owned by three groups in turn: slot modulo 3, plus 1. */
class Fixture {
  readonly routes = new Map<number, HeldRoute>();
  readonly replies: unknown[] = [];
  owners: Uint16Array | undefined = Uint16Array.from({ length: SLOT_COUNT }, (_, slot) => (slot % 3) + 1);
  readonly router = new Router(
    () => this.routes,
    () => this.owners,
  );

  constructor() {
    for (const group of [1, 2, 3])
      this.routes.set(
        group,
        new HeldRoute(group, {
          self: 'n1',
          peers: hub(),
          replica: () => undefined,
          monotonicMs: () => 0,
          scheduleFlush: () => {},
          noteForwarded: () => {},
          knowsBucket: () => true,
        }),
      );
  }

  submit(...words: Word[]): void {
    this.router.submit({
      definition: command(String(words[0])),
      bucket: bucketOf(0),
      args: words.slice(1).map(bytes),
      completion: { complete: (reply) => this.replies.push(plain(reply)) },
      consistency: 'linearizable',
      ordered: false,
      session: { session: 'aaaaaaaaaaaaaaaa', sequence: 1, acknowledgedBelow: 1 },
    });
  }

  /** What went to which group. */
  held(): { group: number; request: Request }[] {
    return [...this.routes].flatMap(([group, { requests }]) =>
      requests.map((request) => ({ group, request })),
    );
  }

  answer(reply: (request: Request, group: number) => Reply): void {
    for (const { group, request } of this.held()) request.completion.complete(reply(request, group));
  }
}

const groupOf = (key: string): number => (slotOf(Buffer.from(key)) % 3) + 1;
const firstKey = (request: Request): string => request.args[0]!.toString();

describe('a command over keys', () => {
  test('is refused when it names none, and helps where it can without one', () => {
    const fixture = new Fixture();
    fixture.submit('MGET');
    fixture.submit('OBJECT', 'HELP');
    expect(fixture.held()).toEqual([]);
    expect(fixture.replies[0]).toBe('-ERR the command names no key');
    expect(fixture.replies[1]).toContain('+ENCODING <key>');
  });

  test('goes to the group that owns their slot, as it is', () => {
    const fixture = new Fixture();
    for (const key of ['a', 'b', 'c', '{a}z']) fixture.submit('SET', key, 'v');
    for (const { group, request } of fixture.held()) {
      expect(group).toBe(groupOf(firstKey(request)));
      expect(request.session?.sequence).toBe(1);
    }
    expect(fixture.held()).toHaveLength(4);
    fixture.answer(() => OK);
    expect(fixture.replies).toEqual(['+OK', '+OK', '+OK', '+OK']);
  });

  test('stays whole where its keys share a slot', () => {
    const fixture = new Fixture();
    fixture.submit('DEL', '{t}1', '{t}2', '{t}3');
    expect(fixture.held().map(({ request }) => request.args.length)).toEqual([3]);
  });

  test('is refused with CROSSSLOT where its keys lie in several slots and it cannot be split', () => {
    const fixture = new Fixture();
    fixture.submit('RENAME', 'a', 'b');
    fixture.submit('MSETNX', 'a', '1', 'b', '2');
    expect(fixture.held()).toEqual([]);
    expect(fixture.replies).toEqual([
      "-CROSSSLOT Keys in request don't hash to the same slot",
      "-CROSSSLOT Keys in request don't hash to the same slot",
    ]);
  });

  test('is split key by key where its definition allows it, under the session of the node', () => {
    const fixture = new Fixture();
    fixture.submit('MSET', 'a', '1', 'b', '2', 'c', '3');
    const parts = fixture.held();
    expect(parts.map(({ request }) => request.args.map(String).join('=')).sort()).toEqual([
      'a=1',
      'b=2',
      'c=3',
    ]);
    for (const { group, request } of parts) {
      expect(group).toBe(groupOf(firstKey(request)));
      expect(request.session).toBeUndefined();
    }
  });

  test('is answered in the order of its keys, whatever the order of the parts', () => {
    const fixture = new Fixture();
    fixture.submit('MGET', 'a', 'b', 'c', 'd');
    for (const { request } of fixture.held().reverse())
      request.completion.complete([Buffer.from(`value of ${firstKey(request)}`)]);
    expect(fixture.replies).toEqual([['value of a', 'value of b', 'value of c', 'value of d']]);
  });

  test('adds up what its parts count', () => {
    const fixture = new Fixture();
    fixture.submit('DEL', 'a', 'b', 'c');
    fixture.answer((request) => (firstKey(request) === 'b' ? 0 : 1));
    expect(fixture.replies).toEqual([2]);
  });

  test('waits for all of its parts before an error is told', () => {
    const fixture = new Fixture();
    fixture.submit('MGET', 'a', 'b');
    const [first, second] = fixture.held();
    first!.request.completion.complete(ErrorReply.of('TIMEOUT', 'late'));
    expect(fixture.replies).toEqual([]);
    second!.request.completion.complete(null);
    expect(fixture.replies).toEqual(['-TRYAGAIN late']);
  });

  test('has an unknown outcome when one part of a write was done and another was not', () => {
    const fixture = new Fixture();
    fixture.submit('DEL', 'a', 'b');
    fixture.answer((request) => (firstKey(request) === 'a' ? 1 : ErrorReply.of('NO_LEADER', 'nobody leads')));
    expect(fixture.replies).toEqual([expect.stringMatching(/^-UNKNOWN .*nobody leads/)]);
  });

  test('is certainly undone when none of its parts was done', () => {
    const fixture = new Fixture();
    fixture.submit('DEL', 'a', 'b');
    fixture.answer(() => ErrorReply.of('NO_LEADER', 'nobody leads'));
    expect(fixture.replies).toEqual(['-CLUSTERDOWN nobody leads']);
  });

  test('needs a cluster', () => {
    const fixture = new Fixture();
    fixture.owners = undefined;
    fixture.submit('GET', 'a');
    expect(fixture.replies).toEqual([expect.stringMatching(/^-LOADING/)]);
  });
});

describe('a command over all groups', () => {
  test('goes to every group, and the answers become one', () => {
    const fixture = new Fixture();
    fixture.submit('DBSIZE');
    expect(fixture.held().map(({ group }) => group)).toEqual([1, 2, 3]);
    fixture.answer((_request, group) => group * 10);
    expect(fixture.replies).toEqual([60]);
  });

  test('has an unknown outcome when it was done in some groups only', () => {
    const fixture = new Fixture();
    fixture.submit('FLUSHDB');
    fixture.answer((_request, group) => (group === 2 ? ErrorReply.of('TIMEOUT', 'late') : OK));
    expect(fixture.replies).toEqual([expect.stringMatching(/^-UNKNOWN/)]);
  });

  test('needs a group', () => {
    const fixture = new Fixture();
    fixture.routes.clear();
    fixture.submit('DBSIZE');
    expect(fixture.replies).toEqual([expect.stringMatching(/^-LOADING/)]);
  });
});

describe('a command with a cursor', () => {
  test('begins in the group of the first slot and ends nowhere else than in a group', () => {
    const fixture = new Fixture();
    fixture.submit('SCAN', '0');
    fixture.submit('SCAN', '18446744073709551615');
    for (const { request } of fixture.held()) request.completion.complete(OK);
    expect(fixture.replies).toHaveLength(2);
    expect(fixture.held()[0]!.group).toBe(1);
  });
});

describe('where the keys are', () => {
  test('is told by the definition, from both ends', () => {
    expect(keyPositions(command('GET'), 1)).toEqual({ first: 0, last: 0, step: 1 });
    expect(keyPositions(command('MSET'), 6)).toMatchObject({ first: 0, step: 2 });
    expect(sharedSlot(command('MSET'), ['{a}', 'x', '{a}b', 'x'].map(bytes))).toBe(slotOf(Buffer.from('a')));
    expect(sharedSlot(command('MSET'), ['a', 'x', 'b', 'x'].map(bytes))).toBe(-1);
    expect(sharedSlot(command('DBSIZE'), [])).toBeUndefined();
  });
});
