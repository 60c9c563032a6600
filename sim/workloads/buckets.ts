/**
 * Buckets that come and go while everything else goes on: a new bucket is empty, a key written to a bucket is read from
 * that bucket only, and what was acknowledged stays until the bucket is dropped.
 *
 * Each bucket has a name of its own: a node that has not heard of a drop may still write to what had the name before.
 */
import { SimulationViolation } from '../checkers/violation.js';
import { type SimulatedClient, textOf } from '../client.js';
import type { FinalRead, Workload } from './workload.js';

/** How buckets are created and dropped: through the nodes' administrative calls. */
export interface BucketAdministration {
  /** `done(false)`: it failed, or nobody knows. */
  create(client: SimulatedClient, name: string, done: (created: boolean) => void): void;
  drop(client: SimulatedClient, name: string, done: (dropped: boolean) => void): void;
}

const FAMILIES = ['alpha', 'beta'];
const KEYS = ['one', 'two', 'three'];

interface Living {
  readonly family: string;
  name: string;
  names: number;
  /** The creation that is current, and how many there were. */
  generation: number;
  present: boolean;
  busy: boolean;
  readonly acknowledged: Map<string, string>;
  readonly attempted: Map<string, Set<string>>;
}

export class BucketWorkload implements Workload {
  readonly name = 'buckets';
  operations = 0;
  created = 0;
  dropped = 0;
  readonly #administration: BucketAdministration;
  readonly #buckets: readonly Living[] = FAMILIES.map((family) => ({
    family,
    name: `${family}-0`,
    names: 1,
    generation: 0,
    present: false,
    busy: false,
    acknowledged: new Map<string, string>(),
    attempted: new Map<string, Set<string>>(),
  }));

  constructor(administration: BucketAdministration) {
    this.#administration = administration;
  }

  operate(client: SimulatedClient, done: () => void): void {
    const bucket = client.random.pick(this.#buckets);
    this.operations++;
    if (bucket.busy) done();
    else if (!bucket.present) this.#create(client, bucket, done);
    else if (client.random.chance(0.05)) this.#drop(client, bucket, done);
    else if (client.random.chance(0.5)) this.#write(client, bucket, done);
    else this.#read(client, bucket, client.random.pick(KEYS), () => done());
  }

  #create(client: SimulatedClient, bucket: Living, done: () => void): void {
    bucket.busy = true;
    this.#administration.create(client, bucket.name, (created) => {
      bucket.busy = false;
      if (created) {
        bucket.present = true;
        bucket.generation++;
        bucket.acknowledged.clear();
        bucket.attempted.clear();
        this.created++;
      } else this.#rename(bucket);
      done();
    });
  }

  #drop(client: SimulatedClient, bucket: Living, done: () => void): void {
    bucket.busy = true;
    // Whatever becomes of it, nothing more is expected of this generation.
    bucket.generation++;
    bucket.present = false;
    this.#administration.drop(client, bucket.name, (dropped) => {
      bucket.busy = false;
      if (dropped) this.dropped++;
      this.#rename(bucket);
      done();
    });
  }

  #rename(bucket: Living): void {
    bucket.name = `${bucket.family}-${bucket.names++}`;
  }

  #write(client: SimulatedClient, bucket: Living, done: () => void): void {
    const key = client.random.pick(KEYS);
    const { generation } = bucket;
    const value = `${bucket.name}-${generation}-${this.operations}`;
    const attempted = bucket.attempted.get(key) ?? new Set();
    attempted.add(value);
    bucket.attempted.set(key, attempted);
    client.write(
      'set',
      [key, value],
      (answer) => {
        if (answer.kind === 'reply' && bucket.generation === generation) bucket.acknowledged.set(key, value);
        done();
      },
      bucket.name,
    );
  }

  #read(client: SimulatedClient, bucket: Living, key: string, done: (answered: boolean) => void): void {
    const { generation } = bucket;
    const mustExist = bucket.acknowledged.has(key);
    client.read(
      'get',
      [key],
      (answer) => {
        if (answer.kind === 'reply' && bucket.generation === generation)
          this.#judge(bucket, key, textOf(answer.reply), mustExist);
        done(answer.kind === 'reply');
      },
      bucket.name,
    );
  }

  #judge(bucket: Living, key: string, value: string | null, mustExist: boolean): void {
    const where = `bucket ${bucket.name}, generation ${bucket.generation}: ${key}`;
    if (value === null && mustExist)
      throw new SimulationViolation('buckets', `${where} was acknowledged and is not there`);
    if (value !== null && bucket.attempted.get(key)?.has(value) !== true)
      throw new SimulationViolation('buckets', `${where} holds ${value}, which was never written there`);
  }

  finalReads(): readonly FinalRead[] {
    return this.#buckets
      .filter((bucket) => bucket.present && !bucket.busy)
      .flatMap((bucket) =>
        KEYS.map(
          (key): FinalRead =>
            (client, done) =>
              this.#read(client, bucket, key, done),
        ),
      );
  }

  check(): void {
    // Judged while it runs.
  }
}
