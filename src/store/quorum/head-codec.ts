/**
 * What a checkpoint's note keeps of the eventual buckets beside their records:
 *
 *   format u8 (1, 2) | highestVersion varint | bucket count varint | bucket*
 *   bucket: id varint | flushedThrough varint | highestVersion varint | baseMs varint | purge count varint | purge*
 *   purge:  slot, less the one before, varint | throughMs - baseMs varint
 *
 * Format 2 says besides that this node had lost its disk and has been filled again (`protocol/quorum/filling.ts`); it is written only
 * then. Programs that know format 1 alone refuse it: they would not know that a node that lost its disk is no answer to reads.
 * `baseMs` is the earliest time among the bucket's purges: what follows is short.
 */
import { ByteReader, ByteWriter, DecodeError } from '../../base/bytes.js';
import { SLOT_COUNT } from '../../base/slots.js';
import type { BucketHead } from './stored-bucket.js';

const FORMAT = 1;
const FILLED_FORMAT = 2;

export interface StoreHead {
  /** The highest version seen by this node in any bucket, dropped ones too. */
  readonly highestVersion: number;
  /** This node had lost its disk and has been filled again from the others. */
  readonly filled: boolean;
  /** By bucket id. */
  readonly buckets: ReadonlyMap<number, BucketHead>;
}

export function encodeStoreHead({ highestVersion, filled, buckets }: StoreHead): Buffer {
  const writer = new ByteWriter(256);
  writer.u8(filled ? FILLED_FORMAT : FORMAT);
  writer.varint(highestVersion);
  writer.varint(buckets.size);
  for (const [id, bucket] of buckets) {
    writer.varint(id);
    writer.varint(bucket.flushedThrough);
    writer.varint(bucket.highestVersion);
    let baseMs = bucket.purges[0]?.[1] ?? 0;
    for (const [, throughMs] of bucket.purges) baseMs = Math.min(baseMs, throughMs);
    writer.varint(baseMs);
    writer.varint(bucket.purges.length);
    let lastSlot = 0;
    for (const [slot, throughMs] of bucket.purges) {
      writer.varint(slot - lastSlot);
      writer.varint(throughMs - baseMs);
      lastSlot = slot;
    }
  }
  return writer.take();
}

/** Throws `DecodeError`. */
export function decodeStoreHead(bytes: Buffer): StoreHead {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT && format !== FILLED_FORMAT)
    throw new DecodeError(`format ${format} of eventual buckets' state is not known`);
  const highestVersion = reader.varint();
  const buckets = new Map<number, BucketHead>();
  for (let left = readCount(reader); left > 0; left--) {
    const id = reader.varint();
    const flushedThrough = reader.varint();
    const highest = reader.varint();
    const baseMs = reader.varint();
    const purges: [number, number][] = [];
    let slot = 0;
    for (let purgesLeft = readCount(reader); purgesLeft > 0; purgesLeft--) {
      slot += reader.varint();
      if (slot >= SLOT_COUNT) throw new DecodeError('a purged slot does not exist');
      const throughMs = baseMs + reader.varint();
      if (throughMs > Number.MAX_SAFE_INTEGER) throw new DecodeError('the time of a purge is too large');
      purges.push([slot, throughMs]);
    }
    buckets.set(id, { flushedThrough, highestVersion: highest, purges });
  }
  reader.end();
  return { highestVersion, filled: format === FILLED_FORMAT, buckets };
}

/** A count of things that take at least one byte each. */
function readCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remainingBytes) throw new DecodeError('a count is larger than what follows');
  return count;
}
