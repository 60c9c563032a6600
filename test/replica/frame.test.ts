import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../src/base/bytes.js';
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

interface Message {
  readonly kind: MessageKind;
  readonly group: number;
  readonly body: Buffer;
}

interface Frame {
  readonly header: FrameHeader;
  readonly messages: readonly Message[];
}

function encode({ header, messages }: Frame): Buffer {
  const writer = new ByteWriter(16);
  encodeFrameHeader(writer, header);
  for (const { kind, group, body } of messages) {
    const position = beginMessage(writer, kind, group);
    writer.raw(body);
    endMessage(writer, position);
  }
  return writer.take();
}

function decode(bytes: Buffer): Frame {
  const reader = new ByteReader(bytes);
  const header = decodeFrameHeader(reader);
  const messages: Message[] = [];
  decodeMessages(reader, (kind, group, body) => messages.push({ kind, group, body: Buffer.from(body) }));
  return { header, messages };
}

const anyHeader: fc.Arbitrary<FrameHeader> = fc.record({
  clusterTag: fc.nat(0xffffffff),
  from: fc.string({ maxLength: 20, unit: 'grapheme' }),
  boot: fc.stringMatching(/^[0-9a-f]{16}$/),
  incarnation: fc.stringMatching(/^[0-9a-f]{32}$/),
  epoch: fc.maxSafeNat(),
});

const anyFrame: fc.Arbitrary<Frame> = fc.record({
  header: anyHeader,
  messages: fc.array(
    fc.record({
      kind: fc.constantFrom(...Object.values(MESSAGE)),
      group: fc.nat(70_000),
      body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    }),
    { maxLength: 6 },
  ),
});

const HEADER: FrameHeader = {
  clusterTag: 0x11223344,
  from: 'n1',
  boot: '0123456789abcdef',
  incarnation: 'fedcba98765432100123456789abcdef',
  epoch: 300,
};

describe('the frame codec', () => {
  test('gives back every header and message, in order', () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        expect(decode(encode(frame))).toEqual(frame);
      }),
      { seed: 1 },
    );
  });

  test('refuses a frame cut anywhere but between two messages', () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const whole = encode(frame);
        const ends = new Set<number>();
        for (let count = 0; count <= frame.messages.length; count++)
          ends.add(encode({ ...frame, messages: frame.messages.slice(0, count) }).length);
        for (let length = 0; length < whole.length; length++) {
          if (ends.has(length)) expect(() => decode(whole.subarray(0, length))).not.toThrow();
          else expect(() => decode(whole.subarray(0, length))).toThrow(DecodeError);
        }
      }),
      { seed: 2, numRuns: 30 },
    );
  });

  test('reads mutated bytes as some frame or refuses them with a DecodeError', () => {
    fc.assert(
      fc.property(anyFrame, fc.nat(), fc.integer({ min: 1, max: 255 }), (frame, at, mask) => {
        const bytes = encode(frame);
        bytes[at % bytes.length]! ^= mask;
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  test('reads noise as nothing but a DecodeError or a frame', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          decode(Buffer.concat([Buffer.from([1]), Buffer.from(noise)]));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { seed: 4, numRuns: 500 },
    );
  });

  test('hands over the messages before one that it does not know, and refuses the rest', () => {
    const known = { kind: MESSAGE.raft, group: 1, body: Buffer.from('a') };
    const frame = encode({ header: HEADER, messages: [known] });
    const strange = Buffer.concat([
      frame,
      Buffer.from([Math.max(...Object.values(MESSAGE)) + 1, 0, 0, 0, 0, 0]),
    ]);
    const seen: number[] = [];
    const reader = new ByteReader(strange);
    decodeFrameHeader(reader);
    expect(() => decodeMessages(reader, (kind) => seen.push(kind))).toThrow(DecodeError);
    expect(seen).toEqual([MESSAGE.raft]);
  });

  test('refuses a version that it does not know', () => {
    const frame = encode({ header: HEADER, messages: [] });
    frame[0] = 2;
    expect(() => decode(frame)).toThrow(DecodeError);
  });

  test('gives every kind of message a number of its own', () => {
    const numbers = Object.values(MESSAGE);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(Math.min(...numbers)).toBe(1);
  });

  test('writes the bytes that the golden file pins', () => {
    const golden = readFileSync(new URL('./golden/frame-1.hex', import.meta.url), 'utf8');
    const frame: Frame = {
      header: HEADER,
      messages: [
        { kind: MESSAGE.heartbeat, group: 0, body: Buffer.from('beat') },
        { kind: MESSAGE.forwardRequests, group: 200, body: Buffer.from('request') },
        { kind: MESSAGE.snapshotWanted, group: 3, body: Buffer.alloc(0) },
      ],
    };
    expect(encode(frame).toString('hex')).toBe(golden.replace(/\s+/g, ''));
    expect(decode(Buffer.from(golden.replace(/\s+/g, ''), 'hex'))).toEqual(frame);
  });
});
