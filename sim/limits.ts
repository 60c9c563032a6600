/**
 * Small limits for simulated clusters: what takes a production node gigabytes to reach (a second log segment, an entry
 * that must be read back from disk, a message cut into pieces) happens here within seconds of virtual time.
 */
import { LIMITS, type LimitName } from '../src/base/limits.js';

export type LimitChanges = Partial<Record<LimitName, number>>;

/** Changes limits until the returned function is called. */
export function changeLimits(changes: LimitChanges): () => void {
  const before = Object.keys(changes).map((name) => [name, Reflect.get(LIMITS, name)] as const);
  for (const [name, value] of Object.entries(changes)) Reflect.set(LIMITS, name, value);
  return () => {
    for (const [name, value] of before) Reflect.set(LIMITS, name, value);
  };
}
