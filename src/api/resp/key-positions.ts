/** Where a command's keys stand among its words. */
import type { CommandShape } from './connection-command.js';

/** Positions of a command's keys among its words (the name is word 0), given the number of words after the name. */
export function keyPositions(shape: CommandShape, argCount: number): number[] {
  if (shape.firstKey === 0) return [];
  const last = shape.lastKey < 0 ? argCount + 1 + shape.lastKey : Math.min(shape.lastKey, argCount);
  const positions: number[] = [];
  for (let at = shape.firstKey; at <= last; at += Math.max(1, shape.keyStep)) positions.push(at);
  return positions;
}
