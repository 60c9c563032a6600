/**
 * quoin.exec routingKey transaction -> the commands' replies, or the absent array when a watched key has changed
 *
 * The whole transaction is one command of the log, so nothing comes in between. An error of one command is its reply; the
 * others are carried out all the same, as in Redis. Watched keys are compared by version: a key that was absent, came and went
 * again counts as unchanged.
 */
import type { CommandDefinition } from '../command.js';
import { ErrorReply, NULL_ARRAY, type Reply } from '../reply.js';
import { ONE_KEY } from '../shapes.js';
import { parseTransaction } from '../transaction.js';

export const quoinExec: CommandDefinition = {
  ...ONE_KEY,
  name: 'quoin.exec',
  id: 106,
  arity: 3,
  flags: ['write', 'denyoom'],
  category: 'transactions',
  summary: 'Carries out the commands of a transaction.',
  isWrite: true,
  internal: true,
  validate(args) {
    const transaction = parseTransaction(args[1]!);
    return transaction instanceof ErrorReply ? transaction : undefined;
  },
  execute(context, args) {
    const { control } = context;
    if (control === undefined)
      return ErrorReply.of('NOT_SUPPORTED', 'transactions need the state machine of a group');
    const transaction = parseTransaction(args[1]!);
    if (transaction instanceof ErrorReply) return transaction;
    for (const { bucketId, key, version } of transaction.watched)
      if (control.versionOf(bucketId, key) !== version) return NULL_ARRAY;
    const replies: Reply[] = [];
    for (const command of transaction.commands)
      replies.push(control.execute(command.bucketId, command.commandId, command.args));
    return replies;
  },
};
