/**
 * The durable note of a group: which log index the written-back state reflects, and the state that is not keys and
 * values (log time, buckets, sessions, the map). Written in the same transaction as the data it describes.
 */
import { ByteReader, ByteWriter, DecodeError } from '../base/bytes.js';
import { QuoinError } from '../base/errors.js';

export interface GroupNote {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** The data is in the middle of being replaced by a snapshot: it is of no use, the log is. */
  readonly stateMissing: boolean;
  readonly head: Buffer;
}

const NOTE_VERSION = 1;

export const groupNoteName = (group: number): string => `group/${group}`;

export function encodeGroupNote(note: GroupNote): Buffer {
  const writer = new ByteWriter(note.head.length + 64);
  writer.u8(NOTE_VERSION);
  writer.varint(note.appliedIndex);
  writer.varint(note.appliedTerm);
  writer.u8(note.stateMissing ? 1 : 0);
  writer.bytes(note.head);
  return writer.take();
}

export function decodeGroupNote(group: number, bytes: Buffer): GroupNote {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.u8();
    if (version !== NOTE_VERSION) {
      throw new QuoinError(
        'LOG_TOO_NEW',
        `the note of group ${group} has version ${version}, this program knows ${NOTE_VERSION}`,
      );
    }
    const appliedIndex = reader.varint();
    const appliedTerm = reader.varint();
    const stateMissing = reader.u8() === 1;
    const head = reader.bytes();
    reader.end();
    return { appliedIndex, appliedTerm, stateMissing, head };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new QuoinError(
      'CHECKPOINT_DAMAGED',
      `the note of group ${group} cannot be read: ${error.message}`,
      { cause: error },
    );
  }
}
