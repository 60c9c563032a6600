/** The secrets of the Slack door: from the configuration, else from the environment, where they stand in no file. */
import { QuoinError } from '../../base/errors.js';
import type { SlackConfiguration } from '../../server/configuration/types.js';

export interface SlackSecrets {
  readonly signingSecret: string;
  readonly botToken: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws CONFIG_INVALID when a secret is missing or is none. */
export function slackSecrets(
  configuration: Pick<SlackConfiguration, 'signingSecret' | 'botToken'>,
  environment: Environment,
): SlackSecrets {
  const signingSecret = configuration.signingSecret ?? environment.QUOIN_SLACK_SIGNING_SECRET ?? '';
  if (signingSecret === '')
    throw new QuoinError(
      'CONFIG_INVALID',
      'slack.signingSecret: is missing; give it there or in QUOIN_SLACK_SIGNING_SECRET',
    );
  const botToken = configuration.botToken ?? environment.QUOIN_SLACK_BOT_TOKEN ?? '';
  if (botToken !== '' && !botToken.startsWith('xoxb-'))
    throw new QuoinError(
      'CONFIG_INVALID',
      'QUOIN_SLACK_BOT_TOKEN: must be a bot token, which begins with xoxb-',
    );
  return { signingSecret, botToken: botToken === '' ? undefined : botToken };
}
