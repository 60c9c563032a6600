import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parseConfiguration } from '../../../src/server/configuration/index.js';

function complaint(text: string): string {
  try {
    parseConfiguration(text, 'quoin.yaml');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('the configuration was taken');
}

describe('the section slack', () => {
  test('is absent by default, and has defaults once it is there', () => {
    expect(parseConfiguration('', 'quoin.yaml').slack).toBeUndefined();
    expect(parseConfiguration('slack: {}', 'quoin.yaml').slack).toEqual({
      listen: '127.0.0.1:3000',
      signingSecret: undefined,
      botToken: undefined,
      responseType: 'ephemeral',
      permissions: [],
    });
  });

  test('says who may do what, with lists or single words', () => {
    const text = `
slack:
  listen: 0.0.0.0:3001
  signingSecret: "123"
  botToken: xoxb-1
  responseType: in_channel
  permissions:
    - { users: [U123, W123], channels: C123, teams: [T123, E123], bucket: sessions, allow: [get, put] }
    - { users: '*', bucket: ['*'], allow: get }`;
    expect(parseConfiguration(text, 'quoin.yaml').slack).toEqual({
      listen: '0.0.0.0:3001',
      signingSecret: '123',
      botToken: 'xoxb-1',
      responseType: 'in_channel',
      permissions: [
        {
          users: ['U123', 'W123'],
          channels: ['C123'],
          teams: ['T123', 'E123'],
          buckets: ['sessions'],
          allow: ['get', 'put'],
        },
        { users: ['*'], channels: ['*'], teams: ['*'], buckets: ['*'], allow: ['get'] },
      ],
    });
  });

  test('names the key, the line and the rule of what is wrong', () => {
    const cases: readonly (readonly [string, string])[] = [
      ['slack:\n  secret: x', 'quoin.yaml:2: slack.secret: unknown key'],
      ['slack:\n  signingsecret: x', 'did you mean signingSecret?'],
      ['slack:\n  signingSecret: 12345', 'slack.signingSecret: must be the Slack app'],
      ['slack:\n  signingSecret: ""', 'slack.signingSecret: must not be empty'],
      ['slack:\n  botToken: xoxp-1', 'slack.botToken: must be a bot token, which begins with xoxb-'],
      ['slack:\n  listen: nowhere', 'slack.listen: must be an address host:port'],
      ['slack:\n  responseType: public', 'slack.responseType: must be one of ephemeral, in_channel'],
      ['slack:\n  permissions: all', 'slack.permissions: must be a list of permissions'],
      ['slack:\n  permissions:\n    - { allow: [get] }', 'quoin.yaml:3: slack.permissions[0].users'],
      ['slack:\n  permissions:\n    - { users: [U123] }', 'slack.permissions[0].allow'],
      [
        'slack:\n  permissions:\n    - { users: [], allow: [get] }',
        'slack.permissions[0].users: must not be empty',
      ],
      [
        'slack:\n  permissions:\n    - { users: [ada], allow: [get] }',
        "must be a member's ID such as U012AB3CD",
      ],
      [
        'slack:\n  permissions:\n    - { users: [U123], channels: ["#general"], allow: [get] }',
        "must be a channel's ID such as C012AB3CD",
      ],
      [
        'slack:\n  permissions:\n    - { users: [U123], allow: [get, flush] }',
        'slack.permissions[0].allow[1]: must be one of get, put, del',
      ],
      [
        'slack:\n  permissions:\n    - { users: [U123], bucket: "a b", allow: [get] }',
        'slack.permissions[0].bucket[0]: must be a bucket name',
      ],
      [
        'slack:\n  listen: 127.0.0.1:8001',
        'quoin.yaml:2: slack.listen: is the address of listen.http too; give each its own',
      ],
    ];
    for (const [text, wanted] of cases) expect(complaint(text), text).toContain(wanted);
  });

  test('is explained by an example that is valid', async () => {
    const page = await readFile('docs/slack.md', 'utf8');
    const example = /```yaml\n( *slack:.*?)```/s.exec(page)?.[1] ?? '';
    expect(parseConfiguration(example, 'docs').slack?.permissions.length).toBeGreaterThan(1);
  });
});
