import { describe, expect, test } from 'vitest';
import { SILENT_LOGGER } from '../../src/base/logger.js';
import type { NodeDescription } from '../../src/cluster/map.js';
import { Renewals } from '../../src/server/renewals.js';
import { describeNode } from '../support/fake-node.js';
import { helloOf } from '../support/hub.js';

const KNOWN: NodeDescription = { ...describeNode('n2'), incarnation: 'old' };

function fixture(options: { silentMs?: number; fails?: boolean } = {}) {
  const renewed: string[] = [];
  let settle: () => void = () => {};
  const renewals = new Renewals({
    known: (node) => (node === 'n2' ? KNOWN : undefined),
    silentMs: () => options.silentMs ?? 2000,
    renew: (node, replaces) => {
      renewed.push(`${node.id}/${node.incarnation} for ${replaces}`);
      return new Promise((resolve, reject) => {
        settle = () => (options.fails ? reject(new Error('nobody decides')) : resolve(node));
      });
    },
    logger: SILENT_LOGGER,
  });
  const meet = (incarnation: string, changes: { id?: string; map?: string } = {}) => {
    const id = changes.id ?? 'n2';
    renewals.consider(helloOf(id, { map: changes.map ?? '', node: { ...describeNode(id), incarnation } }));
  };
  const settled = async () => {
    settle();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { renewed, meet, settled };
}

describe('a node that introduces itself', () => {
  test('under a known id and a new incarnation is let in again, once at a time', async () => {
    const { renewed, meet, settled } = fixture();
    meet('new');
    meet('new');
    expect(renewed).toEqual(['n2/new for old']);
    await settled();
    meet('newer');
    expect(renewed).toEqual(['n2/new for old', 'n2/newer for old']);
  });

  test('is let in when the first attempt failed and it asks again', async () => {
    const { renewed, meet, settled } = fixture({ fails: true });
    meet('new');
    await settled();
    meet('new');
    expect(renewed).toEqual(['n2/new for old', 'n2/new for old']);
  });

  test('is not let in while the known incarnation speaks', () => {
    const { renewed, meet } = fixture({ silentMs: 1999 });
    meet('new');
    expect(renewed).toEqual([]);
  });

  test('is not let in when it has a map of its own, is known as it is, or is a stranger', () => {
    const { renewed, meet } = fixture();
    meet('new', { map: '{}' });
    meet('old');
    meet('new', { id: 'n9' });
    expect(renewed).toEqual([]);
  });
});
