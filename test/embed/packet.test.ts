/** Calls and answers as bytes: what goes in comes out, and bad packets are refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DecodeError } from '../../src/base/bytes.js';
import {
  type Answered,
  AnswerWriter,
  buffersOf,
  type Call,
  CallWriter,
  COMMANDS,
  type Packet,
  readAnswers,
  readCalls,
} from '../../src/embed/packet.js';
import type { Failure } from '../../src/embed/protocol.js';

/** As another thread gets it. */
const transferred = (packet: Packet): Packet => structuredClone(packet, { transfer: buffersOf(packet) });

function packetOf(calls: readonly Call[]): Packet {
  const writer = new CallWriter();
  for (const call of calls) writer.add(call);
  return transferred(writer.take());
}

function callsOf(packet: Packet): Call[] {
  const calls: Call[] = [];
  readCalls(packet, (call) => calls.push(call));
  return calls;
}

type Outcome = readonly [id: number, Answered | Failure];

function outcomesOf(packet: Packet): Outcome[] {
  const outcomes: Outcome[] = [];
  readAnswers(packet, {
    value: (id, value) => outcomes.push([id, value]),
    error: (id, failure) => outcomes.push([id, failure]),
  });
  return outcomes;
}

/** Bytes as text, which is compared a thousand times faster. */
function legible(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return `bytes ${value.toString('latin1')}`;
  return Array.isArray(value) ? value.map(legible) : value;
}

const legibleCalls = (calls: readonly Call[]): unknown[] =>
  calls.map((call) => ({ ...call, args: legible(call.args) }));

// Beyond the size at which bytes travel as a buffer of their own, now and then.
const bytes = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array)) },
  { weight: 1, arbitrary: fc.integer({ min: 32_767, max: 32_769 }).map((size) => Buffer.alloc(size, 'ab')) },
);
const call: fc.Arbitrary<Call> = fc.record({
  id: fc.nat(),
  bucket: fc.string(),
  command: fc.constantFrom(...COMMANDS),
  args: fc.array(bytes, { maxLength: 4 }),
  quorum: fc.option(
    fc
      .tuple(fc.integer({ min: 1, max: 300 }), fc.constantFrom('r', 'w', 'both'))
      .map(([replicas, which]) => ({
        r: which === 'w' ? undefined : replicas,
        w: which === 'r' ? undefined : replicas + 1,
      })),
    { nil: undefined },
  ),
});
const answered = fc.letrec<{ value: Answered }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.maxSafeInteger(),
    bytes,
    fc.array(tie('value'), { maxLength: 4 }),
  ),
})).value;

describe('packets of calls', () => {
  test('arrive as they were sent', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 8 }), (calls) => {
        expect(legibleCalls(callsOf(packetOf(calls)))).toEqual(legibleCalls(calls));
      }),
      { seed: 3 },
    );
  });

  test('hold what the bytes were when the call was made', () => {
    const key = Buffer.from('key');
    const value = Buffer.alloc(100_000, 1);
    const writer = new CallWriter();
    writer.add({ id: 1, bucket: 'b', command: 'quoin.put', args: [key, value] });
    key.fill(0);
    value.fill(0);
    const [arrived] = callsOf(transferred(writer.take()));
    expect(arrived?.args[0]?.toString()).toBe('key');
    expect(arrived?.args[1]?.equals(Buffer.alloc(100_000, 1))).toBe(true);
  });

  test('leave the buffers of the caller alone, and carry no more than the bytes that were meant', () => {
    const segment = Buffer.alloc(1_000_000, 7);
    const writer = new CallWriter();
    writer.add({ id: 1, bucket: 'b', command: 'quoin.put', args: [segment.subarray(0, 10)] });
    writer.add({ id: 2, bucket: 'b', command: 'quoin.put', args: [segment.subarray(0, 50_000)] });
    const packet = writer.take();
    const held = buffersOf(packet).reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(held).toBeLessThan(51_000);
    transferred(packet);
    expect(segment.length).toBe(1_000_000);
    expect(writer.empty).toBe(true);
  });
});

describe('packets of answers', () => {
  test('arrive as they were sent', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), answered), { maxLength: 8 }), (values) => {
        const writer = new AnswerWriter();
        for (const [id, value] of values) writer.value(id, value);
        expect(legible(outcomesOf(transferred(writer.take())))).toEqual(legible(values));
      }),
      { seed: 5 },
    );
  });

  test('carry errors with their code', () => {
    const writer = new AnswerWriter();
    writer.value(1, null);
    writer.error(2, { code: 'CROSS_SLOT', message: 'zwei Sch\u00f6ße' });
    expect(outcomesOf(transferred(writer.take()))).toEqual([
      [1, null],
      [2, { code: 'CROSS_SLOT', message: 'zwei Sch\u00f6ße' }],
    ]);
  });

  test('give small values that do not hold on to the packet', () => {
    const writer = new AnswerWriter();
    for (let id = 0; id < 1000; id++) writer.value(id, Buffer.alloc(1000, id));
    const packet = transferred(writer.take());
    const [[, value] = []] = outcomesOf(packet);
    expect(Buffer.isBuffer(value) && value.buffer).not.toBe(packet.frame.buffer);
  });
});

describe('a packet that is not whole', () => {
  const calls: Call[] = [
    { id: 300, bucket: 'default', command: 'quoin.get', args: [Buffer.from('key')] },
    { id: 301, bucket: 'default', command: 'quoin.put', args: [Buffer.from('k'), Buffer.alloc(40_000)] },
  ];

  test('is refused wherever it was cut within a call', () => {
    const { frame, attachments } = packetOf(calls);
    const whole = new Set([0, frame.length]);
    let refused = 0;
    for (let length = 0; length <= frame.length; length++) {
      try {
        const found = callsOf({ frame: frame.slice(0, length), attachments });
        expect(found.length).toBeLessThan(whole.has(length) ? 3 : 2);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
        refused++;
      }
    }
    expect(refused).toBe(frame.length - 2);
  });

  test('is refused when an attachment is missing or another', () => {
    const { frame, attachments } = packetOf(calls);
    expect(() => callsOf({ frame, attachments: [] })).toThrow(DecodeError);
    expect(() => callsOf({ frame, attachments: [new Uint8Array(7)] })).toThrow(DecodeError);
    expect(callsOf({ frame, attachments })).toHaveLength(2);
  });

  test('never does worse than be refused when its bytes are changed', () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), (some, at, byte) => {
        const packet = packetOf(some);
        packet.frame[at % packet.frame.length] = byte;
        for (const read of [callsOf, outcomesOf]) {
          try {
            read(packet);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
      }),
      { seed: 9, numRuns: 500 },
    );
  });
});
