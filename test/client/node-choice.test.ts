/** Which node is asked next, and what an address may look like. */
import { describe, expect, test } from 'vitest';
import { type NodeAddress, NodeChoice, parseNodeUrl } from '../../src/client/node-choice.js';

const A = parseNodeUrl('http://127.0.0.1:1');
const B = parseNodeUrl('http://127.0.0.1:2');
const C = parseNodeUrl('http://127.0.0.1:3');
const NONE: ReadonlySet<NodeAddress> = new Set();

describe('the choice of a node', () => {
  test('goes round', () => {
    const choice = new NodeChoice([A, B, C]);
    expect([1, 2, 3, 4].map(() => choice.next(NONE, 0))).toEqual([A, B, C, A]);
  });

  test('leaves a node that failed alone for a while', () => {
    const choice = new NodeChoice([A, B, C]);
    choice.putAside(B, 0);
    expect([1, 2, 3].map(() => choice.next(NONE, 500))).toEqual([A, C, A]);
    expect([1, 2, 3].map(() => choice.next(NONE, 5000))).toEqual([B, C, A]);
  });

  test('welcomes a node that answers again', () => {
    const choice = new NodeChoice([A, B]);
    choice.putAside(A, 0);
    choice.welcomeBack(A);
    expect(choice.next(NONE, 0)).toBe(A);
  });

  test('asks a node that failed when no other is left, and none twice in a round', () => {
    const choice = new NodeChoice([A, B]);
    choice.putAside(A, 0);
    expect(choice.next(new Set([B]), 0)).toBe(A);
    expect(choice.next(new Set([A, B]), 0)).toBeUndefined();
  });
});

describe('an address of a node', () => {
  test('is taken apart, IPv6 without its brackets', () => {
    expect(parseNodeUrl('http://db-1.example:8001/')).toEqual({
      url: 'http://db-1.example:8001',
      host: 'db-1.example',
      port: 8001,
    });
    expect(parseNodeUrl('http://[::1]:8001')).toMatchObject({ host: '::1', port: 8001 });
    expect(parseNodeUrl('http://localhost')).toMatchObject({ port: 80 });
  });

  test.each([
    '',
    '127.0.0.1:8001',
    'https://127.0.0.1:8001',
    'redis://127.0.0.1:7001',
    'http://127.0.0.1:8001/v1',
    'http://me:secret@127.0.0.1:8001',
    'http://127.0.0.1:8001/?a=b',
    'http://127.0.0.1:99999',
  ])('is not %j', (text) => {
    expect(() => parseNodeUrl(text)).toThrow(expect.objectContaining({ code: 'WRONG_ARGUMENTS' }));
  });
});
