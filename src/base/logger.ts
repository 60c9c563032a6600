/**
 * What the layers below the front doors write their log lines to. The real one (pino) is made where a process starts;
 * the simulator and tests use the silent one. Fields are for machines, the message is for people.
 */

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  trace(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

function nothing(): void {}

/** Says nothing. */
export const SILENT_LOGGER: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};
