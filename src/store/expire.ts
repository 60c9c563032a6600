/**
 * What EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT do: set when a key expires, if a condition on its present expiry holds. A
 * time in the past removes the key.
 */
import { isWord, quotedWord } from './arguments.js';
import type { CommandDefinition, ExecutionContext } from './command.js';
import { checkExpiry, type ExpiryUnit, expiryFrom } from './expiry.js';
import { ErrorReply, type Reply } from './reply.js';

interface Conditions {
  /** NX: only a key that never expires. */
  withoutExpiry: boolean;
  /** XX: only a key that expires. */
  withExpiry: boolean;
  /** GT: only later than now set; never counts as latest. */
  later: boolean;
  /** LT: only earlier than now set. */
  earlier: boolean;
}

const NX_INCOMPATIBLE = ErrorReply.of(
  'WRONG_ARGUMENTS',
  'NX and XX, GT or LT options at the same time are not compatible',
);
const GT_LT_INCOMPATIBLE = ErrorReply.of(
  'WRONG_ARGUMENTS',
  'GT and LT options at the same time are not compatible',
);

function parseConditions(args: readonly Buffer[]): Conditions | ErrorReply {
  const conditions: Conditions = { withoutExpiry: false, withExpiry: false, later: false, earlier: false };
  for (let i = 2; i < args.length; i++) {
    const word = args[i]!;
    if (isWord(word, 'NX')) conditions.withoutExpiry = true;
    else if (isWord(word, 'XX')) conditions.withExpiry = true;
    else if (isWord(word, 'GT')) conditions.later = true;
    else if (isWord(word, 'LT')) conditions.earlier = true;
    else return ErrorReply.of('WRONG_ARGUMENTS', `Unsupported option ${quotedWord(word)}`);
  }
  if (conditions.withoutExpiry && (conditions.withExpiry || conditions.later || conditions.earlier))
    return NX_INCOMPATIBLE;
  if (conditions.later && conditions.earlier) return GT_LT_INCOMPATIBLE;
  return conditions;
}

function expire(
  context: ExecutionContext,
  args: readonly Buffer[],
  unit: ExpiryUnit,
  commandName: string,
): Reply {
  const conditions = parseConditions(args);
  if (conditions instanceof ErrorReply) return conditions;
  const at = expiryFrom(args[1]!, unit, context.nowMs, false, commandName);
  if (at instanceof ErrorReply) return at;
  const key = args[0]!;
  const record = context.keyspace.get(key);
  if (record === undefined) return 0;
  const present = record.expiresAtMs;
  if (conditions.withoutExpiry && present !== 0) return 0;
  if (conditions.withExpiry && present === 0) return 0;
  if (conditions.later && (present === 0 || at <= present)) return 0;
  if (conditions.earlier && present !== 0 && at >= present) return 0;
  if (at <= context.nowMs) context.keyspace.remove(key);
  else context.keyspace.setExpiry(key, at);
  return 1;
}

/** The two parts of a definition that the four commands share. */
export function expireCommand(
  commandName: string,
  unit: ExpiryUnit,
): Required<Pick<CommandDefinition, 'validate' | 'execute'>> {
  return {
    validate(args) {
      const conditions = parseConditions(args);
      if (conditions instanceof ErrorReply) return conditions;
      return checkExpiry(args[1]!, unit, false, commandName);
    },
    execute(context, args) {
      return expire(context, args, unit, commandName);
    },
  };
}
