/** EXEC: see `transaction.ts`. */
import { slotOf } from '../../../base/slots.js';
import { commandByName } from '../../../store/registry.js';
import { ErrorReply, type Reply } from '../../../store/reply.js';
import { encodeTransaction } from '../../../store/transaction.js';
import type { ClientConnection } from '../connection.js';
import { ANSWERED, type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { CROSS_SLOT, invalidArgument, notSupported } from '../messages.js';
import { redirectForSlot } from '../routing.js';
import { ExecutionPlan } from '../transaction.js';

const WITHOUT_MULTI = invalidArgument('EXEC without MULTI');
const ABORTED = new ErrorReply(
  'WRONG_ARGUMENTS',
  'EXECABORT Transaction discarded because of previous errors.',
);

function execute(client: ClientConnection): Reply | typeof ANSWERED {
  const { transaction } = client;
  if (transaction === undefined) return WITHOUT_MULTI;
  const watched = client.watched.all();
  client.transaction = undefined;
  client.watched.clear();
  if (transaction.failed) return ABORTED;

  let { slot } = transaction;
  for (const { key } of watched) {
    const keySlot = slotOf(key);
    if (slot === -1) slot = keySlot;
    else if (slot !== keySlot) slot = -2;
  }
  if (slot === -2) return CROSS_SLOT;

  const plan = new ExecutionPlan(client, transaction);
  const routingKey = plan.nested[0]?.args[0] ?? watched[0]?.key;
  // Nothing for the store: commands of the connection alone, or ones that are refused as they stand.
  if (routingKey === undefined) return plan.transform([]);
  if (client.server.settings.clusterRedirects) {
    const redirect = redirectForSlot(client, slot, false);
    if (redirect !== undefined) return redirect;
  }
  const definition = commandByName('quoin.exec');
  if (definition === undefined) return notSupported('this node carries out no transactions');
  const bucketId = client.bucket.id;
  const commands = plan.nested.map((command) => ({ bucketId, ...command }));
  for (const { definition: nested, args } of plan.nested) {
    if (nested.isWrite) client.lastWrittenKey = args[nested.firstKey - 1];
  }
  client.submit(client.lastCommand, definition, encodeTransaction(routingKey, watched, commands), plan);
  return ANSWERED;
}

export const exec: ConnectionCommand = {
  ...KEYLESS,
  name: 'exec',
  arity: 1,
  flags: ['noscript', 'loading', 'stale'],
  category: 'transactions',
  summary: 'Carries out the transaction: all of it, with nothing in between, or nothing.',
  inTransaction: 'immediate',
  run: execute,
};
