/**
 * What CONFIG GET shows and CONFIG SET changes: the door's real settings, and those of Redis that clients and tools ask
 * for, with the values that are true of Quoin (`appendonly yes`: every acknowledged write is in a synced log). Settings of
 * the node itself come from its configuration file and are read-only here. Changes hold for this node until it stops.
 */
import { ErrorReply } from '../../store/reply.js';
import type { RespServer } from './server.js';

interface Setting {
  readonly get: () => string;
  /** False: the value is not acceptable. Absent: it cannot be changed while the node runs. */
  readonly set?: (value: string) => boolean;
  /** What is acceptable, in the words of the refusal: `argument must be ...`. */
  readonly accepted?: string;
}

function wholeNumber(value: string, least: number): number | undefined {
  if (!/^-?[0-9]{1,15}$/.test(value)) return undefined;
  const number = Number(value);
  return number < least ? undefined : number;
}

function fixed(value: string): Setting {
  return { get: () => value };
}

/** A setting of Redis that Quoin always has at one value: setting it to that value is no error. */
function constant(value: string): Setting {
  return {
    get: () => value,
    set: (given) => given.toLowerCase() === value,
    accepted: `'${value}', the only value of this version`,
  };
}

export class Settings {
  /** Answer MOVED for keys that another node leads, instead of forwarding. */
  clusterRedirects = false;
  /** The least duration that either the slow log or the latency monitor wants to hear of. */
  leastSlowMs = 10;
  readonly #settings = new Map<string, Setting>();

  constructor(server: RespServer) {
    const { slowLog, latency } = server;
    const refresh = (): void => {
      const slow = slowLog.thresholdMicros < 0 ? Number.POSITIVE_INFINITY : slowLog.thresholdMicros / 1000;
      const spike = latency.thresholdMs > 0 ? latency.thresholdMs : Number.POSITIVE_INFINITY;
      this.leastSlowMs = Math.min(slow, spike);
    };
    const number = (read: () => number, write: (value: number) => void, least: number): Setting => ({
      get: () => String(read()),
      set: (text) => {
        const value = wholeNumber(text, least);
        if (value === undefined) return false;
        write(value);
        refresh();
        return true;
      },
      accepted: `a whole number of at least ${least}`,
    });
    const all: Record<string, Setting> = {
      'cluster-redirects': {
        get: () => (this.clusterRedirects ? 'yes' : 'no'),
        set: (value) => {
          const word = value.toLowerCase();
          if (word !== 'yes' && word !== 'no') return false;
          this.clusterRedirects = word === 'yes';
          return true;
        },
        accepted: "'yes' or 'no'",
      },
      'slowlog-log-slower-than': number(
        () => slowLog.thresholdMicros,
        (value) => {
          slowLog.thresholdMicros = value;
        },
        -1,
      ),
      'slowlog-max-len': number(
        () => slowLog.maxLength,
        (value) => {
          slowLog.maxLength = Math.min(value, 10_000);
        },
        0,
      ),
      'latency-monitor-threshold': number(
        () => latency.thresholdMs,
        (value) => {
          latency.thresholdMs = value;
        },
        0,
      ),
      'max-key-bytes': fixed(String(server.limits.maxKeyBytes)),
      'max-value-bytes': fixed(String(server.limits.maxValueBytes)),
      'proto-max-bulk-len': fixed(String(server.limits.maxValueBytes)),
      maxclients: fixed(String(server.limits.maxConnections)),
      port: { get: () => server.address.slice(server.address.lastIndexOf(':') + 1) },
      bind: { get: () => server.address.slice(0, server.address.lastIndexOf(':')) },
      databases: { get: () => String(server.node.map()?.buckets.length ?? 1) },
      'cluster-enabled': fixed('yes'),
      'cluster-require-full-coverage': fixed('no'),
      appendonly: constant('yes'),
      appendfsync: constant('always'),
      save: constant(''),
      maxmemory: constant('0'),
      'maxmemory-policy': constant('noeviction'),
      timeout: constant('0'),
      'tcp-keepalive': constant('300'),
      'notify-keyspace-events': constant(''),
      'lazyfree-lazy-user-del': constant('no'),
      'io-threads': fixed('1'),
      requirepass: fixed(''),
      'tls-port': fixed('0'),
    };
    for (const [name, setting] of Object.entries(all)) this.#settings.set(name, setting);
  }

  /** Names and values of the settings that `matches` picks. */
  read(matches: (name: string) => boolean): [string, string][] {
    const found: [string, string][] = [];
    for (const [name, setting] of this.#settings) if (matches(name)) found.push([name, setting.get()]);
    return found;
  }

  /** Changes several settings, or none of them when one is refused. */
  write(changes: readonly (readonly [string, string])[]): ErrorReply | undefined {
    const undo: (() => void)[] = [];
    const refuse = (message: string): ErrorReply => {
      for (const step of undo.reverse()) step();
      return ErrorReply.of('WRONG_ARGUMENTS', message);
    };
    for (const [name, value] of changes) {
      const setting = this.#settings.get(name);
      if (setting === undefined) {
        return refuse(`Unknown option or number of arguments for CONFIG SET - '${name}'`);
      }
      const { get, set, accepted = 'another' } = setting;
      if (set === undefined) {
        return refuse(
          `CONFIG SET failed (possibly related to argument '${name}') - can't set immutable config`,
        );
      }
      const before = get();
      if (!set(value)) {
        return refuse(
          `CONFIG SET failed (possibly related to argument '${name}') - argument must be ${accepted}`,
        );
      }
      undo.push(() => set(before));
    }
    return undefined;
  }
}
