import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { slotOf, TOKEN_END, tokenOf } from '../../src/base/slots.js';
import { commandByName } from '../../src/store/registry.js';
import type { Reply } from '../../src/store/reply.js';
import { SlotSet } from '../../src/store/slot-ranges.js';
import { bytes, NOW_MS, quorumBucket, StoreMachine, versionAgo } from './quorum-support.js';

const ALL_SLOTS = new SlotSet([{ first: 0, last: 16383 }]);

function filled(): StoreMachine {
  const machine = new StoreMachine();
  machine.store.openBucket(quorumBucket(1));
  for (let i = 0; i < 50; i++) machine.put(1, `live ${i}`, `value ${i}`, versionAgo(100));
  for (let i = 0; i < 20; i++) machine.delete(1, `live ${i}`, versionAgo(50));
  for (let i = 0; i < 10; i++) machine.put(1, `expired ${i}`, 'v', versionAgo(100), NOW_MS);
  for (let i = 0; i < 5; i++) machine.put(1, `expires ${i}`, 'v', versionAgo(100), NOW_MS + 1);
  return machine;
}

function run(machine: StoreMachine, slots: SlotSet, name: string, ...args: string[]): Reply {
  const keyspace = machine.store.keySpace(1, slots, NOW_MS);
  const definition = commandByName(name)!;
  return definition.execute({ keyspace, nowMs: NOW_MS, bucketId: 1, seed: 5 }, args.map(bytes));
}

function texts(reply: Reply): string[] {
  return Array.isArray(reply) ? reply.map(String).sort() : [];
}

describe('the keys of an eventual bucket on one replica', () => {
  const live = [
    ...Array.from({ length: 30 }, (_, i) => `live ${i + 20}`),
    ...Array.from({ length: 5 }, (_, i) => `expires ${i}`),
  ].sort();

  test('scans, lists and counts see the live ones alone', () => {
    const machine = filled();
    expect(run(machine, ALL_SLOTS, 'dbsize')).toBe(35);
    expect(texts(run(machine, ALL_SLOTS, 'keys', '*'))).toEqual(live);
    const scanned: string[] = [];
    let cursor = '0';
    do {
      const reply = run(machine, ALL_SLOTS, 'scan', cursor, 'COUNT', '7');
      if (!Array.isArray(reply)) throw new Error('SCAN answers an array');
      cursor = String(reply[0]);
      scanned.push(...texts(reply[1]));
    } while (cursor !== '0');
    expect(scanned.sort()).toEqual(live);
    const listed = run(machine, ALL_SLOTS, 'quoin.list', '0', 'expire', '100');
    expect(Array.isArray(listed) ? texts(listed[1]).length : -1).toBe(5);
    const random = run(machine, ALL_SLOTS, 'randomkey');
    expect(live).toContain(Buffer.isBuffer(random) ? random.toString() : 'no key');
    const slot = String(slotOf(bytes('live 7')));
    expect(run(machine, ALL_SLOTS, 'quoin.slot-count', slot)).toBe(0);
    expect(texts(run(machine, ALL_SLOTS, 'quoin.slot-keys', slot, '10'))).toEqual([]);
  });

  test('only the given slots are seen, and a walk ends where their run ends', () => {
    const machine = filled();
    const slot = slotOf(bytes('live 30'));
    const one = new SlotSet([{ first: slot, last: slot }]);
    const rest = new SlotSet([
      { first: 0, last: slot - 1 },
      { first: slot + 1, last: 16383 },
    ]);
    expect(texts(run(machine, one, 'keys', '*'))).toContain('live 30');
    expect(texts(run(machine, rest, 'keys', '*'))).not.toContain('live 30');
    expect(Number(run(machine, one, 'dbsize')) + Number(run(machine, rest, 'dbsize'))).toBe(35);
    expect(machine.store.keySpace(1, rest, NOW_MS).get(bytes('live 30'))).toBeUndefined();
    const reply = run(machine, one, 'scan', String(tokenOf(bytes('live 30')) / 4), 'COUNT', '1000');
    expect(Array.isArray(reply) ? reply[0] : '').toEqual(bytes(String(((slot + 1) * 2 ** 34) / 4)));
  });

  test('a bucket that is not open is empty', () => {
    const { store } = new StoreMachine();
    const keyspace = store.keySpace(9, ALL_SLOTS, NOW_MS);
    let seen = 0;
    keyspace.scan(0, TOKEN_END, () => {
      seen++;
      return true;
    });
    expect([seen, keyspace.keyCount(), keyspace.keyCountInSlot(0)]).toEqual([0, 0, 0]);
  });

  test('nothing can be written through it', () => {
    const keyspace = filled().store.keySpace(1, ALL_SLOTS, NOW_MS);
    expect(() => keyspace.put(bytes('k'), bytes('v'), 0)).toThrow(/does not write/);
    expect(() => keyspace.remove(bytes('k'))).toThrow(/does not write/);
    expect(() => keyspace.setExpiry(bytes('k'), 0)).toThrow(/does not write/);
    expect(() => keyspace.clear()).toThrow(/does not write/);
  });

  test('every slot counts what a walk of it finds', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(30), fc.constantFrom(0, 1, NOW_MS - 1, NOW_MS + 1))), (writes) => {
        const machine = new StoreMachine();
        machine.store.openBucket(quorumBucket(1));
        for (const [i, [key, expiresAtMs]] of writes.entries())
          machine.put(1, `key ${key}`, '', versionAgo(1000, i), expiresAtMs);
        const keyspace = machine.store.keySpace(1, ALL_SLOTS, NOW_MS);
        let found = 0;
        keyspace.scan(0, TOKEN_END, () => {
          found++;
          return true;
        });
        expect(keyspace.keyCount()).toBe(found);
      }),
      { seed: 8, numRuns: 100 },
    );
  });
});
