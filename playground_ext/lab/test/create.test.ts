/** The form behind a template's dialog, and where the notebooks go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TranslationBundle } from '@jupyterlab/translation';
import { FederationForm, freeName } from '../src/create/form';
import { grid } from '../src/federation/grid';
import { ITemplate } from '../src/tokens';

const trans = {
  __: (text: string, ...values: unknown[]) => text.replace(/%(\d)/g, (_, index) => String(values[Number(index) - 1]))
} as unknown as TranslationBundle;

const template: ITemplate = {
  name: 'fed_avg',
  title: 'FedAvg',
  description: '',
  roles: [
    { name: 'aggregator', notebook: 'a.ipynb', count: 1, minimum: 1, maximum: 1, kernel: null, initiator: true },
    { name: 'collaborator', notebook: 'c.ipynb', count: 2, minimum: 1, maximum: null, kernel: null, initiator: false }
  ],
  parameters: [
    { name: 'rounds', type: 'integer', default: 5, minimum: 1, maximum: 1000, choices: null, help: '' },
    { name: 'rate', type: 'number', default: 0.05, minimum: 0, maximum: null, choices: null, help: '' },
    { name: 'split', type: 'choice', default: 'iid', minimum: null, maximum: null, choices: ['iid', 'label'], help: '' },
    { name: 'share', type: 'boolean', default: true, minimum: null, maximum: null, choices: null, help: '' },
    { name: 'file', type: 'string', default: '', minimum: null, maximum: null, choices: null, help: '' }
  ]
};
const form = (taken: string[] = []): FederationForm => new FederationForm({ template, trans, taken, directory: 'work' });

test('the defaults of a template are a valid request with values of the right types', () => {
  assert.deepEqual(form().request(), {
    template: 'fed_avg',
    name: 'fed_avg',
    directory: 'work',
    roles: { aggregator: 1, collaborator: 2 },
    parameters: { rounds: 5, rate: 0.05, split: 'iid', share: true, file: '' }
  });
});

test('values are checked while they are typed', () => {
  const wrong: [string, string, string][] = [
    ['parameters.rounds', '0', 'At least 1.'],
    ['parameters.rounds', '1001', 'At most 1000.'],
    ['parameters.rounds', '1.5', 'A whole number is needed.'],
    ['parameters.rounds', '', 'A number is needed.'],
    ['parameters.rate', '-1', 'At least 0.'],
    ['roles.collaborator', '0', 'At least 1.'],
    ['roles.collaborator', '33', 'At most 32.'],
    ['name', 'two words', 'Letters, digits, - and _ only, at most 64.'],
    ['name', ' ', 'A name is needed; the folder gets it.']
  ];
  for (const [field, value, message] of wrong) {
    const one = form();
    one.set(field, value);
    assert.deepEqual([one.error(field), one.valid], [message, false], `${field} = ${value}`);
    assert.throws(() => one.request());
  }
});

test('a name that is taken is proposed with a number, unless it was typed', () => {
  assert.equal(form(['fed_avg', 'fed_avg-2']).value('name'), 'fed_avg-3');
  assert.equal(freeName('run-7', new Set(['run-7'])), 'run-2');
  const typed = form();
  typed.set('name', 'mine');
  typed.setTaken(['fed_avg', 'mine']);
  assert.deepEqual([typed.value('name'), typed.error('name')], ['mine', 'There is a folder of that name; mine-2 is free.']);
});

test("what the server refuses stands at its field until that is edited, and the rest is kept", () => {
  const one = form();
  one.set('parameters.file', 'ids.csv');
  one.refuse('file', 'there is no ids.csv');
  assert.deepEqual([one.error('parameters.file'), one.valid], ['there is no ids.csv', false]);
  one.set('parameters.file', 'names.csv');
  assert.deepEqual([one.error('parameters.file'), one.valid], [null, true]);
  one.refuse('nowhere', 'the disk is full');
  assert.deepEqual([one.failure, one.valid, one.value('parameters.file')], ['the disk is full', true, 'names.csv']);
});

/** Width and height of each notebook if every split halves the cell that it splits. */
function areas(count: number): Map<number, [number, number]> {
  const cells = new Map<number, [number, number]>();
  for (const { index, beside, mode } of grid(count)) {
    if (beside === null) {
      cells.set(index, [1, 1]);
    } else if (mode !== 'tab-after') {
      const [width, height] = cells.get(beside)!;
      const half: [number, number] = mode === 'split-right' ? [width / 2, height] : [width, height / 2];
      cells.set(beside, half);
      cells.set(index, half);
    }
  }
  return cells;
}

test('two notebooks stand side by side, four in quarters', () => {
  assert.deepEqual([...areas(2).values()], [[0.5, 1], [0.5, 1]]);
  assert.deepEqual([...areas(4).values()], Array(4).fill([0.5, 0.5]));
  assert.deepEqual(areas(3), new Map([[0, [0.5, 1]], [1, [0.5, 0.5]], [2, [0.5, 0.5]]]));
});

test('further notebooks are tabs in the four cells in turn, each opened after the one it stands behind', () => {
  const opened = grid(11);
  assert.equal(opened.length, 11);
  assert.deepEqual(opened.slice(4).map(({ beside, mode }) => [beside, mode]), [0, 1, 2, 3, 4, 5, 6].map(at => [at, 'tab-after']));
  opened.forEach(({ beside }, place) => {
    assert.ok(beside === null || opened.slice(0, place).some(({ index }) => index === beside));
  });
});
