import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../src/base/bytes.js';
import { decodeFrameHeader, decodeMessages, MESSAGE } from '../../src/replica/peers/frame.js';
import { Leaders, type LedGroup } from '../../src/server/leaders.js';
import { type ManualEnv, manualEnv } from '../replica/support/manual-env.js';
import { quietHub } from '../support/hub.js';

class Fixture {
  readonly env: ManualEnv = manualEnv('leaders');
  readonly told: string[] = [];
  readonly leaders = new Leaders((group, leader, term) =>
    this.told.push(`${group} ${leader ?? '-'} ${term}`),
  );
  readonly hub = quietHub(this.env);

  constructor() {
    this.hub.setPeers(['n2', 'n3'].map((id) => ({ id, grpc: `${id}:9001` })));
    this.env.network.dialled('n2:9001').open();
    this.announcements();
  }

  /** Bodies of the announcements sent since the last look. */
  announcements(): Buffer[] {
    this.hub.flush();
    const bodies: Buffer[] = [];
    for (const link of this.env.network.dials)
      for (const frame of link.sent.splice(0)) {
        const reader = new ByteReader(frame);
        decodeFrameHeader(reader);
        decodeMessages(reader, (kind, _group, body) => {
          if (kind === MESSAGE.leaders) bodies.push(body);
        });
      }
    return bodies;
  }
}

const LED: readonly LedGroup[] = [
  { group: 2, term: 7 },
  { group: 300, term: 400 },
];

describe('who leads', () => {
  test('is told as it is learned, and never by older news', () => {
    const { leaders, told } = new Fixture();
    leaders.note(1, 'n1', 3);
    leaders.note(1, 'n2', 2);
    leaders.note(1, undefined, 3);
    leaders.note(1, undefined, 4);
    leaders.note(1, 'n3', 4);
    expect(told).toEqual(['1 n1 3', '1 - 4', '1 n3 4']);
    expect([leaders.of(1), leaders.of(2)]).toEqual(['n3', undefined]);
  });

  test('is unknown once the leader is missed, until somebody leads again; listeners hear of the latter alone', () => {
    const { leaders, told } = new Fixture();
    leaders.note(1, 'n1', 3);
    leaders.note(1, undefined, 3);
    expect(leaders.of(1)).toBe(undefined);
    leaders.note(1, 'n1', 3);
    expect(leaders.of(1)).toBe('n1');
    expect(told).toEqual(['1 n1 3', '1 n1 3']);
  });

  test('is forgotten by nodes that are no members when the leader cannot be reached', () => {
    const { leaders } = new Fixture();
    for (const group of [1, 2]) leaders.note(group, 'n2', 3);
    leaders.note(3, 'n3', 3);
    leaders.forget('n2', (group) => group === 2);
    expect([leaders.of(1), leaders.of(2), leaders.of(3)]).toEqual([undefined, 'n2', 'n3']);
    leaders.note(1, 'n2', 3);
    expect(leaders.of(1)).toBe('n2');
  });

  test('is forgotten when the leader no longer names the group', () => {
    const sender = new Fixture();
    sender.leaders.tick(sender.env.clock.nowMs, sender.hub, () => LED);
    const [body] = sender.announcements();
    const { leaders } = new Fixture();
    for (const group of [2, 5, 6]) leaders.note(group, 'n2', 7);
    leaders.note(8, 'n3', 7);
    leaders.receive('n2', body!, (group) => group === 6);
    expect([2, 5, 6, 8].map((group) => leaders.of(group))).toEqual(['n2', undefined, 'n2', 'n3']);
  });

  test('is announced to every peer that is connected, once a second', () => {
    const fixture = new Fixture();
    const { nowMs } = fixture.env.clock;
    const tick = (afterMs: number): void => fixture.leaders.tick(nowMs + afterMs, fixture.hub, () => LED);
    tick(0);
    expect(fixture.announcements()).toHaveLength(1);
    tick(999);
    expect(fixture.announcements()).toEqual([]);
    tick(1000);
    expect(fixture.announcements()).toHaveLength(1);
    fixture.leaders.announceSoon();
    tick(1001);
    expect(fixture.announcements()).toHaveLength(1);
  });

  test('is taken from an announcement for the groups of which this node is no member', () => {
    const sender = new Fixture();
    sender.leaders.tick(sender.env.clock.nowMs, sender.hub, () => LED);
    const [body] = sender.announcements();
    const receiver = new Fixture();
    receiver.leaders.receive('n2', body!, (group) => group === 2);
    expect(receiver.told).toEqual(['300 n2 400']);
    for (let length = 0; length < body!.length; length++)
      expect(() => receiver.leaders.receive('n2', body!.subarray(0, length), () => false)).toThrow(
        DecodeError,
      );
  });

  test('stops at the end of an announcement that promises more than it has', () => {
    const writer = new ByteWriter(8);
    writer.varint(2 ** 50);
    expect(() => new Fixture().leaders.receive('n2', writer.take(), () => false)).toThrow(DecodeError);
  });
});
