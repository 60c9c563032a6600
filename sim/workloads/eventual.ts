/**
 * Keys of an eventual bucket: read, written and deleted through any node, with quorums of any size. Two kinds of keys:
 * hot ones, which many clients change at the same time, and ones with a short life, which are written, deleted or left to
 * expire, and then only read: they must not come back, however long a replica was away.
 *
 * Every value is written once. What may be read stands in `sim/checkers/eventual-keys.ts`.
 */
import type { Reply } from '../../src/store/reply.js';
import type { EventualKeys, EventualRead, EventualWrite } from '../checkers/eventual-keys.js';
import { SimulationViolation } from '../checkers/violation.js';
import { type Answer, integerOf, type SimulatedClient, textOf } from '../client.js';
import type { SeededRandom } from '../random.js';
import type { FinalRead, Workload } from './workload.js';

const HOT_KEYS = 4;
/** After so many operations a hot key is left alone, deleted or not. */
const OPERATIONS_PER_KEY = 150;
const LIVING_KEYS = 6;
/** Keys whose life is over and that are still read. */
const REMEMBERED = 40;
/** Share of requests that choose a quorum of their own. */
const CHOICE_RATE = 0.4;

export interface EventualWorkloadOptions {
  readonly bucket: string;
  readonly keys: EventualKeys;
  /** Replicas of each key, and the quorums that the bucket's policy demands. */
  readonly n: number;
  readonly r: number;
  readonly w: number;
  /** Judges the version of an acknowledged write. */
  readonly judgeVersion: (version: number, w: number) => void;
}

/** A key with a short life. */
interface ShortLife {
  readonly key: string;
  writes: number;
  busy: boolean;
}

export class EventualWorkload implements Workload {
  readonly name: string;
  operations = 0;
  readonly #options: EventualWorkloadOptions;
  readonly #hot: { key: string; uses: number }[] = [];
  readonly #living: ShortLife[] = [];
  readonly #past: string[] = [];
  #names = 0;
  #values = 0;

  constructor(options: EventualWorkloadOptions) {
    this.#options = options;
    this.name = options.bucket;
    for (let i = 0; i < HOT_KEYS; i++) this.#hot.push(this.#newHot());
    for (let i = 0; i < LIVING_KEYS; i++) this.#living.push(this.#newLife());
  }

  #newHot(): { key: string; uses: number } {
    return { key: `hot-${this.#names++}`, uses: 0 };
  }

  #newLife(): ShortLife {
    return { key: `life-${this.#names++}`, writes: 0, busy: false };
  }

  operate(client: SimulatedClient, done: () => void): void {
    this.operations++;
    const draw = client.random.float();
    if (draw < 0.65) this.#onHot(client, done);
    else if (draw < 0.85) this.#onLiving(client, done);
    else if (this.#past.length === 0) done();
    else this.#read(client, client.random.pick(this.#past.slice(-REMEMBERED)), done);
  }

  #onHot(client: SimulatedClient, done: () => void): void {
    const at = client.random.integer(this.#hot.length);
    const hot = this.#hot[at]!;
    if (++hot.uses >= OPERATIONS_PER_KEY) {
      this.#hot[at] = this.#newHot();
      this.#past.push(hot.key);
    }
    const draw = client.random.float();
    if (draw < 0.5) this.#read(client, hot.key, done);
    else if (draw < 0.92) this.#put(client, hot.key, 0, done);
    else this.#delete(client, hot.key, done);
  }

  #onLiving(client: SimulatedClient, done: () => void): void {
    const at = client.random.integer(this.#living.length);
    const life = this.#living[at]!;
    const ends = life.writes > 0 && client.random.chance(0.35);
    if (life.busy || (!ends && client.random.chance(0.3))) {
      this.#read(client, life.key, done);
      return;
    }
    if (ends) {
      // Whatever becomes of the deletion: the key is only read from now on.
      this.#living[at] = this.#newLife();
      this.#past.push(life.key);
      this.#delete(client, life.key, done);
      return;
    }
    life.writes++;
    life.busy = true;
    const ttlMs = client.random.chance(0.2) ? client.random.pick([50, 500, 5000]) : 0;
    this.#put(client, life.key, ttlMs, () => {
      life.busy = false;
      done();
    });
  }

  /** The bucket's own quorum, or another one. */
  #choice(random: SeededRandom, ofBucket: number): number {
    return random.chance(CHOICE_RATE) ? 1 + random.integer(this.#options.n) : ofBucket;
  }

  #put(client: SimulatedClient, key: string, ttlMs: number, done: () => void): void {
    const { bucket, keys, w: ofBucket } = this.#options;
    const w = this.#choice(client.random, ofBucket);
    const value = `${key}-${++this.#values}`;
    const write = keys.callWrite(key, value, ttlMs, w);
    client.once('quoin.put', [key, value, String(ttlMs), 'any'], bucket, { w }, (answer) => {
      this.#settle(write, answer, (reply) => integerOf(reply));
      done();
    });
  }

  #delete(client: SimulatedClient, key: string, done: () => void): void {
    const { bucket, keys, w: ofBucket } = this.#options;
    const w = this.#choice(client.random, ofBucket);
    const write = keys.callWrite(key, null, 0, w);
    client.once('quoin.delete', [key, 'any'], bucket, { w }, (answer) => {
      this.#settle(write, answer, () => undefined);
      done();
    });
  }

  #settle(write: EventualWrite, answer: Answer, told: (reply: Reply) => number | undefined): void {
    const { keys, judgeVersion } = this.#options;
    if (answer.kind === 'failed') keys.failed(write);
    if (answer.kind !== 'reply') return;
    const version = answer.version;
    if (version === undefined || (told(answer.reply) ?? version) !== version)
      throw new SimulationViolation(
        'eventual',
        `a write of ${write.key} answers another version than it has`,
      );
    judgeVersion(version, write.w);
    keys.acknowledged(write, version);
  }

  #read(client: SimulatedClient, key: string, done: (answered: boolean) => void): void {
    const { bucket, keys, r: ofBucket } = this.#options;
    const r = this.#choice(client.random, ofBucket);
    const read: EventualRead = keys.callRead(key, r);
    client.once('quoin.get', [key], bucket, { r }, (answer) => {
      if (answer.kind === 'reply') {
        const { value, version } = recordOf(answer.reply);
        keys.answered(read, value, version);
      }
      done(answer.kind === 'reply');
    });
  }

  finalReads(): readonly FinalRead[] {
    // Read once replicas have converged, at every node: see `sim/convergence.ts`.
    return [];
  }

  check(): void {
    // Judged while it runs.
  }
}

/** What `quoin.get` answers; version 0: nothing. */
export function recordOf(reply: Reply): { readonly value: string | null; readonly version: number } {
  if (reply === null) return { value: null, version: 0 };
  if (!Array.isArray(reply)) throw new TypeError('expected value and version');
  const parts: readonly Reply[] = reply;
  return { value: textOf(parts[0] ?? null), version: integerOf(parts[1] ?? null) };
}
