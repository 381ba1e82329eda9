/** The Chinese catalogue: every text has its translation, with the same placeholders, and nothing is left over. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const LAB = resolve(__dirname, '../../..');
const CATALOGUE = resolve(LAB, '../locale/zh_CN/LC_MESSAGES/playground_ext.json');

/** `trans.__('…'` and `trans._n('…', '…'`, with either quote. */
const CALL = /trans\s*\.\s*(?:__|_n)\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g;

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap(name => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? sources(path) : /\.tsx?$/.test(name) ? [path] : [];
  });
}

function texts(): Set<string> {
  const found = new Set<string>();
  for (const path of sources(join(LAB, 'src'))) {
    for (const [, quoted] of readFileSync(path, 'utf-8').matchAll(CALL)) {
      found.add(quoted.slice(1, -1).replace(/\\(['"])/g, '$1'));
    }
  }
  return found;
}

const catalogue = JSON.parse(readFileSync(CATALOGUE, 'utf-8')) as { [text: string]: string[] };
const translated = Object.keys(catalogue).filter(text => text !== '' && !text.includes('\u0004'));

test('every text is translated, and no translation is left over', () => {
  const used = texts();
  assert.ok(used.size > 200, `only ${used.size} texts were found`);
  assert.deepEqual([...used].filter(text => !(text in catalogue)), [], 'not translated');
  assert.deepEqual(translated.filter(text => !used.has(text)), [], 'not used any more');
});

test('a translation has the placeholders of its text', () => {
  const placeholders = (text: string): string[] => [...new Set(text.match(/%\d/g) ?? [])].sort();
  for (const text of translated) {
    assert.deepEqual(placeholders(catalogue[text][0]), placeholders(text), text);
  }
});
