/**
 * The newest cluster map that this node knows, and what is looked up in it all the time.
 *
 * The first map is stored as a file, so that a restarted node finds its cluster; later ones come from the note of group 0,
 * from its log, or from peers.
 *
 * Invariant: the epoch never goes back.
 */
import type { ClusterMap } from '../cluster/map.js';
import { decodeMap, encodeMap } from '../cluster/map-codec.js';
import type { Disk } from '../env/env.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { BucketDescription } from '../store/types.js';

const MAP_FILE = 'cluster.json';

export class KnownMap {
  readonly #disk: Disk;
  readonly #path: string;
  #map: ClusterMap | undefined;
  bucketsById: ReadonlyMap<number, BucketDescription> = new Map();
  bucketsByName: ReadonlyMap<string, BucketDescription> = new Map();
  /** Those that Raft groups serve. */
  linearizableBuckets: ReadonlyMap<number, BucketDescription> = new Map();
  /** Buckets that newer maps have lost, whose engines have not gone yet. */
  readonly droppedBuckets = new Set<number>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#path = `${directory}/${MAP_FILE}`;
  }

  get current(): ClusterMap | undefined {
    return this.#map;
  }

  get epoch(): number {
    return this.#map?.epoch ?? 0;
  }

  /** The map that this node stored when its cluster formed. */
  stored(): ClusterMap | undefined {
    return this.#disk.exists(this.#path) ? decodeMap(this.#disk.read(this.#path)) : undefined;
  }

  /** Stores the first map, durably, unless one is stored. */
  store(map: ClusterMap): void {
    if (!this.#disk.exists(this.#path)) this.#disk.replace(this.#path, encodeMap(map));
  }

  /** False: the present map is as new. */
  adopt(map: ClusterMap): boolean {
    if (this.#map !== undefined && map.epoch <= this.#map.epoch) return false;
    const buckets = new Map(map.buckets.map((bucket) => [bucket.id, bucket]));
    for (const id of this.bucketsById.keys()) if (!buckets.has(id)) this.droppedBuckets.add(id);
    this.#map = map;
    this.bucketsById = buckets;
    this.bucketsByName = new Map(map.buckets.map((bucket) => [bucket.name, bucket]));
    this.linearizableBuckets = new Map(
      map.buckets.filter(({ quorum }) => quorum === undefined).map((bucket) => [bucket.id, bucket]),
    );
    return true;
  }

  knows(node: NodeId, incarnation: string): boolean {
    return this.#map?.nodes.some((known) => known.id === node && known.incarnation === incarnation) ?? false;
  }

  incarnationOf(node: NodeId): string {
    return this.#map?.nodes.find((known) => known.id === node)?.incarnation ?? '';
  }
}
