import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changeLimits } from '../../sim/limits.js';
import { ByteReader } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import {
  decodeFrameHeader,
  decodeMessages,
  MESSAGE,
  type MessageKind,
} from '../../src/replica/peers/frame.js';
import { Outbox, PieceAssembler } from '../../src/replica/peers/outbox.js';
import { ManualLink } from './support/manual-env.js';

interface Received {
  readonly kind: MessageKind;
  readonly group: number;
  readonly body: string;
}

const HEADER = { clusterTag: 1, from: 'n1', boot: '0123456789abcdef', incarnation: 'i', epoch: 1 };

function connected(): { outbox: Outbox; link: ManualLink } {
  const outbox = new Outbox(() => HEADER);
  const link = new ManualLink('peer', {
    onFrame: () => {},
    onDrain: () => outbox.onDrain(),
    onClose: () => {},
  });
  outbox.attach(link);
  return { outbox, link };
}

function write(outbox: Outbox, kind: MessageKind, group: number, body: Buffer): void {
  const writer = outbox.begin(kind, group);
  writer.raw(body);
  outbox.end();
}

function messagesOf(frame: Buffer): { kind: MessageKind; group: number; body: Buffer }[] {
  const reader = new ByteReader(frame);
  decodeFrameHeader(reader);
  const messages: { kind: MessageKind; group: number; body: Buffer }[] = [];
  decodeMessages(reader, (kind, group, body) => messages.push({ kind, group, body }));
  return messages;
}

/** What a receiver makes of frames. */
function receive(frames: readonly Buffer[]): Received[] {
  const assembler = new PieceAssembler();
  const received: Received[] = [];
  for (const frame of frames)
    for (const { kind, group, body } of messagesOf(frame)) {
      const whole = kind === MESSAGE.piece ? assembler.add(body) : { kind, body };
      if (whole !== undefined)
        received.push({ kind: whole.kind, group, body: whole.body.toString('latin1') });
    }
  return received;
}

const text = (letter: string, sizeBytes: number): Buffer => Buffer.alloc(sizeBytes, letter);
const LARGE = LIMITS.maxFrameBytes * 3 + 17;

describe('an outbox', () => {
  test('sends all messages of a turn in one frame, in order', () => {
    const { outbox, link } = connected();
    write(outbox, MESSAGE.raft, 1, text('a', 3));
    write(outbox, MESSAGE.heartbeat, 2, text('b', 0));
    expect(link.sent).toHaveLength(0);
    outbox.flush();
    expect(link.sent).toHaveLength(1);
    expect(receive(link.sent)).toEqual([
      { kind: MESSAGE.raft, group: 1, body: 'aaa' },
      { kind: MESSAGE.heartbeat, group: 2, body: '' },
    ]);
  });

  test('sends nothing when a turn had nothing to say', () => {
    const { outbox, link } = connected();
    outbox.flush();
    write(outbox, MESSAGE.raft, 1, text('a', 1));
    outbox.flush();
    outbox.flush();
    expect(link.sent).toHaveLength(1);
  });

  test('cuts a large message into pieces no larger than a frame may be', () => {
    const { outbox, link } = connected();
    write(outbox, MESSAGE.raft, 1, text('a', LARGE));
    outbox.flush();
    expect(link.sent).toHaveLength(4);
    for (const frame of link.sent) expect(frame.length).toBeLessThan(LIMITS.maxFrameBytes + 256);
    expect(receive(link.sent)).toEqual([{ kind: MESSAGE.raft, group: 1, body: 'a'.repeat(LARGE) }]);
    expect(outbox.queuedBytes).toBe(0);
  });

  test('sends what came before a large message of the same turn, and goes on behind it', () => {
    const { outbox, link } = connected();
    write(outbox, MESSAGE.heartbeat, 1, text('a', 5));
    write(outbox, MESSAGE.raft, 1, text('b', LARGE));
    write(outbox, MESSAGE.heartbeat, 2, text('c', 5));
    outbox.flush();
    expect(receive(link.sent)).toEqual([
      { kind: MESSAGE.heartbeat, group: 1, body: 'aaaaa' },
      { kind: MESSAGE.heartbeat, group: 2, body: 'ccccc' },
      { kind: MESSAGE.raft, group: 1, body: 'b'.repeat(LARGE) },
    ]);
  });

  test('sends a large message of two parts as one, wherever the parts meet', () => {
    for (const headBytes of [0, 1, 100, LIMITS.maxFrameBytes - 1, LIMITS.maxFrameBytes, LARGE - 1, LARGE]) {
      const { outbox, link } = connected();
      const head = text('h', headBytes);
      const tail = text('t', LARGE - headBytes);
      expect(outbox.sendLarge(MESSAGE.raft, 7, head, tail)).toBe(true);
      expect(outbox.queuedBytes).toBe(LARGE);
      write(outbox, MESSAGE.raft, 7, text('z', 1));
      outbox.flush();
      expect(receive(link.sent)).toEqual([
        { kind: MESSAGE.raft, group: 7, body: Buffer.concat([head, tail]).toString() },
        { kind: MESSAGE.raft, group: 7, body: 'z' },
      ]);
      for (const frame of link.sent) expect(frame.length).toBeLessThan(LIMITS.maxFrameBytes + 256);
      expect(outbox.queuedBytes).toBe(0);
    }
  });

  test('drops a large message of two parts when there is no link', () => {
    const { outbox } = connected();
    outbox.detach();
    expect(outbox.sendLarge(MESSAGE.raft, 7, text('h', 1), text('t', LARGE))).toBe(false);
    expect(outbox.messagesDropped).toBe(1);
    expect(outbox.queuedBytes).toBe(0);
  });

  test('keeps messages of a lane behind the pieces before them, and lets other lanes pass', () => {
    const { outbox, link } = connected();
    link.room = 1;
    write(outbox, MESSAGE.raft, 1, text('a', LARGE));
    outbox.flush();
    write(outbox, MESSAGE.raft, 1, text('b', 5));
    write(outbox, MESSAGE.heartbeat, 1, text('c', 5));
    write(outbox, MESSAGE.raft, 2, text('d', 5));
    outbox.flush();
    link.drain();
    expect(receive(link.sent).map(({ body }) => body[0])).toEqual(['c', 'd', 'a', 'b']);
  });

  test('stops at a link that is full, and goes on in order when it drains', () => {
    const { outbox, link } = connected();
    link.room = 1;
    for (const letter of ['a', 'b', 'c']) {
      write(outbox, MESSAGE.raft, 1, text(letter, 10));
      outbox.flush();
    }
    expect(link.sent).toHaveLength(1);
    expect(outbox.queuedBytes).toBeGreaterThan(20);
    link.drain(1);
    expect(link.sent).toHaveLength(2);
    link.drain();
    expect(receive(link.sent).map(({ body }) => body[0])).toEqual(['a', 'b', 'c']);
    expect(outbox.queuedBytes).toBe(0);
  });

  test('sends a frame early once it is large, so that no turn makes an endless one', () => {
    const { outbox, link } = connected();
    for (let i = 0; i < 40; i++) write(outbox, MESSAGE.raft, 1, text('a', LIMITS.maxFrameBytes / 2));
    expect(link.sent.length).toBeGreaterThan(1);
    outbox.flush();
    for (const frame of link.sent) expect(frame.length).toBeLessThan(LIMITS.maxPeerMessageBytes);
    expect(receive(link.sent)).toHaveLength(40);
  });

  test('drops and counts messages past its bound, and takes them again once there is room', () => {
    const restore = changeLimits({ maxPeerQueueBytes: 1000 });
    try {
      const { outbox, link } = connected();
      link.room = 1;
      write(outbox, MESSAGE.heartbeat, 0, text('x', 1));
      outbox.flush();
      for (let i = 0; i < 20; i++) {
        write(outbox, MESSAGE.raft, 1, text('a', 100));
        outbox.flush();
      }
      expect(outbox.messagesDropped).toBeGreaterThan(0);
      expect(outbox.queuedBytes).toBeLessThan(1300);
      const kept = 20 - outbox.messagesDropped;
      link.drain();
      write(outbox, MESSAGE.raft, 1, text('b', 100));
      outbox.flush();
      expect(receive(link.sent).filter(({ kind }) => kind === MESSAGE.raft)).toHaveLength(kept + 1);
    } finally {
      restore();
    }
  });

  test('forgets what was queued for an old link when it gets a new one', () => {
    const { outbox, link } = connected();
    link.room = 1;
    write(outbox, MESSAGE.raft, 1, text('a', LARGE));
    outbox.flush();
    write(outbox, MESSAGE.raft, 2, text('b', 10));
    const fresh = new ManualLink('peer', link.events);
    outbox.attach(fresh);
    expect(outbox.queuedBytes).toBe(0);
    write(outbox, MESSAGE.raft, 1, text('c', 1));
    outbox.flush();
    expect(receive(fresh.sent).map(({ body }) => body)).toEqual(['c']);
  });

  test('takes nothing while there is no link', () => {
    const { outbox } = connected();
    outbox.detach();
    write(outbox, MESSAGE.raft, 1, text('a', 10));
    expect(outbox.queuedBytes).toBeLessThan(100);
    expect(outbox.messagesDropped).toBe(1);
  });

  test('delivers each lane whole and in order, whatever the sizes and however slow the link', () => {
    const anyMessage = fc.record({
      group: fc.nat(2),
      kind: fc.constantFrom(MESSAGE.raft, MESSAGE.heartbeat),
      sizeBytes: fc.oneof(fc.nat(20), fc.nat(900)),
      next: fc.constantFrom('nothing' as const, 'flush' as const, 'drain' as const),
      room: fc.integer({ min: 1, max: 4 }),
    });
    const restore = changeLimits({ maxFrameBytes: 64 });
    try {
      fc.assert(
        fc.property(fc.array(anyMessage, { maxLength: 40 }), (messages) => {
          const { outbox, link } = connected();
          link.room = 2;
          const sent = new Map<string, string[]>();
          for (const [number, { group, kind, sizeBytes, next, room }] of messages.entries()) {
            const body = `${number}:${'z'.repeat(sizeBytes)}`;
            const lane = `${kind}/${group}`;
            sent.set(lane, [...(sent.get(lane) ?? []), body]);
            write(outbox, kind, group, Buffer.from(body));
            if (next === 'flush') outbox.flush();
            else if (next === 'drain' && link.room <= 0) link.drain(room);
          }
          outbox.flush();
          while (outbox.queuedBytes > 0) link.drain(2);
          const received = new Map<string, string[]>();
          for (const { kind, group, body } of receive(link.sent)) {
            const lane = `${kind}/${group}`;
            received.set(lane, [...(received.get(lane) ?? []), body]);
          }
          expect(received).toEqual(sent);
        }),
        { seed: 5, numRuns: 150 },
      );
    } finally {
      restore();
    }
  });
});

describe('putting pieces together', () => {
  function piecesOf(letters: readonly string[]): Buffer[] {
    const { outbox, link } = connected();
    for (const letter of letters) write(outbox, MESSAGE.raft, 1, text(letter, LIMITS.maxFrameBytes * 2 + 5));
    outbox.flush();
    return link.sent;
  }

  test('drops a message of which a piece is missing, and takes the next one', () => {
    const frames = piecesOf(['a', 'b']);
    for (let lost = 0; lost < 3; lost++) {
      const rest = frames.filter((_, position) => position !== lost);
      expect(receive(rest).map(({ body }) => body[0])).toEqual(['b']);
    }
  });

  test('never makes a message of pieces that came in another order, or twice', () => {
    const frames = piecesOf(['a', 'b']);
    fc.assert(
      fc.property(fc.array(fc.nat(frames.length - 1), { maxLength: 20 }), (order) => {
        for (const { body } of receive(order.map((position) => frames[position]!)))
          expect([
            'a'.repeat(LIMITS.maxFrameBytes * 2 + 5),
            'b'.repeat(LIMITS.maxFrameBytes * 2 + 5),
          ]).toContain(body);
      }),
      { seed: 6, numRuns: 50 },
    );
  });

  test('reserves nothing for a message beyond what a queue may hold', () => {
    const restore = changeLimits({ maxPeerQueueBytes: LIMITS.maxFrameBytes });
    try {
      expect(receive(piecesOf(['a']))).toEqual([]);
    } finally {
      restore();
    }
  });
});
