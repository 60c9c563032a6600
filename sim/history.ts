/**
 * What clients saw: each operation with the moments of its call and its return on one common counter, so that only true
 * real-time order counts. An operation with an unknown outcome never returns: it may take effect at any later time, or never.
 */

export type OperationKind =
  | 'get'
  | 'set'
  | 'delete'
  | 'increment'
  | 'append'
  | 'set-if-absent'
  | 'get-and-set'
  | 'compare-and-set';

/**
 * What an operation answered: `get` and `get-and-set` the value (null: absent); `set` nothing; `delete`, `set-if-absent` and
 * `compare-and-set` whether they changed something; `increment` the new number, or 'error' when the value was
 * none; `append` the new length.
 */
export type OperationResult = string | number | boolean | null | undefined;

/** `failed`: certainly without effect. `maybe`: nobody knows. */
export type Outcome = 'ok' | 'failed' | 'maybe';

export interface Operation {
  readonly client: string;
  readonly key: string;
  readonly kind: OperationKind;
  /** The value written, appended, or added (as a decimal). */
  readonly argument: string;
  /** `compare-and-set`: the value it expects (null: absent). */
  readonly expected: string | null;
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly outcome: Outcome;
  readonly result: OperationResult;
}

/** A recorded operation under way. */
export class OpenOperation {
  readonly client: string;
  readonly key: string;
  readonly kind: OperationKind;
  readonly argument: string;
  readonly expected: string | null;
  readonly calledAt: number;
  returnedAt = Number.POSITIVE_INFINITY;
  outcome: Outcome = 'maybe';
  result: OperationResult = undefined;

  constructor(
    client: string,
    key: string,
    kind: OperationKind,
    argument: string,
    expected: string | null,
    calledAt: number,
  ) {
    this.client = client;
    this.key = key;
    this.kind = kind;
    this.argument = argument;
    this.expected = expected;
    this.calledAt = calledAt;
  }
}

/** Collects a history. What has not returned when it is read counts as 'maybe'. */
export class History {
  readonly #operations: OpenOperation[] = [];
  #counter = 0;

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  call(
    client: string,
    key: string,
    kind: OperationKind,
    argument = '',
    expected: string | null = null,
  ): OpenOperation {
    const operation = new OpenOperation(client, key, kind, argument, expected, this.#counter++);
    this.#operations.push(operation);
    return operation;
  }

  ok(operation: OpenOperation, result: OperationResult): void {
    operation.returnedAt = this.#counter++;
    operation.outcome = 'ok';
    operation.result = result;
  }

  failed(operation: OpenOperation): void {
    operation.returnedAt = this.#counter++;
    operation.outcome = 'failed';
  }
}
