import { describe, expect, test } from 'vitest';
import { openIdentity } from '../../src/server/identity.js';
import { manualEnv } from '../replica/support/manual-env.js';

const DIRECTORY = '/data';
const failure = (code: string) => expect.objectContaining({ code });

describe('the identity of a data directory', () => {
  test('is made once, and stays', () => {
    const env = manualEnv('identity');
    const first = openIdentity(env, DIRECTORY, 'n1', 'test');
    expect(first).toEqual({
      nodeId: 'n1',
      clusterName: 'test',
      incarnation: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(openIdentity(env, DIRECTORY, 'n1', 'test')).toEqual(first);
    expect(openIdentity(env, '/other', 'n1', 'test').incarnation).not.toBe(first.incarnation);
  });

  test('is refused to another node and to another cluster', () => {
    const env = manualEnv('identity');
    openIdentity(env, DIRECTORY, 'n1', 'test');
    expect(() => openIdentity(env, DIRECTORY, 'n2', 'test')).toThrow(failure('FOREIGN_DIRECTORY'));
    expect(() => openIdentity(env, DIRECTORY, 'n1', 'other')).toThrow(failure('WRONG_CLUSTER'));
  });

  test('is not given to a directory that holds something else', () => {
    const env = manualEnv('identity');
    env.disk.makeDirectory(DIRECTORY);
    env.disk.replace(`${DIRECTORY}/photos.zip`, Buffer.from('x'));
    expect(() => openIdentity(env, DIRECTORY, 'n1', 'test')).toThrow(failure('FOREIGN_DIRECTORY'));
    expect(env.disk.list(DIRECTORY)).toEqual(['photos.zip']);
  });

  test('is given in spite of a lock, and of what a crash left of an earlier try', () => {
    const env = manualEnv('identity');
    env.disk.makeDirectory(DIRECTORY);
    env.disk.replace(`${DIRECTORY}/LOCK`, Buffer.from('1'));
    env.disk.replace(`${DIRECTORY}/node.json.new`, Buffer.from('{"for'));
    expect(openIdentity(env, DIRECTORY, 'n1', 'test').nodeId).toBe('n1');
  });

  test.each([
    ['no JSON', 'quoin', 'FOREIGN_DIRECTORY'],
    ['of no object', 'null', 'FOREIGN_DIRECTORY'],
    ['not whole', '{"format":1,"nodeId":"n1"}', 'FOREIGN_DIRECTORY'],
    ['of a newer program', '{"format":2,"nodeId":"n1"}', 'LOG_TOO_NEW'],
  ])('is refused when its file is %s', (_what, text, code) => {
    const env = manualEnv('identity');
    env.disk.makeDirectory(DIRECTORY);
    env.disk.replace(`${DIRECTORY}/node.json`, Buffer.from(text));
    expect(() => openIdentity(env, DIRECTORY, 'n1', 'test')).toThrow(failure(code));
  });
});
