import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signal } from '@lumino/signaling';
import { NewLines } from '../src/logs/announce';
import { LogFeed } from '../src/logs/feed';
import { levelRank, matcher, NO_FILTER, occurrences, toggleParty } from '../src/logs/filter';
import { LogLines } from '../src/logs/lines';
import { countRows, plainText, softRows, splitRows, textColumns } from '../src/logs/rows';
import { recordsText, selectedText, SOFT_BREAK } from '../src/logs/text';
import { Sequence } from '../src/items';
import { ILogRecord } from '../src/tokens';

function record(seq: number, fields: Partial<ILogRecord> = {}): ILogRecord {
  return { seq, time: 1_700_000_000 + seq, party: 'alice', level: 'INFO', round: null, source: 'log', text: `line ${seq}`, ...fields };
}

function records(from: number, to: number, fields: (seq: number) => Partial<ILogRecord> = () => ({})): ILogRecord[] {
  return Array.from({ length: to - from + 1 }, (_, index) => record(from + index, fields(from + index)));
}

const seqs = (lines: LogLines) => [...lines].map(line => line.seq);

test('filters combine party, level, round and text', () => {
  const lines = [
    record(1, { party: 'alice', round: 1, text: 'Loss 0.5' }),
    record(2, { party: 'bob', round: 1, level: 'WARNING', text: 'loss 0.4' }),
    record(3, { party: 'bob', round: 2, level: 'ERROR', text: 'LOSS is nan' }),
    record(4, { party: 'carol', level: 'ERROR', text: 'gone' })
  ];
  const passing = (filter: object) => lines.filter(matcher({ ...NO_FILTER, ...filter })).map(line => line.seq);
  assert.deepEqual(passing({}), [1, 2, 3, 4]);
  assert.deepEqual(passing({ parties: new Set(['alice', 'carol']) }), [1, 4]);
  assert.deepEqual(passing({ level: 'WARNING' }), [2, 3, 4]);
  assert.deepEqual(passing({ round: 1 }), [1, 2]);
  assert.deepEqual(passing({ round: 'none' }), [4]);
  assert.deepEqual(passing({ text: 'loss', level: 'WARNING', parties: new Set(['bob']), round: 2 }), [3]);
});

test('an unknown level counts as INFO', () => {
  assert.equal(levelRank('NOTICE'), levelRank('INFO'));
});

test('a party is wanted, then not', () => {
  const one = toggleParty(NO_FILTER, 'bob');
  assert.deepEqual([...one.parties], ['bob']);
  assert.equal(toggleParty(one, 'bob').parties.size, 0);
  assert.equal(NO_FILTER.parties.size, 0);
});

test('occurrences ignore case and do not overlap', () => {
  assert.deepEqual(occurrences('aAa Aaa', 'AA'), [0, 4]);
  assert.deepEqual(occurrences('anything', ''), []);
});

test('rows break at line breaks, tabs become spaces, colours go', () => {
  assert.deepEqual(splitRows('a\tb\r\nc\n', 0), ['a   b', 'c']);
  assert.equal(plainText('\u001b[1;31mred\u001b[0m \u001b]8;;http://x\u0007link\u001b]8;;\u0007'), 'red link');
});

test('long lines break after a space near the end of a row, else anywhere', () => {
  assert.deepEqual(softRows('one two three', 8), { rows: ['one two ', 'three'], soft: [true, false] });
  assert.deepEqual(splitRows('abcdefghij', 4), ['abcd', 'efgh', 'ij']);
});

test('wide characters take two columns', () => {
  assert.equal(textColumns('训练 ok'), 7);
  assert.equal(textColumns('e\u0301'), 1);
  assert.deepEqual(splitRows('训练集损失', 4), ['训练', '集损', '失']);
});

test('rows are counted as they are split', () => {
  const texts = ['', 'short', 'x'.repeat(100), 'a b c '.repeat(40), 'two\nlines', '训'.repeat(30), '\t\ttabs', 'end\n', '\u001b[31mred\u001b[0m'];
  for (const text of texts) {
    for (const wrap of [0, 7, 20, 80]) {
      assert.equal(countRows(text, wrap), splitRows(text, wrap).length, `${JSON.stringify(text.slice(0, 12))} at ${wrap}`);
      assert.equal(splitRows(text, wrap).join('').trim(), splitRows(text, 0).join('').trim());
    }
  }
});

test('lines that come again are not taken twice', () => {
  const lines = new LogLines();
  lines.append(records(1, 5));
  lines.append(records(3, 8));
  assert.deepEqual(seqs(lines), [1, 2, 3, 4, 5, 6, 7, 8]);
});

test('older lines come in front, without those already there', () => {
  const lines = new LogLines();
  lines.append(records(10, 12, seq => ({ text: `a\nb ${seq}` })));
  assert.equal(lines.prepend(records(5, 10, () => ({ text: 'x\ny\nz' }))), 15); // 5 to 9, three rows each
  assert.deepEqual(seqs(lines), [5, 6, 7, 8, 9, 10, 11, 12]);
  assert.equal(lines.rowOf(5), 15);
});

test('rows and lines are found from one another', () => {
  const lines = new LogLines();
  lines.append([record(1, { text: 'a\nb\nc' }), record(4), record(9, { text: 'd\ne' })]); // rows 0–2, 3, 4–5
  assert.equal(lines.rows, 6);
  assert.deepEqual([0, 2, 3, 4, 5, 99].map(row => lines.indexAt(row)), [0, 0, 1, 2, 2, 2]);
  assert.deepEqual([0, 1, 2, 3].map(index => lines.rowOf(index)), [0, 3, 4, 6]);
  assert.deepEqual([0, 1, 3, 4, 100].map(seq => lines.indexOfSeq(seq)), [-1, 0, 0, 1, 2]);
});

test('the oldest lines make room, and rows start at 0 again', () => {
  const lines = new LogLines({ lines: 100, rows: 1000 });
  for (let first = 1; first <= 100_000; first += 50) {
    lines.append(records(first, first + 49));
  }
  assert.equal(lines.total, 100);
  assert.equal(lines.firstSeq, 99_901);
  assert.equal(lines.rowOf(0), 0);
  assert.equal(lines.rows, 100);
  assert.equal(lines.at(lines.indexAt(99)).seq, 100_000);
});

test('more rows than a browser can draw are not shown', () => {
  const lines = new LogLines({ lines: 1000, rows: 50 });
  lines.append(records(1, 30, () => ({ text: 'a\nb\nc' })));
  assert.equal(lines.rows, 48); // 16 lines of 3 rows
  assert.equal(lines.at(0).seq, 15);
  assert.equal(lines.total, 30);
});

test('a new filter shows old lines, and a wrap counts rows anew', () => {
  const lines = new LogLines();
  lines.append(records(1, 100, seq => ({ party: seq % 2 ? 'alice' : 'bob', text: 'x'.repeat(40) })));
  lines.setFilter({ ...NO_FILTER, parties: new Set(['bob']) });
  assert.equal(lines.count, 50);
  assert.equal(lines.widest, 40);
  lines.setWrap(20);
  assert.equal(lines.rows, 100);
  lines.append(records(101, 102, seq => ({ party: seq % 2 ? 'alice' : 'bob' })));
  assert.equal(lines.count, 51);
  lines.setFilter(NO_FILTER);
  assert.equal(lines.count, 102);
});

test('a paused view stands still, counts what passes its filter, and misses nothing afterwards', () => {
  const store = new Sequence<ILogRecord>(1000);
  store.add(records(1, 10));
  const feed = new LogFeed(store);
  feed.setFilter({ ...NO_FILTER, level: 'ERROR' });
  feed.pause();
  store.add(records(11, 20, seq => ({ level: seq % 5 ? 'INFO' : 'ERROR' }))); // 15 and 20 pass
  assert.equal(feed.lines.total, 10);
  assert.equal(feed.waiting, 2);
  feed.setFilter(NO_FILTER);
  assert.equal(feed.waiting, 10);
  feed.follow();
  assert.equal(feed.waiting, 0);
  assert.deepEqual(
    seqs(feed.lines),
    records(1, 20).map(line => line.seq)
  );
  feed.dispose();
});

test('a pause that outlasts the store ends without a hidden gap', () => {
  const store = new Sequence<ILogRecord>(10);
  store.add(records(1, 10));
  const feed = new LogFeed(store);
  feed.pause();
  for (let first = 11; first <= 91; first += 10) {
    store.add(records(first, first + 9));
  }
  assert.deepEqual(seqs(feed.lines), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]); // what is read does not vanish
  feed.follow();
  assert.equal(feed.lines.firstSeq, store.items[0].seq);
  assert.equal(feed.lines.lastSeq, 100);
  assert.equal(feed.lines.total, store.items.length);
});

test('older lines are shown above in a paused view too, and a new run clears it', () => {
  const store = new Sequence<ILogRecord>(1000);
  store.add(records(50, 60));
  const feed = new LogFeed(store);
  const seen: [string, number][] = [];
  feed.changed.connect((_, change) => seen.push([change.type, change.rows]));
  feed.pause();
  store.prepend(records(40, 49));
  assert.equal(feed.lines.firstSeq, 40);
  assert.deepEqual(seen, [['prepend', 10]]);
  store.clear();
  assert.equal(feed.lines.total, 0);
  assert.equal(feed.paused, false);
  store.add(records(1, 3));
  assert.deepEqual(seqs(feed.lines), [1, 2, 3]);
  feed.dispose();
  Signal.clearData(store);
});

test('copied lines say when, who, level and round; breaks that the view made are gone', () => {
  const text = recordsText([record(1, { round: 3, level: 'ERROR', text: 'a\nb' })]);
  assert.match(text, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERROR alice \(round 3\): a\nb\n$/);
  assert.equal(selectedText(`long ${SOFT_BREAK}line\nnext`), 'long line\nnext');
});

test('the announcement prefers the last line of an error', () => {
  const fresh = new NewLines();
  fresh.add([record(1), record(2, { level: 'ERROR', party: 'bob', text: 'Traceback\nValueError: no' }), record(3)]);
  assert.deepEqual([fresh.count, fresh.errors, fresh.sample()], [3, 1, 'bob: ValueError: no']);
  fresh.clear();
  assert.equal(fresh.sample(), '');
});

test('200,000 lines are taken in batches and filtered quickly', () => {
  const lines = new LogLines();
  const begin = performance.now();
  for (let first = 1; first <= 200_000; first += 250) {
    lines.append(records(first, first + 249, seq => ({ text: `epoch ${seq}: loss 0.${seq} on my own digits` })));
  }
  const taken = performance.now();
  lines.setFilter({ ...NO_FILTER, text: 'loss 0.19' });
  const filtered = performance.now();
  console.log(`200,000 lines taken in ${Math.round(taken - begin)} ms, filtered in ${Math.round(filtered - taken)} ms`);
  assert.equal(lines.count, 11_111); // 19, 190–199, 1900–1999, … 190000–199999
  assert.ok(filtered - begin < 10_000);
});
