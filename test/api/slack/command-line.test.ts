import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSlackCommand } from '../../../src/api/slack/command-line.js';
import { QuoinError } from '../../../src/base/errors.js';

function refusal(text: string): string {
  try {
    parseSlackCommand(text);
  } catch (error) {
    if (error instanceof QuoinError && error.code === 'WRONG_ARGUMENTS') return error.message;
    throw error;
  }
  throw new Error(`'${text}' was taken`);
}

function put(text: string): { readonly bucket: string; readonly key: string; readonly value: string } {
  const command = parseSlackCommand(text);
  if (command.verb !== 'put') throw new Error(`'${text}' is no put`);
  const { bucket, key, value } = command;
  return { bucket, key, value };
}

describe('a slash command', () => {
  test('is get, put, del or help, in any case of letters', () => {
    expect(parseSlackCommand('get a')).toEqual({ verb: 'get', bucket: 'default', key: 'a' });
    expect(parseSlackCommand('DEL  a ')).toEqual({ verb: 'del', bucket: 'default', key: 'a' });
    expect(parseSlackCommand('Put a b')).toEqual({ verb: 'put', bucket: 'default', key: 'a', value: 'b' });
    for (const text of ['', '  ', 'help', 'help me'])
      expect(parseSlackCommand(text)).toEqual({ verb: 'help' });
    expect(refusal('incr a')).toContain("there is no 'incr'");
  });

  test('takes the rest of the line as the value, as it was typed', () => {
    expect(put('put k two  words\nand a line ')).toEqual({
      bucket: 'default',
      key: 'k',
      value: 'two  words\nand a line',
    });
    expect(put('put k {"a": [1, 2]}').value).toBe('{"a": [1, 2]}');
    expect(put('put k "one", "two"').value).toBe('"one", "two"');
    expect(put("put k 'tis \\n").value).toBe("'tis \\n");
  });

  test('takes keys and values in quotes, with escapes, straight or curly', () => {
    expect(put('put "two words" "a \\"b\\" \\\\ \\n \\t \\x "')).toEqual({
      bucket: 'default',
      key: 'two words',
      value: 'a "b" \\ \n \t \\x ',
    });
    expect(put('put “two words” “curly "straight" inside”')).toMatchObject({
      key: 'two words',
      value: 'curly "straight" inside',
    });
    expect(put('put k "straight “curly” inside"').value).toBe('straight “curly” inside');
    expect(put('put k ""').value).toBe('');
    expect(refusal('put k "open')).toContain('not closed');
    expect(refusal('get "a"b')).toContain('space is missing');
    expect(refusal('get ""')).toContain('key is missing');
  });

  test('takes a bucket after the verb, after the key and after the value', () => {
    const wanted = { bucket: 'b', key: 'k', value: 'some value' };
    for (const text of [
      'put --bucket b k some value',
      'put --bucket=b k some value',
      'put k --bucket b some value',
      'put k some value --bucket b',
      'put k some value --bucket=b',
      'put k "some value" --bucket b',
      'put k some value —bucket b',
      'put –bucket b k some value',
    ])
      expect(put(text), text).toEqual(wanted);
    expect(parseSlackCommand('get k --bucket b')).toEqual({ verb: 'get', bucket: 'b', key: 'k' });
    expect(put('put k "x --bucket b"')).toEqual({ bucket: 'default', key: 'k', value: 'x --bucket b' });
  });

  test('refuses an option that nobody can place', () => {
    expect(refusal('put k some --bucket b value')).toContain('inside of the value');
    expect(refusal('put k "some" --bucket b value')).toContain('inside of the value');
    expect(refusal('put --bucket a k v --bucket b')).toContain('given twice');
    expect(refusal('get k --bucket')).toContain('needs the name');
    expect(refusal('put k --ttl 5s')).toContain('unknown option --ttl');
    expect(refusal('get --all')).toContain('unknown option --all');
  });

  test('takes what follows a lone -- as it is', () => {
    expect(put('put k -- --bucket "x')).toEqual({ bucket: 'default', key: 'k', value: '--bucket "x' });
    expect(put('put --bucket b -- --k "v"')).toEqual({ bucket: 'b', key: '--k', value: '"v"' });
    expect(parseSlackCommand('get -- "k"')).toEqual({ verb: 'get', bucket: 'default', key: '"k"' });
  });

  test('refuses a missing key, a missing value and words too many', () => {
    for (const text of ['get', 'put', 'del --bucket b'])
      expect(refusal(text), text).toContain('key is missing');
    expect(refusal('put k')).toContain('value is missing');
    expect(refusal('put k --bucket b')).toContain('value is missing');
    expect(refusal('get a b')).toContain('takes one key');
  });

  test('reads entities where the whole text was encoded, and leaves them where it was not', () => {
    expect(put('put k a &lt;b&gt; &amp;amp; c').value).toBe('a <b> &amp; c');
    expect(put('put k <b> &amp;').value).toBe('<b> &amp;');
    expect(put('put k a & b &lt;').value).toBe('a & b &lt;');
  });

  test('is read or refused with WRONG_ARGUMENTS, whatever stands there', () => {
    const piece = fc.constantFrom(
      'put',
      'get',
      ' ',
      '"',
      '“',
      '\\',
      '--',
      '--bucket',
      '=',
      '—bucket',
      'x',
      '&lt;',
      '\n',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (text) => {
          for (const line of [text, `put ${text}`, `put k ${text}`]) {
            try {
              parseSlackCommand(line);
            } catch (error) {
              expect(error).toBeInstanceOf(QuoinError);
              expect((error as QuoinError).code).toBe('WRONG_ARGUMENTS');
            }
          }
        },
      ),
      { seed: 7, numRuns: 2000 },
    );
  });

  test('keeps any value that is written in quotes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        const quoted = `"${value.replace(/["\\]/g, '\\$&')}" <`;
        // The bare `<` tells that nothing was encoded; it makes the key here, so that the value stays alone.
        const text = `put "k<" ${quoted.slice(0, -2)}`;
        expect(put(text).value).toBe(value);
      }),
      { seed: 11, numRuns: 1000 },
    );
  });
});
