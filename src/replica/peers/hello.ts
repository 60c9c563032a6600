/**
 * How two nodes introduce themselves when a link opens. JSON: it is rare, and readable in a capture.
 */
import type { NodeDescription } from '../../cluster/map.js';

export interface Hello {
  readonly clusterName: string;
  /** The sender's map, encoded; '' while its cluster has not formed. */
  readonly map: string;
  readonly node: NodeDescription;
  /** Addresses of all the nodes that the sender's cluster is to form from, sorted. */
  readonly join: readonly string[];
  /** What the first map is made of beside the nodes: first nodes that disagree on it would make different maps. */
  readonly settings: string;
  /** True in the dialler's hello: the other side shall answer with its own. */
  readonly wantsAnswer: boolean;
  /** Incarnation that the sender's map records for the receiver; '' when it records none. */
  readonly knownIncarnation: string;
}

export function encodeHello(hello: Hello): Buffer {
  return Buffer.from(JSON.stringify(hello), 'utf8');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

function isNodeDescription(value: unknown): value is NodeDescription {
  return (
    isRecord(value) &&
    ['id', 'resp', 'http', 'grpc', 'zone', 'incarnation'].every(
      (field) => typeof value[field] === 'string',
    ) &&
    typeof value.weight === 'number' &&
    isTexts(value.roles)
  );
}

/** Undefined when the bytes are no hello. */
export function decodeHello(bytes: Buffer): Hello | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isRecord(parsed)) return undefined;
  const { clusterName, map, node, join, settings, wantsAnswer, knownIncarnation } = parsed;
  if (typeof clusterName !== 'string' || typeof map !== 'string' || typeof wantsAnswer !== 'boolean')
    return undefined;
  if (typeof settings !== 'string') return undefined;
  if (typeof knownIncarnation !== 'string' || !isTexts(join) || !isNodeDescription(node)) return undefined;
  return { clusterName, map, node, join, settings, wantsAnswer, knownIncarnation };
}
