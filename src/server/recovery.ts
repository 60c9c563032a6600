/**
 * What a group's replica starts from: the state that the engines hold durably, and the log behind it.
 */
import { QuoinError } from '../base/errors.js';
import type { EngineHost } from '../engine/engine-host.js';
import type { WriteAheadLog } from '../log/types.js';
import type { NodeId } from '../protocol/raft/types.js';
import { decodeGroupNote, groupNoteName } from '../replica/group-note.js';
import type { ReplicaStart } from '../replica/replica.js';

/** `restoreHead` gets the state that is not keys and values, when there is any. */
export function recoverGroup(options: {
  readonly engines: EngineHost;
  readonly log: WriteAheadLog;
  readonly group: number;
  readonly members: readonly NodeId[];
  readonly restoreHead: (head: Buffer) => void;
}): ReplicaStart {
  const { engines, log, group, members } = options;
  const stored = engines.note(groupNoteName(group));
  const { compactedIndex } = log.group(group).recovered;
  if (stored === undefined) {
    if (compactedIndex > 0) {
      throw new QuoinError(
        'CHECKPOINT_DAMAGED',
        `group ${group} has a log from index ${compactedIndex + 1} on but no state`,
      );
    }
    return { group, members, appliedIndex: 0, stateMissing: false };
  }
  const note = decodeGroupNote(group, stored);
  if (note.stateMissing) return { group, members, appliedIndex: compactedIndex, stateMissing: true };
  options.restoreHead(note.head);
  const { appliedIndex, appliedTerm } = note;
  if (appliedIndex < compactedIndex) {
    throw new QuoinError(
      'CHECKPOINT_DAMAGED',
      `group ${group} has state as of index ${appliedIndex} but a log from ${compactedIndex + 1} on`,
    );
  }
  if (appliedIndex > compactedIndex && log.group(group).term(appliedIndex) !== appliedTerm) {
    // A snapshot was made durable, and the node stopped before its log was taken on from there.
    log.resetTo(group, appliedIndex, appliedTerm);
  }
  return { group, members, appliedIndex, stateMissing: false };
}
