/**
 * The cluster map as bytes (JSON, slot owners as runs): for peers, for notes on disk and for `GET /v1/cluster`.
 */
import { QuoinError } from '../base/errors.js';
import { SLOT_COUNT } from '../base/slots.js';
import type { ClusterMap } from './map.js';

/** A run of slots with one owner; both ends inclusive. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly group: number;
}

export function slotRanges(owners: Uint16Array): SlotRange[] {
  const ranges: SlotRange[] = [];
  let first = 0;
  for (let slot = 1; slot <= SLOT_COUNT; slot++) {
    if (slot < SLOT_COUNT && owners[slot] === owners[first]) continue;
    ranges.push({ first, last: slot - 1, group: owners[first]! });
    first = slot;
  }
  return ranges;
}

interface EncodedMap extends Omit<ClusterMap, 'slotOwners'> {
  readonly format: number;
  readonly slots: readonly SlotRange[];
}

const MAP_FORMAT = 1;

export function encodeMap(map: ClusterMap): Buffer {
  const { slotOwners, ...rest } = map;
  const encoded: EncodedMap = { format: MAP_FORMAT, ...rest, slots: slotRanges(slotOwners) };
  return Buffer.from(JSON.stringify(encoded), 'utf8');
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const isRange = (value: unknown): value is SlotRange =>
  isRecord(value) && ['first', 'last', 'group'].every((field) => typeof value[field] === 'number');

/** Has it what every map of this format has? What is inside comes from a node that wrote it whole. */
function isMap(value: Record<string, unknown>): value is Record<string, unknown> & EncodedMap {
  return (
    typeof value.epoch === 'number' &&
    typeof value.clusterName === 'string' &&
    typeof value.clusterId === 'string' &&
    typeof value.nextBucketId === 'number' &&
    ['nodes', 'groups', 'buckets'].every((field) => Array.isArray(value[field])) &&
    Array.isArray(value.slots) &&
    value.slots.every(isRange)
  );
}

function unreadable(cause?: unknown): QuoinError {
  return new QuoinError('CHECKPOINT_DAMAGED', 'the cluster map cannot be read', { cause });
}

/** The bytes come from a peer or a disk that has checked them; what is no map is an error all the same. */
export function decodeMap(bytes: Buffer): ClusterMap {
  let encoded: unknown;
  try {
    encoded = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw unreadable(error);
  }
  if (!isRecord(encoded) || typeof encoded.format !== 'number') throw unreadable();
  if (encoded.format !== MAP_FORMAT) {
    throw new QuoinError(
      'LOG_TOO_NEW',
      `the cluster map has format ${String(encoded.format)}, this program knows ${MAP_FORMAT}`,
    );
  }
  if (!isMap(encoded)) throw unreadable();
  const { format: _, slots, ...rest } = encoded;
  const slotOwners = new Uint16Array(SLOT_COUNT);
  for (const { first, last, group } of slots) slotOwners.fill(group, first, last + 1);
  return { ...rest, slotOwners };
}
