/** ROLE */
import type { Reply } from '../../../store/reply.js';
import { hostOf, portOf } from '../cluster-view.js';
import type { ClientConnection } from '../connection.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { bulk } from '../words.js';

/** A node that leads any group is a master with the other members as replicas; else it follows a leader. */
function roleOf(client: ClientConnection): Reply {
  const { node } = client.server;
  const nodes = new Map((node.map()?.nodes ?? []).map((one) => [one.id, one]));
  const groups = node.groupStatus().filter((group) => group.local !== undefined);
  const led = groups.filter((group) => group.leader === node.id);
  const followed = groups.find((group) => group.leader !== undefined && group.leader !== node.id);
  const leader = followed?.leader === undefined ? undefined : nodes.get(followed.leader);
  if (led.length === 0 && leader !== undefined) {
    const offset = followed?.local?.appliedIndex ?? 0;
    return [bulk('slave'), bulk(hostOf(leader.resp)), portOf(leader.resp), bulk('connected'), offset];
  }
  const offsets = new Map<string, number>();
  let offset = 0;
  for (const { local } of led) {
    if (local === undefined) continue;
    offset += local.commitIndex;
    for (const [id, index] of Object.entries(local.matchIndexes)) {
      if (id !== node.id) offsets.set(id, (offsets.get(id) ?? 0) + index);
    }
  }
  const replicas = [...offsets].flatMap(([id, index]) => {
    const one = nodes.get(id);
    return one === undefined
      ? []
      : [[bulk(hostOf(one.resp)), bulk(String(portOf(one.resp))), bulk(String(index))]];
  });
  return [bulk('master'), offset, replicas];
}

export const role: ConnectionCommand = {
  ...KEYLESS,
  name: 'role',
  arity: 1,
  flags: ['noscript', 'loading', 'stale', 'fast', 'admin'],
  category: 'server',
  summary: 'Answers whether this node leads, and who follows or is followed.',
  inTransaction: 'queued',
  run: roleOf,
};
