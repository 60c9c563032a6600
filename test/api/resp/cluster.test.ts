import { describe, expect, it } from 'vitest';
import { clusterNodeId } from '../../../src/api/resp/cluster-view.js';
import { slotOf } from '../../../src/base/slots.js';
import { type Decoded, RespError, type RespSocket, textOf } from '../../support/resp-socket.js';
import { openCluster, openDoor } from './door.js';

// With three nodes and equal runs: 'b' (3300) is in the first third, 'c' (7365) in the second, 'a' (15495) in the last.
const KEYS = { n1: 'b', n2: 'c', n3: 'a' } as const;

/** The nodes that CLUSTER SLOTS gives for each run of slots. */
async function shownIn(client: RespSocket): Promise<string[][]> {
  const names = new Map(['n1', 'n2', 'n3'].map((id) => [clusterNodeId(id), id]));
  const rows = await client.command('CLUSTER', 'SLOTS');
  return (rows as Decoded[][]).map((row) =>
    row.slice(2).map((node) => names.get(textOf((node as Decoded[])[2] ?? null)) ?? 'nobody'),
  );
}

function nodesText(reply: Decoded): string[] {
  return textOf(reply).trim().split('\n');
}

describe('the cluster as clients see it', () => {
  it('CLUSTER SLOTS lists each run of slots with its leader', async () => {
    const doors = await openCluster();
    const client = await doors[0]!.connect();
    const port = (index: number): number => Number(doors[index]!.address.split(':')[1]);
    const node = (index: number): Decoded => ['127.0.0.1', port(index), clusterNodeId(`n${index + 1}`), []];
    expect(await client.command('CLUSTER', 'SLOTS')).toEqual([
      [0, 5461, node(0)],
      [5462, 10922, node(1)],
      [10923, 16383, node(2)],
    ]);
    expect(clusterNodeId('n1')).toMatch(/^[0-9a-f]{40}$/);
  });

  it('every node tells the same, but for who it is itself', async () => {
    const doors = await openCluster();
    const answers = [];
    for (const door of doors) {
      const client = await door.connect();
      const lines = nodesText(await client.command('CLUSTER', 'NODES'));
      const own = lines.filter((line) => line.includes('myself,'));
      expect(own).toHaveLength(1);
      expect(own[0]?.split(' ')[0]).toBe(await client.command('CLUSTER', 'MYID'));
      answers.push(lines.map((line) => line.replace('myself,', '')));
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  it('is coherent when one node leads several groups and another none', async () => {
    const doors = await openCluster();
    for (const { node } of doors) node.leaders.set(3, 'n1');
    const client = await doors[1]!.connect();
    const lines = nodesText(await client.command('CLUSTER', 'NODES'));
    const [first, second, third] = lines;
    expect(first).toMatch(/ master - 0 0 \d+ connected 0-5461 10923-16383$/);
    expect(second).toMatch(/ myself,master - 0 0 \d+ connected 5462-10922$/);
    expect(third).toMatch(new RegExp(` slave ${clusterNodeId('n1')} 0 0 \\d+ connected$`));
    // The leader first, then those that lead nothing.
    expect(await shownIn(client)).toEqual([
      ['n1', 'n3'],
      ['n2', 'n3'],
      ['n1', 'n3'],
    ]);
    const shards = await client.command('CLUSTER', 'SHARDS');
    expect(shards).toHaveLength(3);
    const third3 = await doors[2]!.connect();
    expect(await third3.command('ROLE')).toEqual(['slave', '127.0.0.1', expect.any(Number), 'connected', 0]);
    expect(textOf(await third3.command('INFO', 'replication'))).toContain('role:slave');
  });

  it('has a connected member stand in for a leader that is not known', async () => {
    const doors = await openCluster();
    const { node } = doors[0]!;
    node.leaders.delete(2);
    node.disconnected.add('n2');
    const client = await doors[0]!.connect();
    expect(await shownIn(client)).toEqual([
      ['n1', 'n2'],
      ['n3', 'n2'],
      ['n3', 'n2'],
    ]);
    const info = textOf(await client.command('CLUSTER', 'INFO'));
    expect(info).toContain('cluster_state:fail');
    expect(info).toContain('cluster_slots_ok:10923');
    expect(textOf(await client.command('CLUSTER', 'NODES'))).toMatch(/slave,fail\? .* disconnected/);
    node.leaders.set(2, 'n3');
    expect(textOf(await client.command('CLUSTER', 'INFO'))).toContain('cluster_state:ok');
  });

  it('knows slots and the keys in them', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    expect(await client.command('CLUSTER', 'KEYSLOT', '123456789')).toBe(12739);
    expect(await client.command('CLUSTER', 'KEYSLOT', '{user}x')).toBe(slotOf(Buffer.from('user')));
    for (let i = 0; i < 30; i++) await client.command('SET', `{t}${i}`, 'x');
    await client.command('SET', 'elsewhere', 'x');
    const slot = String(slotOf(Buffer.from('t')));
    expect(await client.command('CLUSTER', 'COUNTKEYSINSLOT', slot)).toBe(30);
    expect(await client.command('CLUSTER', 'COUNTKEYSINSLOT', '1')).toBe(0);
    expect(await client.command('CLUSTER', 'GETKEYSINSLOT', slot, '7')).toHaveLength(7);
    expect(await client.command('CLUSTER', 'COUNTKEYSINSLOT', '16384')).toEqual(
      new RespError('ERR Invalid or out of range slot'),
    );
    for (const slotText of ['0', '16383']) {
      expect(await client.command('CLUSTER', 'GETKEYSINSLOT', slotText, '10')).toEqual([]);
    }
  });

  it('refuses to be changed by clients', async () => {
    const { connect } = await openDoor();
    const client = await connect();
    for (const words of [['RESET'], ['MEET', '127.0.0.1', '1'], ['ADDSLOTS', '1'], ['FAILOVER']]) {
      const reply = await client.command('CLUSTER', ...words);
      expect(reply instanceof RespError && reply.message).toMatch(/is not supported/);
    }
  });
});

describe('redirects', () => {
  it('are not given unless asked for: any node answers for any key', async () => {
    const doors = await openCluster();
    const client = await doors[0]!.connect();
    for (const key of Object.values(KEYS)) expect(await client.command('SET', key, key)).toBe('OK');
    expect(await client.command('MGET', 'a', 'b', 'c')).toEqual(['a', 'b', 'c']);
  });

  it('send clients to the leader once they are on', async () => {
    const doors = await openCluster();
    const client = await doors[0]!.connect();
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    expect(await client.command('SET', KEYS.n1, '1')).toBe('OK');
    expect(await client.command('GET', KEYS.n2)).toEqual(
      new RespError(`MOVED ${slotOf(Buffer.from(KEYS.n2))} ${doors[1]!.address}`),
    );
    expect(await client.command('MGET', 'a', 'b')).toEqual(
      new RespError("CROSSSLOT Keys in request don't hash to the same slot"),
    );
    const other = await doors[1]!.connect();
    expect(await other.command('SET', KEYS.n3, '1')).toBe('OK');
  });

  it('say that a slot is not served while nobody leads it', async () => {
    const doors = await openCluster();
    const client = await doors[0]!.connect();
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    doors[0]!.node.leaders.delete(2);
    expect(await client.command('GET', KEYS.n2)).toEqual(new RespError('CLUSTERDOWN Hash slot not served'));
  });

  it('spare reads of a READONLY connection where the node has a replica', async () => {
    const doors = await openCluster();
    const { node } = doors[0]!;
    node.recording = true;
    const client = await doors[0]!.connect();
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    expect(await client.command('READONLY')).toBe('OK');
    expect(await client.command('GET', KEYS.n2)).toBe(null);
    expect(node.requests.at(-1)?.consistency).toBe('follower');
    expect(await client.command('SET', KEYS.n2, 'x')).toBeInstanceOf(RespError);
    expect(await client.command('READONLY', 'STALE')).toBe('OK');
    expect(await client.command('GET', KEYS.n2)).toBe(null);
    expect(node.requests.at(-1)?.consistency).toBe('stale');
    expect(await client.command('READONLY', 'NONSENSE')).toEqual(new RespError('ERR syntax error'));
    expect(await client.command('READWRITE')).toBe('OK');
    expect(await client.command('GET', KEYS.n2)).toBeInstanceOf(RespError);
    for (const one of doors) one.node.groups = [{ id: 2, members: ['n2', 'n3'] }];
    await client.command('READONLY');
    expect(await client.command('GET', KEYS.n2)).toBeInstanceOf(RespError);
  });

  it('hold for transactions and watched keys', async () => {
    const doors = await openCluster();
    const client = await doors[0]!.connect();
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    const moved = new RespError(`MOVED ${slotOf(Buffer.from(KEYS.n2))} ${doors[1]!.address}`);
    expect(await client.command('WATCH', KEYS.n2)).toEqual(moved);
    await client.command('MULTI');
    expect(await client.command('SET', KEYS.n2, '1')).toEqual(moved);
    expect(await client.command('EXEC')).toEqual(
      new RespError('EXECABORT Transaction discarded because of previous errors.'),
    );
  });

  it('send clients of an eventual bucket to any replica of the key, and to nobody who has not one', async () => {
    const doors = await openCluster();
    // Two copies of each key: the first two members of its group.
    doors[0]!.node.store.create({
      name: 'eventual',
      replication: 'quorum',
      engine: 'memory',
      ttlMs: 0,
      quorum: { n: 2, r: 1, w: 1 },
    });
    const client = await doors[0]!.connect();
    await client.command('SELECT', 'eventual');
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    // Of group 1 (n1, n2) and group 3 (n3, n1) this node is a replica, whoever leads.
    for (const key of [KEYS.n1, KEYS.n3]) expect(await client.command('SET', key, '1')).toBe('OK');
    const moved = (index: number): RespError =>
      new RespError(`MOVED ${slotOf(Buffer.from(KEYS.n2))} ${doors[index]!.address}`);
    expect(await client.command('SET', KEYS.n2, '1')).toEqual(moved(1));
    doors[0]!.node.disconnected.add('n2');
    expect(await client.command('GET', KEYS.n2)).toEqual(moved(2));
    // No leader is needed, and READONLY changes nothing.
    for (const group of [1, 2, 3]) doors[0]!.node.leaders.delete(group);
    expect(await client.command('SET', KEYS.n1, '2')).toBe('OK');
    await client.command('READONLY');
    expect(await client.command('GET', KEYS.n2)).toEqual(moved(2));
    // With no replica in reach there is nobody to send it to: what can be done is found out here.
    doors[0]!.node.disconnected.add('n3');
    expect(await client.command('GET', KEYS.n2)).toBe(null);
    expect(await client.command('MGET', 'a', 'b')).toEqual(
      new RespError("CROSSSLOT Keys in request don't hash to the same slot"),
    );
  });

  it('name no node that stores and does not coordinate', async () => {
    const doors = await openCluster();
    for (const { node } of doors)
      node.nodes = node.nodes.map((one) => (one.id === 'n2' ? { ...one, roles: ['storage'] } : one));
    const client = await doors[0]!.connect();
    // n3 is the next member of the group that n2 leads.
    expect(await shownIn(client)).toEqual([['n1'], ['n3'], ['n3']]);
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    expect(await client.command('SET', KEYS.n2, '1')).toBe('OK');
    expect(await client.command('SET', KEYS.n3, '1')).toBeInstanceOf(RespError);
    expect(textOf(await client.command('CLUSTER', 'INFO'))).toContain('cluster_state:ok');
  });

  it('name coordinators in turn where no member coordinates', async () => {
    const doors = await openCluster();
    for (const { node } of doors) {
      node.nodes = node.nodes.map((one) => (one.id === 'n1' ? { ...one, roles: ['storage'] } : one));
      node.groups = [1, 2, 3].map((id) => ({ id, members: ['n1'] }));
      for (const id of [1, 2, 3]) node.leaders.set(id, 'n1');
    }
    const client = await doors[1]!.connect();
    expect(await shownIn(client)).toEqual([['n2'], ['n3'], ['n2']]);
    await client.command('CONFIG', 'SET', 'cluster-redirects', 'yes');
    for (const key of Object.values(KEYS)) expect(await client.command('SET', key, '1')).toBe('OK');
  });
});
