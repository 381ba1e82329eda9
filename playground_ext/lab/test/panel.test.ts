/** What the panel lists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCell } from '../src/panel/place';
import { failureOf, partyRows, progress, taskRows } from '../src/panel/rows';
import { IFailure, IFederation, IParty, ITask, ITaskSummary } from '../src/tokens';

const summary: ITaskSummary = {
  task: 'digits',
  title: null,
  algorithm: 'FedAvgScheduler',
  status: 'running',
  created: 100,
  round: 3,
  rounds: 5,
  parties: 1,
  source: 'notebooks',
  folder: null,
  size_bytes: 0
};
const federation: IFederation = {
  task: 'fresh',
  template: 'fed_avg',
  title: 'FedAvg on digits',
  folder: 'fresh',
  parties: [{ party: 'aggregator', role: 'aggregator', path: 'fresh/aggregator.ipynb', kernel: 'k' }]
};
const failure: IFailure = { party: 'a', kind: 'ValueError', message: '', traceback: '', cell: 4, line: 2, notebook: 'a.ipynb' };
const party: IParty = {
  party: 'aggregator',
  role: 'aggregator',
  state: 'averaging',
  status: 'failed',
  round: 3,
  rounds: null,
  last_seen: 90,
  alive: true,
  notebook: null,
  error: failure
};
const state: ITask = { ...summary, run: 'r', parties: [party], failure: null, notebooks: { aggregator: 'x/aggregator.ipynb' } };

test('a federation that was never run is listed first, and not twice once it runs', () => {
  const rows = taskRows([summary], [federation]);
  assert.deepEqual(rows.map(row => [row.task, row.status, row.title]), [
    ['fresh', 'ready', 'FedAvg on digits'],
    ['digits', 'running', 'FedAvgScheduler']
  ]);
  const run = taskRows([{ ...summary, task: 'fresh' }], [federation]);
  assert.deepEqual(run.map(row => [row.task, row.status, row.title]), [['fresh', 'running', 'FedAvg on digits']]);
});

test('a party has its notebook, and the rounds of its task where it names none', () => {
  const [row] = partyRows(state, null);
  assert.deepEqual([row.notebook, row.round, row.rounds, row.error], ['x/aggregator.ipynb', 3, 5, failure]);
  assert.deepEqual(partyRows(null, federation).map(row => [row.party, row.status]), [['aggregator', 'ready']]);
});

test('a round that is going counts half', () => {
  const at = (status: 'running' | 'failed' | 'finished' | 'waiting', round: number | null, rounds: number | null): number | null =>
    progress({ status, round, rounds });
  assert.equal(at('running', 3, 5), 0.5);
  assert.equal(at('failed', 3, 5), 0.6);
  assert.equal(at('finished', null, null), 1);
  assert.equal(at('waiting', null, 5), null);
  assert.equal(at('running', 9, 5), 1);
});

test('the failure of a task is what the server says, or the first party that has one', () => {
  assert.equal(failureOf(state), failure);
  assert.equal(failureOf({ ...state, failure: { ...failure, party: 'b' } })?.party, 'b');
  assert.equal(failureOf({ ...state, parties: [] }), null);
});

test("the cell's prompt decides where to jump, then its place in the file", () => {
  const counts = [null, 1, 2, null, 5];
  assert.equal(findCell(counts, { executionCount: 5, index: 2, line: null }), 4);
  assert.equal(findCell(counts, { executionCount: 9, index: 2, line: null }), 2);
  assert.equal(findCell(counts, { executionCount: null, index: 9, line: null }), -1);
});
