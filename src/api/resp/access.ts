/**
 * Who may use the door. The seam for passwords and users: a server asks its `AccessControl`, and today's answer is that
 * of a Redis without a password: everybody is `default` and may do everything.
 */

export type Authentication = 'granted' | 'denied' | 'no-password-set';

export interface AccessControl {
  /** False: a new connection is the default user without AUTH. */
  readonly requiresAuthentication: boolean;
  authenticate(username: string, password: Buffer): Authentication;
}

export const DEFAULT_USER = 'default';

/** No user has a password. As in Redis, the default user may name itself with any password. */
export const OPEN_ACCESS: AccessControl = {
  requiresAuthentication: false,
  authenticate(username) {
    return username === DEFAULT_USER ? 'granted' : 'denied';
  },
};
