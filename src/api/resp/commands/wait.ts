/**
 * WAIT numreplicas timeout. In an eventual bucket each write has told by its w how many replicas have it when it is answered:
 * there is nothing to wait for, and no more is promised. The answer is for the selected bucket; a write that was answered by an
 * error is not counted.
 */
import { slotOf } from '../../../base/slots.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument, NOT_AN_INTEGER } from '../messages.js';
import { integer } from '../words.js';
import { promisedCopies } from './promised-copies.js';

/** A time-out of zero waits as long as a timer can. */
const FOREVER_MS = 2 ** 31 - 1;
const NO_KEY = Buffer.alloc(0);

export const wait: ConnectionCommand = {
  ...KEYLESS,
  name: 'wait',
  arity: 3,
  flags: ['noscript', 'blocking'],
  category: 'generic',
  summary: "Waits until this connection's last write is on so many followers; answers how many have it.",
  inTransaction: 'refused',
  run(client, args) {
    const replicas = integer(args[0]);
    if (replicas === undefined) return NOT_AN_INTEGER;
    const timeoutMs = integer(args[1]);
    if (timeoutMs === undefined) return invalidArgument('timeout is not an integer or out of range');
    if (timeoutMs < 0) return invalidArgument('timeout is negative');
    const policy = client.bucket.quorum;
    if (policy !== undefined) {
      const copies = promisedCopies(client, policy);
      return client.idle().then(() => copies - 1);
    }
    const { node } = client.server;
    const slot = slotOf(client.lastWrittenKey ?? NO_KEY);
    const limitMs = timeoutMs === 0 ? FOREVER_MS : Math.min(timeoutMs, FOREVER_MS);
    // The writes before it must have been answered, or there would be nothing to wait for yet.
    return client.idle().then(() => node.waitForReplicas(slot, Math.max(0, replicas), limitMs));
  },
};
