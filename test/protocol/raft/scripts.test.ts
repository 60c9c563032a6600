/**
 * The scripts in `scripts/`: what is written there is what must happen. After a deliberate change run with
 * UPDATE_SCRIPTS=1 and read the difference.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runScript } from './script-runner.js';

const FOLDER = new URL('./scripts/', import.meta.url);
const update = process.env.UPDATE_SCRIPTS === '1';

describe('scripted interactions', () => {
  for (const file of readdirSync(FOLDER).sort()) {
    it(`goes as written: ${file.replace('.txt', '').replaceAll('-', ' ')}`, () => {
      const path = new URL(file, FOLDER);
      const text = readFileSync(path, 'utf8');
      const actual = runScript(text);
      if (update) writeFileSync(path, actual);
      else expect(actual).toBe(text);
    });
  }
});
