/**
 * The pieces of a snapshot on the wire. A snapshot is a stream of numbered chunks: the head, then slots, then the end.
 *
 *   chunk   = snapshotId | raftTerm | number | type u8 | rest
 *   head    = baseIndex | baseTerm | head bytes
 *   slots   = count | bucket* | count u32 | (slot | reflectsIndex | sessions bytes | count u32 | record*)*
 *   record  = bucketId | key bytes | value bytes | version | expiresAtMs
 *   end     = nothing
 *
 * All integers are varints unless said otherwise.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.js';

export const CHUNK = { head: 1, slots: 2, end: 3 } as const;

export interface ChunkHeader {
  readonly snapshotId: number;
  /** The leader's term: chunks of an older one are void. */
  readonly term: number;
  /** 0, 1, 2, ... */
  readonly number: number;
  readonly type: number;
}

export function encodeChunkHeader(writer: ByteWriter, header: ChunkHeader): void {
  writer.varint(header.snapshotId);
  writer.varint(header.term);
  writer.varint(header.number);
  writer.u8(header.type);
}

export function decodeChunkHeader(reader: ByteReader): ChunkHeader {
  const snapshotId = reader.varint();
  const term = reader.varint();
  const number = reader.varint();
  return { snapshotId, term, number, type: reader.u8() };
}

export interface ChunkAcknowledgement {
  readonly snapshotId: number;
  /** The chunk that the receiver wants next. */
  readonly next: number;
  /** The whole snapshot is durable there. */
  readonly done: boolean;
}

export function encodeAcknowledgement(writer: ByteWriter, acknowledgement: ChunkAcknowledgement): void {
  writer.varint(acknowledgement.snapshotId);
  writer.varint(acknowledgement.next);
  writer.u8(acknowledgement.done ? 1 : 0);
}

export function decodeAcknowledgement(reader: ByteReader): ChunkAcknowledgement {
  const snapshotId = reader.varint();
  const next = reader.varint();
  return { snapshotId, next, done: reader.u8() === 1 };
}
