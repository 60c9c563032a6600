/**
 * Commands with subcommands (CLIENT, CONFIG, CLUSTER...): finds the subcommand, checks its arity, and answers HELP from
 * the same table that `COMMAND` shows.
 */
import { type Reply, SimpleString } from '../../store/reply.js';
import type { ClientConnection } from './connection.js';
import type { ANSWERED, ConnectionCommand, InTransaction, Subcommand } from './connection-command.js';
import { unknownSubcommand, wrongArity } from './messages.js';
import { lower } from './words.js';

export interface RunnableSubcommand extends Subcommand {
  /** How the words after the subcommand are written, for HELP. */
  readonly usage?: string;
  /** `args`: the words after the subcommand. */
  run(client: ClientConnection, args: readonly Buffer[]): Reply | Promise<Reply> | typeof ANSWERED;
}

interface ContainerOptions {
  readonly name: string;
  readonly category: string;
  readonly summary: string;
  readonly flags: ConnectionCommand['flags'];
  readonly inTransaction: InTransaction;
  readonly subcommands: readonly RunnableSubcommand[];
  /** What the command does without a subcommand; absent: that is a wrong number of words. */
  readonly bare?: (client: ClientConnection) => Reply;
}

function helpLines(options: ContainerOptions): Reply {
  const { name, subcommands } = options;
  const lines = [`${name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`];
  for (const one of subcommands) {
    lines.push(one.usage === undefined ? one.name.toUpperCase() : `${one.name.toUpperCase()} ${one.usage}`);
    lines.push(`    ${one.summary}`);
  }
  lines.push('HELP', '    Print this help.');
  return lines.map((line) => new SimpleString(line));
}

export function container(options: ContainerOptions): ConnectionCommand {
  const { name, bare } = options;
  const byName = new Map(options.subcommands.map((one) => [one.name, one]));
  return {
    name,
    arity: bare === undefined ? -2 : -1,
    flags: options.flags,
    firstKey: 0,
    lastKey: 0,
    keyStep: 0,
    category: options.category,
    summary: options.summary,
    inTransaction: options.inTransaction,
    subcommands: options.subcommands,
    run(client, args) {
      const word = args[0];
      if (word === undefined) return bare === undefined ? wrongArity(name) : bare(client);
      const subcommandName = lower(word);
      if (subcommandName === 'help' && args.length === 1) return helpLines(options);
      const subcommand = byName.get(subcommandName);
      if (subcommand === undefined) return unknownSubcommand(name, word);
      const words = args.length + 1;
      const { arity } = subcommand;
      if (arity >= 0 ? words !== arity : words < -arity) return wrongArity(`${name}|${subcommandName}`);
      return subcommand.run(client, args.slice(1));
    },
  };
}
