/** How a connection looks in CLIENT LIST and CLIENT INFO, and which names a client may give itself. */
import type { ClientConnection } from './connection.js';
import { invalidArgument } from './messages.js';

export const NAME_REFUSED = invalidArgument(
  'Client names cannot contain spaces, newlines or special characters.',
);

/** Printable ASCII without spaces, so that a name cannot break the lines of CLIENT LIST. */
export function isValidName(name: string): boolean {
  return /^[!-~]*$/.test(name);
}

/** One line, without its end. */
export function describeClient(client: ClientConnection): string {
  const now = Date.now();
  const { bucket, transaction, server } = client;
  const buckets = server.node.map()?.buckets ?? [];
  const database = Math.max(
    0,
    buckets.findIndex((one) => one.id === bucket.id),
  );
  let flags = '';
  if (transaction !== undefined) flags += 'x';
  if (client.readConsistency !== 'linearizable') flags += 'r';
  if (client.noEvict) flags += 'e';
  if (client.noTouch) flags += 'T';
  const fields = [
    `id=${client.id}`,
    `addr=${client.remoteAddress}`,
    `laddr=${client.localAddress}`,
    'fd=-1',
    `name=${client.name}`,
    `age=${Math.floor((now - client.connectedAtMs) / 1000)}`,
    `idle=${Math.floor((now - client.lastActiveMs) / 1000)}`,
    `flags=${flags === '' ? 'N' : flags}`,
    `db=${database}`,
    'sub=0',
    'psub=0',
    'ssub=0',
    `multi=${transaction === undefined ? -1 : transaction.queued.length}`,
    `watch=${client.watched.size}`,
    'qbuf=0',
    'qbuf-free=0',
    'argv-mem=0',
    `multi-mem=${transaction?.sizeBytes ?? 0}`,
    'rbs=0',
    'rbp=0',
    'obl=0',
    `oll=${client.inflight}`,
    `omem=${client.unsentBytes}`,
    `tot-mem=${client.unsentBytes + (transaction?.sizeBytes ?? 0)}`,
    'events=r',
    `cmd=${client.lastCommand?.name ?? 'NULL'}`,
    `user=${client.user}`,
    'redir=-1',
    `resp=${client.protocol}`,
    `lib-name=${client.libraryName}`,
    `lib-ver=${client.libraryVersion}`,
    `tot-cmds=${client.commandsProcessed}`,
  ];
  return fields.join(' ');
}
