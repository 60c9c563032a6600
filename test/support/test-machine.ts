/** A state machine under test: entries are built as a leader would, and indexes and sequences count by themselves. */
import { invariant } from '../../src/base/errors.js';
import { SLOT_COUNT } from '../../src/base/slots.js';
import type { Engine } from '../../src/engine/types.js';
import { checkArity } from '../../src/store/arguments.js';
import { BatchBuilder } from '../../src/store/batch.js';
import { encodeBucket } from '../../src/store/bucket-codec.js';
import type { CommandDefinition } from '../../src/store/command.js';
import { commandByName } from '../../src/store/registry.js';
import type { Reply } from '../../src/store/reply.js';
import type { SlotRange } from '../../src/store/slot-ranges.js';
import { createStateMachine } from '../../src/store/state-machine.js';
import { type BucketDescription, CLOCK_BEHIND, type GroupStateMachine } from '../../src/store/types.js';
import { TestEngines } from './reference-engine.js';

const ALL_SLOTS: readonly SlotRange[] = [{ first: 0, last: SLOT_COUNT - 1 }];
const SESSION = '0123456789abcdef';
export const START_MS = 1_700_000_000_000;

export function bucketOf(id: number, ttlMs = 0): BucketDescription {
  return { id, name: id === 0 ? 'default' : `bucket-${id}`, replication: 'raft', engine: 'memory', ttlMs };
}

export type Word = string | number | Buffer;

export function bytes(word: Word): Buffer {
  return Buffer.isBuffer(word) ? word : Buffer.from(String(word), 'latin1');
}

export function command(name: string): CommandDefinition {
  const definition = commandByName(name.toLowerCase());
  invariant(definition !== undefined, `command ${name} exists`);
  return definition;
}

export class TestMachine {
  readonly engines: TestEngines;
  readonly machine: GroupStateMachine;
  readonly builder = new BatchBuilder();
  index = 0;
  sequence = 0;
  nowMs = START_MS;
  bucketId = 0;

  constructor(
    options: {
      slots?: readonly SlotRange[];
      engine?: () => Engine;
      buckets?: readonly BucketDescription[];
    } = {},
  ) {
    this.engines = new TestEngines(options.engine);
    this.machine = createStateMachine({ group: 1, slots: options.slots ?? ALL_SLOTS, engines: this.engines });
    for (const bucket of options.buckets ?? [bucketOf(0)])
      this.control('quoin.open-bucket', encodeBucket(bucket));
  }

  /** Applies a command of the node itself. */
  control(name: string, ...words: Word[]): Reply {
    this.builder.addControl(this.bucketId, command(name), words.map(bytes));
    return this.apply(this.builder.take(this.nowMs))[0]!;
  }

  apply(payload: Buffer): Reply[] {
    return this.machine.apply(++this.index, payload, true);
  }

  /** Carries out a command as a client would see it: checked, then read or written. */
  run(name: string, ...words: Word[]): Reply {
    const definition = command(name);
    const args = words.map(bytes);
    const refusal = checkArity(definition, args.length) ?? definition.validate?.(args);
    if (refusal !== undefined) return refusal;
    return definition.isWrite ? this.write(definition, args) : this.read(definition, args);
  }

  write(definition: CommandDefinition, args: readonly Buffer[]): Reply {
    const sequence = ++this.sequence;
    this.builder.add(
      { session: SESSION, sequence, acknowledgedBelow: sequence },
      this.bucketId,
      definition,
      args,
    );
    return this.apply(this.builder.take(this.nowMs))[0]!;
  }

  read(definition: CommandDefinition, args: readonly Buffer[]): Reply {
    const reply = this.machine.read(definition, this.bucketId, args, this.nowMs);
    if (reply !== CLOCK_BEHIND) return reply;
    this.apply(this.builder.take(this.nowMs));
    const again = this.machine.read(definition, this.bucketId, args, this.nowMs);
    invariant(again !== CLOCK_BEHIND, 'a tick brings the log up to the clock');
    return again;
  }

  /** Digests of all slots that hold anything. */
  digests(): Record<number, number> {
    const digests: Record<number, number> = {};
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const digest = this.machine.digestOfSlot(slot);
      if (digest !== 0) digests[slot] = digest;
    }
    return digests;
  }
}

/** A reply as plain data that reads well in a failed expectation. */
export function plain(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (Array.isArray(reply)) return reply.map((member: Reply) => plain(member));
  if (typeof reply === 'bigint') return `${reply}n`;
  if (reply !== null && typeof reply === 'object') {
    if ('kind' in reply) return 'null array';
    if ('text' in reply) return 'code' in reply ? `-${reply.text}` : `+${reply.text}`;
  }
  return reply;
}
