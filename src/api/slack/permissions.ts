/**
 * Who may do what over Slack. A command is carried out when one permission allows it in all respects; there is no order among
 * them and none that forbids.
 */
import type { SlackPermission, SlackVerb } from '../../server/configuration/types.js';

/** Who types a command, and where. */
export interface SlackCaller {
  readonly user: string;
  readonly channel: string;
  readonly team: string;
  /** The organization of several workspaces; empty when there is none. */
  readonly enterprise: string;
}

function holds(list: readonly string[], ...ids: readonly string[]): boolean {
  return list.includes('*') || ids.some((id) => id !== '' && list.includes(id));
}

export function isPermitted(
  permissions: readonly SlackPermission[],
  caller: SlackCaller,
  verb: SlackVerb,
  bucket: string,
): boolean {
  return permissions.some(
    (permission) =>
      permission.allow.includes(verb) &&
      holds(permission.buckets, bucket) &&
      holds(permission.users, caller.user) &&
      holds(permission.channels, caller.channel) &&
      holds(permission.teams, caller.team, caller.enterprise),
  );
}
