/** Replicas converge: once healed and quiet, all members of a group have equal digests for every slot of the group. */
import { SimulationViolation } from './violation.js';

export interface DigestSource {
  readonly id: string;
  digestOfSlot(slot: number): number;
}

/** Compares one slot over the members of its group; returns its digest. */
export function requireEqualDigests(slot: number, members: readonly DigestSource[]): number {
  const first = members[0];
  if (first === undefined) return 0;
  const digest = first.digestOfSlot(slot);
  for (const member of members.slice(1)) {
    const other = member.digestOfSlot(slot);
    if (other !== digest)
      throw new SimulationViolation(
        'replica digests',
        `slot ${slot}: ${first.id} has ${digest.toString(16)}, ${member.id} has ${other.toString(16)}`,
      );
  }
  return digest;
}
