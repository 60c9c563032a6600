import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { hash32 } from '../../src/base/slots.js';
import {
  beginMessage,
  decodeFrameHeader,
  decodeMessages,
  encodeFrameHeader,
  endMessage,
  type FrameHeader,
  MESSAGE,
  type MessageKind,
} from '../../src/replica/peers/frame.js';
import { decodeHello, encodeHello, type Hello } from '../../src/replica/peers/hello.js';
import { PeerHub } from '../../src/replica/peers/peer-hub.js';
import { helloOf } from '../support/hub.js';
import { type ManualEnv, type ManualLink, manualEnv } from './support/manual-env.js';

const CLUSTER = 'cluster-1';
const TAG = hash32(Buffer.from(CLUSTER));
const BOOT = 'aaaaaaaaaaaaaaaa';

function hello(id: string, changes: Partial<Hello> = {}): Hello {
  return helloOf(id, { join: ['n1:9001', 'n2:9001'], settings: 'replicas 3', ...changes });
}

/** The hub of node n1 among n1, n2 and n3, and what it has told. */
class Fixture {
  readonly env: ManualEnv = manualEnv();
  readonly told: string[] = [];
  readonly messages: { from: string; kind: number; group: number; body: string }[] = [];
  readonly hellos: Hello[] = [];
  welcome = true;
  readonly known = new Set(['n1/n1-incarnation', 'n2/n2-incarnation', 'n3/n3-incarnation']);
  readonly hub: PeerHub;

  constructor() {
    this.hub = new PeerHub(this.env, 'n1', 'n1-incarnation', {
      hello: (_peer, wantsAnswer) => hello('n1', { wantsAnswer }),
      onHello: (hello) => {
        this.hellos.push(hello);
        return this.welcome;
      },
      knows: (node, incarnation) => this.known.has(`${node}/${incarnation}`),
      onMessage: (from, kind, group, body) =>
        this.messages.push({ from, kind, group, body: body.toString('latin1') }),
      onNewerEpoch: (from, epoch) => this.told.push(`newer ${from} ${epoch}`),
      onPeerUp: (node) => this.told.push(`up ${node}`),
      onPeerDead: (node) => this.told.push(`dead ${node}`),
    });
  }

  static async serving(): Promise<Fixture> {
    const fixture = new Fixture();
    await fixture.hub.listen('n1:9001');
    fixture.hub.setCluster(CLUSTER, 5);
    fixture.hub.setPeers(['n1', 'n2', 'n3'].map((id) => ({ id, grpc: `${id}:9001` })));
    return fixture;
  }

  link(id: string): ManualLink {
    return this.env.network.dialled(`${id}:9001`);
  }
}

function frame(
  changes: Partial<FrameHeader>,
  messages: readonly { kind: MessageKind; group?: number; body?: Buffer }[],
): Buffer {
  const writer = new ByteWriter(64);
  encodeFrameHeader(writer, {
    clusterTag: TAG,
    from: 'n2',
    boot: BOOT,
    incarnation: `${changes.from ?? 'n2'}-incarnation`,
    epoch: 5,
    ...changes,
  });
  for (const { kind, group = 0, body = Buffer.alloc(0) } of messages) {
    const position = beginMessage(writer, kind, group);
    writer.raw(body);
    endMessage(writer, position);
  }
  return writer.take();
}

function kindsIn(bytes: Buffer): number[] {
  const kinds: number[] = [];
  const reader = new ByteReader(bytes);
  decodeFrameHeader(reader);
  decodeMessages(reader, (kind) => kinds.push(kind));
  return kinds;
}

function hellosIn(frames: readonly Buffer[]): Hello[] {
  const hellos: Hello[] = [];
  for (const bytes of frames) {
    const reader = new ByteReader(bytes);
    decodeFrameHeader(reader);
    decodeMessages(reader, (kind, _group, body) => {
      const hello = kind === MESSAGE.hello ? decodeHello(body) : undefined;
      if (hello !== undefined) hellos.push(hello);
    });
  }
  return hellos;
}

const RAFT = { kind: MESSAGE.raft, group: 2, body: Buffer.from('vote') };

describe('who is listened to', () => {
  test('messages of a known node come through, with sender, kind and group', async () => {
    const { env, messages } = await Fixture.serving();
    env.network.connect().deliver(frame({}, [RAFT]));
    expect(messages).toEqual([{ from: 'n2', kind: MESSAGE.raft, group: 2, body: 'vote' }]);
  });

  test.each([
    ['another cluster', { clusterTag: (TAG ^ 1) >>> 0 }],
    ['no cluster yet', { clusterTag: 0 }],
    ['a node that the map does not have', { from: 'n9' }],
    ['a known node on a data directory that is not the one in the map', { incarnation: 'fresh' }],
  ])('messages of %s are refused and counted', async (_who, changes) => {
    const fixture = await Fixture.serving();
    fixture.env.network.connect().deliver(frame(changes, [RAFT, { kind: MESSAGE.piece }]));
    expect(fixture.messages).toEqual([]);
    expect(fixture.hub.framesRefused).toBe(2);
    expect(fixture.hub.bootOf('n2')).toBe('');
  });

  test('before the cluster has formed nobody is listened to, not even by the tag of nobody', async () => {
    const fixture = new Fixture();
    await fixture.hub.listen('n1:9001');
    fixture.env.network.connect().deliver(frame({ clusterTag: 0 }, [RAFT]));
    expect(fixture.messages).toEqual([]);
  });

  test('hellos of strangers come through', async () => {
    const fixture = await Fixture.serving();
    const body = encodeHello(hello('n9'));
    fixture.env.network
      .connect()
      .deliver(frame({ clusterTag: 0, from: 'n9' }, [{ kind: MESSAGE.hello, body }]));
    expect(fixture.hellos.map(({ node }) => node.id)).toEqual(['n9']);
  });

  test('a link that answers as another node than the one dialled is closed', async () => {
    const fixture = await Fixture.serving();
    const link = fixture.link('n3');
    link.open();
    link.deliver(frame({ from: 'n2' }, [RAFT]));
    expect(link.closed).toBe(true);
    expect(fixture.messages).toEqual([]);
  });

  test('a link that carries what is no frame is closed, and nothing else', async () => {
    const fixture = await Fixture.serving();
    const bad = fixture.env.network.connect();
    const good = fixture.env.network.connect();
    bad.deliver(Buffer.from('GET / HTTP/1.1\r\n'));
    expect([bad.closed, good.closed]).toEqual([true, false]);
    good.deliver(frame({}, [RAFT]));
    expect(fixture.messages).toHaveLength(1);
    expect(fixture.hub.framesRefused).toBe(1);
  });

  test('whoever introduces himself badly, or does not belong, has his link closed', async () => {
    const fixture = await Fixture.serving();
    const nonsense = fixture.env.network.connect();
    nonsense.deliver(frame({}, [{ kind: MESSAGE.hello, body: Buffer.from('{"node":7}') }]));
    expect(nonsense.closed).toBe(true);
    fixture.welcome = false;
    const stranger = fixture.env.network.connect();
    stranger.deliver(frame({}, [{ kind: MESSAGE.hello, body: encodeHello(hello('n9')) }]));
    expect(stranger.closed).toBe(true);
  });

  test('a boot number that could not stand in a log as a session is none', async () => {
    const fixture = await Fixture.serving();
    const link = fixture.env.network.connect();
    link.deliver(frame({ boot: 'AAAAAAAAAAAAAAAA' }, [RAFT]));
    expect(link.closed).toBe(true);
    expect([fixture.messages, fixture.hub.bootOf('n2')]).toEqual([[], '']);
  });

  test('a message in pieces is handed on once it is whole, on one link', async () => {
    const sender = await Fixture.serving();
    const receiver = await Fixture.serving();
    const out = sender.link('n2');
    out.open();
    out.sent.length = 0;
    const body = Buffer.alloc(LIMITS.maxFrameBytes + 10, 'x');
    sender.hub.sendMessage('n2', MESSAGE.raft, 4, body);
    sender.hub.flush();
    const into = receiver.env.network.connect();
    const elsewhere = receiver.env.network.connect();
    const renamed = out.sent.map((bytes) => {
      const reader = new ByteReader(bytes);
      decodeFrameHeader(reader);
      return Buffer.concat([frame({}, []), bytes.subarray(reader.position)]);
    });
    expect(renamed).toHaveLength(2);
    into.deliver(renamed[0]!);
    elsewhere.deliver(renamed[1]!);
    expect(receiver.messages).toEqual([]);
    into.deliver(renamed[1]!);
    expect(receiver.messages).toEqual([
      { from: 'n2', kind: MESSAGE.raft, group: 4, body: body.toString('latin1') },
    ]);
  });

  test('a newer map of a known node is told, once for each frame; an older one is not', async () => {
    const fixture = await Fixture.serving();
    const link = fixture.env.network.connect();
    link.deliver(frame({ epoch: 4 }, []));
    link.deliver(frame({ epoch: 7 }, [RAFT]));
    link.deliver(frame({ epoch: 6, incarnation: 'fresh' }, []));
    expect(fixture.told).toEqual(['newer n2 7']);
    expect(fixture.hub.epochOf('n2')).toBe(7);
  });
});

describe('introductions', () => {
  test('a dialled peer is greeted as soon as its link opens', async () => {
    const fixture = await Fixture.serving();
    const link = fixture.link('n2');
    expect(link.sent).toEqual([]);
    link.open();
    expect(hellosIn(link.sent)).toEqual([hello('n1', { wantsAnswer: false })]);
    expect(fixture.told).toEqual(['up n2']);
    expect(fixture.hub.connected('n2')).toBe(true);
    expect(fixture.hub.connected('n3')).toBe(false);
  });

  test('unknown addresses are greeted with a hello that wants an answer, which goes back on the same link', async () => {
    const asker = new Fixture();
    asker.hub.introduce(['n2:9001', 'n2:9001']);
    expect(asker.env.network.dialsTo('n2:9001')).toBe(1);
    const out = asker.link('n2');
    out.open();
    expect(hellosIn(out.sent)).toEqual([hello('n1', { wantsAnswer: true })]);

    const answerer = await Fixture.serving();
    const into = answerer.env.network.connect();
    into.deliver(out.sent[0]!);
    const answers = hellosIn(into.sent);
    expect(answers).toEqual([hello('n1', { wantsAnswer: false })]);
    out.deliver(frame({ clusterTag: 0 }, [{ kind: MESSAGE.hello, body: encodeHello(answers[0]!) }]));
    expect(asker.hellos).toEqual(answers);
  });

  test('are made anew on a new link until the node is a peer', () => {
    const fixture = new Fixture();
    fixture.hub.introduce(['n2:9001']);
    fixture.link('n2').open();
    fixture.env.clock.advance(1000);
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(2);
    fixture.link('n2').end('refused');
    fixture.env.clock.advance(1000);
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(3);
    const last = fixture.link('n2');
    fixture.hub.setPeers([]);
    expect(last.closed).toBe(true);
    fixture.env.clock.advance(60_000);
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(3);
  });
});

describe('dialling', () => {
  test('is tried again with growing pauses, up to a bound', async () => {
    const fixture = await Fixture.serving();
    const pauses: number[] = [];
    fixture.link('n3').end('refused');
    fixture.env.clock.advance(10_000_000);
    for (let i = 0; i < 12; i++) {
      const before = fixture.env.clock.nowMs;
      fixture.link('n2').end('unreachable');
      const waiting = fixture.env.clock.waitingMs;
      pauses.push(waiting[0]!);
      fixture.env.clock.advance(waiting[0]!);
      expect(fixture.env.clock.nowMs - before).toBe(waiting[0]!);
    }
    expect(pauses[0]!).toBeLessThan(40);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1500);
    expect(Math.min(...pauses.slice(-4))).toBeGreaterThanOrEqual(500);
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(13);
  });

  test('does not wait for its pause once the peer has been heard', async () => {
    const fixture = await Fixture.serving();
    for (let i = 0; i < 8; i++) {
      fixture.link('n2').end('unreachable');
      fixture.env.clock.advance(fixture.env.clock.waitingMs[0]!);
    }
    fixture.link('n2').end('unreachable');
    const dials = fixture.env.network.dialsTo('n2:9001');
    fixture.env.network.connect().deliver(frame({}, []));
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(dials + 1);
    fixture.env.clock.advance(60_000);
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(dials + 1);
  });

  test('slows down against a peer that takes each link and ends it at once', async () => {
    const fixture = await Fixture.serving();
    const { clock, network } = fixture.env;
    fixture.link('n3').open();
    const endMs = clock.nowMs + 20_000;
    while (clock.nowMs < endMs) {
      const link = fixture.link('n2');
      link.open();
      link.end('closed');
      clock.advance(fixture.link('n2') === link ? clock.waitingMs[0]! : 1);
    }
    expect(network.dialsTo('n2:9001')).toBeLessThan(60);
  });

  test('is at once when a link that had been of use breaks', async () => {
    const fixture = await Fixture.serving();
    fixture.link('n2').open();
    fixture.env.clock.advance(60_000);
    fixture.link('n2').end('reset');
    expect(fixture.env.network.dialsTo('n2:9001')).toBe(2);
    expect(fixture.hub.connected('n2')).toBe(false);
    expect(fixture.hub.sendMessage('n2', MESSAGE.raft, 1, Buffer.from('x'))).toBe(false);
  });

  test('ends for a node that is no peer any more, and begins anew for one that has moved', async () => {
    const fixture = await Fixture.serving();
    const old = fixture.link('n2');
    old.open();
    fixture.hub.setPeers([{ id: 'n2', grpc: 'elsewhere:9001' }]);
    expect(old.closed).toBe(true);
    expect(fixture.env.network.dialsTo('elsewhere:9001')).toBe(1);
    expect(fixture.hub.peerIds()).toEqual(['n2']);
    fixture.link('n3').end('refused');
    fixture.env.clock.advance(60_000);
    expect(fixture.env.network.dialsTo('n3:9001')).toBe(1);
  });

  test('ends when the hub is closed, and nothing is taken any more', async () => {
    const fixture = await Fixture.serving();
    const link = fixture.env.network.connect();
    fixture.link('n2').open();
    await fixture.hub.close();
    expect(fixture.env.network.listening).toBe(false);
    expect([link.closed, fixture.link('n2').closed]).toEqual([true, true]);
    link.deliver(frame({}, [RAFT]));
    expect(fixture.messages).toEqual([]);
    fixture.env.clock.advance(60_000);
    expect(fixture.env.network.dials).toHaveLength(2);
  });
});

describe('a peer is called dead', () => {
  async function connected(): Promise<Fixture> {
    const fixture = await Fixture.serving();
    fixture.link('n2').open();
    fixture.env.clock.advance(60_000);
    fixture.told.length = 0;
    return fixture;
  }

  test('when an open link broke and the next dial is refused', async () => {
    const fixture = await connected();
    fixture.link('n2').end('reset');
    expect(fixture.told).toEqual([]);
    fixture.link('n2').end('refused');
    expect(fixture.told).toEqual(['dead n2']);
  });

  test('once, however often further dials are refused', async () => {
    const fixture = await connected();
    fixture.link('n2').end('closed');
    for (let i = 0; i < 5; i++) {
      fixture.link('n2').end('refused');
      fixture.env.clock.advance(2000);
    }
    expect(fixture.told).toEqual(['dead n2']);
  });

  test('also when frames that it had sent before its death are read after its link broke', async () => {
    const fixture = await connected();
    const incoming = fixture.env.network.connect();
    fixture.link('n2').end('reset');
    incoming.deliver(frame({}, [RAFT]));
    fixture.link('n2').end('refused');
    expect(fixture.told).toEqual(['dead n2']);
  });

  test('when it comes back under a new boot number', async () => {
    const fixture = await connected();
    const link = fixture.env.network.connect();
    link.deliver(frame({}, []));
    expect(fixture.told).toEqual([]);
    expect(fixture.hub.bootOf('n2')).toBe(BOOT);
    link.deliver(frame({ boot: 'bbbbbbbbbbbbbbbb' }, []));
    expect(fixture.told).toEqual(['dead n2']);
  });

  test('but not when it was never reached', async () => {
    const fixture = await Fixture.serving();
    for (let i = 0; i < 5; i++) {
      fixture.link('n2').end('refused');
      fixture.env.clock.advance(2000);
    }
    expect(fixture.told).toEqual([]);
  });

  test('nor when its link broke and it can be dialled, or cannot be reached at all', async () => {
    const fixture = await connected();
    fixture.link('n2').end('reset');
    fixture.link('n2').end('unreachable');
    fixture.env.clock.advance(2000);
    fixture.link('n2').open();
    expect(fixture.told).toEqual(['up n2']);
  });

  test('nor when it is slow, however full its link is', async () => {
    const fixture = await connected();
    fixture.link('n2').room = 0;
    for (let i = 0; i < 50; i++) {
      fixture.hub.sendMessage('n2', MESSAGE.raft, 1, Buffer.alloc(100));
      fixture.hub.flush();
      fixture.env.clock.advance(1000);
    }
    expect(fixture.told).toEqual([]);
    expect(fixture.hub.queuedBytes('n2')).toBeGreaterThan(0);
  });
});

describe('what is sent', () => {
  test('goes out with the flush, to each peer in one frame under the present epoch', async () => {
    const { hub, env } = await Fixture.serving();
    const link = env.network.dialled('n2:9001');
    link.open();
    link.sent.length = 0;
    hub.setCluster(CLUSTER, 9);
    hub.sendMessage('n2', MESSAGE.raft, 1, Buffer.from('a'));
    hub.sendMessage('n2', MESSAGE.leaders, 0, Buffer.from('b'));
    expect(hub.sendMessage('n3', MESSAGE.raft, 1, Buffer.from('c'))).toBe(false);
    hub.flush();
    expect(link.sent).toHaveLength(1);
    expect(kindsIn(link.sent[0]!)).toEqual([MESSAGE.raft, MESSAGE.leaders]);
    expect(decodeFrameHeader(new ByteReader(link.sent[0]!))).toEqual({
      clusterTag: TAG,
      from: 'n1',
      boot: hub.boot,
      incarnation: 'n1-incarnation',
      epoch: 9,
    });
    expect(hub.statistics().framesSent).toBe(2);
  });
});

describe('a hello', () => {
  test('comes back as it was, and nothing else passes for one', () => {
    const said = hello('n1', { map: '{"a":1}', wantsAnswer: true });
    expect(decodeHello(encodeHello(said))).toEqual(said);
    const whole = encodeHello(said);
    for (let length = 0; length < whole.length; length++)
      expect(decodeHello(whole.subarray(0, length))).toBeUndefined();
    for (const field of Object.keys(said)) {
      const without = Object.fromEntries(Object.entries(said).filter(([name]) => name !== field));
      expect(decodeHello(Buffer.from(JSON.stringify(without)))).toBeUndefined();
    }
  });
});
