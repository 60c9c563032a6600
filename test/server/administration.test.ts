import { describe, expect, test } from 'vitest';
import { ByteReader } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import type { MapChange } from '../../src/cluster/map-state.js';
import { decodeFrameHeader, decodeMessages, MESSAGE } from '../../src/replica/peers/frame.js';
import { Administration } from '../../src/server/administration.js';
import { type ManualEnv, manualEnv } from '../replica/support/manual-env.js';
import { quietHub } from '../support/hub.js';
import { bucketOf } from '../support/test-machine.js';

const CHANGE: MapChange = { change: 'drop-bucket', name: 'sessions' };

class Fixture {
  readonly env: ManualEnv = manualEnv('administration');
  leader: string | undefined;
  readonly hub = quietHub(this.env);
  readonly administration = new Administration({
    env: this.env,
    self: 'n1',
    peers: this.hub,
    replica: () => undefined,
    leader: () => this.leader,
  });

  constructor(connected = true) {
    this.hub.setPeers(['n2', 'n3'].map((id) => ({ id, grpc: `${id}:9001` })));
    if (connected) for (const id of ['n2', 'n3']) this.env.network.dialled(`${id}:9001`).open();
    this.sent();
  }

  sent(): { to: string; requestId: string; change: unknown }[] {
    const sent: { to: string; requestId: string; change: unknown }[] = [];
    for (const link of this.env.network.dials)
      for (const frame of link.sent.splice(0)) {
        const reader = new ByteReader(frame);
        decodeFrameHeader(reader);
        decodeMessages(reader, (kind, _group, body) => {
          if (kind !== MESSAGE.administration) return;
          const { requestId, change } = JSON.parse(body.toString()) as { requestId: string; change: unknown };
          sent.push({ to: link.remoteAddress.slice(0, 2), requestId, change });
        });
      }
    return sent;
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 20) {
      this.env.clock.advance(20);
      this.administration.tick(this.env.clock.nowMs);
    }
  }

  reply(requestId: string, answer: unknown): void {
    this.administration.receiveReply(Buffer.from(JSON.stringify({ requestId, answer })));
  }
}

const failure = (code: string) => expect.objectContaining({ code });

describe('a change of the map', () => {
  test('is sent to whoever leads, again and again under one id, until it is answered', async () => {
    const fixture = new Fixture();
    fixture.leader = 'n2';
    const done = fixture.administration.submit(CHANGE);
    fixture.pass(500);
    fixture.leader = 'n3';
    fixture.pass(200);
    const sent = fixture.sent();
    expect(sent.map(({ to }) => to)).toEqual(['n2', 'n2', 'n2', 'n3']);
    expect(new Set(sent.map(({ requestId }) => requestId)).size).toBe(1);
    expect(sent[0]!.change).toEqual(CHANGE);
    fixture.reply(sent[0]!.requestId, { ok: true, bucket: bucketOf(1) });
    await expect(done).resolves.toEqual(bucketOf(1));
    fixture.pass(1000);
    expect(fixture.sent()).toEqual([]);
  });

  test('fails with the refusal of group 0', async () => {
    const fixture = new Fixture();
    fixture.leader = 'n2';
    const done = fixture.administration.submit(CHANGE);
    fixture.reply(fixture.sent()[0]!.requestId, { ok: false, code: 'UNKNOWN_BUCKET', message: 'none' });
    await expect(done).rejects.toEqual(failure('UNKNOWN_BUCKET'));
  });

  test('fails as a defect when the refusal is in no registry', async () => {
    const fixture = new Fixture();
    fixture.leader = 'n2';
    const done = fixture.administration.submit(CHANGE);
    fixture.reply(fixture.sent()[0]!.requestId, { ok: false, code: 'MOON_PHASE', message: 'full' });
    await expect(done).rejects.toEqual(failure('INTERNAL'));
  });

  test('waits for a leader, and certainly has not happened when there never was one', async () => {
    const fixture = new Fixture();
    const done = fixture.administration.submit(CHANGE);
    done.catch(() => {});
    fixture.pass(LIMITS.requestTimeoutMs);
    await expect(done).rejects.toEqual(failure('NO_LEADER'));
    expect(fixture.sent()).toEqual([]);
  });

  test('certainly has not happened when the leader could not be reached', async () => {
    const fixture = new Fixture(false);
    fixture.leader = 'n2';
    const done = fixture.administration.submit(CHANGE);
    done.catch(() => {});
    fixture.pass(LIMITS.requestTimeoutMs);
    await expect(done).rejects.toEqual(failure('NO_LEADER'));
  });

  test('may have happened when it was sent and nothing was heard', async () => {
    const fixture = new Fixture();
    fixture.leader = 'n2';
    const late = fixture.administration.submit(CHANGE);
    late.catch(() => {});
    fixture.pass(LIMITS.requestTimeoutMs);
    await expect(late).rejects.toEqual(failure('OUTCOME_UNKNOWN'));
    const stopped = fixture.administration.submit(CHANGE);
    fixture.administration.stop();
    await expect(stopped).rejects.toEqual(failure('OUTCOME_UNKNOWN'));
  });

  test('is answered once: what comes for nobody is dropped', async () => {
    const fixture = new Fixture();
    fixture.leader = 'n2';
    const done = fixture.administration.submit(CHANGE);
    const { requestId } = fixture.sent()[0]!;
    fixture.reply('nobody', { ok: true, bucket: bucketOf(9) });
    fixture.reply(requestId, { ok: true, bucket: bucketOf(1) });
    fixture.reply(requestId, { ok: false, code: 'INTERNAL', message: 'x' });
    await expect(done).resolves.toEqual(bucketOf(1));
  });

  test('is refused when too many are under way', async () => {
    const fixture = new Fixture();
    const all = Array.from({ length: LIMITS.maxBuckets }, () => fixture.administration.submit(CHANGE));
    for (const one of all) one.catch(() => {});
    await expect(fixture.administration.submit(CHANGE)).rejects.toEqual(failure('OVERLOADED'));
    fixture.administration.stop();
    await expect(all[0]).rejects.toEqual(failure('SHUTTING_DOWN'));
  });
});
