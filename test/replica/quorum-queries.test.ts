import { describe, expect, test } from 'vitest';
import { ByteWriter, DecodeError } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { MESSAGE } from '../../src/replica/peers/frame.js';
import { Queries } from '../../src/replica/quorum/queries.js';
import type { Reply } from '../../src/store/reply.js';
import { bytes, command, plain, type Word } from '../support/test-machine.js';
import { manualEnv } from './support/manual-env.js';

const TIMEOUT_MS = 2000;

interface Sent {
  readonly to: string;
  readonly kind: number;
  readonly group: number;
  readonly body: Buffer;
}

/** One node's questions; what it sends stays here until a test hands it on. */
class Asker {
  readonly env = manualEnv('queries');
  readonly sent: Sent[] = [];
  readonly served: unknown[] = [];
  unconnected = new Set<string>();
  queuedBytes = 0;
  readonly #writer = new ByteWriter();
  #open: Omit<Sent, 'body'> = { to: '', kind: 0, group: 0 };
  readonly queries = new Queries({
    env: this.env,
    timeoutMs: TIMEOUT_MS,
    scheduleFlush: () => {},
    peers: {
      beginMessage: (to, kind, group) => {
        if (this.unconnected.has(to)) return undefined;
        this.#writer.reset();
        this.#open = { to, kind, group };
        return this.#writer;
      },
      endMessage: () => {
        this.sent.push({ ...this.#open, body: Buffer.from(this.#writer.view()) });
        return true;
      },
      queuedBytes: () => this.queuedBytes,
    },
    serve: (group, bucketId, definition, args) => {
      this.served.push([group, bucketId, definition.name, args.map(String)]);
      return 12;
    },
  });

  ask(to: string, words: readonly Word[]): unknown[] {
    const answers: unknown[] = [];
    this.queries.ask(to, 3, {
      bucketId: 7,
      definition: command(String(words[0])),
      args: words.slice(1).map(bytes),
      answered: (reply: Reply | undefined) => answers.push(reply === undefined ? 'none' : plain(reply)),
    });
    return answers;
  }
}

describe('a question to a peer', () => {
  test('is carried out there and answered here, once', () => {
    const [asker, peer] = [new Asker(), new Asker()];
    const answers = asker.ask('n2', ['KEYS', 'a*']);
    const [question] = asker.sent;
    expect(question).toMatchObject({ to: 'n2', kind: MESSAGE.query, group: 3 });
    peer.queries.receive('n1', 3, question!.body);
    expect(peer.served).toEqual([[3, 7, 'keys', ['a*']]]);
    const [answer] = peer.sent;
    expect(answer).toMatchObject({ to: 'n1', kind: MESSAGE.queryReply });
    asker.queries.receiveReply('n3', answer!.body);
    expect(answers).toEqual([]);
    asker.queries.receiveReply('n2', answer!.body);
    asker.queries.receiveReply('n2', answer!.body);
    expect(answers).toEqual([12]);
  });

  test('ends when it is not answered in time', () => {
    const asker = new Asker();
    const answers = asker.ask('n2', ['DBSIZE']);
    asker.queries.tick(asker.env.clock.nowMs + TIMEOUT_MS - 1);
    expect(answers).toEqual([]);
    asker.queries.tick(asker.env.clock.nowMs + TIMEOUT_MS);
    asker.queries.tick(asker.env.clock.nowMs + 2 * TIMEOUT_MS);
    expect(answers).toEqual(['none']);
  });

  test('ends when the peer is reset, and others do not', () => {
    const asker = new Asker();
    const answers = [asker.ask('n2', ['DBSIZE']), asker.ask('n3', ['DBSIZE']), asker.ask('n2', ['DBSIZE'])];
    asker.queries.peerReset('n2');
    expect(answers).toEqual([['none'], [], ['none']]);
  });

  test('ends at once without a way to the peer', () => {
    const asker = new Asker();
    asker.unconnected.add('n2');
    expect(asker.ask('n2', ['DBSIZE'])).toEqual(['none']);
  });

  test('may lead to the next one from within its end', () => {
    const asker = new Asker();
    const second: unknown[][] = [];
    asker.queries.ask('n2', 3, {
      bucketId: 7,
      definition: command('DBSIZE'),
      args: [],
      answered: () => second.push(asker.ask('n3', ['DBSIZE'])),
    });
    asker.queries.peerReset('n2');
    expect(second).toEqual([[]]);
    asker.queries.stop();
    expect(second).toEqual([[expect.stringMatching(/stopping/)]]);
  });

  test('is refused when too many are under way', () => {
    const asker = new Asker();
    for (let i = 0; i < LIMITS.maxInflightRequestsPerGroup; i++) asker.ask('n2', ['DBSIZE']);
    expect(asker.ask('n2', ['DBSIZE'])).toEqual([expect.stringMatching(/^-OVERLOADED/)]);
  });
});

describe('a question from a peer', () => {
  function question(words: readonly Word[], changes: { commandId?: number } = {}): Buffer {
    const writer = new ByteWriter();
    writer.varint(5);
    writer.varint(7);
    writer.varint(changes.commandId ?? command(String(words[0])).id);
    writer.varint(words.length - 1);
    for (const word of words.slice(1)) writer.bytes(bytes(word));
    return Buffer.from(writer.take());
  }

  test('for a command that writes, or that is not known here, is refused and answered', () => {
    for (const body of [question(['SET', 'a', 'x']), question(['DBSIZE'], { commandId: 60_000 })]) {
      const [peer, asker] = [new Asker(), new Asker()];
      peer.queries.receive('n1', 3, body);
      expect(peer.served).toEqual([]);
      expect(peer.sent).toHaveLength(1);
      // Of an id that was not given: nobody waits for it.
      asker.queries.receiveReply('n2', peer.sent[0]!.body);
    }
  });

  test('is refused while the answers to it fill the way back', () => {
    const peer = new Asker();
    peer.queuedBytes = LIMITS.maxPeerAnswerBytes + 1;
    peer.queries.receive('n1', 3, question(['DBSIZE']));
    expect(peer.served).toEqual([]);
    expect(peer.sent[0]!.body.toString('latin1')).toContain('too many answers');
  });

  test('that is cut short, or longer than it says, is no question', () => {
    const whole = question(['KEYS', 'a*']);
    for (let length = 0; length < whole.length; length++)
      expect(() => new Asker().queries.receive('n1', 3, whole.subarray(0, length))).toThrow(DecodeError);
    expect(() => new Asker().queries.receive('n1', 3, Buffer.concat([whole, bytes('x')]))).toThrow(
      DecodeError,
    );
  });
});
