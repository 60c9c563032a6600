/**
 * Slack's own library, `@slack/bolt`: loaded when the door is configured and not before, for it is an optional package; and what it
 * is given of the outside world: the node's logger, and a way to post that leads to Slack's answering host alone.
 */
import type { Logger as BoltLogger } from '@slack/bolt';
import { QuoinError } from '../../base/errors.js';
import type { Logger } from '../../base/logger.js';

/** What of the library is used. */
export type Bolt = Pick<typeof import('@slack/bolt'), 'App' | 'HTTPReceiver' | 'LogLevel'>;
export type BoltLoader = () => Promise<Bolt>;
/** Posts late answers; `fetch` and its like. */
export type Poster = (url: string, init: RequestInit) => Promise<Response>;

/** The only host that answers are posted to, whatever address a request names. */
const ANSWERING_HOST = 'hooks.slack.com';
const POST_TIMEOUT_MS = 10_000;

const PACKAGE = '@slack/bolt';

export const importBolt: BoltLoader = () => import('@slack/bolt');

/** Rejects with PACKAGE_MISSING when the package is not there. */
export async function loadBolt(load: BoltLoader): Promise<Bolt> {
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if ((code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(PACKAGE))
      throw new QuoinError(
        'PACKAGE_MISSING',
        `slack: is configured, but the package ${PACKAGE} is not installed; npm install ${PACKAGE}@5`,
        { cause: error },
      );
    throw error;
  }
}

/** Log lines of the library among the node's own. */
export function boltLogger(bolt: Bolt, logger: Logger): BoltLogger {
  const line = (parts: readonly unknown[]): string =>
    parts.map((part) => (part instanceof Error ? part.message : String(part))).join(' ');
  const fields = { door: 'slack' };
  return {
    debug: (...parts: unknown[]) => logger.trace(fields, line(parts)),
    info: (...parts: unknown[]) => logger.debug(fields, line(parts)),
    warn: (...parts: unknown[]) => logger.warn(fields, line(parts)),
    error: (...parts: unknown[]) => logger.error(fields, line(parts)),
    setLevel: () => undefined,
    getLevel: () => bolt.LogLevel.INFO,
    setName: () => undefined,
  };
}

/** Lets posts through to Slack's answering host over TLS and to nowhere else, redirections included. */
export function guardedPoster(post: Poster): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (address, init) => {
    const url = new URL(address);
    const isSlack = url.protocol === 'https:' && url.host === ANSWERING_HOST;
    if (!isSlack) throw new QuoinError('WRONG_ARGUMENTS', `an answer is not posted to ${url.host}`);
    return await post(url.href, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.timeout(POST_TIMEOUT_MS),
    });
  };
}
