/** INFO [section ...] */
import { VerbatimReply } from '../../../store/reply.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { DEFAULT_SECTIONS, INFO_SECTIONS } from '../info-sections.js';
import { lower } from '../words.js';

export const info: ConnectionCommand = {
  ...KEYLESS,
  name: 'info',
  arity: -1,
  flags: ['loading', 'stale'],
  category: 'server',
  summary: 'Answers facts and figures about this node.',
  inTransaction: 'queued',
  run(client, args) {
    const wanted = new Set<string>();
    for (const arg of args) {
      const name = lower(arg);
      if (name === 'all' || name === 'everything')
        for (const section of INFO_SECTIONS.keys()) wanted.add(section);
      else if (name === 'default') for (const section of DEFAULT_SECTIONS) wanted.add(section);
      else wanted.add(name);
    }
    if (args.length === 0) for (const section of DEFAULT_SECTIONS) wanted.add(section);
    const parts: string[] = [];
    for (const [name, section] of INFO_SECTIONS) {
      if (!wanted.has(name)) continue;
      const { title, rows } = section(client.server);
      parts.push(`# ${title}\r\n${rows.map(([key, value]) => `${key}:${value}\r\n`).join('')}`);
    }
    return new VerbatimReply(parts.join('\r\n'));
  },
};
