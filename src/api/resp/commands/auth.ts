/** AUTH [username] password */
import { ErrorReply, OK } from '../../../store/reply.js';
import { DEFAULT_USER } from '../access.js';
import { type ConnectionCommand, KEYLESS } from '../connection-command.js';
import { invalidArgument, SYNTAX_ERROR } from '../messages.js';

export const WRONG_PASSWORD = new ErrorReply(
  'WRONG_ARGUMENTS',
  'WRONGPASS invalid username-password pair or user is disabled.',
);

const NO_PASSWORD = invalidArgument(
  'AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
);

export const auth: ConnectionCommand = {
  ...KEYLESS,
  name: 'auth',
  arity: -2,
  flags: ['noscript', 'loading', 'stale', 'fast', 'no_auth'],
  category: 'connection',
  summary: 'Authenticates the connection.',
  inTransaction: 'queued',
  run(client, args) {
    if (args.length > 2) return SYNTAX_ERROR;
    const { access } = client.server;
    if (args.length === 1 && !access.requiresAuthentication) return NO_PASSWORD;
    const user = args.length === 2 ? args[0]!.toString('utf8') : DEFAULT_USER;
    if (access.authenticate(user, args.at(-1)!) !== 'granted') return WRONG_PASSWORD;
    client.user = user;
    client.authenticated = true;
    return OK;
  },
};
