/**
 * Letting a node in again that has lost its disk: it introduces itself under an id that the map knows and an incarnation
 * that it does not. The map then records the new incarnation and that the node has forgotten what it promised, so that
 * it counts in no Raft group, while eventual buckets fill it again from its peers.
 *
 * Invariants:
 * - a node whose known incarnation still speaks is not replaced: someone has started a second one by mistake;
 * - a new incarnation replaces the one that was known when it was let in, and no other: a node that has lost its disk twice would
 *   else be shut out for good when the first renewal comes after the second.
 */
import type { Logger } from '../base/logger.js';
import type { NodeDescription } from '../cluster/map.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { Hello } from '../replica/peers/hello.js';

/** A known incarnation that has been silent for so long has gone. */
const GONE_MS = 2000;

export interface RenewalsHost {
  /** The node as the map knows it. */
  known(node: NodeId): NodeDescription | undefined;
  /** How long nothing has been heard of the node as the map knows it. */
  silentMs(node: NodeId): number;
  /** `replaces`: the incarnation that it was known by. */
  renew(node: NodeDescription, replaces: string): Promise<NodeDescription>;
  readonly logger: Logger;
}

export class Renewals {
  readonly #host: RenewalsHost;
  /** Incarnations for which a change of the map is under way. */
  readonly #underWay = new Set<string>();

  constructor(host: RenewalsHost) {
    this.#host = host;
  }

  /** Someone has introduced himself. He repeats it every second or so, until a map knows him. */
  consider({ node, map }: Hello): void {
    const host = this.#host;
    const recorded = host.known(node.id);
    // Whoever has a map of his own has not lost his disk.
    if (map !== '' || recorded === undefined || recorded.incarnation === node.incarnation) return;
    if (host.silentMs(node.id) < GONE_MS || this.#underWay.has(node.incarnation)) return;
    this.#underWay.add(node.incarnation);
    host.logger.warn(
      { peer: node.id, incarnation: node.incarnation },
      'a node has come back without its data; letting it in again',
    );
    host
      .renew(node, recorded.incarnation)
      .catch((error: unknown) => {
        // Others may have done it, or nobody decides now: the node asks again.
        host.logger.debug({ peer: node.id, error: String(error) }, 'the node was not let in');
      })
      .finally(() => this.#underWay.delete(node.incarnation));
  }
}
