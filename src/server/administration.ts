/**
 * Changes of the cluster map: carried to the leader of group 0 and repeated until it answers. Each has a request id by
 * which group 0 knows a repeat, so repeating is safe.
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { NodeDescription } from '../cluster/map.js';
import type { MapAnswer, MapChange } from '../cluster/map-state.js';
import { unwrapAnswer, unwrapNode } from '../cluster/map-state.js';
import type { Env } from '../env/env.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { MapReplica } from '../replica/map-replica.js';
import { MESSAGE } from '../replica/peers/frame.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { BucketDescription } from '../store/types.js';

const REPEAT_MS = 200;

interface WaitingChange {
  readonly requestId: string;
  readonly change: MapChange;
  readonly deadlineMs: number;
  nextSendMs: number;
  /** True once someone may have carried it out. */
  sent: boolean;
  readonly settle: (answer: MapAnswer | QuoinError) => void;
}

interface AdministrationMessage {
  readonly requestId: string;
  readonly change: MapChange;
}

interface AdministrationReply {
  readonly requestId: string;
  readonly answer: MapAnswer;
}

export class Administration {
  readonly #env: Env;
  readonly #self: NodeId;
  readonly #peers: PeerHub;
  readonly #replica: () => MapReplica | undefined;
  readonly #leader: () => NodeId | undefined;
  readonly #waiting = new Map<string, WaitingChange>();

  constructor(options: {
    env: Env;
    self: NodeId;
    peers: PeerHub;
    replica: () => MapReplica | undefined;
    leader: () => NodeId | undefined;
  }) {
    this.#env = options.env;
    this.#self = options.self;
    this.#peers = options.peers;
    this.#replica = options.replica;
    this.#leader = options.leader;
  }

  /** A change of a bucket. */
  submit(change: MapChange): Promise<BucketDescription> {
    return this.#submit(change, unwrapAnswer);
  }

  /** Makes a node known by its new incarnation; see the change `renew-node`. */
  renewNode(node: NodeDescription, replaces: string): Promise<NodeDescription> {
    return this.#submit({ change: 'renew-node', node, replaces }, unwrapNode);
  }

  #submit<Answer>(change: MapChange, unwrap: (answer: MapAnswer) => Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.size >= LIMITS.maxBuckets) {
        reject(new QuoinError('OVERLOADED', 'too many changes of the cluster map under way'));
        return;
      }
      const nowMs = this.#env.clock.monotonicMs();
      const waiting: WaitingChange = {
        requestId: this.#env.random.hex(12),
        change,
        deadlineMs: nowMs + LIMITS.requestTimeoutMs,
        nextSendMs: nowMs,
        sent: false,
        settle: (answer) => {
          if (!this.#waiting.delete(waiting.requestId)) return;
          if (answer instanceof QuoinError) reject(answer);
          else {
            try {
              resolve(unwrap(answer));
            } catch (error) {
              reject(error instanceof Error ? error : new Error(String(error)));
            }
          }
        },
      };
      this.#waiting.set(waiting.requestId, waiting);
      this.tick(nowMs);
    });
  }

  tick(nowMs: number): void {
    for (const waiting of this.#waiting.values()) {
      if (nowMs >= waiting.deadlineMs) {
        waiting.settle(
          waiting.sent
            ? new QuoinError('OUTCOME_UNKNOWN', 'the change of the cluster map was not confirmed in time')
            : new QuoinError('NO_LEADER', 'nobody who decides the cluster map was reached in time'),
        );
      } else if (nowMs >= waiting.nextSendMs) {
        waiting.nextSendMs = nowMs + REPEAT_MS;
        this.#send(waiting);
      }
    }
  }

  stop(): void {
    for (const waiting of this.#waiting.values()) {
      waiting.settle(
        new QuoinError(waiting.sent ? 'OUTCOME_UNKNOWN' : 'SHUTTING_DOWN', 'the node is stopping'),
      );
    }
  }

  /** A peer asks this node, as leader of group 0, for a change. */
  receive(from: NodeId, body: Buffer): void {
    const { requestId, change } = JSON.parse(body.toString('utf8')) as AdministrationMessage;
    this.#replica()?.propose({
      requestId,
      change,
      answer: (answer) => {
        const reply: AdministrationReply = { requestId, answer };
        this.#peers.sendMessage(
          from,
          MESSAGE.administrationReply,
          0,
          Buffer.from(JSON.stringify(reply), 'utf8'),
        );
      },
      // The asker repeats; by then someone leads.
      refuse: () => {},
    });
  }

  receiveReply(body: Buffer): void {
    const { requestId, answer } = JSON.parse(body.toString('utf8')) as AdministrationReply;
    this.#waiting.get(requestId)?.settle(answer);
  }

  #send(waiting: WaitingChange): void {
    const { requestId, change, settle } = waiting;
    const leader = this.#leader();
    if (leader === undefined) return;
    if (leader === this.#self) {
      waiting.sent = true;
      this.#replica()?.propose({ requestId, change, answer: settle, refuse: () => {} });
      return;
    }
    const message: AdministrationMessage = { requestId, change };
    const body = Buffer.from(JSON.stringify(message), 'utf8');
    if (!this.#peers.sendMessage(leader, MESSAGE.administration, 0, body)) return;
    waiting.sent = true;
    this.#peers.flush();
  }
}
