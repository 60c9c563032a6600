/**
 * Failures as the command line prints them: one line on stderr with the error's code, what happened and what to do next.
 */
import { ERRORS, type ErrorCode, QuoinError } from '../base/errors.js';
import { RespError } from '../client/resp-reader.js';

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Redis error words that stand for one code only. */
const CODE_OF_WORD: ReadonlyMap<string, ErrorCode> = new Map([
  ['WRONGTYPE', 'WRONG_TYPE'],
  ['CROSSSLOT', 'CROSS_SLOT'],
  ['CLUSTERDOWN', 'NO_LEADER'],
  ['UNKNOWN', 'OUTCOME_UNKNOWN'],
  ['OVERLOADED', 'OVERLOADED'],
  ['LOADING', 'STARTING'],
]);

/** `quoin: CODE: what happened. What to do next.` */
export function failureLine(error: unknown): string {
  if (error instanceof QuoinError)
    return `quoin: ${error.code}: ${sentence(oneLine(error.message))} ${error.remedy}`;
  if (error instanceof RespError) {
    const [, word = '', text = ''] = /^([A-Z]+) (.*)$/s.exec(error.message) ?? ['', 'ERR', error.message];
    const code = CODE_OF_WORD.get(word);
    const remedy = code === undefined ? '' : ` ${ERRORS[code].remedy}`;
    return `quoin: ${code ?? word}: ${sentence(oneLine(text))}${remedy}`;
  }
  const message = error instanceof Error ? error.message : String(error);
  return `quoin: INTERNAL: ${sentence(oneLine(message))} ${ERRORS.INTERNAL.remedy}`;
}

/** 2 when the command was used wrongly, else 1. */
export function exitCodeOf(error: unknown): number {
  return error instanceof QuoinError && error.code === 'USAGE' ? 2 : 1;
}
