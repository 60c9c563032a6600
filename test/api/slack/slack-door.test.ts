import { createHmac } from 'node:crypto';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startHttpServer } from '../../../src/api/http/index.js';
import { type SlackDoor, type SlackDoorOptions, startSlackDoor } from '../../../src/api/slack/server.js';
import { LIMITS } from '../../../src/base/limits.js';
import { SILENT_LOGGER } from '../../../src/base/logger.js';
import type { SlackConfiguration } from '../../../src/server/configuration/types.js';
import { commandByName } from '../../../src/store/registry.js';
import { ErrorReply } from '../../../src/store/reply.js';
import { FakeNode } from '../../support/fake-node.js';

const SECRET = '8f742231b10e8888abcd99yyyzzz85a5';
const RESPONSE_URL = 'https://hooks.slack.com/commands/T01/1/x';

interface Element {
  readonly type: string;
  readonly text?: string;
  readonly elements?: readonly Element[];
}

interface Message {
  readonly response_type: string;
  readonly text: string;
  readonly blocks: readonly Element[];
}

interface Posted {
  readonly url: string;
  readonly message: Message;
}

let node: FakeNode;
let door: SlackDoor;
let posted: Posted[];

function configuration(changes: Partial<SlackConfiguration> = {}): SlackConfiguration {
  return {
    listen: '127.0.0.1:0',
    signingSecret: SECRET,
    botToken: undefined,
    responseType: 'ephemeral',
    permissions: [
      { users: ['*'], channels: ['*'], teams: ['*'], buckets: ['*'], allow: ['get', 'put', 'del'] },
    ],
    ...changes,
  };
}

async function open(
  changes: Partial<SlackConfiguration> = {},
  more: Partial<SlackDoorOptions> = {},
): Promise<void> {
  await door?.close();
  door = await startSlackDoor({
    node,
    configuration: configuration(changes),
    limits: { maxValueBytes: 100_000, maxKeyBytes: 100 },
    logger: SILENT_LOGGER,
    environment: {},
    post: async (url, init) => {
      posted.push({ url, message: JSON.parse(typeof init.body === 'string' ? init.body : '') as Message });
      return new Response('ok');
    },
    ...more,
  });
}

beforeEach(async () => {
  node = new FakeNode();
  posted = [];
  await open();
});

afterEach(async () => {
  await door.close();
});

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function signature(body: string, timestamp: number, secret = SECRET): string {
  return `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex')}`;
}

/** The form that Slack sends for a slash command. */
function form(text: string, changes: Readonly<Record<string, string>> = {}): string {
  return new URLSearchParams({
    token: 'unused',
    team_id: 'T01',
    team_domain: 'example',
    channel_id: 'C01',
    channel_name: 'general',
    user_id: 'U01',
    user_name: 'ada',
    command: '/kv',
    text,
    api_app_id: 'A01',
    response_url: RESPONSE_URL,
    trigger_id: '1.2.3',
    ...changes,
  }).toString();
}

function send(
  body: string,
  headers: Readonly<Record<string, string>> = {},
  timestamp = nowSeconds(),
): Promise<Response> {
  return fetch(`http://${door.address}/slack/events`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': String(timestamp),
      'x-slack-signature': signature(body, timestamp),
      ...headers,
    },
  });
}

async function kv(text: string, changes: Readonly<Record<string, string>> = {}): Promise<Message> {
  const response = await send(form(text, changes));
  expect(response.status).toBe(200);
  return (await response.json()) as Message;
}

/** All texts of the blocks, in order. */
function texts(elements: readonly Element[]): string[] {
  return elements.flatMap((element) => [
    ...(element.text === undefined ? [] : [element.text]),
    ...texts(element.elements ?? []),
  ]);
}

function shown(message: Message): string {
  return texts(message.blocks).join('|');
}

/** What stands in the code block. */
function code(message: Message): string | undefined {
  const found = message.blocks
    .flatMap((block) => block.elements ?? [])
    .find((element) => element.type === 'rich_text_preformatted');
  return found?.elements?.[0]?.text;
}

/** The types of all elements whose text is shown. */
function types(elements: readonly Element[]): string[] {
  return elements.flatMap((element) => [
    ...(element.text === undefined ? [] : [element.type]),
    ...types(element.elements ?? []),
  ]);
}

function write(key: string, value: Buffer, ttlMs = 0): void {
  node.submit({
    definition: commandByName('quoin.put')!,
    bucket: node.store.bucket('default'),
    args: [Buffer.from(key), value, Buffer.from(String(ttlMs)), Buffer.from('any')],
    completion: { complete: (reply) => expect(reply).not.toBeInstanceOf(ErrorReply) },
    consistency: 'linearizable',
    ordered: false,
    session: undefined,
  });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('the condition did not come true');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a key', () => {
  test('is put, shown and deleted', async () => {
    const put = await kv('put colour dark blue');
    expect(put.response_type).toBe('ephemeral');
    expect(shown(put)).toBe('Stored |colour| in bucket |default|.|version 1 · 9 bytes');
    const got = await kv('get colour');
    expect(got.response_type).toBe('ephemeral');
    expect(code(got)).toBe('dark blue');
    expect(shown(got)).toBe('colour| in bucket |default|dark blue|version 1 · 9 bytes');
    expect(shown(await kv('del colour'))).toBe('Deleted |colour| from bucket |default|.');
    expect(shown(await kv('get colour'))).toContain('NOT_FOUND');
  });

  test('may lie in another bucket', async () => {
    node.store.create({ name: 'sessions', replication: 'raft', engine: 'memory', ttlMs: 1_800_000 });
    const put = await kv('put --bucket sessions ada here');
    expect(shown(put)).toContain('expires in 30m, as the bucket says');
    expect(code(await kv('get ada --bucket sessions'))).toBe('here');
    expect(shown(await kv('get ada'))).toContain('NOT_FOUND');
    expect(shown(await kv('get ada --bucket nowhere'))).toContain("UNKNOWN_BUCKET| no bucket 'nowhere'");
  });

  test('is shown with the time that is left to it', async () => {
    const now = Date.now();
    node.store.nowMs = () => now;
    write('soon', Buffer.from('x'), 3_600_000);
    expect(shown(await kv('get soon'))).toMatch(
      /version 1 · expires in 3(600|599|59\d)s \(20\d\d-.*Z\) · 1 byte$/,
    );
  });

  test('that is absent is told so, with the code and the remedy', async () => {
    for (const text of ['get nothing', 'del nothing']) {
      const message = await kv(text);
      expect(message.response_type).toBe('ephemeral');
      expect(shown(message)).toBe("NOT_FOUND| no key 'nothing' in bucket 'default'|Check the name.");
    }
  });

  test('and a value of more bytes than allowed are refused', async () => {
    expect(shown(await kv(`get ${'k'.repeat(101)}`))).toContain('KEY_TOO_LARGE');
    expect(shown(await kv(`put k ${'v'.repeat(100_001)}`))).toContain('VALUE_TOO_LARGE');
    expect(shown(await kv('get k'))).toContain('NOT_FOUND');
  });
});

describe('a value', () => {
  test('that Slack would refuse for its length is cut, and the answer says so', async () => {
    const value = 'é😀'.repeat(20_000);
    write('huge', Buffer.from(value));
    const message = await kv('get huge');
    const part = code(message) ?? '';
    expect(part.length).toBeGreaterThan(2000);
    expect(part.length).toBeLessThan(3000);
    expect(value.startsWith(part)).toBe(true);
    // No character is torn.
    expect(Buffer.from(part).toString()).toBe(part);
    expect(shown(message)).toContain(`120000 bytes; cut here after ${part.length} characters`);
  });

  test('just within the limit is shown whole', async () => {
    const value = '한'.repeat(2800);
    write('full', Buffer.from(value));
    const message = await kv('get full');
    expect(code(message)).toBe(value);
    expect(shown(message)).toContain('8400 bytes');
    expect(shown(message)).not.toContain('cut here');
    write('fuller', Buffer.from(`${value}.`));
    expect(shown(await kv('get fuller'))).toContain('cut here after 2800 characters');
  });

  test('that is no text is shown as its length and its first bytes', async () => {
    write('binary', Buffer.from([0xff, 0xfe, 0x00]));
    const message = await kv('get binary');
    expect(code(message)).toBe('ff fe 00');
    expect(shown(message)).toContain('binary, 3 bytes in hex');
    write('zeros', Buffer.alloc(5000));
    expect(code(await kv('get zeros'))).toBe(Array.from({ length: 64 }, () => '00').join(' '));
    expect(shown(await kv('get zeros'))).toContain('binary, 5000 bytes; its first 64 are shown in hex');
  });

  test('may be empty', async () => {
    expect(shown(await kv('put k ""'))).toContain('0 bytes');
    const message = await kv('get k');
    expect(code(message)).toBeUndefined();
    expect(shown(message)).toContain('an empty value');
  });

  test('cannot speak to the channel or leave its code block', async () => {
    const nasty = '``` *bold* <!channel> <@U02> &lt; :smile: <https://evil.example|here> @here ```';
    await kv(`put "<!here>" ${nasty}`);
    const message = await kv('get "<!here>"');
    expect(code(message)).toBe(nasty);
    // No text that is shown is of a type that Slack interprets.
    for (const type of types(message.blocks)) expect(['text', 'plain_text']).toContain(type);
    expect(JSON.stringify(message.blocks)).not.toContain('mrkdwn');
    expect(JSON.stringify(message.blocks)).not.toContain('"emoji":true');
    // The fallback is interpreted, so it is escaped.
    expect(message.text).toBe("'&lt;!here&gt;' in bucket 'default'");
    const absent = await kv('get "<!channel> & co"');
    expect(absent.text).toContain('&lt;!channel&gt; &amp; co');
    expect(absent.text).not.toMatch(/[<>]/);
    for (const type of types(absent.blocks)) expect(['text', 'plain_text']).toContain(type);
  });
});

describe('an answer', () => {
  test('explains what can be typed, and names the command as the app does', async () => {
    for (const text of ['help', '']) {
      const message = await kv(text, { command: '/store' });
      expect(message.response_type).toBe('ephemeral');
      expect(code(message)).toContain('/store put KEY VALUE');
      expect(code(message)).toContain('--bucket NAME');
    }
  });

  test('to wrong usage says what is wrong and where help is', async () => {
    for (const text of ['incr a', 'get', 'put k', 'get a b', 'put k "open']) {
      const message = await kv(text);
      expect(message.response_type, text).toBe('ephemeral');
      expect(shown(message), text).toContain('WRONG_ARGUMENTS');
      expect(shown(message), text).toContain('Type /kv help');
    }
  });

  test('is seen by the channel where that is configured, but for errors and help', async () => {
    await open({ responseType: 'in_channel' });
    expect((await kv('put k v')).response_type).toBe('in_channel');
    expect((await kv('get k')).response_type).toBe('in_channel');
    expect((await kv('del k')).response_type).toBe('in_channel');
    expect((await kv('get k')).response_type).toBe('ephemeral');
    expect((await kv('help')).response_type).toBe('ephemeral');
  });

  test('tells of a node that does not serve', async () => {
    node.phase = { phase: 'stopping', reason: 'the node is stopping' };
    expect(shown(await kv('get k'))).toContain('SHUTTING_DOWN');
    node.phase = { phase: 'failed', reason: 'the disk is gone' };
    expect(shown(await kv('put k v'))).toContain('Whether it was carried out is not known');
  });

  test('that comes in time goes with the acknowledgement', async () => {
    await kv('put k v');
    expect(posted).toEqual([]);
  });

  test('that comes late is posted to the address of the command', async () => {
    await open({}, { acknowledgeWithinMs: 1 });
    node.holding = true;
    const response = await send(form('put k v'));
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(posted).toEqual([]);
    node.release();
    await until(() => posted.length === 1);
    expect(posted[0]?.url).toBe(RESPONSE_URL);
    expect(posted[0]?.message.response_type).toBe('ephemeral');
    expect(shown(posted[0]!.message)).toContain('Stored |k');
    node.holding = false;
    expect(code(await kvLate('get k'))).toBe('v');
  });

  /** The answer of a command, by whichever way it came. */
  async function kvLate(text: string): Promise<Message> {
    const before = posted.length;
    const body = await (await send(form(text))).text();
    if (body !== '') return JSON.parse(body) as Message;
    await until(() => posted.length > before);
    return posted[before]!.message;
  }

  test('is posted to no other host than that of Slack', async () => {
    await open({}, { acknowledgeWithinMs: 1 });
    node.holding = true;
    for (const url of [
      'https://evil.example/',
      'http://hooks.slack.com/x',
      'https://hooks.slack.com:8443/x',
      'https://hooks.slack.com.evil.example/x',
      'https://hooks.slack.com@evil.example/x',
      'http://169.254.169.254/latest',
      'no address',
      '',
    ]) {
      const response = await send(form('get k', { response_url: url }));
      expect([response.status, await response.text()], url).toEqual([200, '']);
    }
    node.release();
    // Closing waits for what is under way.
    await door.close();
    expect(posted).toEqual([]);
  });

  test('that cannot be posted is logged and harms nobody', async () => {
    const warnings: string[] = [];
    await open(
      {},
      {
        acknowledgeWithinMs: 1,
        logger: { ...SILENT_LOGGER, warn: (fields) => warnings.push(String(fields.reason)) },
        post: () => Promise.reject(new Error('no way out')),
      },
    );
    node.holding = true;
    await send(form('get k'));
    node.release();
    await until(() => warnings.length === 1);
    expect(warnings).toEqual(['no way out']);
  });

  test('refuses commands when too many are under way', async () => {
    await open({}, { acknowledgeWithinMs: 1 });
    node.holding = true;
    for (let sent = 0; sent < LIMITS.maxSlackCommands; sent++) await send(form('get k'));
    expect(node.held.length).toBe(LIMITS.maxSlackCommands);
    expect(shown(await kv('get k'))).toContain('OVERLOADED');
    node.release();
    await until(() => posted.length === LIMITS.maxSlackCommands);
  });
});

describe('a permission', () => {
  const rule = {
    users: ['U01'],
    channels: ['C01'],
    teams: ['T01'],
    buckets: ['default'],
    allow: ['get'] as const,
  };

  async function outcome(text: string, changes: Readonly<Record<string, string>> = {}): Promise<string> {
    return /^[A-Z_]+(?=\|)/.exec(shown(await kv(text, changes)))?.[0] ?? 'allowed';
  }

  test('allows what it names, in all respects at once', async () => {
    write('k', Buffer.from('v'));
    await open({ permissions: [rule] });
    expect(await outcome('get k')).toBe('allowed');
    expect(await outcome('put k w')).toBe('NOT_PERMITTED');
    expect(await outcome('del k')).toBe('NOT_PERMITTED');
    expect(await outcome('get k', { user_id: 'U02' })).toBe('NOT_PERMITTED');
    expect(await outcome('get k', { channel_id: 'C02' })).toBe('NOT_PERMITTED');
    expect(await outcome('get k', { team_id: 'T02' })).toBe('NOT_PERMITTED');
    expect(await outcome('get k', { user_id: '' })).toBe('NOT_PERMITTED');
    expect(await outcome('help', { user_id: 'U02' })).toBe('allowed');
  });

  test('is not put together from parts of several', async () => {
    write('k', Buffer.from('v'));
    await open({ permissions: [rule, { ...rule, users: ['U02'], allow: ['put'] }] });
    expect(await outcome('put k w')).toBe('NOT_PERMITTED');
    expect(await outcome('put k w', { user_id: 'U02' })).toBe('allowed');
    expect(await outcome('get k', { user_id: 'U02' })).toBe('NOT_PERMITTED');
  });

  test('may name an organization of workspaces', async () => {
    write('k', Buffer.from('v'));
    await open({ permissions: [{ ...rule, teams: ['E01'] }] });
    expect(await outcome('get k', { enterprise_id: 'E01' })).toBe('allowed');
    expect(await outcome('get k', { enterprise_id: 'E02' })).toBe('NOT_PERMITTED');
    expect(await outcome('get k')).toBe('NOT_PERMITTED');
  });

  test('that is missing refuses politely, to the one who asked, and tells nothing of buckets', async () => {
    await open({ permissions: [], responseType: 'in_channel' });
    node.recording = true;
    const known = await kv('get k');
    expect(known.response_type).toBe('ephemeral');
    expect(shown(known)).toContain("NOT_PERMITTED| sorry, you may not get in bucket 'default' from here");
    const unknown = await kv('get k --bucket nowhere');
    expect(shown(unknown).replace('nowhere', 'default')).toBe(shown(known));
    expect(node.requests).toEqual([]);
  });
});

describe('a request', () => {
  async function untouched(response: Response, status: number): Promise<void> {
    expect([response.status, await response.text()]).toEqual([status, '']);
    expect(node.requests).toEqual([]);
  }

  beforeEach(() => {
    node.recording = true;
  });

  test('with a signature of another secret gets 401', async () => {
    const body = form('put k v');
    const timestamp = nowSeconds();
    await untouched(
      await send(body, { 'x-slack-signature': signature(body, timestamp, 'another') }, timestamp),
      401,
    );
  });

  test('whose body was changed on the way gets 401', async () => {
    const timestamp = nowSeconds();
    const signed = signature(form('put k v'), timestamp);
    await untouched(await send(form('put k w'), { 'x-slack-signature': signed }, timestamp), 401);
  });

  test('with a good signature of more than five minutes ago gets 401', async () => {
    await untouched(await send(form('put k v'), {}, nowSeconds() - 301), 401);
    expect((await send(form('put k v'), {}, nowSeconds() - 200)).status).toBe(200);
  });

  test('without signature or time gets 401, and so does any other version of signatures', async () => {
    const body = form('put k v');
    const timestamp = nowSeconds();
    const good = signature(body, timestamp);
    for (const headers of [
      { 'x-slack-signature': '' },
      { 'x-slack-signature': good.replace('v0=', 'v1=') },
      { 'x-slack-signature': good.slice(0, -1) },
      { 'x-slack-signature': 'v0=' },
      { 'x-slack-request-timestamp': '' },
      { 'x-slack-request-timestamp': 'NaN' },
      { 'x-slack-request-timestamp': String(timestamp + 1) },
    ])
      await untouched(await send(body, headers, timestamp), 401);
    const bare = await fetch(`http://${door.address}/slack/events`, { method: 'POST', body });
    await untouched(bare, 401);
  });

  test("that claims to be Slack's check of the certificate carries nothing out", async () => {
    const body = form('put k v', { ssl_check: '1' });
    await untouched(await send(body, { 'x-slack-signature': 'v0=00' }), 200);
  });

  test('larger than any of Slack is refused', async () => {
    await untouched(await send(form('put k v', { more: 'x'.repeat(LIMITS.maxSlackRequestBytes) })), 413);
  });

  test('for another path or by another method gets 404', async () => {
    for (const [path, method] of [
      ['/', 'GET'],
      ['/slack/events', 'GET'],
      ['/kv', 'POST'],
      ['//', 'POST'],
    ] as const)
      await untouched(await fetch(`http://${door.address}${path}`, { method }), 404);
  });

  test('whose fields stand there twice is taken as if they were absent', async () => {
    const response = await send(`${form('put k v')}&text=get+k`);
    expect(response.status).toBe(200);
    expect(code((await response.json()) as Message)).toContain('/kv help');
    expect(node.requests).toEqual([]);
  });
});

describe('the door', () => {
  test('takes its secrets from the environment where the configuration has none', async () => {
    await open(
      { signingSecret: undefined },
      { environment: { QUOIN_SLACK_SIGNING_SECRET: SECRET, QUOIN_SLACK_BOT_TOKEN: 'xoxb-1' } },
    );
    expect(shown(await kv('put k v'))).toContain('Stored');
  });

  test('prefers the secret of the configuration', async () => {
    await open({}, { environment: { QUOIN_SLACK_SIGNING_SECRET: 'another' } });
    expect(shown(await kv('put k v'))).toContain('Stored');
  });

  test('does not open without a signing secret, and says where to give it', async () => {
    await expect(
      startSlackDoor({
        node,
        configuration: configuration({ signingSecret: undefined }),
        logger: SILENT_LOGGER,
        environment: {},
      }),
    ).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('QUOIN_SLACK_SIGNING_SECRET') as string,
    });
  });

  test('does not open with a token that is no bot token', async () => {
    await expect(
      startSlackDoor({
        node,
        configuration: configuration(),
        logger: SILENT_LOGGER,
        environment: { QUOIN_SLACK_BOT_TOKEN: 'xoxp-1' },
      }),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test("names Slack's package when that is not installed", async () => {
    const missing = Object.assign(new Error("Cannot find package '@slack/bolt' imported from here"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    const start = (error: Error): Promise<SlackDoor> =>
      startSlackDoor({
        node,
        configuration: configuration(),
        logger: SILENT_LOGGER,
        load: () => Promise.reject(error),
      });
    await expect(start(missing)).rejects.toMatchObject({
      code: 'PACKAGE_MISSING',
      message: expect.stringContaining('npm install @slack/bolt') as string,
    });
    await expect(start(new Error('broken'))).rejects.toThrow('broken');
  });

  test('says which address is taken', async () => {
    const other = await startHttpServer({ node, address: '127.0.0.1:0' });
    try {
      await expect(
        startSlackDoor({
          node,
          configuration: configuration({ listen: other.address }),
          logger: SILENT_LOGGER,
        }),
      ).rejects.toMatchObject({
        code: 'ADDRESS_IN_USE',
        message: `slack.listen: ${other.address} is in use`,
      });
    } finally {
      await other.close();
    }
  });

  test('is free again once closed', async () => {
    const { address } = door;
    await door.close();
    const [host = '', port] = address.split(':');
    const listener = createServer();
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(Number(port), host, resolve);
    });
    await new Promise((resolve) => listener.close(resolve));
  });

  test('logs who wrote what where, and neither values nor secrets', async () => {
    const lines: string[] = [];
    const log = (fields: object, message: string): void => {
      lines.push(JSON.stringify({ ...fields, message }));
    };
    await open({}, { logger: { trace: log, debug: log, info: log, warn: log, error: log } });
    await kv('put k confidential');
    await kv('get k');
    await send(form('put k confidential'), { 'x-slack-signature': 'v0=00' });
    const text = lines.join('\n');
    expect(text).toContain('"user":"U01","team":"T01","channel":"C01","verb":"put","bucket":"default"');
    expect(text).not.toContain('confidential');
    expect(text).not.toContain(SECRET);
  });
});
