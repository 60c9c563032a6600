/**
 * Pins the bytes of eventual buckets that the replica writes (docs/formats/quorum.md): queries, news of retention, entries of the
 * journal. What this version writes is byte for byte the golden files, and they can be read. Each line of a file is one message
 * or entry: hex bytes, then a remark after '#'.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/base/bytes.js';
import { openLog } from '../../src/log/write-ahead-log.js';
import { MutationEncoder } from '../../src/protocol/quorum/codec.js';
import { decodeHintChange, encodeHintChange } from '../../src/protocol/quorum/hint-codec.js';
import type { HintChange } from '../../src/protocol/quorum/hint-types.js';
import { DELETED_MS } from '../../src/protocol/quorum/types.js';
import { MESSAGE } from '../../src/replica/peers/frame.js';
import { Journal } from '../../src/replica/quorum/journal.js';
import { Queries } from '../../src/replica/quorum/queries.js';
import { decodeRetentionNews, encodeRemoval, encodeUse } from '../../src/replica/quorum/retention-codec.js';
import { ErrorReply, type Reply } from '../../src/store/reply.js';
import { bytes, command, plain, type Word } from '../support/test-machine.js';
import { manualEnv } from './support/manual-env.js';

function goldenLines(name: string): Buffer[] {
  const text = readFileSync(new URL(`./golden/${name}`, import.meta.url), 'utf8');
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').replaceAll(' ', ''));
  return lines.filter((line) => line !== '').map((line) => Buffer.from(line, 'hex'));
}

const hexOf = (messages: readonly Buffer[]): string[] => messages.map((message) => message.toString('hex'));

const KEY = Buffer.from('ada');
const VERSION = 0x1a1b2c3d4e5f6;

describe('the golden file of queries', () => {
  const golden = goldenLines('queries-1.hex');
  const QUESTIONS: readonly (readonly Word[])[] = [['DBSIZE'], ['KEYS', 'a*'], ['SCAN', '0', 'COUNT', '300']];
  const REPLIES: readonly Reply[] = [
    300,
    [KEY, Buffer.from([0xff])],
    ErrorReply.of('NOT_SUPPORTED', 'the node asked does not know the command'),
  ];
  const FIRST_ID = 300;

  /** A node whose messages are kept, and whose first question has this number. */
  function fixture() {
    const env = manualEnv('queries');
    const sent: { readonly kind: number; readonly body: Buffer }[] = [];
    const served: unknown[] = [];
    const writer = new ByteWriter();
    let open = 0;
    const queries = new Queries({
      env: { ...env, random: { ...env.random, integer: () => FIRST_ID } },
      timeoutMs: 1000,
      scheduleFlush: () => {},
      peers: {
        beginMessage: (_to, kind) => {
          writer.reset();
          open = kind;
          return writer;
        },
        endMessage: () => {
          sent.push({ kind: open, body: Buffer.from(writer.view()) });
          return true;
        },
        queuedBytes: () => 0,
      },
      serve: (_group, bucketId, definition, args) => {
        served.push([bucketId, definition.name, ...args.map(String)]);
        return REPLIES[served.length - 1]!;
      },
    });
    return { queries, sent, served };
  }

  function asked() {
    const made = fixture();
    const answers: unknown[] = [];
    for (const [name, ...args] of QUESTIONS) {
      made.queries.ask('n2', 3, {
        bucketId: 300,
        definition: command(String(name)),
        args: args.map(bytes),
        answered: (reply) => answers.push(reply === undefined ? 'none' : plain(reply)),
      });
    }
    return { ...made, answers };
  }

  test('is what this version asks and answers', () => {
    const asker = asked();
    const peer = fixture();
    for (const { body } of asker.sent) peer.queries.receive('n1', 3, body);
    const messages = [...asker.sent, ...peer.sent];
    expect(messages.map(({ kind }) => kind)).toEqual([
      ...QUESTIONS.map(() => MESSAGE.query),
      ...REPLIES.map(() => MESSAGE.queryReply),
    ]);
    expect(hexOf(messages.map(({ body }) => body))).toEqual(hexOf(golden));
  });

  test('can be read', () => {
    const peer = fixture();
    for (const body of golden.slice(0, QUESTIONS.length)) peer.queries.receive('n1', 3, body);
    expect(peer.served).toEqual([
      [300, 'dbsize'],
      [300, 'keys', 'a*'],
      [300, 'scan', '0', 'COUNT', '300'],
    ]);
    const asker = asked();
    for (const body of golden.slice(QUESTIONS.length)) asker.queries.receiveReply('n2', body);
    expect(asker.answers).toEqual(REPLIES.map(plain));
  });
});

describe('the golden file of news of retention', () => {
  const golden = goldenLines('retention-1.hex');

  test('is what this version writes', () => {
    const writer = new ByteWriter();
    const message = (write: () => void): Buffer => {
      writer.reset();
      write();
      return Buffer.from(writer.view());
    };
    const messages = [
      message(() => encodeRemoval(writer, 2, 'idle', KEY, VERSION)),
      message(() => encodeRemoval(writer, 300, 'evicted', Buffer.alloc(0), 1)),
      message(() => encodeRemoval(writer, 2, 'no-room', KEY, VERSION)),
      message(() => encodeUse(writer, 2, KEY, 255)),
      message(() => {
        encodeRemoval(writer, 2, 'idle', KEY, 1);
        encodeUse(writer, 300, KEY, 0);
      }),
    ];
    expect(hexOf(messages)).toEqual(hexOf(golden));
  });

  test('can be read', () => {
    const news: unknown[] = [];
    for (const body of golden)
      decodeRetentionNews(body, {
        removed: (bucketId, reason, key, version) => news.push([reason, bucketId, String(key), version]),
        used: (bucketId, key, frequency) => news.push(['used', bucketId, String(key), frequency]),
      });
    expect(news).toEqual([
      ['idle', 2, 'ada', VERSION],
      ['evicted', 300, '', 1],
      ['no-room', 2, 'ada', VERSION],
      ['used', 2, 'ada', 255],
      ['idle', 2, 'ada', 1],
      ['used', 300, 'ada', 0],
    ]);
  });
});

describe("the golden file of the journal's entries", () => {
  const golden = goldenLines('journal-1.hex');
  const GROUP = 0xffff;
  const CHANGE: HintChange = {
    kind: 'remove',
    target: 'n2',
    names: [{ bucketId: 300, version: VERSION, key: KEY }],
  };

  function batch(): Buffer {
    const encoder = new MutationEncoder();
    encoder.begin();
    encoder.add(2, KEY, Buffer.from('in'), VERSION, 0);
    encoder.add(300, KEY, Buffer.alloc(0), VERSION, DELETED_MS);
    return Buffer.from(encoder.take().bytes);
  }

  function change(): Buffer {
    const writer = new ByteWriter();
    encodeHintChange(writer, CHANGE);
    return writer.take();
  }

  type Log = ReturnType<typeof openLog>;

  function fixture() {
    const env = manualEnv('journal');
    const open = (): Log => openLog(env.disk, env.clock, '/log', { syncStrategy: 'blocking' });
    const log = open();
    const restarted = (): Log => {
      log.commit(() => {});
      env.clock.run();
      log.close();
      return open();
    };
    return { log, restarted };
  }

  const journalOf = (log: Log): Journal =>
    new Journal({
      log,
      note: () => undefined,
      encodeHead: () => Buffer.alloc(0),
      restoreHead: () => {},
      waitingBytes: () => 0,
    });

  test('is what this version writes', () => {
    const { log, restarted } = fixture();
    const journal = journalOf(log);
    journal.appendMutations(batch());
    journal.appendHints(change());
    const entries = restarted().group(GROUP).entries(1, 3, 1024);
    expect(hexOf(entries.map(({ payload }) => payload))).toEqual(hexOf(golden));
    expect(entries.map(({ term }) => term)).toEqual([1, 1]);
  });

  test('can be read', () => {
    const { log, restarted } = fixture();
    log.append(
      GROUP,
      golden.map((payload, position) => ({ index: position + 1, term: 1, payload })),
    );
    const found: unknown[] = [];
    journalOf(restarted()).replay({
      mutations: (payload) => found.push(payload.toString('hex')),
      hints: (payload) => found.push(decodeHintChange(payload)),
    });
    expect(found).toEqual([batch().toString('hex'), CHANGE]);
  });
});
