/** The documentation leads somewhere: every relative link in a page is a file that is there. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const pages = execFileSync('git', ['ls-files', '*.md'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '');

const LINK = /\]\((?!https?:|mailto:|#)([^)#\s]+)/g;

describe('documentation', () => {
  test('has pages', () => {
    expect(pages).toContain('README.md');
  });

  test.each(pages)('every link of %s leads to a file', (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8');
    const targets = [...text.matchAll(LINK)].map(([, target]) => target ?? '');
    const broken = targets.filter((target) => !existsSync(join(ROOT, dirname(page), target)));
    expect(broken).toEqual([]);
  });

  test('every decision is in the list of decisions', () => {
    const list = readFileSync(join(ROOT, 'docs/decisions/README.md'), 'utf8');
    const decisions = pages.filter(
      (page) => page.startsWith('docs/decisions/') && !page.endsWith('/README.md'),
    );
    expect(decisions.filter((page) => !list.includes(`(${page.slice('docs/decisions/'.length)})`))).toEqual(
      [],
    );
  });
});
