/**
 * The newest cluster map that this node knows, and what is looked up in it all the time.
 *
 * Two maps are stored as files: the first one that this node had, on which group 0 replays its log, and the newest. Later
 * ones come from the note of group 0, from its log, or from peers.
 *
 * Invariants:
 * - the epoch never goes back;
 * - a map is durable before anything follows from it. So after a restart this node knows every bucket that its journal has
 *   records of, also when nobody is there to ask.
 */
import type { ClusterMap } from '../cluster/map.js';
import { decodeMap, encodeMap } from '../cluster/map-codec.js';
import type { Disk } from '../env/env.js';
import type { NodeId } from '../protocol/raft/types.js';
import type { BucketDescription } from '../store/types.js';

const FIRST_MAP_FILE = 'cluster.json';
const NEWEST_MAP_FILE = 'newest-map.json';

/** What a restarted node begins with. */
export interface StoredMaps {
  readonly first: ClusterMap;
  readonly newest: ClusterMap;
}

export class KnownMap {
  readonly #disk: Disk;
  readonly #firstPath: string;
  readonly #newestPath: string;
  #map: ClusterMap | undefined;
  bucketsById: ReadonlyMap<number, BucketDescription> = new Map();
  bucketsByName: ReadonlyMap<string, BucketDescription> = new Map();
  /** Those that Raft groups serve. */
  linearizableBuckets: ReadonlyMap<number, BucketDescription> = new Map();
  /** Buckets that newer maps have lost, whose engines have not gone yet. */
  readonly droppedBuckets = new Set<number>();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#firstPath = `${directory}/${FIRST_MAP_FILE}`;
    this.#newestPath = `${directory}/${NEWEST_MAP_FILE}`;
  }

  get current(): ClusterMap | undefined {
    return this.#map;
  }

  get epoch(): number {
    return this.#map?.epoch ?? 0;
  }

  /** The maps that this node has stored; undefined before its cluster formed. */
  stored(): StoredMaps | undefined {
    const first = this.#read(this.#firstPath);
    if (first === undefined) return undefined;
    const newest = this.#read(this.#newestPath);
    return { first, newest: newest !== undefined && newest.epoch > first.epoch ? newest : first };
  }

  #read(path: string): ClusterMap | undefined {
    return this.#disk.exists(path) ? decodeMap(this.#disk.read(path)) : undefined;
  }

  /** Stores the first map, durably, unless one is stored. */
  storeFirst(map: ClusterMap): void {
    if (!this.#disk.exists(this.#firstPath)) this.#disk.replace(this.#firstPath, encodeMap(map));
  }

  /** Stores the present map, durably. */
  storeNewest(): void {
    if (this.#map !== undefined) this.#disk.replace(this.#newestPath, encodeMap(this.#map));
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
