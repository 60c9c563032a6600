/**
 * The frame codec: what travels between two nodes. One frame carries all messages that one turn of the event loop had
 * for that peer, of all groups (so heartbeats of all groups travel together). Byte layout in `docs/formats/peer.md`.
 *
 * Every frame says who sent it and names the sender's map epoch, so that frames need no state of their link and
 * whoever is behind notices at once.
 */
import { type ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';

const FRAME_VERSION = 1;

/** Kinds of messages; numbers are append-only. */
export const MESSAGE = {
  hello: 1,
  raft: 2,
  /** Heartbeats and their answers: a lane of their own, so that they pass large appends. */
  heartbeat: 3,
  forwardRequests: 4,
  forwardReplies: 5,
  mapRequest: 6,
  mapReply: 7,
  leaders: 8,
  snapshotChunk: 9,
  snapshotAcknowledgement: 10,
  snapshotWanted: 11,
  administration: 12,
  administrationReply: 13,
  /** A piece of a message too large for one frame. */
  piece: 14,
  /** Reads and writes of eventual buckets, and their answers. */
  quorum: 15,
  /** Comparison of replicas of eventual buckets. */
  antiEntropy: 16,
  /** A command over many keys of an eventual bucket, for a node that holds none of them; and its answer. */
  query: 17,
  queryReply: 18,
  /** Failure detection and load digests. */
  swim: 19,
  /** What replicas of eventual buckets with bounds tell each other: keys that went, and keys that are used. */
  retention: 20,
} as const;

export type MessageKind = (typeof MESSAGE)[keyof typeof MESSAGE];

const LAST_KIND: number = Math.max(...Object.values(MESSAGE));

export interface FrameHeader {
  /** Hash of the cluster's id; 0 while the sender knows none. */
  readonly clusterTag: number;
  readonly from: string;
  /** Random id (16 hex digits) of the sender's process: a new one means that it has restarted. */
  readonly boot: string;
  /** Random id of the sender's data directory. */
  readonly incarnation: string;
  readonly epoch: number;
}

export function encodeFrameHeader(writer: ByteWriter, header: FrameHeader): void {
  writer.u8(FRAME_VERSION);
  writer.u32(header.clusterTag);
  writer.string(header.from);
  writer.string(header.boot);
  writer.string(header.incarnation);
  writer.varint(header.epoch);
}

export function decodeFrameHeader(reader: ByteReader): FrameHeader {
  const version = reader.u8();
  if (version !== FRAME_VERSION) throw new DecodeError(`frame version ${version} is not ${FRAME_VERSION}`);
  const clusterTag = reader.u32();
  const from = reader.string();
  const boot = reader.string();
  const incarnation = reader.string();
  return { clusterTag, from, boot, incarnation, epoch: reader.varint() };
}

/** Starts a message; returns the position that `endMessage` needs. */
export function beginMessage(writer: ByteWriter, kind: MessageKind, group: number): number {
  writer.u8(kind);
  writer.varint(group);
  const position = writer.lengthBytes;
  writer.u32(0);
  return position;
}

export function endMessage(writer: ByteWriter, position: number): void {
  writer.patchU32(position, writer.lengthBytes - position - 4);
}

/** Calls `handle` for every message of a frame whose header has been read. */
export function decodeMessages(
  reader: ByteReader,
  handle: (kind: MessageKind, group: number, body: Buffer) => void,
): void {
  while (reader.remainingBytes > 0) {
    const kind = reader.u8();
    if (kind === 0 || kind > LAST_KIND) throw new DecodeError(`message kind ${kind} is unknown`);
    const group = reader.varint();
    const body = reader.raw(reader.u32());
    handle(kind as MessageKind, group, body);
  }
}
