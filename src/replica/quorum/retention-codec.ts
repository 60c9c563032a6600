/**
 * What replicas of buckets with bounds tell each other (`src/store/quorum/bucket-bounds.ts`), as it travels:
 *
 *   message: news*
 *   news:    what u8 | bucketId varint | key bytes | version varint      1 idle, 2 evicted, 3 no room
 *                                                  | frequency u8         4 used
 *
 * Nothing is answered; a message that is lost is not missed.
 */
import { ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';
import type { RemovalReason } from '../../store/quorum/bucket-bounds.js';

const IDLE = 1;
const EVICTED = 2;
const NO_ROOM = 3;
const USED = 4;

const CODE_OF_REASON: Readonly<Record<RemovalReason, number>> = {
  idle: IDLE,
  evicted: EVICTED,
  'no-room': NO_ROOM,
};

export function encodeRemoval(
  writer: ByteWriter,
  bucketId: number,
  reason: RemovalReason,
  key: Buffer,
  version: number,
): void {
  writer.u8(CODE_OF_REASON[reason]);
  writer.varint(bucketId);
  writer.bytes(key);
  writer.varint(version);
}

export function encodeUse(writer: ByteWriter, bucketId: number, key: Buffer, frequency: number): void {
  writer.u8(USED);
  writer.varint(bucketId);
  writer.bytes(key);
  writer.u8(frequency);
}

export interface RetentionNewsHandler {
  removed(bucketId: number, reason: RemovalReason, key: Buffer, version: number): void;
  used(bucketId: number, key: Buffer, frequency: number): void;
}

/** Malformed bytes throw `DecodeError`, after what stands before them was handled. Keys are views of the body. */
export function decodeRetentionNews(body: Buffer, handler: RetentionNewsHandler): void {
  const reader = new ByteReader(body);
  while (reader.remainingBytes > 0) {
    const what = reader.u8();
    const bucketId = reader.varint();
    const key = reader.bytes();
    if (what === USED) handler.used(bucketId, key, reader.u8());
    else handler.removed(bucketId, reasonOf(what), key, reader.varint());
  }
}

function reasonOf(what: number): RemovalReason {
  switch (what) {
    case IDLE:
      return 'idle';
    case EVICTED:
      return 'evicted';
    case NO_ROOM:
      return 'no-room';
    default:
      throw new DecodeError(`news of a kind ${what} that is unknown`);
  }
}
