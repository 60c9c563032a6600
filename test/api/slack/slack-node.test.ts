import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SILENT_LOGGER } from '../../../src/base/logger.js';
import { serveNode } from '../../../src/embed/serve.js';
import { parseConfiguration } from '../../../src/server/configuration/index.js';
import { freePorts } from '../../support/free-ports.js';

test('a node whose configuration has the section opens the Slack door, and closes it when it stops', {
  timeout: 60_000,
}, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'quoin-slack-'));
  const [resp, http, grpc, slack] = await freePorts(4);
  const secret = 'secret of the test';
  const configuration = parseConfiguration(
    `
node: { id: n1, dataDir: ${dataDir} }
listen: { resp: '127.0.0.1:${resp}', http: '127.0.0.1:${http}', grpc: '127.0.0.1:${grpc}' }
slack:
  listen: 127.0.0.1:${slack}
  signingSecret: ${secret}
  permissions: [{ users: [U123], allow: [get, put] }]`,
    'test',
  );
  const command = async (text: string): Promise<string> => {
    const body = new URLSearchParams({
      command: '/kv',
      text,
      user_id: 'U123',
      team_id: 'T1',
      channel_id: 'C1',
    });
    const timestamp = Math.floor(Date.now() / 1000);
    const signed = createHmac('sha256', secret).update(`v0:${timestamp}:${body.toString()}`).digest('hex');
    const response = await fetch(`http://127.0.0.1:${slack}/slack/events`, {
      method: 'POST',
      body: body.toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': String(timestamp),
        'x-slack-signature': `v0=${signed}`,
      },
    });
    return await response.text();
  };
  try {
    const served = await serveNode(configuration, SILENT_LOGGER);
    try {
      const deadline = Date.now() + 30_000;
      let stored = await command('put colour blue');
      while (!stored.includes('Stored')) {
        if (Date.now() > deadline) throw new Error(`the node does not serve: ${stored}`);
        stored = await command('put colour blue');
      }
      expect(await command('get colour')).toContain('"blue"');
      expect(await command('del colour')).toContain('NOT_PERMITTED');
      const plain = await fetch(`http://${served.addresses.http}/v1/kv/default/colour`);
      expect(await plain.text()).toBe('blue');
    } finally {
      await served.stop();
    }
    await expect(command('get colour')).rejects.toThrow();
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
