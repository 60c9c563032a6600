/**
 * What is refused before a command goes to the node: keys over the limit, and, when clients are to be redirected
 * (`CONFIG SET cluster-redirects yes`), keys that another node leads. Without redirects any node answers for any key.
 *
 * Invariant: no client is sent to a node that stores and does not coordinate, since it would be refused there. Where only such
 * nodes would be better, the request is carried out here.
 */
import { slotOf } from '../../base/slots.js';
import type { NodeServer } from '../../server/types.js';
import { ErrorReply } from '../../store/reply.js';
import { coordinates } from './cluster-view.js';
import type { CommandEntry } from './command-table.js';
import type { ClientConnection } from './connection.js';
import { CROSS_SLOT } from './messages.js';

const SLOT_NOT_SERVED = new ErrorReply('NO_LEADER', 'CLUSTERDOWN Hash slot not served');

function keyTooLarge(size: number, limit: number): ErrorReply {
  return ErrorReply.of('KEY_TOO_LARGE', `key of ${size} bytes is over the limit of ${limit}`);
}

/** One past the position (in `args`) of the last key. */
function keysEnd(entry: CommandEntry, argCount: number): number {
  const { lastKey } = entry.shape;
  return lastKey < 0 ? argCount + 1 + lastKey : Math.min(lastKey, argCount);
}

/** An error when this command must not go on from here; undefined when it may. */
export function refusalFor(
  client: ClientConnection,
  entry: CommandEntry,
  args: readonly Buffer[],
): ErrorReply | undefined {
  const { firstKey, keyStep } = entry.shape;
  if (firstKey === 0) return undefined;
  const { limits, settings } = client.server;
  const end = keysEnd(entry, args.length);
  for (let at = firstKey - 1; at < end; at += keyStep) {
    const key = args[at];
    if (key !== undefined && key.length > limits.maxKeyBytes)
      return keyTooLarge(key.length, limits.maxKeyBytes);
  }
  return settings.clusterRedirects ? redirectFor(client, entry, args) : undefined;
}

/** The one slot of a command's keys; -1 when it has none, -2 when they lie in several. */
export function commonSlot(entry: CommandEntry, args: readonly Buffer[]): number {
  const { firstKey, keyStep } = entry.shape;
  if (firstKey === 0) return -1;
  const end = keysEnd(entry, args.length);
  let slot = -1;
  for (let at = firstKey - 1; at < end; at += keyStep) {
    const key = args[at];
    if (key === undefined) continue;
    const keySlot = slotOf(key);
    if (slot === -1) slot = keySlot;
    else if (slot !== keySlot) return -2;
  }
  return slot;
}

function redirectFor(
  client: ClientConnection,
  entry: CommandEntry,
  args: readonly Buffer[],
): ErrorReply | undefined {
  const slot = commonSlot(entry, args);
  if (slot === -2) return CROSS_SLOT;
  return slot < 0 ? undefined : redirectForSlot(client, slot, !entry.isWrite);
}

/** In an eventual bucket every replica is as good as another. */
function redirectToReplica(
  node: NodeServer,
  slot: number,
  group: number,
  replicas: number,
): ErrorReply | undefined {
  const map = node.map();
  const members = map?.groups.find((one) => one.id === group)?.members.slice(0, replicas) ?? [];
  if (members.includes(node.id)) return undefined;
  const doors = members.flatMap((id) => map?.nodes.find((one) => one.id === id && coordinates(one)) ?? []);
  const nearest = doors.find(({ id }) => node.peerConnected(id));
  return nearest === undefined ? undefined : new ErrorReply('NOT_LEADER', `MOVED ${slot} ${nearest.resp}`);
}

/** MOVED or CLUSTERDOWN when this node is not the one to ask for a slot. */
export function redirectForSlot(
  client: ClientConnection,
  slot: number,
  isRead: boolean,
): ErrorReply | undefined {
  const { node } = client.server;
  const { group, leader } = node.locate(slot);
  const { quorum } = client.bucket;
  if (quorum !== undefined) return redirectToReplica(node, slot, group, quorum.n);
  if (leader === undefined) return SLOT_NOT_SERVED;
  if (leader === node.id) return undefined;
  const map = node.map();
  if (isRead && client.readConsistency !== 'linearizable') {
    const members = map?.groups.find((one) => one.id === group)?.members;
    if (members?.includes(node.id)) return undefined;
  }
  const description = map?.nodes.find((one) => one.id === leader);
  if (description === undefined) return SLOT_NOT_SERVED;
  if (!coordinates(description)) return undefined;
  return new ErrorReply('NOT_LEADER', `MOVED ${slot} ${description.resp}`);
}
