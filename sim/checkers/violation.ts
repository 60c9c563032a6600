/** What a checker raises: the simulated cluster broke one of its promises. */
export class SimulationViolation extends Error {
  override readonly name = 'SimulationViolation';
  readonly checker: string;

  constructor(checker: string, message: string) {
    super(`${checker}: ${message}`);
    this.checker = checker;
  }
}
