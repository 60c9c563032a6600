/**
 * Changes of the cluster map's buckets as those who ask for them see them: decided by group 0, and done when this node and
 * the peers that it can reach know the new map, so that the next request anywhere finds it.
 */
import { QuoinError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { BucketChanges, BucketSpecification } from '../cluster/map.js';
import type { MapChange } from '../cluster/map-state.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { PeerHub } from '../replica/peers/peer-hub.js';
import type { BucketDescription } from '../store/types.js';
import type { Administration } from './administration.js';
import type { Conditions } from './conditions.js';
import type { KnownMap } from './known-map.js';

/** How long a change waits for the peers it can reach to know it. */
const MAP_SPREAD_MS = 1000;

export interface MapChangesHost {
  readonly administration: Administration;
  readonly conditions: Conditions;
  readonly known: KnownMap;
  readonly peers: PeerHub;
  /** Undefined: the node serves. */
  notServing(): string | undefined;
}

export class MapChanges {
  readonly #host: MapChangesHost;

  constructor(host: MapChangesHost) {
    this.#host = host;
  }

  async create(bucket: BucketSpecification): Promise<BucketDescription> {
    return this.#change({ change: 'create-bucket', bucket }, ({ id }) => this.#known(id) !== undefined);
  }

  async update(name: string, changes: BucketChanges): Promise<BucketDescription> {
    return this.#change(
      { change: 'update-bucket', name, changes },
      (bucket) => JSON.stringify(this.#known(bucket.id)) === JSON.stringify(bucket),
    );
  }

  async drop(name: string): Promise<void> {
    await this.#change({ change: 'drop-bucket', name }, ({ id }) => this.#known(id) === undefined);
  }

  /** Everything of an eventual bucket up to this version is gone from then on. */
  async flush(name: string, version: number): Promise<BucketDescription> {
    return this.#change(
      { change: 'flush-bucket', name, version },
      ({ id }) => (this.#known(id)?.quorum?.flushedThrough ?? version) >= version,
    );
  }

  #known(bucketId: number): BucketDescription | undefined {
    return this.#host.known.bucketsById.get(bucketId);
  }

  async #change(
    change: MapChange,
    visible: (bucket: BucketDescription) => boolean,
  ): Promise<BucketDescription> {
    const { administration, conditions, known, peers } = this.#host;
    const reason = this.#host.notServing();
    if (reason !== undefined) throw new QuoinError('STARTING', reason);
    const bucket = await administration.submit(change);
    await conditions.until(() => visible(bucket), LIMITS.requestTimeoutMs);
    const { epoch } = known;
    const reachable = (): NodeId[] => peers.peerIds().filter((peer) => peers.connected(peer));
    await conditions.until(() => reachable().every((peer) => peers.epochOf(peer) >= epoch), MAP_SPREAD_MS);
    return bucket;
  }
}
