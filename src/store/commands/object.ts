/**
 * OBJECT ENCODING | FREQ | IDLETIME | REFCOUNT key, OBJECT HELP
 *
 * Departure: the encoding is told from the value alone (Redis also remembers how it came there), and nothing is shared (the
 * reference count is 1). When and how often keys are used is kept in buckets with bounds only, both whatever the policy;
 * elsewhere the idle time is 0, and there is no frequency.
 */
import { isWord, parseInteger, quotedWord, wrongArgumentCount } from '../arguments.js';
import type { CommandDefinition } from '../command.js';
import { ErrorReply, type Reply, SimpleString } from '../reply.js';
import { ONE_KEY } from '../shapes.js';

/** Longest string that Redis keeps in one piece with its header. */
const MAX_EMBEDDED_BYTES = 44;

const NO_FREQUENCY = ErrorReply.of(
  'WRONG_ARGUMENTS',
  'An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.',
);

const HELP: readonly Reply[] = [
  'OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'ENCODING <key>',
  '    Return how the value of <key> would be represented by Redis.',
  'FREQ <key>',
  '    Return how often the key is used, on a logarithmic scale, in buckets with bounds.',
  'IDLETIME <key>',
  '    Return the seconds since the key was last used; 0 in buckets without bounds.',
  'REFCOUNT <key>',
  '    Return 1: values are not shared.',
  'HELP',
  '    Print this help.',
].map((line) => new SimpleString(line));

const SUBCOMMANDS = ['ENCODING', 'FREQ', 'IDLETIME', 'REFCOUNT', 'HELP'] as const;

function subcommandOf(args: readonly Buffer[]): (typeof SUBCOMMANDS)[number] | ErrorReply {
  const word = args[0]!;
  const subcommand = SUBCOMMANDS.find((name) => isWord(word, name));
  if (subcommand === undefined)
    return ErrorReply.of('UNKNOWN_COMMAND', `unknown subcommand '${quotedWord(word)}'. Try OBJECT HELP.`);
  if (args.length !== (subcommand === 'HELP' ? 1 : 2))
    return wrongArgumentCount(`object|${subcommand.toLowerCase()}`);
  return subcommand;
}

function encodingOf(value: Buffer): string {
  if (parseInteger(value) !== undefined) return 'int';
  return value.length <= MAX_EMBEDDED_BYTES ? 'embstr' : 'raw';
}

export const object: CommandDefinition = {
  ...ONE_KEY,
  firstKey: 2,
  lastKey: 2,
  name: 'object',
  id: 45,
  arity: -2,
  flags: ['readonly'],
  category: 'generic',
  summary: 'Tells how a value is kept.',
  isWrite: false,
  peeks: true,
  validate(args) {
    const subcommand = subcommandOf(args);
    return subcommand instanceof ErrorReply ? subcommand : undefined;
  },
  withoutKey: () => HELP,
  execute(context, args) {
    const subcommand = subcommandOf(args);
    if (subcommand instanceof ErrorReply) return subcommand;
    if (subcommand === 'HELP') return HELP;
    const record = context.keyspace.get(args[1]!);
    if (record === undefined) return null;
    switch (subcommand) {
      case 'ENCODING':
        return Buffer.from(encodingOf(record.value), 'latin1');
      case 'FREQ':
        return context.keyspace.useOf?.(args[1]!)?.frequency ?? NO_FREQUENCY;
      case 'IDLETIME':
        return Math.floor((context.keyspace.useOf?.(args[1]!)?.idleMs ?? 0) / 1000);
      case 'REFCOUNT':
        return 1;
    }
  },
};
