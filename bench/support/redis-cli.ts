/** What a benchmark or test asks a server about itself, through redis-cli: the same for Redis and Quoin. */
import { runProcess } from './processes.js';

/** A range of slots and who serves it. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  /** `host:port` of the master (in Quoin: of the group's leader). */
  readonly leader: string;
  readonly replicas: readonly string[];
}

export async function redisCli(port: number, ...args: string[]): Promise<string> {
  const answer = await runProcess('redis-cli', ['-p', String(port), ...args], { timeoutMs: 10_000 });
  return answer.trimEnd();
}

/** True when the server answers PING. */
export async function answersPing(port: number): Promise<boolean> {
  try {
    return (await redisCli(port, 'PING')) === 'PONG';
  } catch {
    return false;
  }
}

const address = (node: unknown): string => {
  if (!Array.isArray(node)) throw new Error(`not a node of CLUSTER SLOTS: ${JSON.stringify(node)}`);
  return `${String(node[0])}:${String(node[1])}`;
};

/** `CLUSTER SLOTS` as one server sees it. */
export async function clusterSlots(port: number): Promise<SlotRange[]> {
  const answer = await redisCli(port, '--json', 'CLUSTER', 'SLOTS');
  const parsed: unknown = JSON.parse(answer);
  if (!Array.isArray(parsed)) throw new Error(`CLUSTER SLOTS answered ${answer}`);
  return parsed.map((range: unknown) => {
    if (!Array.isArray(range)) throw new Error(`CLUSTER SLOTS answered ${answer}`);
    const [first, last, leader, ...replicas] = range as unknown[];
    return {
      first: Number(first),
      last: Number(last),
      leader: address(leader),
      replicas: replicas.map(address),
    };
  });
}

/** One field of `INFO`. */
export async function infoField(port: number, section: string, field: string): Promise<string | undefined> {
  const answer = await redisCli(port, 'INFO', section);
  for (const line of answer.split(/\r?\n/))
    if (line.startsWith(`${field}:`)) return line.slice(field.length + 1);
  return undefined;
}
