/** The checkers that watch a whole run, fed by what the cluster shows of itself. */
import { crc32 } from 'node:zlib';
import { LogAgreement } from './log-agreement.js';
import { OneLeaderPerTerm } from './one-leader.js';
import { SlotOwnership } from './slot-ownership.js';

export class Checkers {
  readonly logs = new LogAgreement((payload) => crc32(payload));
  readonly leaders = new OneLeaderPerTerm();
  readonly ownership = new SlotOwnership();
}
