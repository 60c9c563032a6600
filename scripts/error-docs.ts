/**
 * Writes `docs/errors.md` from the registry of errors (`npm run docs:errors`). A test keeps the two equal, so an error
 * cannot be added without its documentation.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../src/base/errors.js';

const DOCUMENT_PATH = fileURLToPath(new URL('../docs/errors.md', import.meta.url));

const yesNo = (value: boolean): string => (value ? 'yes' : 'no');
const cell = (text: string): string => text.replaceAll('|', '\\|');

/** The page as it must stand. */
export function renderErrorDocument(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, error]) =>
      `| \`${code}\` | \`${error.resp}\` | ${error.http} | ${yesNo(error.definite)} | ${yesNo(error.retriable)} | ${cell(error.remedy)} |`,
  );
  return `# Errors

Every error has a stable code. It stands in \`code\` of an HTTP problem document, in \`error.code\` of the embedding API and at the head of
what the command line prints on stderr; a Redis client sees the error word and the message.

- **definite**: yes means that the request certainly had no effect; no means that it may have happened, or may yet happen.
- **retriable**: yes means that the same request may succeed later.

Codes are never renamed or reused. This page is generated from \`src/base/errors.ts\` by \`npm run docs:errors\`.

| code | Redis error word | HTTP status | definite | retriable | what to do next |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

/** The page as it stands. */
export function readErrorDocument(): string {
  return readFileSync(DOCUMENT_PATH, 'utf8');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(DOCUMENT_PATH, renderErrorDocument());
