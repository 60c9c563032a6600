/** Redis's ACL categories, derived from a command's flags and category. */
import type { CommandShape } from './connection-command.js';

const BY_CATEGORY: Readonly<Record<string, string>> = {
  string: 'string',
  generic: 'keyspace',
  transactions: 'transaction',
  connection: 'connection',
};

export const ACL_CATEGORIES: readonly string[] = [
  'keyspace',
  'read',
  'write',
  'string',
  'fast',
  'slow',
  'admin',
  'dangerous',
  'blocking',
  'connection',
  'transaction',
];

export function categoriesOf(shape: CommandShape): string[] {
  const categories: string[] = [];
  const named = BY_CATEGORY[shape.category];
  if (named !== undefined) categories.push(named);
  if (shape.flags.includes('write')) categories.push('write');
  if (shape.flags.includes('readonly')) categories.push('read');
  if (shape.flags.includes('admin')) categories.push('admin', 'dangerous');
  if (shape.flags.includes('blocking')) categories.push('blocking');
  categories.push(shape.flags.includes('fast') ? 'fast' : 'slow');
  return categories;
}
