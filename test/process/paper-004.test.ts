/**
 * Paper 004, "Results": its table of test cases, by name, on the system that it describes: clients, a proxy, request
 * coordinators, memory nodes, each a real process.
 *
 * One of the seven cases is not here: "a new memory node is added to the system". It needs slots that move to a running node,
 * which is a thing of its own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../../bench/support/wait.js';
import { metricOf } from '../support/eventual-fleet.js';
import { PATIENCE_MS } from '../support/fleet.js';
import { MemorySystem } from '../support/memory-system.js';

/** Keys enough that every node is the first replica of some. */
const KEYS = Array.from({ length: 30 }, (_, number) => `client data ${number}`);

interface Problem {
  readonly code: string;
  readonly detail: string;
}

describe('paper 004, results', () => {
  let system: MemorySystem;
  /** What clients know of the system. */
  let proxy: string;

  beforeAll(async () => {
    // A read mends what it finds and looks no further than it must, so that what mended can be told.
    system = await MemorySystem.start(['quorum.readRepairChance=0']);
    proxy = `http://${system.proxy}`;
  });
  afterAll(() => system?.stop());

  const urlOf = (base: string, key: string, query = ''): string =>
    `${base}/v1/kv/default/${encodeURIComponent(key)}${query}`;
  const put = (key: string, value: string, query = ''): Promise<Response> =>
    fetch(urlOf(proxy, key, query), { method: 'PUT', body: value });
  const get = (key: string, query = ''): Promise<Response> => fetch(urlOf(proxy, key, query));

  async function putAll(value: string): Promise<void> {
    for (const key of KEYS) expect((await put(key, `${value} of ${key}`)).status).toBe(204);
  }

  async function expectAll(value: string): Promise<void> {
    for (const key of KEYS) {
      const answer = await get(key);
      expect([answer.status, await answer.text()]).toEqual([200, `${value} of ${key}`]);
    }
  }

  /** What a node itself holds: it stores all keys, so a read of one replica that it coordinates is answered by it. */
  async function heldBy(id: string, key: string): Promise<string> {
    const answer = await fetch(urlOf(`http://${system.node(id).http}`, key, '?r=1'));
    const text = await answer.text();
    return answer.status === 404 ? 'nothing' : text;
  }

  const metric = (id: string, name: string): Promise<number> => metricOf(system.node(id).http, name);

  test('client sends a first time put request', async () => {
    const answer = await put('first', 'time');
    expect([answer.status, answer.redirected]).toEqual([204, true]);
    // "with client data getting stored in the memory nodes": in all three, though two are waited for.
    for (const id of ['n1', 'n2', 'n3'])
      await waitFor(`${id} to hold it`, PATIENCE_MS, async () =>
        (await heldBy(id, 'first')) === 'time' ? true : undefined,
      );
    // And as the papers' clients do it.
    const simple = await fetch(`${proxy}/put?key=simple&value=put`);
    expect([simple.status, await simple.text()]).toEqual([200, 'OK\n']);
  });

  test('client sends a get request for data present', async () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    // A blob can be sent once more where the proxy points to.
    const written = await fetch(urlOf(proxy, 'present'), { method: 'PUT', body: new Blob([value]) });
    expect(written.status).toBe(204);
    for (let turn = 0; turn < system.nodes.length; turn++) {
      const answer = await get('present');
      expect([answer.status, answer.headers.get('etag')]).toEqual([200, written.headers.get('etag')]);
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(value);
    }
    await fetch(`${proxy}/put?key=simple&value=get`);
    expect(await (await fetch(`${proxy}/get?key=simple`)).text()).toBe('get');
  });

  test('client sends a get request for data not present', async () => {
    const answer = await get('not present');
    expect([answer.status, (await answer.json()) as Problem]).toMatchObject([
      404,
      { code: 'NOT_FOUND', detail: "no such key in bucket 'default'" },
    ]);
    const simple = await fetch(`${proxy}/get?key=absent`);
    expect([simple.status, await simple.text()]).toEqual([200, '']);
  });

  test('one of the memory nodes fails which contains the client data', async () => {
    await putAll('before');
    await system.kill('n2');
    // Who is asked and has just lost a peer may say that it cannot tell; nothing is lost, and nothing is served wrongly.
    await system.untilRotation(['c1', 'c2', 'n1', 'n3']);
    await waitFor('all data to be served', PATIENCE_MS, async () => {
      await expectAll('before');
      return true;
    });
    await waitFor('writes to be served', PATIENCE_MS, async () => {
      await putAll('during');
      return true;
    });
    await expectAll('during');
    await system.startAgain('n2');
    await system.untilRotation(['c1', 'c2', 'n1', 'n2', 'n3']);
    for (const key of KEYS)
      await waitFor(`n2 to have been told of ${key}`, PATIENCE_MS, async () =>
        (await heldBy('n2', key)) === `during of ${key}` ? true : undefined,
      );
  });

  test('one of the request coordinators fails', async () => {
    await putAll('coordinated');
    await system.kill('c1');
    // "Proxy which receives back the heart beat result will successfully remove this from its list."
    await system.untilRotation(['c2', 'n1', 'n2', 'n3']);
    const handed = new Set<string>();
    for (let turn = 0; turn < 2 * system.nodes.length; turn++) {
      const answer = await fetch(`${proxy}/v1/coordinator`);
      handed.add(((await answer.json()) as { readonly id: string }).id);
    }
    expect([...handed].sort()).toEqual(['c2', 'n1', 'n2', 'n3']);
    await expectAll('coordinated');
    await putAll('without it');
    await system.startAgain('c1');
    await system.untilRotation(['c1', 'c2', 'n1', 'n2', 'n3']);
    await expectAll('without it');
  });

  test('data becomes inconsistent because an update failed', async () => {
    // Nothing but the reads of a coordinator may mend it.
    const changed = await fetch(`http://${system.node('n1').http}/v1/buckets/default`, {
      method: 'PATCH',
      body: JSON.stringify({ hintedHandoff: false, antiEntropy: false }),
    });
    expect(await changed.json()).toMatchObject({
      hintedHandoff: false,
      antiEntropy: false,
      readRepair: true,
    });
    await waitFor('all nodes to know', PATIENCE_MS, async () => {
      for (const { http } of system.nodes) {
        const bucket = await (await fetch(`http://${http}/v1/buckets/default`)).json();
        if ((bucket as { readonly antiEntropy: boolean }).antiEntropy) return undefined;
      }
      return true;
    });
    expect((await put('updated', 'old', '?w=3')).status).toBe(204);
    const otherMeans = (): Promise<number[]> =>
      Promise.all(
        ['n1', 'n2', 'c1', 'c2'].flatMap((id) => [
          metric(id, 'quoin_hints_kept_total'),
          metric(id, 'quoin_hints_replayed_total'),
          metric(id, 'quoin_repair_keys_total'),
        ]),
      );
    const otherMeansBefore = await otherMeans();

    await system.kill('n3');
    await system.untilRotation(['c1', 'c2', 'n1', 'n2']);
    for (const [key, w] of [
      ['updated', 2],
      ['created', 1],
    ] as const)
      await waitFor(`${key} to be written`, PATIENCE_MS, async () =>
        (await put(key, 'new', `?w=${w}`)).status === 204 ? true : undefined,
      );
    await system.startAgain('n3');
    await system.untilRotation(['c1', 'c2', 'n1', 'n2', 'n3']);

    // The update has failed there: asked alone, it answers with what it had.
    expect(await heldBy('n3', 'updated')).toBe('old');
    expect(await heldBy('n3', 'created')).toBe('nothing');

    // A request coordinator notices and tells the memory node, which then has it itself.
    const coordinator = `http://${system.node('c1').http}`;
    const repairsBefore = await metric('c1', 'quoin_read_repairs_total');
    for (const key of ['updated', 'created']) {
      await waitFor(`n3 to be told of ${key}`, PATIENCE_MS, async () => {
        expect(await (await fetch(urlOf(coordinator, key))).text()).toBe('new');
        return (await heldBy('n3', key)) === 'new' ? true : undefined;
      });
    }
    expect(await metric('c1', 'quoin_read_repairs_total')).toBe(repairsBefore + 2);
    expect(await metric('n3', 'quoin_read_repairs_total')).toBe(0);
    expect(await otherMeans()).toEqual(otherMeansBefore);
  });
});
