/**
 * What is wrong with a value, as a person reads it: the key, the rule and, where there is one, the likely fix.
 */
import type { z } from 'zod';
import { formatPath, type Path } from './document.js';
import { nearest } from './suggestion.js';

export interface Complaint {
  readonly path: Path;
  readonly message: string;
}

/** Complaints shown at once; more are counted. */
const SHOWN_COMPLAINTS = 8;

export function keyAndMessage(complaint: Complaint): string {
  return complaint.path.length === 0
    ? complaint.message
    : `${formatPath(complaint.path)}: ${complaint.message}`;
}

export function joinComplaints(texts: readonly string[]): string {
  const more = texts.length - SHOWN_COMPLAINTS;
  const shown = texts.slice(0, SHOWN_COMPLAINTS).join('; ');
  return more > 0 ? `${shown}; and ${more} more` : shown;
}

/** What the schema says of a value that it refuses. */
export function complaintsOf(error: z.ZodError, schema: z.ZodType, value: unknown): Complaint[] {
  const complaints: Complaint[] = [];
  for (const issue of error.issues) {
    const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') {
      const known = keysAt(schema, path);
      for (const key of issue.keys) {
        const guess = nearest(key, known);
        const hint = guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}?`;
        complaints.push({ path: [...path, key], message: `unknown key; ${hint}` });
      }
    } else if (issue.code === 'invalid_type' && issue.expected === 'object') {
      complaints.push({ path, message: `must be a group of keys: ${keysAt(schema, path).join(', ')}` });
    } else if (issue.code === 'invalid_union') {
      complaints.push({ path, message: unionMessage(issue.message) });
    } else if (valueAt(value, path) === undefined && path.length > 0) {
      complaints.push({ path, message: `is missing; it ${issue.message}` });
    } else complaints.push({ path, message: issue.message });
  }
  return complaints;
}

function unionMessage(message: string): string {
  return message === 'Invalid input' ? 'must be a single value, not a group or a list' : message;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    // A list that was written as one string.
    if (typeof current === 'string' && typeof part === 'number') return current;
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Readonly<Record<string | number, unknown>>)[part];
  }
  return current;
}

/** The keys that the schema knows at a path. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let current: SchemaNode = schema as SchemaNode;
  for (const part of path) {
    current = unwrap(current);
    const next = typeof part === 'number' ? current.element : current.shape?.[part];
    if (next === undefined) return [];
    current = next;
  }
  return Object.keys(unwrap(current).shape ?? {});
}

/** What of zod's schema objects is looked at to list the keys of a group. */
interface SchemaNode {
  readonly shape?: Readonly<Record<string, SchemaNode>>;
  readonly element?: SchemaNode;
  readonly def?: { readonly innerType?: SchemaNode };
}

/** Takes the wrappers `default`, `prefault` and `optional` off. */
function unwrap(schema: SchemaNode): SchemaNode {
  let current = schema;
  while (current.def?.innerType !== undefined) current = current.def.innerType;
  return current;
}
