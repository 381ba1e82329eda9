/** The stores: bounded, ordered, without duplicates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Messages, Sequence, Table } from '../src/items';
import { IMessage } from '../src/tokens';

const items = (first: number, last: number): { seq: number }[] =>
  Array.from({ length: last - first + 1 }, (_, index) => ({ seq: first + index }));

test('a full store forgets the oldest, a tenth at a time, and counts them', () => {
  const store = new Sequence<{ seq: number }>(100);
  store.add(items(1, 110));
  assert.deepEqual([store.items.length, store.forgotten], [110, 0]);
  store.add(items(111, 111));
  assert.deepEqual([store.items.length, store.first, store.last, store.forgotten], [100, 12, 111, 11]);
});

test('what was cleared may come again with the same numbers', () => {
  const store = new Sequence<{ seq: number }>(10);
  store.add(items(1, 3));
  store.clear();
  assert.equal(store.last, -1);
  store.add(items(1, 2));
  assert.deepEqual(store.items, items(1, 2));
});

test('a batch that overlaps adds only its news', () => {
  const store = new Sequence<{ seq: number }>(10);
  const added: number[] = [];
  store.changed.connect((_, change) => added.push(...change.items.map(item => item.seq)));
  store.add(items(1, 3));
  store.add(items(2, 5));
  store.add(items(1, 5));
  assert.deepEqual(added, [1, 2, 3, 4, 5]);
});

test('a table is what came last', () => {
  const store = new Table<{ name: string; value: number }>();
  const types: string[] = [];
  store.changed.connect((_, change) => types.push(change.type));
  store.add([{ name: 'a', value: 1 }, { name: 'b', value: 2 }]);
  store.add([{ name: 'a', value: 3 }]);
  assert.deepEqual(store.items, [{ name: 'a', value: 3 }]);
  store.add([]);
  assert.deepEqual([store.items.length, types], [0, ['update', 'update', 'update']]);
});

test('latencies find their messages, also after the oldest were forgotten, once and in any number', () => {
  const message = (seq: number): IMessage =>
    ({ seq, time: seq, from: 'a', to: 'b', kind: 'update', round: 1, step: '', size: 1, tensors: null, latency: null });
  const store = new Messages(10);
  const changes: number[][] = [];
  store.changed.connect((_, change) => change.type === 'update' && changes.push(change.items.map(item => item.seq)));
  store.add(Array.from({ length: 12 }, (_, index) => message(index + 1))); // the first two are forgotten
  const before = store.items[0];
  store.setLatencies([{ seq: 1, message: 1, latency: 9 }, { seq: 2, message: 3, latency: 0.5 }, { seq: 3, message: 40, latency: 9 }]);
  store.setLatencies([{ seq: 2, message: 4, latency: 7 }]); // came before
  store.setLatencies([{ seq: 4, message: 12, latency: 0 }]);
  assert.deepEqual([store.first, changes, store.lastLatency], [3, [[3], [12]], 4]);
  assert.deepEqual(store.items.filter(item => item.latency !== null).map(item => [item.seq, item.latency]), [[3, 0.5], [12, 0]]);
  assert.notEqual(store.items[0], before); // views draw what is another object
  store.clear();
  assert.equal(store.lastLatency, -1);
});
