/** A node's log lines on their way to the application's logger. */
import type { LogFields, Logger } from '../base/logger.js';
import type { LogLevel } from '../server/configuration/types.js';
import type { LogMethod } from './protocol.js';

const METHODS: readonly LogMethod[] = ['trace', 'debug', 'info', 'warn', 'error'];

export type LogSink = (level: LogMethod, fields: LogFields, message: string) => void;

/** Writes lines from `lowest` on to `sink`; a field that cannot cross between threads goes as text. */
export function workerLogger(lowest: LogLevel, sink: LogSink): Logger {
  const from = lowest === 'silent' ? METHODS.length : METHODS.indexOf(lowest);
  const method = (level: LogMethod) => {
    if (METHODS.indexOf(level) < from) return () => undefined;
    return (fields: LogFields, message: string): void => {
      const plain = Object.entries(fields).map(([name, value]) => [
        name,
        typeof value === 'object' || typeof value === 'function' ? textOf(value) : value,
      ]);
      sink(level, Object.fromEntries(plain) as LogFields, message);
    };
  };
  return {
    trace: method('trace'),
    debug: method('debug'),
    info: method('info'),
    warn: method('warn'),
    error: method('error'),
  };
}

function textOf(value: object | null): string | null {
  if (value === null) return null;
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? typeof value);
}
