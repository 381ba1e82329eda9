import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { allParties, byName, partyColour, partyDash, partyPlace } from '../src/display/colours';
import { nameParts, shortName } from '../src/display/names';
import { countText, percentText, secondsText, shapeText, sizeText, valueText } from '../src/display/numbers';
import { PARTY_COLOURS } from '../src/parties';

const PARTIES = ['aggregator', ...Array.from({ length: 14 }, (_, index) => `collaborator-${index + 1}`)];

test('a party has the place that the task gives it, whatever else is shown', () => {
  assert.equal(partyPlace(PARTIES, 'collaborator-3'), 3);
  assert.equal(partyColour(PARTIES, 'aggregator'), 'var(--pg-party-0)');
});

test('a party that the task does not name keeps its colour when others appear', () => {
  assert.equal(partyPlace([], 'mallory'), partyPlace(PARTIES, 'mallory'));
});

test('parties beyond the palette share a colour and differ by dashes', () => {
  const later = PARTIES[PARTY_COLOURS];
  assert.equal(partyPlace(PARTIES, later), 0);
  assert.deepEqual(partyDash(PARTIES, PARTIES[0]), []);
  assert.notDeepEqual(partyDash(PARTIES, later), []);
});

/** Linear red, green, blue of `#rrggbb`. */
function linear(colour: string): number[] {
  return [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16) / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
}

/** Contrast of two colours as WCAG 2 defines it. */
function contrast(one: string, other: string): number {
  const [dark, light] = [one, other].map(linear).map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Lightness and two axes of colour in which equal distances look equal (Ottosson, 2020). */
function oklab(colour: string): number[] {
  const [r, g, b] = linear(colour);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s
  ];
}

test('twelve parties have twelve colours that can be told apart and read, in both themes', () => {
  const css = readFileSync(resolve(__dirname, '../../../style/base.css'), 'utf-8');
  const found = [...css.matchAll(/--pg-party-(\d+): (#[0-9a-f]{6});/g)];
  assert.equal(PARTY_COLOURS, 12);
  assert.deepEqual(found.map(([, place]) => Number(place)), [...Array(12).keys(), ...Array(12).keys()]);
  const colours = found.map(([, , colour]) => colour);
  // --jp-layout-color1 and -color2 of JupyterLab's light and dark themes
  for (const { palette, backs } of [
    { palette: colours.slice(0, 12), backs: ['#ffffff', '#eeeeee'] },
    { palette: colours.slice(12), backs: ['#212121', '#424242'] }
  ]) {
    for (const [index, colour] of palette.entries()) {
      for (const back of backs) {
        assert.ok(contrast(colour, back) >= 4.5, `${colour} on ${back}: ${contrast(colour, back).toFixed(2)}`);
      }
      for (const other of palette.slice(0, index)) {
        const [a, b] = [colour, other].map(oklab);
        const apart = Math.hypot(...a.map((value, axis) => value - b[axis]));
        assert.ok(apart > 0.1, `${colour} and ${other} are ${apart.toFixed(3)} apart`);
      }
    }
  }
});

test('parties stand in the task’s order, unknown ones after them by number', () => {
  assert.deepEqual(allParties(['host', 'a'], ['party-10', 'a', 'party-2']), ['host', 'a', 'party-2', 'party-10']);
  assert.ok(byName('collaborator-2', 'collaborator-10') < 0);
});

test('long names keep their ends, where they differ', () => {
  assert.equal(shortName('aggregator', 10), 'aggregator');
  assert.equal(shortName('hospital-of-somewhere-12', 11), 'hospi…re-12');
  assert.equal(shortName('hospital-of-somewhere-12', 11).length, 11);
});

test('where an ellipsis cuts a long name, its end is another part', () => {
  assert.deepEqual(nameParts('behind-20261122-180151'), ['behind-20261122', '-180151']);
  assert.deepEqual(nameParts('collaborator-1'), ['collaborator-1', '']);
});

test('sizes read as on the command line', () => {
  // `playground show`: 512 B, 87.4 kB, 1.2 MB
  assert.deepEqual([0, 512, 999, 87_400, 1_234_567, 999_960, 3.2e12].map(sizeText), [
    '0 B',
    '512 B',
    '999 B',
    '87.4 kB',
    '1.2 MB',
    '1.0 MB',
    '3.2 TB'
  ]);
});

test('durations have a fitting unit', () => {
  assert.deepEqual([0.0004, 0.042, 0.9999, 3.21, 59.97, 725, 3600, 18_600].map(secondsText), [
    '0.4 ms',
    '42 ms',
    '1.0 s',
    '3.2 s',
    '1 min',
    '12 min 5 s',
    '1 h',
    '5 h 10 min'
  ]);
});

test('values keep five digits, very small and large ones an exponent', () => {
  assert.deepEqual([0, 3, 0.031234567, 12.3456789, 100.5, 1.234e-7, -2e9, NaN, Infinity].map(valueText), [
    '0',
    '3',
    '0.031235',
    '12.346',
    '100.5',
    '1.234e-7',
    '-2e9',
    'NaN',
    '∞'
  ]);
  assert.equal(percentText(0.9312), '93.12 %');
  assert.equal(percentText(1), '100 %');
  assert.equal(countText(1234567), '1,234,567');
  assert.equal(shapeText([32, 1, 3]), '32 × 1 × 3');
  assert.equal(shapeText([]), 'scalar');
});
