/**
 * All commands of the state machine, by name and by id. A new command is a file in `commands/`, a line here and a test.
 *
 * Invariant: names and ids are unique; an id stands in logs and is never changed or reused (a golden test pins them).
 */
import { invariant } from '../base/errors.js';
import type { CommandDefinition } from './command.js';
import { del } from './commands/del.js';
import { get } from './commands/get.js';
import { incr } from './commands/incr.js';
import { set } from './commands/set.js';

export const ALL_COMMANDS: readonly CommandDefinition[] = [get, set, del, incr];

const byName = new Map<string, CommandDefinition>();
const byId: (CommandDefinition | undefined)[] = [];
for (const definition of ALL_COMMANDS) {
  invariant(!byName.has(definition.name), `command name ${definition.name} is unique`);
  invariant(byId[definition.id] === undefined, `command id ${definition.id} is unique`);
  byName.set(definition.name, definition);
  byId[definition.id] = definition;
}

/** The command with this lower-case name. */
export function commandByName(lowerCaseName: string): CommandDefinition | undefined {
  return byName.get(lowerCaseName);
}

/** The command with this id in the log. */
export function commandById(id: number): CommandDefinition | undefined {
  return byId[id];
}
