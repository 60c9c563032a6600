/**
 * A request as a replica holds it until its answer is known: one plain object for each operation, whether it came in
 * at this node or from a peer.
 */
import type { CommandDefinition } from '../store/command.js';
import type { Reply } from '../store/reply.js';
import type { SessionStamp } from '../store/types.js';

/**
 * Why a replica gives a request back unanswered. None of these is an answer to the client: whoever routes the request
 * sends it again, under the same session and sequence, so that it happens once.
 * `not-leader`: this replica does not lead, nothing was done. `leadership-lost`: it was proposed, and may yet happen.
 * `behind`: this replica does not know the bucket yet. `overloaded`: its queues are full.
 */
export type Refusal = 'not-leader' | 'leadership-lost' | 'behind' | 'overloaded';

export interface PendingRequest {
  readonly definition: CommandDefinition;
  readonly bucketId: number;
  readonly args: readonly Buffer[];
  readonly stamp: SessionStamp;
  /** Through the log: a write, or a read that must follow its client's earlier writes. */
  readonly throughLog: boolean;
  /** Called once, or `refuse` is. */
  answer(reply: Reply): void;
  refuse(refusal: Refusal): void;
}
