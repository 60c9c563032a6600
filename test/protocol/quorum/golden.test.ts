/**
 * Pins the bytes of eventual buckets (docs/formats/quorum.md): what this version writes is byte for byte the golden files, and
 * they can be read. Each line of a file is one message or change: hex bytes, then a remark after '#'.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.js';
import { decodeRepairMessage, encodeRepairMessage } from '../../../src/protocol/quorum/anti-entropy-codec.js';
import { type RepairMessage, WHOLE } from '../../../src/protocol/quorum/anti-entropy-messages.js';
import {
  decodeQuorumMessage,
  encodeQuorumMessage,
  MutationEncoder,
} from '../../../src/protocol/quorum/codec.js';
import { decodeHintChange, encodeHintChange } from '../../../src/protocol/quorum/hint-codec.js';
import type { HintChange } from '../../../src/protocol/quorum/hint-types.js';
import { DELETED_MS, type MutationBatch, type QuorumMessage } from '../../../src/protocol/quorum/types.js';

function goldenLines(name: string): string[] {
  const text = readFileSync(new URL(`./golden/${name}`, import.meta.url), 'utf8');
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').replaceAll(' ', ''));
  return lines.filter((line) => line !== '');
}

const KEY = Buffer.from('ada');
/** All seven bytes of a version are in use. */
const VERSION = 0x1a1b2c3d4e5f6;
const OLDER = 0x1a1b2c3d4e5f5;
const EXPIRES_MS = 1_800_000_000_000;

/** One mutation of each kind of expiry. */
function sampleBatch(): MutationBatch {
  const encoder = new MutationEncoder();
  encoder.begin();
  encoder.add(2, KEY, Buffer.from('in'), VERSION, 0);
  encoder.add(300, Buffer.from('bob'), Buffer.alloc(0), OLDER, DELETED_MS);
  encoder.add(2, Buffer.alloc(0), Buffer.from('x'), 1, EXPIRES_MS);
  return encoder.take();
}

const BATCH = sampleBatch();

const MESSAGES: readonly QuorumMessage[] = [
  { kind: 'mutate', id: 7, purpose: 'write', durable: true, batch: BATCH },
  { kind: 'mutate', id: 8, purpose: 'repair', durable: false, batch: BATCH },
  { kind: 'mutate', id: 2 ** 40, purpose: 'hint', durable: true, batch: BATCH },
  {
    kind: 'mutate',
    id: 9,
    purpose: 'anti-entropy',
    durable: false,
    batch: { count: 0, bytes: Buffer.alloc(0) },
  },
  { kind: 'mutated', id: 7, notes: [] },
  {
    kind: 'mutated',
    id: 300,
    notes: [
      { position: 0, what: 'newer', version: VERSION },
      { position: 1, what: 'lived', version: 0 },
      { position: 40, what: 'refused', version: 0 },
      { position: 41, what: 'ahead', version: 0 },
    ],
  },
  {
    kind: 'read',
    id: 10,
    queries: [
      { bucketId: 2, key: KEY, knownVersion: 0 },
      { bucketId: 2, key: KEY, knownVersion: -1 },
      { bucketId: 300, key: KEY, knownVersion: VERSION },
    ],
  },
  {
    kind: 'records',
    id: 10,
    answers: [
      { what: 'none' },
      { what: 'same' },
      { what: 'version', version: VERSION, expiresAtMs: EXPIRES_MS },
      { what: 'record', record: { value: Buffer.from('in'), version: VERSION, expiresAtMs: 0 } },
      { what: 'record', record: { value: Buffer.alloc(0), version: OLDER, expiresAtMs: DELETED_MS } },
      { what: 'unknown-bucket' },
    ],
  },
  { kind: 'records', id: 11, answers: [{ what: 'filling' }] },
];

const DIGESTS = Array.from({ length: 16 }, (_, child) => child * 0x01010101);

const REPAIRS: readonly RepairMessage[] = [
  {
    kind: 'roots',
    id: 1,
    group: 3,
    layout: 0x11223344,
    salt: 0xaabbccdd,
    buckets: [{ bucketId: 2, flushedThrough: 300, low: 0x01020304, high: 0xf1f2f3f4 }],
  },
  {
    kind: 'compare',
    id: 2,
    group: 3,
    layout: 0x11223344,
    salt: 0xaabbccdd,
    ranges: [
      { bucketId: 2, level: 0, index: 0, digests: DIGESTS },
      { bucketId: 2, level: 3, index: 9, digests: DIGESTS.slice(0, 4) },
    ],
  },
  {
    kind: 'list',
    id: 3,
    ranges: [
      {
        range: { bucketId: 2, level: 11, index: 5, skip: 8 },
        tokens: [5 * 2 ** 6 + 8, 5 * 2 ** 6 + 12],
        versions: [VERSION, 1],
        digest: 0xdeadbeef,
      },
      {
        range: { bucketId: 2, level: 4, index: 1, skip: 0 },
        tokens: [2 ** 34 + 0x12345678],
        versions: [OLDER],
        digest: 1,
      },
    ],
  },
  { kind: 'want', id: 4, ranges: [{ bucketId: 300, level: 4, index: 16383, skip: 2 ** 20 }] },
  { kind: 'push', id: 5, batch: BATCH, notes: [{ bucketId: 2, slot: 16383, throughMs: EXPIRES_MS }] },
  { kind: 'purge-query', id: 6, bucketId: 2, slots: [0, 300, 16383], digests: [1, 2, 0xffffffff] },
  { kind: 'roots-answer', id: 1, agreed: true, filling: false, differing: [0, 2, 200], skipped: [] },
  {
    kind: 'compare-answer',
    id: 2,
    ranges: [
      { differing: 0x8001, counts: [] },
      { differing: 0b101, counts: [1, 300] },
    ],
  },
  {
    kind: 'records',
    id: 3,
    batch: BATCH,
    ranges: [
      { resume: WHOLE, wanted: [0, 1] },
      { resume: 4096, wanted: [] },
    ],
  },
  { kind: 'pushed', id: 5, notes: [] },
  { kind: 'purge-answer', id: 6, equal: [0, 2] },
  { kind: 'purge', bucketId: 2, throughMs: EXPIRES_MS, slots: [16383], digests: [0x01020304] },
  { kind: 'roots-answer', id: 7, agreed: true, filling: true, differing: [1], skipped: [0, 300] },
];

const CHANGES: readonly HintChange[] = [
  { kind: 'add', target: 'n2', batch: BATCH },
  {
    kind: 'remove',
    target: 'n2',
    names: [
      { bucketId: 2, version: VERSION, key: KEY },
      { bucketId: 300, version: 1, key: Buffer.alloc(0) },
    ],
  },
  { kind: 'drop', target: 'n2' },
];

function hexOf<T>(values: readonly T[], encode: (writer: ByteWriter, value: T) => void): string[] {
  return values.map((value) => {
    const writer = new ByteWriter();
    encode(writer, value);
    return writer.take().toString('hex');
  });
}

describe('the golden file of quorum messages', () => {
  const lines = goldenLines('quorum-1.hex');

  test('is what this version writes', () => {
    expect(hexOf(MESSAGES, encodeQuorumMessage)).toEqual(lines);
  });

  test('can be read', () => {
    const read = lines.map((line) => decodeQuorumMessage(new ByteReader(Buffer.from(line, 'hex'))));
    expect(read).toEqual(MESSAGES);
  });
});

describe('the golden file of anti-entropy messages', () => {
  const lines = goldenLines('anti-entropy-1.hex');

  test('is what this version writes', () => {
    expect(hexOf(REPAIRS, encodeRepairMessage)).toEqual(lines);
  });

  test('can be read', () => {
    expect(lines.map((line) => decodeRepairMessage(Buffer.from(line, 'hex')))).toEqual(REPAIRS);
  });
});

describe('the golden file of changes of hints', () => {
  const lines = goldenLines('hints-1.hex');

  test('is what this version writes', () => {
    expect(hexOf(CHANGES, encodeHintChange)).toEqual(lines);
  });

  test('can be read', () => {
    expect(lines.map((line) => decodeHintChange(Buffer.from(line, 'hex')))).toEqual(CHANGES);
  });
});
