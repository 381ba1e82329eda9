import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allParties, byName, partyColour, partyDash, partyPlace } from '../src/display/colours';
import { shortName } from '../src/display/names';
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

test('parties stand in the task’s order, unknown ones after them by number', () => {
  assert.deepEqual(allParties(['host', 'a'], ['party-10', 'a', 'party-2']), ['host', 'a', 'party-2', 'party-10']);
  assert.ok(byName('collaborator-2', 'collaborator-10') < 0);
});

test('long names keep their ends, where they differ', () => {
  assert.equal(shortName('aggregator', 10), 'aggregator');
  assert.equal(shortName('hospital-of-somewhere-12', 11), 'hospi…re-12');
  assert.equal(shortName('hospital-of-somewhere-12', 11).length, 11);
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
