/** A node's end of the peer links for tests of single parts: it says a hello that nobody reads, knows everybody and does nothing. */
import type { Env } from '../../src/env/env.js';
import type { NodeId } from '../../src/protocol/raft/types.js';
import type { Hello } from '../../src/replica/peers/hello.js';
import { type PeerHandlers, PeerHub } from '../../src/replica/peers/peer-hub.js';
import { describeNode } from './fake-node.js';

/** What a node of a cluster without a map says of itself. */
export function helloOf(id: NodeId, changes: Partial<Hello> = {}): Hello {
  return {
    clusterName: 'test',
    map: '',
    node: { ...describeNode(id), grpc: `${id}:9001` },
    join: [],
    settings: '',
    wantsAnswer: false,
    knownIncarnation: '',
    ...changes,
  };
}

/** Handlers that welcome everybody and do nothing, but for those given. */
export function handlersOf(self: NodeId, changes: Partial<PeerHandlers> = {}): PeerHandlers {
  return {
    hello: (_peer, wantsAnswer) => helloOf(self, { wantsAnswer }),
    onHello: () => true,
    knows: () => true,
    onMessage: () => {},
    onNewerEpoch: () => {},
    onPeerUp: () => {},
    onPeerDead: () => {},
    ...changes,
  };
}

/** The hub of n1. */
export function quietHub(env: Env): PeerHub {
  return new PeerHub(env, 'n1', 'n1-incarnation', handlersOf('n1'));
}
