/**
 * Bytes of a bucket's description, as control commands and snapshot heads carry it:
 *
 *   format u8 (1) | id varint | name string | replication string | engine string | ttlMs varint
 *
 * A string is a varint length and UTF-8 bytes.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import type { EngineKind } from '../engine/types.js';
import { ErrorReply } from './reply.js';
import type { BucketDescription, Replication } from './types.js';

const FORMAT = 1;
const REPLICATIONS: readonly Replication[] = ['raft', 'mencius', 'quorum', 'primary'];
const ENGINES: readonly EngineKind[] = ['memory', 'lmdb', 'level'];

export function writeBucket(writer: ByteWriter, bucket: BucketDescription): void {
  writer.u8(FORMAT);
  writer.varint(bucket.id);
  writer.string(bucket.name);
  writer.string(bucket.replication);
  writer.string(bucket.engine);
  writer.varint(bucket.ttlMs);
}

export function readBucket(reader: ByteReader): BucketDescription {
  const format = reader.u8();
  if (format !== FORMAT) throw new DecodeError(`bucket format ${format} is not known`);
  const id = reader.varint();
  const name = reader.string();
  const replicationWord = reader.string();
  const replication = REPLICATIONS.find((word) => word === replicationWord);
  if (replication === undefined) throw new DecodeError('a bucket has an unknown replication');
  const engineWord = reader.string();
  const engine = ENGINES.find((word) => word === engineWord);
  if (engine === undefined) throw new DecodeError('a bucket has an unknown engine');
  return { id, name, replication, engine, ttlMs: reader.varint() };
}

export function encodeBucket(bucket: BucketDescription): Buffer {
  const writer = new ByteWriter(64);
  writeBucket(writer, bucket);
  return writer.take();
}

function decodeBucket(bytes: Buffer): BucketDescription {
  const reader = new ByteReader(bytes);
  const bucket = readBucket(reader);
  reader.end();
  return bucket;
}

/** The same for the argument of a command: bad bytes are answered, not thrown. */
export function parseBucket(bytes: Buffer): BucketDescription | ErrorReply {
  try {
    return decodeBucket(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return ErrorReply.of('WRONG_ARGUMENTS', 'malformed bucket description');
    throw error;
  }
}
