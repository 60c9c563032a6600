/**
 * Readers and writers of a few keys of an eventual bucket over HTTP, where every answer carries the version it is about. With
 * r + w > n the versions alone tell whether a promise was broken:
 * - a read answers with a version not below any that was acknowledged before the read began;
 * - a write that began after another was acknowledged gets a higher version;
 * - a version stands for one value, and that value was written.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../bench/support/wait.js';
import { SeededRandom } from '../../sim/random.js';
import { type Fleet, PATIENCE_MS } from './fleet.js';

const WORKERS_PER_NODE = 3;
const KEYS = 8;
const READ_SHARE = 0.6;
const PAUSE_MS = 3;
const RETRY_MS = 50;
const ANSWER_TIMEOUT_MS = 20_000;

interface KeyHistory {
  /** The highest version acknowledged so far, by a write. */
  acknowledged: number;
  readonly valueOfVersion: Map<number, string>;
}

export class VersionHistory {
  readonly violations: string[] = [];
  reads = 0;
  writes = 0;
  failures = 0;
  readonly #fleet: Fleet;
  readonly #bucket: string;
  readonly #random: SeededRandom;
  readonly #keys = new Map<string, KeyHistory>();
  readonly #written = new Set<string>();
  readonly #workers: Promise<void>[] = [];
  #stopped = false;
  #defect: Error | undefined;

  private constructor(fleet: Fleet, bucket: string, seed: string) {
    this.#fleet = fleet;
    this.#bucket = bucket;
    this.#random = new SeededRandom(seed);
    for (let number = 0; number < KEYS; number++)
      this.#keys.set(`register ${number}`, { acknowledged: 0, valueOfVersion: new Map() });
  }

  static start(fleet: Fleet, bucket: string, seed: string): VersionHistory {
    const history = new VersionHistory(fleet, bucket, seed);
    for (const { id } of fleet.nodes)
      for (let worker = 0; worker < WORKERS_PER_NODE; worker++)
        history.#workers.push(history.#work(id, `${id}.${worker}`));
    return history;
  }

  /** Resolves once `count` more reads and as many more writes were answered than now. */
  async untilAnswered(count: number): Promise<void> {
    const { reads, writes } = this;
    await waitFor(`${count} more reads and writes (${this.summary()})`, PATIENCE_MS, () => {
      if (this.#defect !== undefined) throw this.#defect;
      return this.reads >= reads + count && this.writes >= writes + count ? true : undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    if (this.#defect !== undefined) throw this.#defect;
  }

  /** With the load stopped: one read of each key through each node. */
  async readAll(): Promise<void> {
    for (const { id } of this.#fleet.nodes)
      for (const [key, history] of this.#keys) if (!(await this.#read(id, key, history))) throw new Error(id);
  }

  summary(): string {
    return `${this.reads} reads, ${this.writes} writes, ${this.failures} failures`;
  }

  async #work(node: string, name: string): Promise<void> {
    const random = this.#random.fork(name);
    let counter = 0;
    try {
      while (!this.#stopped) {
        const [key, history] = random.pick([...this.#keys]);
        const done = random.chance(READ_SHARE)
          ? await this.#read(node, key, history)
          : await this.#write(node, key, history, `${name}/${counter++}`);
        if (!done) this.failures++;
        await delay(done ? random.exponential(PAUSE_MS) : RETRY_MS);
      }
    } catch (error) {
      this.#defect ??= error instanceof Error ? error : new Error('a worker failed', { cause: error });
    }
  }

  /** The answer's status, version (0: none) and body; undefined: there was no answer. */
  async #ask(
    node: string,
    key: string,
    body?: string,
  ): Promise<{ status: number; version: number; text: string } | undefined> {
    const url = `http://${this.#fleet.node(node).http}/v1/kv/${this.#bucket}/${encodeURIComponent(key)}`;
    try {
      const answer = await fetch(url, {
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        ...(body === undefined ? {} : { method: 'PUT', body }),
      });
      const version = Number((answer.headers.get('etag') ?? '0').replaceAll('"', ''));
      return { status: answer.status, version, text: await answer.text() };
    } catch {
      return undefined;
    }
  }

  async #read(node: string, key: string, history: KeyHistory): Promise<boolean> {
    const floor = history.acknowledged;
    const answer = await this.#ask(node, key);
    if (answer === undefined || answer.status >= 500) return false;
    this.reads++;
    const { status, version, text } = answer;
    if (status !== 200 && status !== 404) throw new Error(`a read was answered with ${status}: ${text}`);
    if (version < floor)
      this.violations.push(`${key} read through ${node}: version ${version}, acknowledged before: ${floor}`);
    if (status === 200) this.#note(key, history, version, text);
    return true;
  }

  async #write(node: string, key: string, history: KeyHistory, value: string): Promise<boolean> {
    const floor = history.acknowledged;
    this.#written.add(value);
    const answer = await this.#ask(node, key, value);
    if (answer?.status !== 204) return false;
    this.writes++;
    const { version } = answer;
    if (version <= floor)
      this.violations.push(
        `${key} written through ${node}: version ${version}, acknowledged before: ${floor}`,
      );
    history.acknowledged = Math.max(history.acknowledged, version);
    this.#note(key, history, version, value);
    return true;
  }

  #note(key: string, { valueOfVersion }: KeyHistory, version: number, value: string): void {
    const known = valueOfVersion.get(version) ?? value;
    if (known !== value)
      this.violations.push(`version ${version} of ${key} is both '${known}' and '${value}'`);
    if (!this.#written.has(value)) this.violations.push(`${key} holds '${value}', which nobody wrote`);
    valueOfVersion.set(version, value);
  }
}
