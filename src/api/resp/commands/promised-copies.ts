/**
 * How many copies the acknowledged writes of a connection have in an eventual bucket, for WAIT. Each write promises its w, and
 * CLIENT QUORUM may change that between writes; a choice made later says nothing about a write made before.
 *
 * Invariant: never more than any acknowledged write of the connection has been promised. A choice counts from the first write on
 * that could have been made under it, whether or not one was, and in whatever bucket.
 */
import type { QuorumPolicy } from '../../../store/types.js';
import type { ClientConnection } from '../connection.js';

/** The choices of w that were given up. */
export interface FormerChoices {
  readonly least: number;
  /** True: for a while the bucket's own was in force. */
  readonly own: boolean;
}

const NONE: FormerChoices = { least: Number.POSITIVE_INFINITY, own: false };

/** To be called before a connection's choice changes. */
export function noteFormerChoice(client: ClientConnection): void {
  if (client.lastWrittenKey === undefined) return;
  const { least, own } = client.formerChoices ?? NONE;
  const w = client.quorum?.w;
  client.formerChoices = {
    least: Math.min(least, w ?? Number.POSITIVE_INFINITY),
    own: own || w === undefined,
  };
}

/** Copies that every acknowledged write of the connection has in a bucket of this policy. */
export function promisedCopies(client: ClientConnection, { n, w }: QuorumPolicy): number {
  const { least, own } = client.formerChoices ?? NONE;
  return Math.min(n, client.quorum?.w ?? w, least, own ? w : n);
}
