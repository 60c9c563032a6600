/**
 * What every `Network` must do, as a suite that an implementation adopts in one line. It drives the network only
 * through its contract; how time passes is the harness's affair (`until` waits for real or runs virtual time).
 */
import { describe, expect, it } from 'vitest';
import type { Link, LinkCloseReason, LinkEvents, Listener, Network } from '../../src/env/env.js';

export interface NetworkHarness {
  /** Two nodes' views of one network; the same object where nodes share it. */
  readonly listening: Network;
  readonly dialling: Network;
  /** An address to listen on that nobody else uses (port 0 is fine where `Listener.address` tells the real one). */
  address(): string;
  /** An address at which nobody listens. */
  unusedAddress(): Promise<string>;
  /** Resolves when `condition` holds, rejects when that takes too long. */
  until(condition: () => boolean): Promise<void>;
  dispose(): Promise<void>;
}

/** Records what a link tells its owner. */
export class RecordedEvents implements LinkEvents {
  opened = false;
  readonly frames: Buffer[] = [];
  drains = 0;
  readonly closes: LinkCloseReason[] = [];
  eventsAfterClose = 0;

  onOpen(): void {
    this.opened = true;
  }
  onFrame(frame: Buffer): void {
    if (this.closes.length > 0) this.eventsAfterClose++;
    this.frames.push(frame);
  }
  onDrain(): void {
    if (this.closes.length > 0) this.eventsAfterClose++;
    this.drains++;
  }
  onClose(reason: LinkCloseReason): void {
    this.closes.push(reason);
  }
}

interface Pair {
  readonly listener: Listener;
  readonly dialled: Link;
  readonly dialledEvents: RecordedEvents;
  readonly accepted: Link;
  readonly acceptedEvents: RecordedEvents;
}

async function connect(harness: NetworkHarness): Promise<Pair> {
  const acceptedEvents = new RecordedEvents();
  const links: Link[] = [];
  const listener = await harness.listening.listen(harness.address(), (link) => {
    links.push(link);
    return acceptedEvents;
  });
  const dialledEvents = new RecordedEvents();
  const dialled = harness.dialling.dial(listener.address, dialledEvents);
  await harness.until(() => dialledEvents.opened && links.length === 1);
  return { listener, dialled, dialledEvents, accepted: links[0]!, acceptedEvents };
}

/** Bytes that tell which frame they are and where a piece would be missing. */
function patternOf(number: number, sizeBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(sizeBytes);
  for (let i = 0; i < sizeBytes; i++) frame[i] = (number * 31 + i * 7 + (i >>> 8)) & 0xff;
  return frame;
}

export function networkConformance(name: string, createHarness: () => NetworkHarness): void {
  const withHarness = (body: (harness: NetworkHarness) => Promise<void>) => async (): Promise<void> => {
    const harness = createHarness();
    try {
      await body(harness);
    } finally {
      await harness.dispose();
    }
  };

  describe(`${name} keeps the network contract`, () => {
    it(
      'carries frames whole and in order, in both directions at once',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        const sizes = [0, 1, 2, 127, 128, 129, 16383, 16384, 65536, 5, 0, 300];
        sizes.forEach((size, number) => {
          pair.dialled.send(patternOf(number, size));
          pair.accepted.send(patternOf(number + 100, size));
        });
        await harness.until(
          () =>
            pair.acceptedEvents.frames.length === sizes.length &&
            pair.dialledEvents.frames.length === sizes.length,
        );
        sizes.forEach((size, number) => {
          expect(pair.acceptedEvents.frames[number]!.equals(patternOf(number, size))).toBe(true);
          expect(pair.dialledEvents.frames[number]!.equals(patternOf(number + 100, size))).toBe(true);
        });
        await pair.listener.close();
      }),
    );

    it(
      'carries frames of a mebibyte',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        for (let number = 0; number < 5; number++) pair.dialled.send(patternOf(number, 1 << 20));
        await harness.until(() => pair.acceptedEvents.frames.length === 5);
        pair.acceptedEvents.frames.forEach((frame, number) => {
          expect(frame.equals(patternOf(number, 1 << 20))).toBe(true);
        });
        await pair.listener.close();
      }),
    );

    it(
      'delivers what was sent before the link opened',
      withHarness(async (harness) => {
        const acceptedEvents = new RecordedEvents();
        const listener = await harness.listening.listen(harness.address(), () => acceptedEvents);
        const dialled = harness.dialling.dial(listener.address, new RecordedEvents());
        dialled.send(Buffer.from('early'));
        await harness.until(() => acceptedEvents.frames.length === 1);
        expect(acceptedEvents.frames[0]!.toString()).toBe('early');
        await listener.close();
      }),
    );

    it(
      'calls nothing back from within dial',
      withHarness(async (harness) => {
        const events = new RecordedEvents();
        harness.dialling.dial(await harness.unusedAddress(), events);
        expect(events.closes).toEqual([]);
        await harness.until(() => events.closes.length === 1);
      }),
    );

    it(
      'refuses a link where nobody listens',
      withHarness(async (harness) => {
        const events = new RecordedEvents();
        harness.dialling.dial(await harness.unusedAddress(), events);
        await harness.until(() => events.closes.length === 1);
        expect(events.closes).toEqual(['refused']);
        expect(events.opened).toBe(false);
      }),
    );

    it(
      'tells the accepting side when the dialling side closes, after the frames sent before',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        pair.dialled.send(Buffer.from('last words'));
        pair.dialled.close();
        await harness.until(() => pair.acceptedEvents.closes.length === 1);
        expect(pair.acceptedEvents.frames.map(String)).toEqual(['last words']);
        expect(pair.acceptedEvents.closes).toEqual(['closed']);
        expect(pair.dialledEvents.closes).toEqual([]);
        await pair.listener.close();
      }),
    );

    it(
      'tells the dialling side when the accepting side closes, after the frames sent before',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        pair.accepted.send(Buffer.from('last words'));
        pair.accepted.close();
        await harness.until(() => pair.dialledEvents.closes.length === 1);
        expect(pair.dialledEvents.frames.map(String)).toEqual(['last words']);
        expect(pair.dialledEvents.closes).toEqual(['closed']);
        expect(pair.acceptedEvents.closes).toEqual([]);
        await pair.listener.close();
      }),
    );

    it(
      'drops what is sent on a closed link, and closing twice is harmless',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        pair.dialled.close();
        pair.dialled.close();
        pair.dialled.send(Buffer.from('too late'));
        await harness.until(() => pair.acceptedEvents.closes.length === 1);
        pair.accepted.send(Buffer.from('nobody there'));
        pair.accepted.close();
        expect(pair.acceptedEvents.frames).toEqual([]);
        expect(pair.acceptedEvents.eventsAfterClose).toBe(0);
        await pair.listener.close();
      }),
    );

    it(
      'ends the links of a listener that closes, and refuses new ones',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        const closing = pair.listener.close();
        await harness.until(
          () => pair.dialledEvents.closes.length === 1 && pair.acceptedEvents.closes.length === 1,
        );
        await closing;
        const events = new RecordedEvents();
        harness.dialling.dial(pair.listener.address, events);
        await harness.until(() => events.closes.length === 1);
        expect(events.closes).toEqual(['refused']);
      }),
    );

    it(
      'asks the sender to wait when frames pile up, and tells when there is room again',
      withHarness(async (harness) => {
        const pair = await connect(harness);
        const frame = patternOf(1, 256 * 1024);
        let sent = 0;
        let accepted = true;
        while (accepted && sent < 4096) {
          accepted = pair.dialled.send(frame);
          sent++;
        }
        expect(accepted).toBe(false);
        await harness.until(() => pair.dialledEvents.drains > 0);
        await harness.until(() => pair.acceptedEvents.frames.length === sent);
        expect(pair.acceptedEvents.frames.every((received) => received.equals(frame))).toBe(true);
        await pair.listener.close();
      }),
    );

    it(
      'keeps several links between the same two sides apart',
      withHarness(async (harness) => {
        const received: RecordedEvents[] = [];
        const listener = await harness.listening.listen(harness.address(), () => {
          const events = new RecordedEvents();
          received.push(events);
          return events;
        });
        const links = ['a', 'b', 'c'].map((text) => {
          const link = harness.dialling.dial(listener.address, new RecordedEvents());
          for (let i = 0; i < 20; i++) link.send(Buffer.from(`${text}${i}`));
          return link;
        });
        await harness.until(() => received.length === 3 && received.every((one) => one.frames.length === 20));
        for (const one of received) {
          const texts = one.frames.map(String);
          const first = texts[0]!.slice(0, 1);
          expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `${first}${i}`));
        }
        for (const link of links) link.close();
        await listener.close();
      }),
    );

    it(
      'will not listen twice on one address',
      withHarness(async (harness) => {
        const listener = await harness.listening.listen(harness.address(), () => new RecordedEvents());
        await expect(
          harness.listening.listen(listener.address, () => new RecordedEvents()),
        ).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
        await listener.close();
      }),
    );
  });
}
