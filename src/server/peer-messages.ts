/** Hands each message of a peer to the part of the node that it is for. */
import { DecodeError } from '../base/bytes.js';
import { QuoinError } from '../base/errors.js';
import type { ClusterMap } from '../cluster/map.js';
import { decodeMap } from '../cluster/map-codec.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { DataReplica } from '../replica/data-replica.js';
import type { MapReplica } from '../replica/map-replica.js';
import { MESSAGE, type MessageKind } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { Administration } from './administration.js';
import type { EventualBuckets } from './eventual-buckets.js';
import type { ForwardGate } from './forward-gate.js';
import { decodeForwardedReply, RemoteRequest } from './forwarding.js';
import type { GroupRoute } from './group-route.js';
import type { Leaders } from './leaders.js';
import type { Membership } from './membership.js';

export interface MessageTargets {
  readonly peers: PeerHub;
  readonly administration: Administration;
  readonly leaders: Leaders;
  readonly forwardGate: ForwardGate;
  readonly membership: Membership;
  readonly eventual: EventualBuckets;
  replica(group: number): DataReplica | MapReplica | undefined;
  dataReplica(group: number): DataReplica | undefined;
  route(group: number): GroupRoute | undefined;
  /** A peer wants the map. */
  sendMap(to: NodeId): void;
  /** A map from a peer, newer or not. */
  adoptMap(map: ClusterMap): void;
  /** Something was written to an outbox. */
  scheduleFlush(): void;
}

export function dispatchMessage(
  targets: MessageTargets,
  from: NodeId,
  kind: MessageKind,
  group: number,
  body: Buffer,
): void {
  switch (kind) {
    case MESSAGE.raft:
    case MESSAGE.heartbeat:
      targets.replica(group)?.receive(from, body);
      return;
    case MESSAGE.forwardRequests: {
      const request = new RemoteRequest(targets.peers, targets.forwardGate, from, group, body);
      const replica = targets.dataReplica(group);
      if (replica === undefined || !request.isAdmitted) request.refuse('not-leader');
      else replica.enqueue(request);
      targets.scheduleFlush();
      return;
    }
    case MESSAGE.forwardReplies: {
      const answer = decodeForwardedReply(body, targets.peers.boot);
      if (answer !== undefined) targets.route(group)?.replied(answer.sequence, answer.refusal, answer.reply);
      return;
    }
    case MESSAGE.mapRequest:
      targets.sendMap(from);
      return;
    case MESSAGE.mapReply:
      targets.adoptMap(parsed(() => decodeMap(body)));
      return;
    case MESSAGE.leaders:
      targets.leaders.receive(from, body, (id) => targets.replica(id) !== undefined);
      return;
    case MESSAGE.snapshotChunk:
      targets.replica(group)?.receiveSnapshotChunk(from, body);
      return;
    case MESSAGE.snapshotAcknowledgement:
      targets.replica(group)?.receiveSnapshotAcknowledgement(from, body);
      return;
    case MESSAGE.snapshotWanted:
      targets.replica(group)?.snapshotRequested(from, body);
      return;
    case MESSAGE.administration:
      parsed(() => targets.administration.receive(from, body));
      return;
    case MESSAGE.administrationReply:
      parsed(() => targets.administration.receiveReply(body));
      return;
    case MESSAGE.swim:
      targets.membership.receive(from, body);
      targets.scheduleFlush();
      return;
    case MESSAGE.quorum:
      targets.eventual.receive(from, body);
      return;
    case MESSAGE.antiEntropy:
      targets.eventual.receiveRepair(from, body);
      return;
    case MESSAGE.retention:
      targets.eventual.receiveRetention(body);
      return;
    case MESSAGE.query:
      targets.eventual.receiveQuery(from, group, body);
      return;
    case MESSAGE.queryReply:
      targets.eventual.receiveQueryReply(from, body);
      return;
    case MESSAGE.hello:
    case MESSAGE.piece:
      // The hub has dealt with these.
      return;
  }
}

/** JSON that cannot be read is a bad frame like any other: its link is closed, nothing else happens. */
function parsed<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof QuoinError) {
      throw new DecodeError(`a message cannot be read: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
