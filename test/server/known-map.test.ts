import { describe, expect, test } from 'vitest';
import { firstMap } from '../../src/cluster/formation.js';
import type { ClusterMap } from '../../src/cluster/map.js';
import { KnownMap } from '../../src/server/known-map.js';
import { manualEnv } from '../replica/support/manual-env.js';
import { DEFAULT_BUCKET } from './support-nodes.js';

const FIRST = firstMap({
  clusterName: 'test',
  nodes: [
    {
      id: 'n1',
      incarnation: 'a',
      resp: 'h:1',
      http: 'h:2',
      grpc: 'h:3',
      roles: ['coordinator', 'storage'],
      weight: 1,
      zone: '',
    },
  ],
  replicas: 1,
  buckets: [DEFAULT_BUCKET],
});

function ofEpoch(epoch: number): ClusterMap {
  return { ...FIRST, epoch };
}

describe('the map that a node knows', () => {
  test('is found after a restart, and so is the first one, which group 0 begins with', () => {
    const { disk } = manualEnv('maps');
    disk.makeDirectory('/data');
    const known = new KnownMap(disk, '/data');
    expect(known.stored()).toBeUndefined();
    known.adopt(FIRST);
    known.storeFirst(FIRST);
    expect(new KnownMap(disk, '/data').stored()).toEqual({ first: FIRST, newest: FIRST });
    known.adopt(ofEpoch(7));
    known.storeNewest();
    expect(new KnownMap(disk, '/data').stored()).toEqual({ first: FIRST, newest: ofEpoch(7) });
  });

  test('never goes back', () => {
    const { disk } = manualEnv('epochs');
    const known = new KnownMap(disk, '/data');
    expect(known.adopt(ofEpoch(3))).toBe(true);
    expect(known.adopt(ofEpoch(3))).toBe(false);
    expect(known.adopt(ofEpoch(2))).toBe(false);
    expect(known.epoch).toBe(3);
  });

  test('stays the first that was stored, whatever comes later', () => {
    const { disk } = manualEnv('first');
    disk.makeDirectory('/data');
    const known = new KnownMap(disk, '/data');
    known.storeFirst(FIRST);
    known.storeFirst(ofEpoch(9));
    expect(known.stored()?.first).toEqual(FIRST);
  });
});
