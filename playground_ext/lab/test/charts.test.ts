import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latest, metricTables, valueRange } from '../src/charts/series';
import { barAt, layoutTimeline, newest, phaseSums, roundsOf, ticks } from '../src/charts/timeline';
import { trafficTable } from '../src/charts/traffic';
import { IPhase, IPoint } from '../src/tokens';

let seq = 0;
const point = (party: string, round: number | null, name: string, value: number): IPoint => ({ seq: ++seq, time: 0, party, round, name, value });
const phase = (party: string, round: number, name: IPhase['phase'], start: number, seconds: number): IPhase => ({
  party,
  round,
  phase: name,
  start,
  seconds
});

test('losses stand first, then accuracies, then the user’s own', () => {
  const points = ['f1', 'test/accuracy', 'auc', 'train/loss', 'pacc_man'].map(name => point('a', 1, name, 2));
  assert.deepEqual(
    metricTables(points, []).map(table => table.name),
    ['train/loss', 'test/accuracy', 'f1', 'auc', 'pacc_man']
  );
});

test('a table has rounds as rows, parties in the task’s order, and the last value of a round', () => {
  const [table] = metricTables([point('bob', 2, 'loss', 0.5), point('alice', 1, 'loss', 1), point('bob', 2, 'loss', 0.4)], ['alice', 'x', 'bob']);
  assert.deepEqual(table.parties, ['alice', 'bob']);
  assert.deepEqual(table.rounds, [1, 2]);
  assert.deepEqual(table.values, [
    [1, null],
    [null, 0.4]
  ]);
  assert.deepEqual(latest(table), [
    { party: 'alice', round: 1, value: 1 },
    { party: 'bob', round: 2, value: 0.4 }
  ]);
});

test('points without rounds are drawn by their place', () => {
  const [table] = metricTables([point('a', null, 'loss', 3), point('a', null, 'loss', 2), point('b', null, 'loss', 5)], []);
  assert.equal(table.by, 'point');
  assert.deepEqual(table.rounds, [1, 2]);
  assert.deepEqual(table.values, [
    [3, 2],
    [5, null]
  ]);
});

test('accuracies between 0 and 1 are shares; per cent that somebody reports are not', () => {
  assert.equal(metricTables([point('a', 1, 'test/accuracy', 0.9)], [])[0].share, true);
  assert.equal(metricTables([point('a', 1, 'test/accuracy', 90)], [])[0].share, false);
  assert.equal(metricTables([point('a', 1, 'loss', 0.9)], [])[0].share, false);
});

test('a value that is no number has its place in the table, and makes no axis endless', () => {
  const nothing = { ...point('a', 1, 'loss', 0), value: null } as unknown as IPoint; // the server says null for NaN and infinity
  const [table] = metricTables([nothing, point('a', 2, 'loss', 0.5)], []);
  assert.deepEqual(table.rounds, [1, 2]);
  assert.ok(Number.isNaN(table.values[0][0]));
  assert.deepEqual(latest(table), [{ party: 'a', round: 2, value: 0.5 }]);
});

test('the vertical axis starts at 0 only where values come near it', () => {
  const near = (actual: [number, number], expected: [number, number]) =>
    actual.forEach((value, index) => assert.ok(Math.abs(value - expected[index]) < 1e-9, `${actual} is not ${expected}`));
  near(valueRange(0.2, 2), [0, 2.108]); // room: 6 % of 1.8
  near(valueRange(0.9, 0.95, true), [0.897, 0.953]);
  near(valueRange(0.1, 1, true), [0, 1]);
  near(valueRange(5, 5), [4.5, 5.5]);
  near(valueRange(-1, 1), [-1.12, 1.12]);
  near(valueRange(null, null), [0, 1]);
  near(valueRange(NaN, 1), [0, 1]);
});

test('bytes are summed over rounds by party', () => {
  const table = trafficTable(
    [
      { party: 'b', round: 1, sent: 10, received: 1 },
      { party: 'a', round: 1, sent: 5, received: 2 },
      { party: 'a', round: 2, sent: 7, received: 4 }
    ],
    ['a', 'b']
  );
  assert.deepEqual(table.parties, ['a', 'b']);
  assert.deepEqual(table.sent, [
    [5, 7],
    [10, null]
  ]);
  assert.deepEqual(table.totals, [
    { sent: 12, received: 6 },
    { sent: 10, received: 1 }
  ]);
});

test('phases become bars on a common scale', () => {
  const layout = layoutTimeline(
    [phase('b', 1, 'compute', 100, 4), phase('a', 1, 'wait', 100, 6), phase('b', 2, 'transfer', 108, 2)],
    ['a', 'b'],
    500
  ); // 10 s on 500 px
  assert.equal(layout.seconds, 10);
  assert.deepEqual(
    layout.lanes.map(lane => [lane.party, lane.bars.map(bar => [bar.phase, bar.x, bar.width])]),
    [
      ['a', [['wait', 0, 300]]],
      [
        'b',
        [
          ['compute', 0, 200],
          ['transfer', 400, 100]
        ]
      ]
    ]
  );
  assert.deepEqual(layout.rounds, [
    { round: 1, x: 0, width: 300 },
    { round: 2, x: 400, width: 100 }
  ]);
});

test('thousands of short phases are no more bars than pixels', () => {
  const phases = Array.from({ length: 20_000 }, (_, index) => phase('a', 1, index % 2 ? 'wait' : 'compute', index * 0.01, index % 2 ? 0.008 : 0.002));
  const [lane] = layoutTimeline(phases, [], 600).lanes;
  assert.ok(lane.bars.length <= 1200, `${lane.bars.length} bars`);
  assert.equal(
    lane.bars.reduce((count, bar) => count + bar.count, 0),
    20_000
  );
  assert.ok(lane.bars.every(bar => bar.phase === 'wait')); // the longer one speaks for its neighbours
});

test('a pointer finds the bar under it, or one close by', () => {
  const [{ bars }] = layoutTimeline([phase('a', 1, 'compute', 0, 1), phase('a', 1, 'wait', 2, 8)], [], 1000).lanes; // 0–100, 200–1000
  assert.equal(barAt(bars, 50)?.phase, 'compute');
  assert.equal(barAt(bars, 102)?.phase, 'compute');
  assert.equal(barAt(bars, 150), null);
  assert.equal(barAt(bars, 700)?.phase, 'wait');
});

test('nothing to lay out is no error', () => {
  assert.deepEqual(layoutTimeline([], ['a'], 300), { lanes: [], rounds: [], ticks: [], seconds: 0 });
});

test('ticks stand at round seconds and minutes', () => {
  assert.deepEqual(ticks(10, 900).map(tick => tick.seconds), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(ticks(600, 500).map(tick => tick.seconds), [0, 120, 240, 360, 480, 600]); // at least 90 px apart: 108 s
  assert.deepEqual(ticks(0.5, 200).map(tick => Number(tick.seconds.toFixed(3))), [0, 0.5]);
  assert.deepEqual(ticks(0, 200), []);
});

test('seconds are summed by round and party', () => {
  const phases = [phase('b', 1, 'compute', 0, 1), phase('a', 2, 'wait', 5, 2), phase('b', 1, 'compute', 2, 0.5), phase('a', 1, 'transfer', 0, 3)];
  assert.deepEqual(phaseSums(phases, ['a', 'b']), [
    { party: 'a', round: 1, compute: 0, wait: 0, transfer: 3 },
    { party: 'b', round: 1, compute: 1.5, wait: 0, transfer: 0 },
    { party: 'a', round: 2, compute: 0, wait: 2, transfer: 0 }
  ]);
  assert.deepEqual(newest(roundsOf(phases), 1), [2]);
  assert.deepEqual(newest(roundsOf(phases), null), [1, 2]);
});
