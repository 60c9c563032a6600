/**
 * The way from a list of addresses to a cluster: collects the hellos of all first nodes, and computes the first map when
 * all are in. A node that finds its cluster formed already takes the map from whoever answers.
 *
 * Invariants:
 * - nodes that would make different first maps make none: two maps of one epoch have two majorities of one group;
 * - a node whose incarnation is not the one that the map records takes part in nothing until the cluster has recorded
 *   the new one: it has forgotten what it promised, and all must know (see `renew-node` in `map-state.ts`).
 */
import { QuoinError } from '../base/errors.js';
import { firstMap } from '../cluster/formation.js';
import type { BucketSpecification, ClusterMap, NodeDescription } from '../cluster/map.js';
import { decodeMap } from '../cluster/map-codec.js';
import type { Hello } from '../replica/peers/hello.js';

export interface FormationOptions {
  readonly clusterName: string;
  readonly self: NodeDescription;
  /** Peer addresses of all first nodes. */
  readonly join: readonly string[];
  readonly replicas: number;
  readonly buckets: readonly BucketSpecification[];
  readonly onMap: (map: ClusterMap) => void;
  readonly onFailure: (error: QuoinError) => void;
}

export class Formation {
  readonly #options: FormationOptions;
  readonly #join: readonly string[];
  readonly #heard = new Map<string, NodeDescription>();
  #done = false;
  #lostDisk = false;

  constructor(options: FormationOptions) {
    this.#options = options;
    const own = options.self.grpc;
    this.#join = [...new Set(options.join.length === 0 ? [own] : options.join)].sort();
    this.#heard.set(own, options.self);
  }

  get join(): readonly string[] {
    return this.#join;
  }

  /** What the first map is made of beside the nodes, as a person reads it. */
  get settings(): string {
    const { replicas, buckets } = this.#options;
    const described = buckets.map(({ name, replication, engine, ttlMs, retention, quorum }) => {
      const words = [replication, engine, `ttl ${ttlMs} ms`];
      for (const [key, value] of Object.entries({ ...retention, ...quorum }).sort())
        words.push(`${key} ${value}`);
      return `${name} (${words.join(', ')})`;
    });
    return `replicas ${replicas}; buckets ${described.join(', ')}`;
  }

  /** True while the cluster, which knew this node with another data directory, has not let it in again. */
  get lostDisk(): boolean {
    return this.#lostDisk && !this.#done;
  }

  /** Addresses that have not introduced themselves yet. */
  get missing(): string[] {
    return this.#join.filter((address) => !this.#heard.has(address));
  }

  begin(): void {
    if (!this.#join.includes(this.#options.self.grpc)) {
      this.#fail(
        new QuoinError(
          'CONFIG_INVALID',
          `cluster.join (${this.#join.join(', ')}) lacks this node's own address ${this.#options.self.grpc}`,
        ),
      );
      return;
    }
    this.#formIfComplete();
  }

  /** False: the sender does not belong here. */
  receive(hello: Hello): boolean {
    if (this.#done) return true;
    const { self, clusterName } = this.#options;
    if (hello.clusterName !== clusterName) return false;
    if (hello.map !== '') return this.#take(hello.map);
    const { node } = hello;
    if (node.id === self.id && node.incarnation !== self.incarnation) {
      this.#fail(
        new QuoinError('WRONG_CLUSTER', `two nodes have the id '${node.id}': ${self.grpc} and ${node.grpc}`),
      );
      return false;
    }
    if (!this.#join.includes(node.grpc)) return false;
    if (hello.join.join(',') !== this.#join.join(',')) {
      this.#fail(
        new QuoinError(
          'WRONG_CLUSTER',
          `${node.id} would form a cluster of ${hello.join.join(', ')}, this node one of ${this.#join.join(', ')}`,
        ),
      );
      return false;
    }
    if (hello.settings !== this.settings) {
      this.#fail(
        new QuoinError(
          'WRONG_CLUSTER',
          `${node.id} would form a cluster with ${hello.settings}, this node one with ${this.settings}`,
        ),
      );
      return false;
    }
    this.#heard.set(node.grpc, node);
    this.#formIfComplete();
    return true;
  }

  /** False: what is said to be a map is none. */
  #take(encoded: string): boolean {
    let map: ClusterMap;
    try {
      map = decodeMap(Buffer.from(encoded, 'utf8'));
    } catch (error) {
      if (!(error instanceof QuoinError)) throw error;
      if (error.code === 'LOG_TOO_NEW') this.#fail(error);
      return false;
    }
    this.#adopt(map);
    return true;
  }

  #adopt(map: ClusterMap): void {
    const { self, onMap } = this.#options;
    const known = map.nodes.find((node) => node.id === self.id);
    if (known === undefined) {
      this.#fail(new QuoinError('WRONG_CLUSTER', `the cluster has formed without node '${self.id}'`));
    } else if (known.incarnation !== self.incarnation) {
      // Its hello asks to be let in again; the map that records it comes with a later answer.
      this.#lostDisk = true;
    } else {
      this.#done = true;
      onMap(map);
    }
  }

  #formIfComplete(): void {
    if (this.#done || this.missing.length > 0) return;
    const { clusterName, replicas, buckets, onMap } = this.#options;
    const nodes = this.#join.map((address) => this.#heard.get(address)!);
    if (new Set(nodes.map((node) => node.id)).size !== nodes.length) {
      this.#fail(
        new QuoinError(
          'WRONG_CLUSTER',
          `two nodes of cluster.join have the same id: ${nodes.map((node) => node.id).join(', ')}`,
        ),
      );
      return;
    }
    let map: ClusterMap;
    try {
      map = firstMap({ clusterName, nodes, replicas, buckets });
    } catch (error) {
      if (!(error instanceof QuoinError)) throw error;
      this.#fail(error);
      return;
    }
    this.#done = true;
    onMap(map);
  }

  #fail(error: QuoinError): void {
    this.#done = true;
    this.#options.onFailure(error);
  }
}
