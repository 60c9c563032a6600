import { describe, expect, test } from 'vitest';
import { ALL_COMMANDS, commandById, commandByName } from '../../src/store/registry.js';

/** What stands in logs. Lines are added, never changed. */
const IDS = `1 get, 2 set, 3 del, 4 incr, 5 setnx, 6 setex, 7 psetex, 8 getset, 9 getdel, 10 getex, 11 mget, 12 mset,
13 msetnx, 14 append, 15 strlen, 16 getrange, 17 substr, 18 setrange, 19 decr, 20 incrby, 21 decrby, 22 incrbyfloat,
23 unlink, 24 exists, 25 expire, 26 pexpire, 27 expireat, 28 pexpireat, 29 ttl, 30 pttl, 31 expiretime, 32 pexpiretime,
33 persist, 34 type, 35 scan, 36 keys, 37 randomkey, 38 rename, 39 renamenx, 40 copy, 41 touch, 42 dbsize, 43 flushdb,
44 flushall, 45 object, 100 quoin.get, 101 quoin.put, 102 quoin.delete, 103 quoin.list, 104 quoin.version,
105 quoin.expire, 106 quoin.exec, 107 quoin.open-bucket, 108 quoin.update-bucket, 109 quoin.drop-bucket,
110 quoin.slot-count, 111 quoin.slot-keys, 112 quoin.evict,
113 quoin.deny`;

describe('the command registry', () => {
  test('keeps the ids that stand in logs', () => {
    const present = ALL_COMMANDS.map(({ id, name }) => `${id} ${name}`);
    expect(present).toEqual(IDS.split(/,\s+/));
  });

  test('finds each command by name and by id, and nothing else', () => {
    for (const definition of ALL_COMMANDS) {
      expect(commandByName(definition.name)).toBe(definition);
      expect(commandById(definition.id)).toBe(definition);
    }
    expect(commandByName('GET')).toBeUndefined();
    expect(commandByName('nonsense')).toBeUndefined();
    expect(commandById(0)).toBeUndefined();
    expect(commandById(99)).toBeUndefined();
  });

  test('gives every command what its scope needs', () => {
    for (const definition of ALL_COMMANDS) {
      const { name, scope, internal } = definition;
      if (scope === 'keys') expect(definition.firstKey, name).toBeGreaterThan(0);
      if (scope === 'cursor') expect(definition.cursorToken, name).toBeDefined();
      // The node itself puts its control commands into one group's log.
      if (scope === 'all-groups' && internal !== true) expect(definition.merge, name).toBeDefined();
      expect(definition.isWrite, name).toBe(definition.flags.includes('write'));
    }
  });
});
