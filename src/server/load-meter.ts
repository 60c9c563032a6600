/**
 * How this node fares, once a second: what membership gossip spreads as its load digest, so that all know whom to spare.
 */
import type { LoadDigest } from '../protocol/swim/types.js';

const INTERVAL_MS = 1000;

export interface LoadSources {
  /** Commands processed since the start. */
  commands(): number;
  memoryBytes(): number;
  /** 99th percentile of recent answers to this node's reads. */
  readP99Ms(): number;
  epoch(): number;
}

export class LoadMeter {
  readonly #sources: LoadSources;
  /** What lies between two ticks of a loop that is in time. */
  readonly #tickMs: number;
  #lastTickMs: number;
  #reportedAtMs: number;
  #reportedCommands = 0;
  #worstLagMs = 0;

  constructor(sources: LoadSources, tickMs: number, nowMs: number) {
    this.#sources = sources;
    this.#tickMs = tickMs;
    this.#lastTickMs = nowMs;
    this.#reportedAtMs = nowMs;
  }

  /** Called every tick; a digest once a second. */
  tick(nowMs: number): LoadDigest | undefined {
    this.#worstLagMs = Math.max(this.#worstLagMs, nowMs - this.#lastTickMs - this.#tickMs);
    this.#lastTickMs = nowMs;
    const elapsedMs = nowMs - this.#reportedAtMs;
    if (elapsedMs < INTERVAL_MS) return undefined;
    const commands = this.#sources.commands();
    const digest: LoadDigest = {
      loopLagMs: Math.round(this.#worstLagMs),
      requestsPerSecond: Math.round(((commands - this.#reportedCommands) * 1000) / elapsedMs),
      memoryBytes: this.#sources.memoryBytes(),
      readP99Ms: Math.round(this.#sources.readP99Ms()),
      epoch: this.#sources.epoch(),
    };
    this.#reportedAtMs = nowMs;
    this.#reportedCommands = commands;
    this.#worstLagMs = 0;
    return digest;
  }
}
