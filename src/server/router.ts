/**
 * Key → slot → group, bucket → replication: sends each request to the group (or groups) it concerns, and puts the answers
 * of those that concern several together.
 *
 * A command over keys of several slots is carried out key by key where its definition allows it (`split`): each part is
 * atomic, the whole is not. Otherwise it is refused with CROSSSLOT, as in Redis Cluster.
 */
import { ERRORS } from '../base/errors.js';
import { SLOT_COUNT, slotOf, slotOfToken } from '../base/slots.js';
import type { CommandDefinition } from '../store/command.js';
import { refusalOf } from '../store/quorum/commands.js';
import { ErrorReply, type Reply } from '../store/reply.js';
import type { BucketDescription } from '../store/types.js';
import type { Completion, Request } from './types.js';

/** The way to one group, for the buckets of one kind of replication. */
export interface Route {
  submit(request: Request): void;
}

/** Positions of the keys among the arguments (the words after the name). */
export function keyPositions(
  definition: CommandDefinition,
  argumentCount: number,
): { first: number; last: number; step: number } {
  const last = definition.lastKey < 0 ? argumentCount + definition.lastKey : definition.lastKey - 1;
  return {
    first: definition.firstKey - 1,
    last: Math.min(last, argumentCount - 1),
    step: definition.keyStep,
  };
}

/** The slot that all keys of a command share; -1 when they lie in several; undefined when there is no key. */
export function sharedSlot(definition: CommandDefinition, args: readonly Buffer[]): number | undefined {
  if (definition.firstKey === 0) return undefined;
  const { first, last, step } = keyPositions(definition, args.length);
  let slot: number | undefined;
  for (let position = first; position <= last; position += step) {
    const keySlot = slotOf(args[position]!);
    if (slot !== undefined && keySlot !== slot) return -1;
    slot = keySlot;
  }
  return slot;
}

/** Collects the answers of a request's parts. */
class Gathering {
  readonly #replies: Reply[];
  #missing: number;
  readonly #finish: (replies: readonly Reply[]) => void;

  constructor(parts: number, finish: (replies: readonly Reply[]) => void) {
    this.#replies = new Array<Reply>(parts).fill(null);
    this.#missing = parts;
    this.#finish = finish;
  }

  part(position: number): Completion {
    return {
      complete: (reply) => {
        this.#replies[position] = reply;
        if (--this.#missing === 0) this.#finish(this.#replies);
      },
    };
  }
}

/**
 * One answer for a request whose parts went different ways. An error of one part says what that part did: when it was a
 * write and other parts may have happened, the whole is neither done nor undone.
 */
export function oneOf(
  definition: CommandDefinition,
  replies: readonly Reply[],
  merge: (replies: readonly Reply[]) => Reply,
): Reply {
  const error = replies.find((reply) => reply instanceof ErrorReply);
  if (error === undefined) return merge(replies);
  const isUndone = (reply: Reply): boolean => reply instanceof ErrorReply && ERRORS[reply.code].definite;
  if (!definition.isWrite || replies.every(isUndone)) return error;
  return ErrorReply.of('OUTCOME_UNKNOWN', `carried out in part: ${error.text}`);
}

export class Router {
  readonly #routes: (bucket: BucketDescription) => ReadonlyMap<number, Route>;
  readonly #slotOwners: () => Uint16Array | undefined;

  /** `routes`: the ways to all groups, for this bucket. */
  constructor(
    routes: (bucket: BucketDescription) => ReadonlyMap<number, Route>,
    slotOwners: () => Uint16Array | undefined,
  ) {
    this.#routes = routes;
    this.#slotOwners = slotOwners;
  }

  submit(request: Request): void {
    const { definition, args } = request;
    switch (definition.scope) {
      case 'keys': {
        const slot = sharedSlot(definition, args);
        if (slot === undefined) this.#withoutKey(request);
        else if (slot >= 0 && !this.#isSplitAlways(request)) this.#toSlot(request, slot);
        else if (definition.split !== undefined) this.#split(request, definition.split);
        // One slot would not help: what works on several keys at once reads before it writes.
        else if (request.bucket.quorum !== undefined)
          request.completion.complete(refusalOf(definition, request.bucket));
        else this.#refuse(request, 'CROSS_SLOT', "Keys in request don't hash to the same slot");
        return;
      }
      case 'cursor': {
        const token = definition.cursorToken?.(args) ?? 0;
        const slot = Math.min(SLOT_COUNT - 1, slotOfToken(token));
        this.#toSlot(request, slot);
        return;
      }
      case 'all-groups':
        this.#toAll(request);
        return;
      case 'connection':
        this.#refuse(request, 'INTERNAL', `command '${definition.name}' is the connection's to answer`);
        return;
    }
  }

  #withoutKey(request: Request): void {
    const reply = request.definition.withoutKey?.(request.args);
    if (reply === undefined) this.#refuse(request, 'WRONG_ARGUMENTS', 'the command names no key');
    else request.completion.complete(reply);
  }

  /** In an eventual bucket no command is over several keys at once, whatever their slots. */
  #isSplitAlways({ bucket, definition, args }: Request): boolean {
    return (
      bucket.quorum !== undefined &&
      definition.split !== undefined &&
      args.length > definition.split.wordsPerPart
    );
  }

  #refuse(
    request: Request,
    code: 'WRONG_ARGUMENTS' | 'CROSS_SLOT' | 'INTERNAL' | 'STARTING',
    message: string,
  ): void {
    request.completion.complete(ErrorReply.of(code, message));
  }

  #toSlot(request: Request, slot: number): void {
    const group = this.#slotOwners()?.[slot];
    const route = group === undefined ? undefined : this.#routes(request.bucket).get(group);
    if (route === undefined) this.#refuse(request, 'STARTING', 'the node does not know its cluster yet');
    else route.submit(request);
  }

  #split(request: Request, split: NonNullable<CommandDefinition['split']>): void {
    const { wordsPerPart, merge } = split;
    const { args, completion } = request;
    const parts = args.length / wordsPerPart;
    const gathering = new Gathering(parts, (replies) =>
      completion.complete(oneOf(request.definition, replies, merge)),
    );
    for (let part = 0; part < parts; part++) {
      const partArgs = args.slice(part * wordsPerPart, (part + 1) * wordsPerPart);
      // A client's sequence names one command; the parts go under the node's own session.
      this.#toSlot(
        { ...request, args: partArgs, completion: gathering.part(part), session: undefined },
        slotOf(partArgs[0]!),
      );
    }
  }

  #toAll(request: Request): void {
    const routes = [...this.#routes(request.bucket).values()];
    if (routes.length === 0) {
      this.#refuse(request, 'STARTING', 'the node does not know its cluster yet');
      return;
    }
    const { definition, args, completion } = request;
    const gathering = new Gathering(routes.length, (replies) =>
      completion.complete(oneOf(definition, replies, (all) => definition.merge?.(all, args) ?? all)),
    );
    for (const [position, route] of routes.entries()) {
      route.submit({ ...request, completion: gathering.part(position), session: undefined });
    }
  }
}
