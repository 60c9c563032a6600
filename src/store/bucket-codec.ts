/**
 * Bytes of a bucket's description, as control commands and snapshot heads carry it:
 *
 *   format u8 (2) | id varint | name string | replication string | engine string | ttlMs varint
 *   | parts u8 (1: retention, 2: quorum)
 *   retention = maxIdleMs varint | maxMemoryBytes varint | eviction string
 *   quorum    = n varint | r varint | w varint | flags u8 (1: read repair, 2: hinted handoff, 4: anti-entropy)
 *               | flushedThrough varint
 *
 * Each part is there when its bit is set. Format 1 ends behind ttlMs and is still read. A string is a varint length and
 * UTF-8 bytes.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import type { EngineKind } from '../engine/types.js';
import { ErrorReply } from './reply.js';
import type {
  BucketDescription,
  EvictionPolicy,
  QuorumPolicy,
  Replication,
  RetentionPolicy,
} from './types.js';

const FORMAT = 2;
const FORMAT_WITHOUT_PARTS = 1;
const HAS_RETENTION = 1;
const HAS_QUORUM = 2;
const READ_REPAIR = 1;
const HINTED_HANDOFF = 2;
const ANTI_ENTROPY = 4;
const REPLICATIONS: readonly Replication[] = ['raft', 'mencius', 'quorum', 'primary'];
const EVICTIONS: readonly EvictionPolicy[] = ['noeviction', 'lru', 'lfu'];
const ENGINES: readonly EngineKind[] = ['memory', 'lmdb', 'level'];

export function writeBucket(writer: ByteWriter, bucket: BucketDescription): void {
  writer.u8(FORMAT);
  writer.varint(bucket.id);
  writer.string(bucket.name);
  writer.string(bucket.replication);
  writer.string(bucket.engine);
  writer.varint(bucket.ttlMs);
  const { retention, quorum } = bucket;
  writer.u8((retention === undefined ? 0 : HAS_RETENTION) | (quorum === undefined ? 0 : HAS_QUORUM));
  if (retention !== undefined) {
    writer.varint(retention.maxIdleMs);
    writer.varint(retention.maxMemoryBytes);
    writer.string(retention.eviction);
  }
  if (quorum !== undefined) {
    for (const count of [quorum.n, quorum.r, quorum.w]) writer.varint(count);
    writer.u8(
      (quorum.readRepair ? READ_REPAIR : 0) |
        (quorum.hintedHandoff ? HINTED_HANDOFF : 0) |
        (quorum.antiEntropy ? ANTI_ENTROPY : 0),
    );
    writer.varint(quorum.flushedThrough);
  }
}

function readRetention(reader: ByteReader): RetentionPolicy {
  const maxIdleMs = reader.varint();
  const maxMemoryBytes = reader.varint();
  const word = reader.string();
  const eviction = EVICTIONS.find((known) => known === word);
  if (eviction === undefined) throw new DecodeError('a bucket has an unknown eviction');
  return { maxIdleMs, maxMemoryBytes, eviction };
}

function readQuorum(reader: ByteReader): QuorumPolicy {
  const [n, r, w, flags] = [reader.varint(), reader.varint(), reader.varint(), reader.u8()];
  if (flags > (READ_REPAIR | HINTED_HANDOFF | ANTI_ENTROPY))
    throw new DecodeError('a bucket has an unknown flag');
  return {
    n,
    r,
    w,
    readRepair: (flags & READ_REPAIR) !== 0,
    hintedHandoff: (flags & HINTED_HANDOFF) !== 0,
    antiEntropy: (flags & ANTI_ENTROPY) !== 0,
    flushedThrough: reader.varint(),
  };
}

export function readBucket(reader: ByteReader): BucketDescription {
  const format = reader.u8();
  if (format !== FORMAT && format !== FORMAT_WITHOUT_PARTS)
    throw new DecodeError(`bucket format ${format} is not known`);
  const id = reader.varint();
  const name = reader.string();
  const replicationWord = reader.string();
  const replication = REPLICATIONS.find((word) => word === replicationWord);
  if (replication === undefined) throw new DecodeError('a bucket has an unknown replication');
  const engineWord = reader.string();
  const engine = ENGINES.find((word) => word === engineWord);
  if (engine === undefined) throw new DecodeError('a bucket has an unknown engine');
  const ttlMs = reader.varint();
  const parts = format === FORMAT_WITHOUT_PARTS ? 0 : reader.u8();
  if (parts > (HAS_RETENTION | HAS_QUORUM)) throw new DecodeError('a bucket has an unknown part');
  return {
    id,
    name,
    replication,
    engine,
    ttlMs,
    ...((parts & HAS_RETENTION) === 0 ? {} : { retention: readRetention(reader) }),
    ...((parts & HAS_QUORUM) === 0 ? {} : { quorum: readQuorum(reader) }),
  };
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
