/**
 * Is a history linearizable? Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's
 * memory of (set of linearized operations, state) already tried ("Testing for linearizability", 2017) and Horn and
 * Kroening's partition by key ("Faster linearizability checking via P-compositionality", 2015), which Porcupine combines.
 *
 * Outcomes: an operation that `failed` is left out; a `maybe` may be placed anywhere after its call, or nowhere.
 *
 * Invariants: every verdict 'violation' is proved by exhausting the search; when the search outgrows its bound the verdict
 * is 'undecided', never 'ok'.
 */
import type { Operation } from '../history.js';
import { answerFits, nextState, type RegisterState } from './register-model.js';

export type LinearizabilityResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly kind: 'violation' | 'undecided';
      readonly key: string;
      /** For a person: the first answer that cannot be explained, and what was going on around it. */
      readonly explanation: string;
      /** The operation whose answer cannot be explained. */
      readonly culprit: Operation | undefined;
    };

export interface CheckOptions {
  /** Pairs of (linearized set, state) remembered for one key before the search gives up. */
  readonly maxStates?: number;
}

const DEFAULT_MAX_STATES = 3_000_000;
/** Operations named in an explanation. */
const MAX_EXPLAINED = 12;

/** Checks the histories of all keys, each on its own. */
export function checkHistory(
  history: readonly Operation[],
  options: CheckOptions = {},
): LinearizabilityResult {
  const maxStates = options.maxStates ?? DEFAULT_MAX_STATES;
  const byKey = new Map<string, Operation[]>();
  for (const operation of history) {
    if (operation.outcome === 'failed') continue;
    const operations = byKey.get(operation.key);
    if (operations === undefined) byKey.set(operation.key, [operation]);
    else operations.push(operation);
  }
  for (const [key, operations] of byKey) {
    const verdict = search(operations, maxStates);
    if (verdict === 'ok') continue;
    if (verdict === 'undecided')
      return {
        ok: false,
        kind: 'undecided',
        key,
        explanation: `key ${key}: ${operations.length} operations need more than ${maxStates} states`,
        culprit: undefined,
      };
    const culprit = firstUnexplained(operations, maxStates);
    return { ok: false, kind: 'violation', key, explanation: explain(key, operations, culprit), culprit };
  }
  return { ok: true };
}

/** A call or a return in the doubly linked list that the search lifts operations out of. */
class ListNode {
  readonly operation: Operation;
  readonly position: number;
  readonly isCall: boolean;
  matching: ListNode | undefined;
  next: ListNode | undefined;
  previous: ListNode | undefined;

  constructor(operation: Operation, position: number, isCall: boolean) {
    this.operation = operation;
    this.position = position;
    this.isCall = isCall;
  }
}

function buildList(operations: readonly Operation[]): ListNode {
  const nodes: { readonly at: number; readonly node: ListNode }[] = [];
  operations.forEach((operation, position) => {
    const call = new ListNode(operation, position, true);
    nodes.push({ at: operation.calledAt, node: call });
    if (operation.outcome !== 'ok') return;
    const end = new ListNode(operation, position, false);
    call.matching = end;
    nodes.push({ at: operation.returnedAt, node: end });
  });
  nodes.sort((a, b) => a.at - b.at);
  const head = new ListNode(operations[0]!, -1, true);
  let last = head;
  for (const { node } of nodes) {
    last.next = node;
    node.previous = last;
    last = node;
  }
  return head;
}

function unlink(node: ListNode): void {
  node.previous!.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
}

function relink(node: ListNode): void {
  node.previous!.next = node;
  if (node.next !== undefined) node.next.previous = node;
}

function lift(call: ListNode): void {
  unlink(call);
  if (call.matching !== undefined) unlink(call.matching);
}

function unlift(call: ListNode): void {
  if (call.matching !== undefined) relink(call.matching);
  relink(call);
}

/**
 * Decides one key. First without those doubtful operations that left no trace in any answer: whoever may have happened
 * may as well not have, so an order without them is an order. Only when there is none are they all considered.
 */
function search(operations: readonly Operation[], maxStates: number): Verdict {
  const traced = operations.filter(
    (operation) => operation.outcome === 'ok' || leftTrace(operation, operations),
  );
  if (traced.length < operations.length && searchAll(traced, maxStates) === 'ok') return 'ok';
  return searchAll(operations, maxStates);
}

type Verdict = 'ok' | 'violation' | 'undecided';

/** Can what a doubtful operation wrote be seen in some answer? */
function leftTrace(doubtful: Operation, operations: readonly Operation[]): boolean {
  switch (doubtful.kind) {
    case 'get':
      return false;
    case 'delete':
    case 'increment':
      return true;
    default:
      return operations.some(
        ({ outcome, result, expected }) =>
          (outcome === 'ok' && typeof result === 'string' && result.includes(doubtful.argument)) ||
          (expected?.includes(doubtful.argument) ?? false),
      );
  }
}

/** For each doubtful operation the last one before it that does the same; -1 where there is none. */
function findTwins(operations: readonly Operation[]): Int32Array {
  const twins = new Int32Array(operations.length).fill(-1);
  const last = new Map<string, number>();
  const inOrder = [...operations.keys()].sort((a, b) => operations[a]!.calledAt - operations[b]!.calledAt);
  for (const position of inOrder) {
    const { outcome, kind, argument, expected } = operations[position]!;
    if (outcome === 'ok') continue;
    const deed = `${kind} ${argument} ${expected === null ? '' : `=${expected}`}`;
    twins[position] = last.get(deed) ?? -1;
    last.set(deed, position);
  }
  return twins;
}

function isPlaced(linearized: Uint16Array, position: number): boolean {
  return position < 0 || (linearized[position >> 4]! & (1 << (position & 15))) !== 0;
}

function searchAll(operations: readonly Operation[], maxStates: number): Verdict {
  let unexplained = 0;
  for (const operation of operations) if (operation.outcome === 'ok') unexplained++;
  if (unexplained === 0) return 'ok';
  const head = buildList(operations);
  const twins = findTwins(operations);
  const linearized = new Uint16Array((operations.length + 15) >> 4);
  const seen = new Set<string>();
  const calls: ListNode[] = [];
  const states: RegisterState[] = [];
  let state: RegisterState = null;
  let node = head.next;
  // At each point those with a known answer are tried first: a doubtful one is a guess.
  let guessing = false;
  while (unexplained > 0) {
    if (node?.isCall) {
      const operation = node.operation;
      const known = operation.outcome === 'ok';
      const next = nextState(state, operation);
      const position = node.position;
      // A 'maybe' that changes nothing is not worth placing, and of equal ones the first called goes first.
      const fits = known
        ? answerFits(state, operation)
        : next !== state && isPlaced(linearized, twins[position]!);
      if (known !== guessing && fits) {
        linearized[position >> 4]! |= 1 << (position & 15);
        const memory = `${String.fromCharCode(...linearized)}${next === null ? '' : `=${next}`}`;
        if (!seen.has(memory)) {
          if (seen.size >= maxStates) return 'undecided';
          seen.add(memory);
          calls.push(node);
          states.push(state);
          state = next;
          if (known) unexplained--;
          lift(node);
          node = head.next;
          guessing = false;
          continue;
        }
        linearized[position >> 4]! &= ~(1 << (position & 15));
      }
      node = node.next;
      continue;
    }
    // A return that nothing explains (or the end, with answers unexplained): guess, or take back the last choice.
    if (!guessing) {
      guessing = true;
      node = head.next;
      continue;
    }
    const last = calls.pop();
    if (last === undefined) return 'violation';
    state = states.pop()!;
    guessing = last.operation.outcome !== 'ok';
    if (!guessing) unexplained++;
    linearized[last.position >> 4]! &= ~(1 << (last.position & 15));
    unlift(last);
    node = last.next;
  }
  return 'ok';
}

/** The history as it was when `end` had just returned: later calls are gone, later returns not yet known. */
function prefixUpTo(operations: readonly Operation[], endAt: number): Operation[] {
  return operations
    .filter((operation) => operation.calledAt <= endAt)
    .map((operation) =>
      operation.outcome === 'ok' && operation.returnedAt > endAt
        ? { ...operation, outcome: 'maybe' as const, returnedAt: Number.POSITIVE_INFINITY }
        : operation,
    );
}

/** Linearizability is closed under prefixes, so the first return that breaks it is found by bisection. */
function firstUnexplained(operations: readonly Operation[], maxStates: number): Operation | undefined {
  const returns = operations
    .filter((operation) => operation.outcome === 'ok')
    .sort((a, b) => a.returnedAt - b.returnedAt);
  let low = 0;
  let high = returns.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const verdict = search(prefixUpTo(operations, returns[middle]!.returnedAt), maxStates);
    if (verdict === 'violation') high = middle;
    else low = middle + 1;
  }
  return returns[low];
}

/** One operation as a line. */
function describeOperation(operation: Operation): string {
  const expected = operation.kind === 'compare-and-set' ? `${operation.expected} -> ` : '';
  const until = operation.outcome === 'ok' ? String(operation.returnedAt) : '?';
  const answer = operation.outcome === 'ok' ? JSON.stringify(operation.result ?? null) : operation.outcome;
  return `[${operation.calledAt}, ${until}] ${operation.client}: ${operation.kind}(${expected}${operation.argument}) = ${answer}`;
}

function explain(key: string, operations: readonly Operation[], culprit: Operation | undefined): string {
  if (culprit === undefined) return `key ${key}: no order of its operations explains their answers`;
  const before = operations.filter(
    (o) => o !== culprit && o.outcome === 'ok' && o.returnedAt < culprit.calledAt,
  );
  const around = operations.filter(
    (o) =>
      o !== culprit &&
      o.calledAt < culprit.returnedAt &&
      !(o.outcome === 'ok' && o.returnedAt < culprit.calledAt),
  );
  const lines = [`key ${key}: no order of operations explains ${describeOperation(culprit)}`];
  const list = (title: string, some: readonly Operation[]): void => {
    if (some.length === 0) return;
    lines.push(`  ${title}:`);
    for (const operation of some.slice(-MAX_EXPLAINED)) lines.push(`    ${describeOperation(operation)}`);
  };
  list(
    'completed before it',
    before.sort((a, b) => a.returnedAt - b.returnedAt),
  );
  list('concurrent with it', around);
  return lines.join('\n');
}
