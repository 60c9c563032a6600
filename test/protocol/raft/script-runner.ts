/**
 * Runs scripted interactions between cores: `scripts/*.txt`.
 *
 * A script opens with prose, up to the first line that starts with `group`: the voters, then `learners` and who they
 * are, then options as key=value. After it come blocks: a line `> command`, and the effects that it must have, one for each line, up
 * to an empty line. Effects come out in the order in which they are to be carried out. Lines that start with `#` are
 * remarks.
 *
 * Commands:
 *   elapse MS [NODE...]     time passes in steps of 10 ms; the nodes named (all, when none is) tick
 *   deliver [FROM TO]       hands over all messages under way, and those they cause; or only those now under way on one link
 *   drop [FROM TO]          loses messages under way
 *   propose NODE TEXT, read NODE, transfer NODE TO, break NODE PEER
 *   hold NODE, sync NODE    what NODE writes is not durable; now it is, and NODE goes on syncing at once
 *   crash NODE, restart NODE, compact NODE INDEX
 *   snapshot FROM TO, snapshot-failed FROM TO    the snapshot that was wanted arrives, or fails
 *   status [NODE...], log NODE
 *
 * Nothing is left to chance: node k waits (1 + k/10) election time-outs, of 100 ms; heartbeats come every 20 ms.
 */
import { RaftCore } from '../../../src/protocol/raft/core.js';
import type { RaftOptions } from '../../../src/protocol/raft/options.js';
import type { LogEntry, NodeId, OutgoingMessage, RaftMessage } from '../../../src/protocol/raft/types.js';
import { MemoryLog } from './memory-log.js';

const TICK_MS = 10;

interface ScriptNode {
  readonly id: NodeId;
  readonly log: MemoryLog;
  readonly random: () => number;
  core: RaftCore;
  up: boolean;
  holding: boolean;
  held: { finish: () => void; last: LogEntry | undefined; promises: readonly OutgoingMessage[] }[];
  appliedIndex: number;
  nextReadId: number;
}

interface UnderWay {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: RaftMessage;
}

/** Runs a script; returns it with the effects that it really had, to be compared with what it says. */
export function runScript(text: string): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith('group '));
  if (start < 1) throw new Error('a script opens with prose and then says its group');
  const group = new ScriptedGroup(lines[start]!.split(/\s+/).slice(1));
  const out = lines.slice(0, start + 1);
  for (let at = start + 1; at < lines.length; at++) {
    const line = lines[at]!;
    if (line.startsWith('#') || line === '') {
      out.push(line);
      continue;
    }
    if (!line.startsWith('> ')) throw new Error(`line ${at + 1}: expected a command, found: ${line}`);
    out.push(line, ...group.run(line.slice(2)));
    while (at + 1 < lines.length && lines[at + 1] !== '') at++;
  }
  return `${out.join('\n').trimEnd()}\n`;
}

class ScriptedGroup {
  readonly #nodes = new Map<NodeId, ScriptNode>();
  readonly #voters: NodeId[] = [];
  readonly #learners: NodeId[] = [];
  readonly #options = new Map<string, number>();
  #wire: UnderWay[] = [];
  #output: string[] = [];
  #nowMs = 0;

  constructor(words: readonly string[]) {
    let list = this.#voters;
    for (const word of words) {
      const [key, value] = word.split('=');
      if (value !== undefined) this.#options.set(key!, Number(value));
      else if (word === 'learners') list = this.#learners;
      else list.push(word);
    }
    [...this.#voters, ...this.#learners].forEach((id, position) => {
      const log = new MemoryLog();
      const random = (): number => (position + 1) / 10;
      this.#nodes.set(id, {
        id,
        log,
        random,
        core: this.#makeCore(id, log, random, 0),
        up: true,
        holding: false,
        held: [],
        appliedIndex: 0,
        nextReadId: 1,
      });
    });
  }

  #makeCore(id: NodeId, log: MemoryLog, random: () => number, appliedIndex: number): RaftCore {
    const options: RaftOptions = {
      id,
      voters: this.#voters,
      learners: this.#learners,
      log,
      hardState: log.hardState,
      appliedIndex,
      electionTimeoutMs: 100,
      heartbeatIntervalMs: 20,
      maxAppendBytes: this.#options.get('maxAppendBytes') ?? 1000,
      maxInflightAppends: this.#options.get('maxInflightAppends') ?? 4,
      maxUncommittedBytes: this.#options.get('maxUncommittedBytes') ?? 1000,
      leaseReads: this.#options.get('leaseReads') === 1,
      maxClockDrift: 0.1,
      random,
      nowMs: this.#nowMs,
    };
    return new RaftCore(options);
  }

  run(command: string): string[] {
    this.#output = [];
    const [name, ...rest] = command.split(' ');
    this.#carryOut(name!, rest);
    return this.#output;
  }

  #node(id: string | undefined): ScriptNode {
    const node = this.#nodes.get(id ?? '');
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  #carryOut(name: string, words: readonly string[]): void {
    const [first, second] = words;
    switch (name) {
      case 'elapse':
        this.#elapse(Number(first), words.slice(1));
        return;
      case 'deliver':
        if (first === undefined) this.#deliverAll();
        else this.#deliverLink(first, second!);
        return;
      case 'drop':
        this.#wire = first === undefined ? [] : this.#wire.filter((m) => m.from !== first || m.to !== second);
        return;
      case 'status':
        for (const id of words.length > 0 ? words : this.#nodes.keys()) this.#printStatus(this.#node(id));
        return;
      case 'snapshot':
        this.#snapshot(this.#node(first), this.#node(second));
        return;
      case 'snapshot-failed':
        this.#node(first).core.snapshotFinished(second!, undefined);
        this.#pump(this.#node(first));
        return;
      default:
        this.#carryOutAt(name, this.#node(first), words.slice(1).join(' '));
        return;
    }
  }

  #carryOutAt(name: string, node: ScriptNode, argument: string): void {
    switch (name) {
      case 'propose': {
        const outcome = node.core.propose(Buffer.from(argument), this.#nowMs);
        if (!outcome.accepted) this.#output.push(`${node.id} refuses: ${outcome.reason}`);
        break;
      }
      case 'read':
        node.core.requestRead(node.nextReadId++, this.#nowMs);
        break;
      case 'transfer':
        if (!node.core.transferLeadership(argument, this.#nowMs)) this.#output.push(`${node.id} refuses`);
        break;
      case 'break':
        node.core.peerConnectionLost(argument, this.#nowMs);
        break;
      case 'hold':
        node.holding = true;
        return;
      case 'sync':
        this.#sync(node);
        return;
      case 'crash':
        node.up = false;
        node.log.crash();
        node.held = [];
        node.holding = false;
        return;
      case 'restart':
        node.up = true;
        node.core = this.#makeCore(node.id, node.log, node.random, node.appliedIndex);
        break;
      case 'compact':
        node.log.compact(Number(argument));
        return;
      case 'log':
        this.#output.push(`${node.id} holds ${describeEntries(this.#allEntries(node))}`);
        return;
      default:
        throw new Error(`there is no command ${name}`);
    }
    this.#pump(node);
  }

  #allEntries(node: ScriptNode): LogEntry[] {
    const first = node.log.firstIndex();
    return first > node.log.lastIndex() ? [] : node.log.entries(first, node.log.lastIndex() + 1, 1e9);
  }

  #elapse(durationMs: number, ids: readonly string[]): void {
    for (let passedMs = 0; passedMs < durationMs; passedMs += TICK_MS) {
      this.#nowMs += TICK_MS;
      for (const node of this.#nodes.values()) {
        if (!node.up || (ids.length > 0 && !ids.includes(node.id))) continue;
        node.core.tick(this.#nowMs);
        this.#pump(node);
      }
    }
  }

  #deliverAll(): void {
    for (let count = 0; this.#wire.length > 0; count++) {
      if (count > 1000) throw new Error('the messages never end');
      this.#deliver(this.#wire.shift()!);
    }
  }

  #deliverLink(from: string, to: string): void {
    const due = this.#wire.filter((m) => m.from === from && m.to === to);
    this.#wire = this.#wire.filter((m) => m.from !== from || m.to !== to);
    for (const message of due) this.#deliver(message);
  }

  #deliver({ from, to, message }: UnderWay): void {
    const node = this.#node(to);
    if (!node.up) return;
    node.core.step(from, message, this.#nowMs);
    this.#pump(node);
  }

  #pump(node: ScriptNode): void {
    while (node.core.hasEffects()) {
      const effects = node.core.takeEffects();
      const { id } = node;
      if (effects.leadershipChanged) {
        const { role, term, leader } = node.core.status();
        this.#output.push(`${id} is ${role} in term ${term}, leader ${leader ?? 'unknown'}`);
      }
      this.#send(node, effects.messages);
      if (effects.hardState !== undefined) {
        node.log.saveHardState(effects.hardState);
        const vote = effects.hardState.votedFor === '' ? 'no vote' : `vote ${effects.hardState.votedFor}`;
        this.#output.push(`${id} saves term ${effects.hardState.term}, ${vote}`);
      }
      if (effects.entries.length > 0) {
        node.log.append(effects.entries);
        this.#output.push(`${id} appends ${describeEntries(effects.entries)}`);
      }
      node.held.push({
        finish: node.log.beginSync(),
        last: effects.entries.at(-1),
        promises: effects.messagesAfterPersist,
      });
      for (const read of effects.readsReady)
        this.#output.push(
          `${id} read ${read.id} ${read.index === -1 ? 'refused' : `ready at ${read.index}`}`,
        );
      if (effects.committed.length > 0) {
        this.#output.push(`${id} commits ${describeEntries(effects.committed)}`);
        node.appliedIndex = effects.committed.at(-1)!.index;
        node.core.applied(node.appliedIndex);
      }
      for (const peer of effects.snapshotsWanted) this.#output.push(`${id} wants a snapshot for ${peer}`);
      if (!node.holding) this.#finishSyncs(node);
    }
  }

  #sync(node: ScriptNode): void {
    node.holding = false;
    this.#finishSyncs(node);
    this.#pump(node);
  }

  #finishSyncs(node: ScriptNode): void {
    const held = node.held;
    node.held = [];
    for (const { finish, last, promises } of held) {
      finish();
      if (last !== undefined) node.core.persisted(last.index, last.term);
      this.#send(node, promises);
    }
  }

  #send(node: ScriptNode, messages: readonly OutgoingMessage[]): void {
    for (const { to, message } of messages) {
      this.#wire.push({ from: node.id, to, message });
      this.#output.push(`${node.id} -> ${to} ${describe(message)}`);
    }
  }

  #snapshot(from: ScriptNode, to: ScriptNode): void {
    const index = from.appliedIndex;
    const term = from.log.term(index);
    const plan = to.core.planRestore(index, term);
    this.#output.push(`${to.id} plans ${plan}`);
    if (plan !== 'ignore') to.appliedIndex = index;
    if (plan === 'reset-log') to.log.resetTo(index, term);
    to.core.restore(index, term);
    this.#pump(to);
    from.core.snapshotFinished(to.id, index);
    this.#pump(from);
  }

  #printStatus(node: ScriptNode): void {
    if (!node.up) {
      this.#output.push(`${node.id} is down`);
      return;
    }
    const { role, term, leader, commitIndex, lastIndex } = node.core.status();
    this.#output.push(
      `${node.id} is ${role} in term ${term}, leader ${leader ?? 'unknown'}, commit ${commitIndex} of ${lastIndex}`,
    );
  }
}

function describeEntries(entries: readonly LogEntry[]): string {
  if (entries.length === 0) return 'nothing';
  return entries
    .map(
      (entry) =>
        `${entry.index}:t${entry.term}${entry.payload.length > 0 ? `=${entry.payload.toString()}` : ''}`,
    )
    .join(' ');
}

function describe(message: RaftMessage): string {
  const head = `${message.kind} t${message.term}`;
  switch (message.kind) {
    case 'append-request': {
      const after = `after ${message.previousIndex}:t${message.previousTerm}`;
      return `${head} ${after} commit ${message.commitIndex}: ${describeEntries(message.entries)}`;
    }
    case 'append-response':
      if (message.success) return `${head} has ${message.index}`;
      return `${head} refuses ${message.index}, try ${message.hintIndex}:t${message.hintTerm}`;
    case 'heartbeat':
      return `${head} commit ${message.commitIndex} round ${message.readRound}`;
    case 'heartbeat-response':
      return `${head} round ${message.readRound}`;
    case 'pre-vote-request':
    case 'vote-request':
      return `${head} last ${message.lastIndex}:t${message.lastTerm}${message.force ? ' forced' : ''}`;
    case 'pre-vote-response':
    case 'vote-response':
      return `${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'read-index-request':
      return head;
    case 'read-index-response':
      return `${head} ${message.index === -1 ? 'refused' : `index ${message.index}`}`;
    case 'timeout-now':
      return head;
  }
}
