/**
 * Log lines on stderr, so that stdout stays for answers. `json` is pino's format, for machines; `text` is one readable line
 * for people: time, level, message, fields. Lines are written at once: the last words of a dying node must not be lost.
 */
import { pino } from 'pino';
import type { LogFields, Logger } from '../base/logger.js';
import type { LogLevel, NodeConfiguration } from '../server/configuration/index.js';
import type { Output } from './io.js';

const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

function fieldText(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === 'string') return /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'undefined';
}

/** One line of the format `text`. */
function textLine(time: Date, level: LogLevel, fields: LogFields, message: string): string {
  const shown = Object.entries(fields).map(([name, value]) => ` ${name}=${fieldText(value)}`);
  return `${time.toISOString()} ${level.toUpperCase().padEnd(5)} ${message}${shown.join('')}\n`;
}

function textLogger(lowest: LogLevel, output: Output): Logger {
  const writer = (level: LogLevel) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(lowest)) return () => undefined;
    return (fields: LogFields, message: string): void => {
      output.write(textLine(new Date(), level, fields, message));
    };
  };
  return {
    trace: writer('trace'),
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
  };
}

/** The logger of a node that runs in this process. */
export function createLogger(configuration: NodeConfiguration, output: Output): Logger {
  const { level, format } = configuration.log;
  if (format === 'text') return textLogger(level, output);
  return pino(
    { level, base: { node: configuration.node.id }, timestamp: pino.stdTimeFunctions.isoTime },
    { write: (line: string) => output.write(line) },
  );
}
