/** The machine's chance: `Math.random` for jitter, the system's generator for identities. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../env.js';

export class RealRandom implements Random {
  float(): number {
    return Math.random();
  }

  integer(bound: number): number {
    return Math.floor(Math.random() * bound);
  }

  hex(sizeBytes: number): string {
    return randomBytes(sizeBytes).toString('hex');
  }
}
