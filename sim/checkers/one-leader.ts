/** Election safety (section 5.2 of the Raft paper): at most one leader in a term of a group. */
import { SimulationViolation } from './violation.js';

export class OneLeaderPerTerm {
  readonly #leaders = new Map<string, string>();
  /** Terms that had a leader. */
  get terms(): number {
    return this.#leaders.size;
  }

  leads(node: string, group: number, term: number): void {
    const key = `${group}/${term}`;
    const known = this.#leaders.get(key);
    if (known === undefined) this.#leaders.set(key, node);
    else if (known !== node)
      throw new SimulationViolation(
        'one leader per term',
        `group ${group}, term ${term}: both ${known} and ${node} lead`,
      );
  }
}
