/**
 * From a slash command to its answer: read, checked against the permissions, carried out by the node like a request of any other
 * door. What is refused is refused before anything is said about the bucket, so that names are not given away.
 *
 * Invariant: `answer` does not reject; every failure is an answer too. Values are never logged.
 */
import { QuoinError } from '../../base/errors.js';
import type { Logger } from '../../base/logger.js';
import type { SlackConfiguration } from '../../server/configuration/types.js';
import { bucketNamed, checkKey, checkValue, type Door, submit, unexpectedReply } from '../http/door.js';
import { isVersion, storedValue } from '../http/routes/kv.js';
import { parseSlackCommand, type SlackCommand } from './command-line.js';
import {
  deletedMessage,
  errorMessage,
  helpMessage,
  type SlackMessage,
  storedMessage,
  valueMessage,
} from './message.js';
import { isPermitted, type SlackCaller } from './permissions.js';

type KeyCommand = Exclude<SlackCommand, { verb: 'help' }>;

const UNCONDITIONAL = Buffer.from('any');
const TTL_OF_BUCKET = Buffer.from('-1');

export class SlackCommands {
  readonly #door: Door;
  readonly #settings: Pick<SlackConfiguration, 'permissions' | 'responseType'>;
  readonly #logger: Logger;

  constructor(
    door: Door,
    settings: Pick<SlackConfiguration, 'permissions' | 'responseType'>,
    logger: Logger,
  ) {
    this.#door = door;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** `name`: what the slash command is called in Slack; `text`: what was typed after it. */
  async answer(name: string, text: string, caller: SlackCaller): Promise<SlackMessage> {
    try {
      const command = parseSlackCommand(text);
      if (command.verb === 'help') return helpMessage(name);
      return await this.#permitted(command, caller);
    } catch (error) {
      return errorMessage(this.#known(error), name);
    }
  }

  async #permitted(command: KeyCommand, caller: SlackCaller): Promise<SlackMessage> {
    const { verb, bucket } = command;
    const who = { user: caller.user, team: caller.team, channel: caller.channel, verb, bucket };
    if (!isPermitted(this.#settings.permissions, caller, verb, bucket)) {
      this.#logger.warn(who, 'a slash command was refused');
      throw new QuoinError('NOT_PERMITTED', `sorry, you may not ${verb} in bucket '${bucket}' from here`);
    }
    if (verb === 'get') this.#logger.debug(who, 'a slash command');
    else this.#logger.info(who, 'a slash command');
    return await this.#carryOut(command);
  }

  async #carryOut(command: KeyCommand): Promise<SlackMessage> {
    const door = this.#door;
    const { responseType } = this.#settings;
    const bucket = bucketNamed(door, command.bucket);
    const key = checkKey(door, Buffer.from(command.key));
    const absent = new QuoinError('NOT_FOUND', `no key '${command.key}' in bucket '${bucket.name}'`);
    switch (command.verb) {
      case 'get': {
        const stored = storedValue(await submit(door, 'quoin.get', bucket, [key]));
        if (stored === undefined) throw absent;
        return valueMessage(responseType, command, stored, Date.now());
      }
      case 'put': {
        const value = checkValue(door, Buffer.from(command.value));
        const version = await submit(door, 'quoin.put', bucket, [key, value, TTL_OF_BUCKET, UNCONDITIONAL]);
        if (!isVersion(version)) throw unexpectedReply('quoin.put');
        const { ttlMs } = bucket;
        return storedMessage(responseType, command, { sizeBytes: value.length, version, ttlMs });
      }
      case 'del': {
        const removed = await submit(door, 'quoin.delete', bucket, [key, UNCONDITIONAL]);
        if (removed === 0) throw absent;
        return deletedMessage(responseType, command);
      }
    }
  }

  #known(error: unknown): QuoinError {
    if (error instanceof QuoinError) return error;
    const reason = error instanceof Error ? error.message : String(error);
    this.#logger.error({ reason }, 'a slash command failed');
    return new QuoinError('INTERNAL', reason, { cause: error });
  }
}
