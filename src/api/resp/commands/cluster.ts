/** CLUSTER: the cluster map in the forms that Redis Cluster's clients read. Changing it is Quoin's own affair. */
import { SLOT_COUNT, slotOf } from '../../../base/slots.js';
import type { NodeDescription } from '../../../cluster/map.js';
import { MapReply, type Reply } from '../../../store/reply.js';
import { clusterInfo, clusterNodeId, hostOf, nodeLines, portOf, shardsOf } from '../cluster-view.js';
import type { ClientConnection } from '../connection.js';
import { container, type RunnableSubcommand } from '../container.js';
import { invalidArgument, NOT_AN_INTEGER, notSupported } from '../messages.js';
import { keysInSlot } from '../slot-keys.js';
import { bulk, integer } from '../words.js';

function slots(client: ClientConnection): Reply {
  const describe = (node: NodeDescription): Reply => [
    bulk(hostOf(node.resp)),
    portOf(node.resp),
    bulk(clusterNodeId(node.id)),
    [],
  ];
  const ranges = shardsOf(client.server.node).flatMap((shard) =>
    shard.ranges.map((range) => ({ range, nodes: [shard.master, ...shard.replicas] })),
  );
  ranges.sort((left, right) => left.range.first - right.range.first);
  return ranges.map(({ range, nodes }) => [range.first, range.last, ...nodes.map(describe)]);
}

function shards(client: ClientConnection): Reply {
  const { node } = client.server;
  const status = new Map(node.groupStatus().map((one) => [one.group, one]));
  return shardsOf(node).map((shard) => {
    const local = status.get(shard.group.id)?.local;
    const describe = (one: NodeDescription): Reply => {
      const offset = one.id === node.id ? local?.appliedIndex : local?.matchIndexes[one.id];
      const connected = one.id === node.id || node.peerConnected(one.id);
      return new MapReply([
        [bulk('id'), bulk(clusterNodeId(one.id))],
        [bulk('port'), portOf(one.resp)],
        [bulk('ip'), bulk(hostOf(one.resp))],
        [bulk('endpoint'), bulk(hostOf(one.resp))],
        [bulk('role'), bulk(one === shard.master ? 'master' : 'replica')],
        [bulk('replication-offset'), offset ?? 0],
        [bulk('health'), bulk(connected ? 'online' : 'fail')],
      ]);
    };
    return new MapReply([
      [bulk('slots'), shard.ranges.flatMap((range) => [range.first, range.last])],
      [bulk('nodes'), [shard.master, ...shard.replicas].map(describe)],
    ]);
  });
}

function parseSlot(word: Buffer | undefined): number | undefined {
  const slot = integer(word);
  return slot === undefined || slot < 0 || slot >= SLOT_COUNT ? undefined : slot;
}

const INVALID_SLOT = invalidArgument('Invalid or out of range slot');

function refused(name: string): RunnableSubcommand {
  return {
    name,
    arity: -2,
    summary: 'Refused: Quoin decides its cluster map by itself.',
    run: () =>
      notSupported(
        `CLUSTER ${name.toUpperCase()} is not supported: the cluster map is decided by the cluster`,
      ),
  };
}

export const cluster = container({
  name: 'cluster',
  category: 'cluster',
  summary: 'The cluster map, as Redis Cluster shows it.',
  flags: ['stale', 'loading'],
  inTransaction: 'queued',
  subcommands: [
    {
      name: 'slots',
      arity: 2,
      summary: 'Return runs of slots with their nodes, the leader first.',
      run: slots,
    },
    { name: 'shards', arity: 2, summary: 'Return groups with their slots and nodes.', run: shards },
    {
      name: 'nodes',
      arity: 2,
      summary: 'Return a line for each node.',
      run: (client) => bulk(nodeLines(client.server.node)),
    },
    {
      name: 'info',
      arity: 2,
      summary: 'Return the state of the cluster.',
      run: (client) => bulk(clusterInfo(client.server.node)),
    },
    {
      name: 'keyslot',
      arity: 3,
      usage: '<key>',
      summary: 'Return the slot of a key.',
      run: (_, args) => slotOf(args[0]!),
    },
    {
      name: 'myid',
      arity: 2,
      summary: 'Return the id of this node.',
      run: (client) => bulk(clusterNodeId(client.server.node.id)),
    },
    {
      name: 'countkeysinslot',
      arity: 3,
      usage: '<slot>',
      summary: 'Return the number of keys in a slot.',
      async run(client, args) {
        const slot = parseSlot(args[0]);
        if (slot === undefined) return integer(args[0]) === undefined ? NOT_AN_INTEGER : INVALID_SLOT;
        const keys = await keysInSlot(client, slot, Number.POSITIVE_INFINITY);
        return Array.isArray(keys) ? keys.length : keys;
      },
    },
    {
      name: 'getkeysinslot',
      arity: 4,
      usage: '<slot> <count>',
      summary: 'Return keys of a slot.',
      async run(client, args) {
        const slot = parseSlot(args[0]);
        const count = integer(args[1]);
        if (integer(args[0]) === undefined || count === undefined) return NOT_AN_INTEGER;
        if (slot === undefined || count < 0) return invalidArgument('Invalid slot or number of keys');
        return keysInSlot(client, slot, count);
      },
    },
    { name: 'links', arity: 2, summary: 'Return nothing: peers speak gRPC.', run: () => [] },
    ...[
      'addslots',
      'addslotsrange',
      'bumpepoch',
      'delslots',
      'delslotsrange',
      'failover',
      'flushslots',
      'forget',
      'meet',
      'replicate',
      'reset',
      'saveconfig',
      'set-config-epoch',
      'setslot',
    ].map(refused),
  ],
});
