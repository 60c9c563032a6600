import { describe, expect, test } from 'vitest';
import { DELETED_MS, type QuorumRecord } from '../../src/protocol/quorum/types.js';
import type { CommandDefinition } from '../../src/store/command.js';
import {
  answerRead,
  failedRead,
  failedWrite,
  keyOfRead,
  quorumUseOf,
  refusalOf,
  replyToWrite,
  writeOf,
} from '../../src/store/quorum/commands.js';
import { ALL_COMMANDS, commandByName } from '../../src/store/registry.js';
import { ErrorReply, OK, type Reply, SimpleString } from '../../src/store/reply.js';
import { bytes, NOW_MS } from './quorum-support.js';

const bucket = { name: 'sessions', ttlMs: 0 };
const withTtl = { name: 'sessions', ttlMs: 500 };

function command(name: string): CommandDefinition {
  const definition = commandByName(name);
  if (definition === undefined) throw new Error(`there is no command ${name}`);
  return definition;
}

function written(line: string, into = bucket): string {
  const [name, ...args] = line.split(' ');
  const write = writeOf(command(name!), args.map(bytes), into, NOW_MS);
  if (write instanceof ErrorReply) return `${write.code}: ${write.text}`;
  return `${write.key.toString()}=${write.value.toString()} until ${write.expiresAtMs}`;
}

describe('the commands of eventual buckets', () => {
  test('every command of the registry has its use, and uses agree with what commands are', () => {
    for (const definition of ALL_COMMANDS) {
      const use = quorumUseOf(definition);
      expect(use, `${definition.name} must be classified in src/store/quorum/commands.ts`).toBeDefined();
      const writes = use !== 'read' && use !== 'scan';
      expect(writes, definition.name).toBe(definition.isWrite);
      if (use === 'scan' || use === 'flush') expect(definition.scope, definition.name).not.toBe('keys');
      if (use === 'read' || use === 'write') expect(definition.scope, definition.name).toBe('keys');
      // Several keys go one by one.
      if ((use === 'read' || use === 'write') && definition.lastKey !== definition.firstKey)
        expect(definition.split, definition.name).toBeDefined();
    }
  });

  test('a blind write stores what its arguments say', () => {
    expect(written('set k v')).toBe('k=v until 0');
    expect(written('set k v', withTtl)).toBe(`k=v until ${NOW_MS + 500}`);
    expect(written('set k v EX 10', withTtl)).toBe(`k=v until ${NOW_MS + 10_000}`);
    expect(written('set k v px 10')).toBe(`k=v until ${NOW_MS + 10}`);
    expect(written('set k v EXAT 1900000000')).toBe('k=v until 1900000000000');
    expect(written('set k v PXAT 1900000000000')).toBe('k=v until 1900000000000');
    expect(written('setex k 10 v')).toBe(`k=v until ${NOW_MS + 10_000}`);
    expect(written('psetex k 10 v')).toBe(`k=v until ${NOW_MS + 10}`);
    expect(written('mset k v')).toBe('k=v until 0');
    expect(written('mset k v', withTtl)).toBe(`k=v until ${NOW_MS + 500}`);
    expect(written('quoin.put k v -1 any', withTtl)).toBe(`k=v until ${NOW_MS + 500}`);
    expect(written('quoin.put k v 0 any', withTtl)).toBe('k=v until 0');
    expect(written('quoin.put k v 7 any')).toBe(`k=v until ${NOW_MS + 7}`);
  });

  test('a delete, and a write that is born expired, store a deleted key', () => {
    for (const line of [
      'del k',
      'unlink k',
      'quoin.delete k any',
      'set k v PXAT 1000',
      `set k v PXAT ${NOW_MS}`,
      'set k v EXAT 1',
    ])
      expect(written(line)).toBe(`k= until ${DELETED_MS}`);
  });

  test('options that make a write look at what is there are refused, and so is all that reads before it writes', () => {
    for (const line of [
      'set k v NX',
      'set k v XX',
      'set k v GET',
      'set k v KEEPTTL',
      'set k v NX EX 10',
      'quoin.put k v 0 absent',
      'quoin.put k v 0 present',
      'quoin.put k v 0 17',
      'quoin.delete k present',
      'quoin.delete k 17',
    ])
      expect(written(line), line).toMatch(
        /^READ_MODIFY_WRITE: ERR '(set|put|delete)' with these options reads .*'sessions'/,
      );
    for (const definition of ALL_COMMANDS) {
      if (quorumUseOf(definition) !== 'read-modify-write') continue;
      const refusal = refusalOf(definition, bucket);
      expect(refusal.code, definition.name).toBe('READ_MODIFY_WRITE');
      expect(refusal.text).toContain(`'${definition.name.replace('quoin.', '')}'`);
      expect(refusal.text).toContain("bucket 'sessions'");
      expect(refusal.text).toContain('raft');
      expect(written(`${definition.name} k v w`), definition.name).toContain('READ_MODIFY_WRITE');
    }
  });

  test('bad arguments of a blind write get the error that they get anywhere', () => {
    expect(written('set k v EX 0')).toContain("invalid expire time in 'set' command");
    expect(written('set k v EX x')).toContain('not an integer');
    expect(written('set k v WHAT')).toContain('syntax error');
    expect(written('setex k -1 v')).toContain("invalid expire time in 'setex' command");
    expect(written('quoin.put k v -2 any')).toContain('ttl is out of range');
    expect(written('quoin.put k v 0 maybe')).toContain('condition');
    // And leave nothing behind for the next write.
    expect(written('set a b')).toBe('a=b until 0');
  });

  test('commands for the logs of raft groups, and flushes, are refused where single keys are written', () => {
    for (const name of ['quoin.expire', 'quoin.open-bucket', 'quoin.drop-bucket', 'flushdb', 'flushall'])
      expect(refusalOf(command(name), bucket).code, name).toBe('NOT_SUPPORTED');
  });

  test('a write that has its quorum answers as its command does', () => {
    const outcome = { ok: true, version: 1234, existed: true } as const;
    const absent = { ...outcome, existed: false };
    for (const name of ['set', 'setex', 'psetex', 'mset'])
      expect(replyToWrite(command(name), outcome)).toBe(OK);
    for (const name of ['del', 'unlink', 'quoin.delete']) {
      expect(replyToWrite(command(name), outcome)).toBe(1);
      expect(replyToWrite(command(name), absent)).toBe(0);
    }
    expect(replyToWrite(command('quoin.put'), absent)).toBe(1234);
  });

  test('a request without its quorum says what is known of it', () => {
    expect(failedWrite('unreachable').code).toBe('QUORUM_UNREACHABLE');
    expect(failedWrite('timeout').code).toBe('OUTCOME_UNKNOWN');
    expect(failedWrite('overloaded').code).toBe('OVERLOADED');
    expect(failedWrite('clock').code).toBe('CLOCK_DRIFT');
    expect(failedWrite('refused').text).toBe("OOM command not allowed when used memory > 'maxmemory'.");
    expect(failedRead('timeout').code).toBe('TIMEOUT');
    expect(failedRead('unreachable').code).toBe('QUORUM_UNREACHABLE');
    expect(replyToWrite(command('set'), { ok: false, reason: 'timeout' })).toBe(failedWrite('timeout'));
  });
});

describe('a read of one key of an eventual bucket', () => {
  const live: QuorumRecord = { value: bytes('value'), version: 77, expiresAtMs: NOW_MS + 90_000 };
  const answer = (line: string, record: QuorumRecord | undefined): Reply => {
    const [name, ...args] = line.split(' ');
    return answerRead(command(name!), args.map(bytes), record, NOW_MS);
  };

  test('answers from the newest record as the command does anywhere', () => {
    expect(answer('get k', live)).toEqual(bytes('value'));
    expect(answer('mget k', live)).toEqual([bytes('value')]);
    expect(answer('strlen k', live)).toBe(5);
    expect(answer('getrange k 1 2', live)).toEqual(bytes('al'));
    expect(answer('exists k', live)).toBe(1);
    expect(answer('touch k', live)).toBe(1);
    expect(answer('ttl k', live)).toBe(90);
    expect(answer('pttl k', live)).toBe(90_000);
    expect(answer('pexpiretime k', live)).toBe(NOW_MS + 90_000);
    expect(answer('type k', live)).toEqual(new SimpleString('string'));
    expect(answer('object ENCODING k', live)).toEqual(bytes('embstr'));
    expect(answer('quoin.get k', live)).toEqual([bytes('value'), 77, NOW_MS + 90_000]);
    expect(answer('quoin.version k', live)).toBe(77);
  });

  test('sees nothing in a dead record, nor where there is none', () => {
    for (const record of [
      undefined,
      { ...live, expiresAtMs: NOW_MS },
      { ...live, expiresAtMs: DELETED_MS },
    ]) {
      expect(answer('get k', record)).toBeNull();
      expect(answer('mget k', record)).toEqual([null]);
      expect(answer('strlen k', record)).toBe(0);
      expect(answer('exists k', record)).toBe(0);
      expect(answer('ttl k', record)).toBe(-2);
      expect(answer('quoin.get k', record)).toBeNull();
      expect(answer('quoin.version k', record)).toBe(0);
    }
    expect(answer('ttl k', { ...live, expiresAtMs: 0 })).toBe(-1);
  });

  test('its key is where the command has it', () => {
    expect(keyOfRead(command('get'), [bytes('k')])).toEqual(bytes('k'));
    expect(keyOfRead(command('object'), [bytes('ENCODING'), bytes('k')])).toEqual(bytes('k'));
    expect(keyOfRead(command('object'), [bytes('HELP')])).toBeUndefined();
    expect(answer('object HELP', undefined)).toBeInstanceOf(Array);
  });
});
