/**
 * The Slack door (paper 004, System Interface): slash commands, received and verified by Slack's own library.
 *
 * Slack drops a command that is not acknowledged within 3 seconds. An answer that is there in time goes with the acknowledgement;
 * a later one is posted to the address that came with the command.
 *
 * Invariants: nothing is carried out for a request whose signature is not good or is older than five minutes (it gets 401);
 * commands under way, connections and bodies are bounded; each command is acknowledged once. The library is told the bot token
 * instead of asking Slack about it, so the door needs no way out but for late answers.
 */
import type { Server } from 'node:http';
import type { RespondFn, SlackCommandMiddlewareArgs } from '@slack/bolt';
import { QuoinError } from '../../base/errors.js';
import { LIMITS } from '../../base/limits.js';
import type { Logger } from '../../base/logger.js';
import { formatAddress, parseAddress } from '../../server/configuration/index.js';
import type { SlackConfiguration } from '../../server/configuration/types.js';
import type { NodeServer } from '../../server/types.js';
import { BodyReader } from '../http/body.js';
import { SlackCommands } from './commands.js';
import { type BoltLoader, boltLogger, guardedPoster, importBolt, loadBolt, type Poster } from './library.js';
import { errorMessage, type SlackMessage } from './message.js';
import type { SlackCaller } from './permissions.js';
import { slackSecrets } from './secrets.js';

export interface SlackDoorOptions {
  readonly node: NodeServer;
  readonly configuration: SlackConfiguration;
  readonly limits?: { readonly maxKeyBytes?: number; readonly maxValueBytes?: number };
  readonly logger: Logger;
  /** Where secrets stand that the configuration leaves out. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** How long the acknowledgement waits for the answer. */
  readonly acknowledgeWithinMs?: number;
  /** Posts answers that came late. */
  readonly post?: Poster;
  /** Loads Slack's library. */
  readonly load?: BoltLoader;
}

export interface SlackDoor {
  /** `host:port` in fact bound. */
  readonly address: string;
  close(): Promise<void>;
}

/** Leaves the network a second of Slack's three. */
const ACKNOWLEDGE_WITHIN_MS = 2000;
const RECEIVE_TIMEOUT_MS = 10_000;
/** How long commands under way may take to finish when the door closes. */
const CLOSE_GRACE_MS = 2000;

/** Resolves with the promise's value, or with undefined when that takes longer. */
async function within<Value>(promise: Promise<Value>, timeoutMs: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A field of the request; whatever is no text counts as absent. */
function word(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function callerOf(command: SlackCommandMiddlewareArgs['command']): SlackCaller {
  return {
    user: word(command.user_id),
    channel: word(command.channel_id),
    team: word(command.team_id),
    enterprise: word(command.enterprise_id),
  };
}

class CommandHandler {
  readonly #commands: SlackCommands;
  readonly #logger: Logger;
  readonly #acknowledgeWithinMs: number;
  readonly #underWay = new Set<Promise<void>>();

  constructor(commands: SlackCommands, logger: Logger, acknowledgeWithinMs: number) {
    this.#commands = commands;
    this.#logger = logger;
    this.#acknowledgeWithinMs = acknowledgeWithinMs;
  }

  async handle(args: SlackCommandMiddlewareArgs): Promise<void> {
    if (this.#underWay.size >= LIMITS.maxSlackCommands) {
      const refusal = new QuoinError('OVERLOADED', 'too many commands are under way');
      await args.ack(errorMessage(refusal, word(args.command.command)));
      return;
    }
    const handled = this.#handle(args);
    this.#underWay.add(handled);
    try {
      await handled;
    } finally {
      this.#underWay.delete(handled);
    }
  }

  async #handle({ ack, command, respond }: SlackCommandMiddlewareArgs): Promise<void> {
    const answering = this.#commands.answer(word(command.command), word(command.text), callerOf(command));
    const early = await within(answering, this.#acknowledgeWithinMs);
    await ack(early);
    if (early === undefined) await this.#post(respond, await answering);
  }

  /** `respond` is absent when the command named no address. */
  async #post(respond: RespondFn | undefined, message: SlackMessage): Promise<void> {
    try {
      if (respond === undefined) throw new QuoinError('WRONG_ARGUMENTS', 'the command has no response_url');
      await respond({ ...message });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.warn({ reason }, 'a late answer could not be posted to Slack');
    }
  }

  /** Resolves when all commands are answered; at the latest after the time-out. */
  async drain(timeoutMs: number): Promise<void> {
    await within(Promise.allSettled(this.#underWay), timeoutMs);
  }
}

function listenError(error: unknown, address: string): QuoinError {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'EADDRINUSE')
    return new QuoinError('ADDRESS_IN_USE', `slack.listen: ${address} is in use`, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  return new QuoinError('CONFIG_INVALID', `slack.listen: cannot listen on ${address}: ${reason}`, {
    cause: error,
  });
}

function boundAddress(server: Server): string {
  const bound = server.address();
  if (bound === null || typeof bound === 'string')
    throw new QuoinError('INTERNAL', 'the Slack door is not bound');
  return formatAddress(bound.address, bound.port);
}

/** Rejects with PACKAGE_MISSING, or with CONFIG_INVALID when a secret is missing, where the door could not be opened. */
export async function checkSlackDoor(configuration: SlackConfiguration): Promise<void> {
  slackSecrets(configuration, process.env);
  await loadBolt(importBolt);
}

/**
 * Opens the Slack door of a node. Rejects with PACKAGE_MISSING, with CONFIG_INVALID when a secret is missing, and with
 * ADDRESS_IN_USE.
 */
export async function startSlackDoor(options: SlackDoorOptions): Promise<SlackDoor> {
  const { node, configuration, limits, logger } = options;
  const listenAt = parseAddress(configuration.listen);
  if (listenAt === undefined)
    throw new QuoinError('CONFIG_INVALID', `slack.listen: ${configuration.listen} is no address host:port`);
  const { signingSecret, botToken } = slackSecrets(configuration, options.environment ?? process.env);
  const bolt = await loadBolt(options.load ?? importBolt);
  const commands = new SlackCommands(
    {
      node,
      maxKeyBytes: limits?.maxKeyBytes ?? LIMITS.maxKeyBytes,
      maxValueBytes: limits?.maxValueBytes ?? LIMITS.maxValueBytes,
      bodies: new BodyReader(),
    },
    configuration,
    logger,
  );
  const handler = new CommandHandler(commands, logger, options.acknowledgeWithinMs ?? ACKNOWLEDGE_WITHIN_MS);
  const libraryLogger = boltLogger(bolt, logger);
  const receiver = new bolt.HTTPReceiver({
    signingSecret,
    logger: libraryLogger,
    bodyLimit: LIMITS.maxSlackRequestBytes,
    dispatchErrorHandler: ({ response }) => {
      response.writeHead(404);
      response.end();
    },
  });
  const app = new bolt.App({
    receiver,
    logger: libraryLogger,
    authorize: () => Promise.resolve(botToken === undefined ? {} : { botToken }),
    clientOptions: { fetch: guardedPoster(options.post ?? fetch) },
    // Both would keep state for messages and events, which this app does not get.
    convoStore: false,
    ignoreSelf: false,
  });
  // Slack sends only what the app has been given; how the command is called is the app's matter.
  app.command(/^\//, (args) => handler.handle(args));
  let server: Server;
  try {
    server = await receiver.start(
      { host: listenAt.host, port: listenAt.port },
      { requestTimeout: RECEIVE_TIMEOUT_MS, headersTimeout: RECEIVE_TIMEOUT_MS },
    );
  } catch (error) {
    throw listenError(error, configuration.listen);
  }
  server.maxConnections = LIMITS.maxSlackCommands;
  const address = boundAddress(server);
  logger.info({ address, permissions: configuration.permissions.length }, 'the Slack door is open');
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const deadline = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    try {
      await Promise.all([app.stop(), handler.drain(CLOSE_GRACE_MS)]);
    } finally {
      clearTimeout(deadline);
    }
  };
  return {
    address,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}
