import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundaries, choices, isLate, matches, NO_FILTER, sorted, stepText, totals } from '../src/messages/filter';
import { layoutDiagram, newest } from '../src/messages/layout';
import { IMessage } from '../src/tokens';

function message(seq: number, from: string, to: string, fields: Partial<IMessage> = {}): IMessage {
  return { seq, time: seq, from, to, kind: 'update', round: 1, step: '', size: 100, tensors: null, latency: null, ...fields };
}

const ROUND = [
  message(1, 'agg', 'all', { kind: 'global', size: 1000, latency: 0.1 }),
  message(2, 'c2', 'agg', { size: 300, latency: 0.3 }),
  message(3, 'c1', 'agg', { size: 200 }),
  message(4, 'agg', 'c1', { kind: 'final', round: null, size: 50 })
];

test('filters combine round, party and kind; a broadcast reaches every party', () => {
  const passing = (filter: object) => ROUND.filter(entry => matches({ ...NO_FILTER, ...filter }, entry)).map(entry => entry.seq);
  assert.deepEqual(passing({}), [1, 2, 3, 4]);
  assert.deepEqual(passing({ round: 1 }), [1, 2, 3]);
  assert.deepEqual(passing({ round: 'none' }), [4]);
  assert.deepEqual(passing({ party: 'c2' }), [1, 2]);
  assert.deepEqual(passing({ party: 'c1', kind: 'update' }), [3]);
});

test('choices are what occurs, without the name for everybody', () => {
  assert.deepEqual(choices(ROUND), { parties: ['agg', 'c1', 'c2'], kinds: ['final', 'global', 'update'], rounds: [1], outside: true });
});

test('round 0 is outside of rounds', () => {
  const before = message(9, 'a', 'b', { round: 0 });
  assert.equal(matches({ ...NO_FILTER, round: 'none' }, before), true);
  assert.deepEqual(choices([before]).rounds, []);
  assert.deepEqual(layoutDiagram([before, message(10, 'a', 'b', { round: null })], ['a', 'b'], 600).bands.map(band => band.round), [null]);
});

test('totals add bytes and average known latencies', () => {
  assert.deepEqual(totals(ROUND), { count: 4, size: 1550, latency: 0.2 });
  assert.deepEqual(totals([]), { count: 0, size: 0, latency: null });
});

test('each boundary has its count and bytes', () => {
  assert.deepEqual(
    boundaries([...ROUND, message(5, 'c2', 'agg', { kind: 'ack', size: 1 })]).map(({ from, to, count, size, kinds }) => [from, to, count, size, kinds]),
    [
      ['agg', 'all', 1, 1000, ['global']],
      ['agg', 'c1', 1, 50, ['final']],
      ['c1', 'agg', 1, 200, ['update']],
      ['c2', 'agg', 2, 301, ['ack', 'update']]
    ]
  );
});

test('steps are words of the sender, and old messages are told by a mark', () => {
  assert.equal(stepText(message(1, 'a', 'b')), '');
  assert.equal(stepText({ ...message(1, 'a', 'b'), step: 'features 3' }), 'features 3');
  assert.equal(isLate(message(1, 'a', 'b')), false);
  assert.equal(isLate({ ...message(1, 'a', 'b'), late: true } as IMessage), true);
});

test('sorting keeps unknown values last and the given array as it is', () => {
  const order = (column: 'time' | 'size' | 'latency' | 'round', descending: boolean) => sorted(ROUND, { column, descending }).map(entry => entry.seq);
  assert.deepEqual(order('time', true), [4, 3, 2, 1]);
  assert.deepEqual(order('size', true), [1, 2, 3, 4]);
  assert.deepEqual(order('latency', false), [1, 2, 3, 4]);
  assert.deepEqual(order('latency', true), [2, 1, 3, 4]);
  assert.deepEqual(order('round', true), [1, 2, 3, 4]);
  assert.deepEqual(
    ROUND.map(entry => entry.seq),
    [1, 2, 3, 4]
  );
});

test('an arrow runs from its sender’s lifeline to each receiver’s', () => {
  const diagram = layoutDiagram(ROUND, ['agg', 'c1', 'c2'], 900);
  const x = Object.fromEntries(diagram.lifelines.map(line => [line.party, line.x]));
  assert.deepEqual(
    diagram.lifelines.map(line => line.party),
    ['agg', 'c1', 'c2']
  );
  assert.deepEqual(
    diagram.arrows.map(({ x: from, heads }) => [from, heads]),
    [
      [x.agg, [x.c1, x.c2]],
      [x.c2, [x.agg]],
      [x.c1, [x.agg]],
      [x.agg, [x.c1]]
    ]
  );
  assert.deepEqual(
    diagram.bands.map(band => band.round),
    [1, null]
  );
  const ys = diagram.arrows.map(arrow => arrow.y);
  assert.deepEqual(ys, [...ys].sort((a, b) => a - b));
  assert.ok(ys[3] < diagram.height && diagram.width <= 900);
});

test('labels stand between two neighbouring lifelines, whoever sends', () => {
  const parties = Array.from({ length: 12 }, (_, index) => `p${index}`);
  const { arrows, lifelines } = layoutDiagram([message(1, 'p11', 'p0'), message(2, 'p3', 'p5')], parties, 600);
  const gap = lifelines[1].x - lifelines[0].x;
  assert.deepEqual(
    arrows.map(arrow => arrow.label),
    [lifelines[0].x + gap / 2, lifelines[3].x + gap / 2]
  );
});

test('a diagram with more parties than fit becomes wider, not denser', () => {
  const parties = Array.from({ length: 12 }, (_, index) => `p${index}`);
  const { width, lifelines } = layoutDiagram([message(1, 'p0', 'p11')], parties, 400);
  assert.ok(width > 400);
  assert.ok(lifelines[1].x - lifelines[0].x >= 100);
});

test('of many messages the newest are drawn', () => {
  const { shown, hidden } = newest(
    Array.from({ length: 10 }, (_, index) => message(index, 'a', 'b')),
    4
  );
  assert.equal(hidden, 6);
  assert.deepEqual(
    shown.map(entry => entry.seq),
    [6, 7, 8, 9]
  );
});

test('messages stand in the order in which they were sent, not in that in which they were read', () => {
  const read = [{ ...message(1, 'a', 'b'), time: 30 }, { ...message(2, 'b', 'a'), time: 10 }, { ...message(3, 'a', 'b'), time: 30 }];
  assert.deepEqual(sorted(read, { column: 'time', descending: false }).map(({ seq }) => seq), [2, 1, 3]);
  assert.deepEqual(sorted(read, { column: 'time', descending: true }).map(({ seq }) => seq), [3, 1, 2]);
});
