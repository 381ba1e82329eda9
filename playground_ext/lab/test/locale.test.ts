/** The Chinese catalogue: every text has its translation, with the same placeholders, and nothing is left over. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const LAB = resolve(__dirname, '../../..');
const CATALOGUE = resolve(LAB, '../locale/zh_CN/LC_MESSAGES/playground_ext.json');

/** `trans.__('…'` and `trans._n('…', '…'`, with either quote. */
const CALL = /trans\s*\.\s*(__|_n)\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g;

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap(name => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? sources(path) : /\.tsx?$/.test(name) ? [path] : [];
  });
}

/** The texts in the sources, and whether they have a plural. */
function texts(): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const path of sources(join(LAB, 'src'))) {
    for (const [, call, quoted] of readFileSync(path, 'utf-8').matchAll(CALL)) {
      found.set(quoted.slice(1, -1).replace(/\\(['"])/g, '$1'), call === '_n');
    }
  }
  return found;
}

const catalogue = JSON.parse(readFileSync(CATALOGUE, 'utf-8')) as { [text: string]: string[] };
const header = catalogue[''] as unknown as { [name: string]: string };
const translated = Object.keys(catalogue).filter(text => text !== '' && !text.includes('\u0004'));

test('every text is translated, and no translation is left over', () => {
  const used = texts();
  assert.ok(used.size > 200, `only ${used.size} texts were found`);
  assert.deepEqual([...used.keys()].filter(text => !(text in catalogue)), [], 'not translated');
  assert.deepEqual(translated.filter(text => !used.has(text)), [], 'not used any more');
});

test('a translation has the placeholders of its text', () => {
  const placeholders = (text: string): string[] => [...new Set(text.match(/%\d/g) ?? [])].sort();
  for (const text of translated) {
    assert.deepEqual(placeholders(catalogue[text][0]), placeholders(text), text);
  }
});

test('Lab finds the translations', () => {
  // @jupyterlab/translation/lib/gettext.js looks under the language's name with a hyphen, takes a list of one for a text
  // without a plural, and a longer one for a text with one, of which Chinese uses the first.
  assert.equal(header['language'], 'zh-CN');
  assert.equal(header['plural_forms'], 'nplurals=1; plural=0;');
  for (const [text, plural] of texts()) {
    assert.equal(catalogue[text].length, plural ? 2 : 1, text);
    assert.ok(catalogue[text][0], text);
  }
});

test('the templates that come with the package are translated, and no translation of them is left over', () => {
  const folder = resolve(LAB, '../../templates');
  const said = new Set<string>();
  for (const name of readdirSync(folder)) {
    const declaration = readFileSync(join(folder, name, 'template.toml'), 'utf-8');
    for (const [, text] of declaration.matchAll(/^(?:title|description|help) = "(.*)"$/gm)) {
      said.add(text);
    }
  }
  const inCatalogue = Object.keys(catalogue).filter(text => text.startsWith('template\u0004'));
  assert.deepEqual(inCatalogue.map(text => text.slice('template\u0004'.length)).sort(), [...said].sort());
});
