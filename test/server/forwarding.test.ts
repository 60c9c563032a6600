import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, DecodeError } from '../../src/base/bytes.js';
import {
  decodeFrameHeader,
  decodeMessages,
  encodeFrameHeader,
  MESSAGE,
} from '../../src/replica/peers/frame.js';
import { ForwardGate } from '../../src/server/forward-gate.js';
import {
  decodeForwardedReply,
  encodeForwardedRequest,
  type ForwardedRequest,
  RemoteRequest,
} from '../../src/server/forwarding.js';
import { manualEnv } from '../replica/support/manual-env.js';
import { quietHub } from '../support/hub.js';
import { command, plain } from '../support/test-machine.js';

const BOOT = '0123456789abcdef';

/** The hub of n1, which has heard n2's process of a given boot number. */
class Fixture {
  readonly env = manualEnv('forwarding');
  readonly hub = quietHub(this.env);

  constructor() {
    void this.hub.listen('n1:9001');
    this.hub.setCluster('test', 1);
    this.hub.setPeers([{ id: 'n2', grpc: 'n2:9001' }]);
    this.env.network.dialled('n2:9001').open();
    this.replies();
    this.hear(BOOT);
  }

  hear(boot: string): void {
    this.hub.sendMessage('n2', MESSAGE.mapRequest, 0, Buffer.alloc(0));
    this.hub.flush();
    const own = this.env.network.dialled('n2:9001').sent.pop()!;
    const { clusterTag } = decodeFrameHeader(new ByteReader(own));
    const writer = new ByteWriter(64);
    encodeFrameHeader(writer, { clusterTag, from: 'n2', boot, incarnation: 'i', epoch: 1 });
    this.env.network.connect().deliver(writer.take());
  }

  /** Bodies of the replies sent to n2. */
  replies(): Buffer[] {
    this.hub.flush();
    const bodies: Buffer[] = [];
    for (const frame of this.env.network.dialled('n2:9001').sent.splice(0)) {
      const reader = new ByteReader(frame);
      decodeFrameHeader(reader);
      decodeMessages(reader, (kind, _group, body) => {
        if (kind === MESSAGE.forwardReplies) bodies.push(body);
      });
    }
    return bodies;
  }
}

function encode(request: ForwardedRequest): Buffer {
  const writer = new ByteWriter(64);
  encodeForwardedRequest(writer, request);
  return writer.take();
}

const REQUEST: ForwardedRequest = {
  sequence: 300,
  acknowledgedBelow: 290,
  throughLog: true,
  session: undefined,
  bucketId: 2,
  definition: command('SET'),
  args: [Buffer.from('key'), Buffer.from('value')],
};

const anyRequest: fc.Arbitrary<ForwardedRequest> = fc.record({
  sequence: fc.nat(),
  acknowledgedBelow: fc.nat(),
  throughLog: fc.boolean(),
  session: fc.option(
    fc.record({
      session: fc.stringMatching(/^[0-9a-f]{16}$/),
      sequence: fc.nat(),
      acknowledgedBelow: fc.nat(),
    }),
    { nil: undefined },
  ),
  bucketId: fc.nat(1000),
  definition: fc.constantFrom(command('SET'), command('GET'), command('MGET')),
  args: fc.array(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 5 },
  ),
});

describe('a forwarded request', () => {
  test('arrives as it was sent, under the session of the client or of the sending process', () => {
    const { hub } = new Fixture();
    fc.assert(
      fc.property(anyRequest, (request) => {
        const remote = new RemoteRequest(hub, new ForwardGate(), 'n2', 1, encode(request));
        // A write goes through the log, whatever the flag says.
        expect(remote.throughLog).toBe(request.throughLog || request.definition.isWrite);
        expect(remote.bucketId).toBe(request.bucketId);
        expect(remote.definition).toBe(request.definition);
        expect(remote.args).toEqual(request.args);
        expect(remote.stamp).toEqual(
          request.session ?? {
            session: BOOT,
            sequence: request.sequence,
            acknowledgedBelow: request.acknowledgedBelow,
          },
        );
      }),
      { seed: 1 },
    );
  });

  test('that is cut, or mutated beyond recognition, is refused with a DecodeError', () => {
    const { hub } = new Fixture();
    fc.assert(
      fc.property(anyRequest, fc.nat(), fc.integer({ min: 1, max: 255 }), (request, at, mask) => {
        const whole = encode(request);
        for (let length = 0; length < whole.length; length++)
          expect(() => new RemoteRequest(hub, new ForwardGate(), 'n2', 1, whole.subarray(0, length))).toThrow(
            DecodeError,
          );
        whole[at % whole.length]! ^= mask;
        try {
          const remote = new RemoteRequest(hub, new ForwardGate(), 'n2', 1, whole);
          // What would stop the leader's log must not get so far.
          expect(remote.stamp.session).toMatch(/^[0-9a-f]{16}$/);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  test('and its replies are pinned to their bytes', () => {
    const golden = readFileSync(new URL('./golden/forwarding-1.hex', import.meta.url), 'utf8');
    const fixture = new Fixture();
    const session = { session: 'aaaaaaaaaaaaaaaa', sequence: 5, acknowledgedBelow: 4 };
    const lines = [encode(REQUEST), encode({ ...REQUEST, throughLog: false, session })];
    for (const [number, body] of lines.entries()) {
      const remote = new RemoteRequest(fixture.hub, new ForwardGate(), 'n2', 1, body);
      if (number === 0) remote.answer(Buffer.from('reply'));
      else remote.refuse('leadership-lost');
    }
    lines.push(...fixture.replies());
    expect(lines.map((line) => line.toString('hex'))).toEqual(
      golden
        .trim()
        .split('\n')
        .map((line) => line.replace(/\s+/g, '')),
    );
  });
});

describe('a forwarded reply', () => {
  function reply(act: (remote: RemoteRequest) => void): Buffer[] {
    const fixture = new Fixture();
    act(new RemoteRequest(fixture.hub, new ForwardGate(), 'n2', 1, encode(REQUEST)));
    return fixture.replies();
  }

  test('comes back with the sequence of its request: an answer or a refusal', () => {
    const [answer] = reply((remote) => remote.answer([Buffer.from('a'), null]));
    const decoded = decodeForwardedReply(answer!, BOOT)!;
    expect([decoded.sequence, decoded.refusal, plain(decoded.reply)]).toEqual([300, undefined, ['a', null]]);
    for (const refusal of ['not-leader', 'leadership-lost', 'behind', 'overloaded'] as const) {
      const [body] = reply((remote) => remote.refuse(refusal));
      expect(decodeForwardedReply(body!, BOOT)).toEqual({ sequence: 300, refusal, reply: null });
    }
  });

  test('is nothing to a later process of the same node', () => {
    const [body] = reply((remote) => remote.refuse('behind'));
    expect(decodeForwardedReply(body!, 'ffffffffffffffff')).toBeUndefined();
  });

  test('is not sent once the peer is known to have restarted', () => {
    const fixture = new Fixture();
    const remote = new RemoteRequest(fixture.hub, new ForwardGate(), 'n2', 1, encode(REQUEST));
    fixture.hear('ffffffffffffffff');
    remote.answer(Buffer.from('x'));
    remote.refuse('behind');
    expect(fixture.replies()).toEqual([]);
  });

  test('that is cut is refused with a DecodeError', () => {
    const [whole] = reply((remote) => remote.answer(Buffer.from('reply')));
    for (let length = 0; length < whole!.length; length++)
      expect(() => decodeForwardedReply(whole!.subarray(0, length), BOOT)).toThrow(DecodeError);
    const unknown = Buffer.from(whole!);
    unknown[6] = 9;
    expect(() => decodeForwardedReply(unknown, BOOT)).toThrow(DecodeError);
  });
});
