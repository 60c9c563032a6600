/**
 * Changes of the kept hints as bytes, for the journal: after a restart they are carried out again, oldest first. Numbers are
 * varints unless said otherwise.
 *
 *   add      u8 1, target, count, batch (length and bytes, `codec.ts`)
 *   remove   u8 2, target, count, for each: bucketId, version, key (length and bytes)
 *   drop     u8 3, target
 *
 * Carrying a change out twice does nothing more than once, and a removal removes nothing that is newer; so a checkpoint may hold
 * changes that are carried out again.
 */
import { ByteReader, type ByteWriter, DecodeError } from '../../base/bytes.js';
import { forEachMutation } from './codec.js';
import type { HintChange, HintName, HintStore } from './hint-types.js';

const ADD = 1;
const REMOVE = 2;
const DROP = 3;

export function encodeHintChange(writer: ByteWriter, change: HintChange): void {
  switch (change.kind) {
    case 'add':
      writer.u8(ADD);
      writer.string(change.target);
      writer.varint(change.batch.count);
      writer.bytes(change.batch.bytes);
      return;
    case 'remove':
      writer.u8(REMOVE);
      writer.string(change.target);
      writer.varint(change.names.length);
      for (const { bucketId, key, version } of change.names) {
        writer.varint(bucketId);
        writer.varint(version);
        writer.bytes(key);
      }
      return;
    case 'drop':
      writer.u8(DROP);
      writer.string(change.target);
      return;
  }
}

/** Throws `DecodeError` on anything that `encodeHintChange` does not write. */
export function decodeHintChange(bytes: Buffer): HintChange {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  const target = reader.string();
  switch (kind) {
    case ADD: {
      const count = reader.varint();
      const batch = { count, bytes: reader.bytes() };
      reader.end();
      if (forEachMutation(batch.bytes, ignoreMutation) !== count)
        throw new DecodeError('a batch of another count');
      return { kind: 'add', target, batch };
    }
    case REMOVE: {
      const count = reader.varint();
      const names: HintName[] = [];
      for (let i = 0; i < count; i++) {
        const bucketId = reader.varint();
        const version = reader.varint();
        names.push({ bucketId, version, key: reader.bytes() });
      }
      reader.end();
      return { kind: 'remove', target, names };
    }
    case DROP:
      reader.end();
      return { kind: 'drop', target };
    default:
      throw new DecodeError(`no such change of hints: ${kind}`);
  }
}

function ignoreMutation(): void {}

/** Carries out a change that the journal kept. */
export function applyHintChange(store: HintStore, change: HintChange): void {
  if (change.kind === 'add') store.add(change.target, change.batch);
  else if (change.kind === 'remove') store.remove(change.target, change.names);
  else store.dropTarget(change.target);
}
