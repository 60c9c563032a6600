/**
 * What a connection-scope command is: it acts on the connection or the node, never on keys through the log. Each is one
 * file in `commands/` that exports one `ConnectionCommand`; `commands/index.ts` lists them. They stand beside the data
 * commands in `COMMAND`, with Redis's arity, flags and key positions.
 */
import type { CommandDefinition } from '../../store/command.js';
import type { Reply } from '../../store/reply.js';
import type { ClientConnection } from './connection.js';

/** What clients may learn of a command, and what the front door needs to check it. */
export type CommandShape = Pick<
  CommandDefinition,
  'name' | 'arity' | 'flags' | 'firstKey' | 'lastKey' | 'keyStep' | 'category' | 'summary'
>;

export interface Subcommand {
  /** Lower case. */
  readonly name: string;
  /** Words with both names; negative = at least so many. */
  readonly arity: number;
  readonly summary: string;
}

/**
 * What happens to a command that comes after MULTI: it is kept for EXEC, carried out at once (it belongs to the
 * transaction's own grammar), or refused.
 */
export type InTransaction = 'queued' | 'immediate' | 'refused';

/** Answered by `run` that has put a slot of its own into the connection's row of answers. */
export const ANSWERED: unique symbol = Symbol('answered');

export interface ConnectionCommand extends CommandShape {
  readonly inTransaction: InTransaction;
  readonly subcommands?: readonly Subcommand[];
  /**
   * Answers at once, or later with a Promise: then nothing more of this connection is read until it is kept (a
   * barrier). Commands that answer later are not `queued`. `args`: the words after the name.
   */
  run(client: ClientConnection, args: readonly Buffer[]): Reply | Promise<Reply> | typeof ANSWERED;
}

/** The common shape of commands without keys. */
export const KEYLESS = { firstKey: 0, lastKey: 0, keyStep: 0 } as const;
