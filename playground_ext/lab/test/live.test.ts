/** The live connection, and the models that it feeds, against a websocket of the test's own. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { TaskHub } from '../src/hub';
import { LiveConnection } from '../src/live';
import { ILogRecord, IParty, ITask, ITaskSummary } from '../src/tokens';

/** What the page's side of a websocket does, without a network. */
class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: unknown[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.onopen?.();
  }

  lose(): void {
    this.onclose?.();
  }

  say(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

let sockets: FakeSocket[];
let live: LiveConnection;
let hub: TaskHub;
let olderLogs: ILogRecord[];

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  sockets = [];
  olderLogs = [];
  live = new LiveConnection({
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    delay: 100,
    maximumDelay: 400,
    silence: 1000
  });
  hub = new TaskHub({ live, olderLogs: async (_task, before, limit) => olderLogs.filter(r => r.seq < before).slice(-limit) });
});

afterEach(() => {
  hub.dispose();
  mock.timers.reset();
});

const socket = (): FakeSocket => sockets[sockets.length - 1];
const microtasks = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

function line(seq: number, text = `line ${seq}`): ILogRecord {
  return { seq, time: seq, party: 'aggregator', level: 'INFO', round: 1, source: 'logger', text };
}

function party(name: string, role = 'collaborator'): IParty {
  const quiet = { round: null, rounds: null, last_seen: null, notebook: null, error: null };
  return { party: name, role, state: 'training', status: 'running', alive: true, ...quiet };
}

function summary(task: string): ITaskSummary {
  const empty = { title: null, algorithm: null, round: null, rounds: null, folder: null };
  return { task, status: 'running', created: 0, parties: 0, source: 'notebooks', size_bytes: 0, ...empty };
}

function state(parties: IParty[]): ITask {
  return { ...summary('digits'), run: 'r1', parties, failure: null, notebooks: {} };
}

const logs = (run: string, ...records: ILogRecord[]): unknown => ({ channel: 'logs', task: 'digits', run, data: records });
const texts = (): string[] => hub.task('digits').logs.items.map(record => record.text);

test('the list of tasks is subscribed to at once, and kept', () => {
  let changes = 0;
  hub.tasksChanged.connect(() => (changes += 1));
  assert.equal(hub.ready, false);
  socket().open();
  assert.deepEqual(socket().sent, [{ subscribe: 'tasks' }]);
  socket().say({ channel: 'tasks', data: [summary('digits')] });
  assert.deepEqual([hub.tasks.map(task => task.task), hub.ready, changes], [['digits'], true, 1]);
});

test('several views of a task subscribe once, and the last one that leaves ends it', async () => {
  socket().open();
  const model = hub.task('digits');
  const panel = model.subscribe(['parties']);
  const log = model.subscribe(['logs', 'parties']);
  await microtasks();
  panel.dispose();
  await microtasks();
  log.dispose();
  log.dispose();
  await microtasks();
  assert.deepEqual(socket().sent.slice(1), [
    { subscribe: 'task', task: 'digits', channels: ['parties', 'logs'], after: {} },
    { unsubscribe: 'task', task: 'digits' }
  ]);
});

test('after a lost connection each line is there once and in order', async () => {
  socket().open();
  hub.task('digits').subscribe(['logs']);
  await microtasks();
  socket().say(logs('r1', line(1), line(2)));
  socket().lose();
  assert.equal(hub.connected, false);
  mock.timers.tick(120); // the delay of 100 ms and at most a fifth more
  assert.equal(sockets.length, 2);
  socket().open();
  assert.deepEqual(socket().sent[1], { subscribe: 'task', task: 'digits', channels: ['logs'], run: 'r1', after: { logs: 2 } });
  socket().say(logs('r1', line(2), line(3)));
  assert.deepEqual(texts(), ['line 1', 'line 2', 'line 3']);
});

test('attempts to reconnect become rarer, up to a limit', () => {
  const opened: number[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    socket().lose();
    let waited = 0;
    const before = sockets.length;
    while (sockets.length === before) {
      mock.timers.tick(10);
      waited += 10;
    }
    opened.push(waited);
  }
  // 100, 200, 400, 400, 400 ms, each with up to a fifth more, seen in steps of 10 ms
  [100, 200, 400, 400, 400].forEach((delay, attempt) => {
    assert.ok(opened[attempt] >= delay && opened[attempt] <= delay * 1.2 + 10, `${opened}`);
  });
});

test('a connection that says nothing for too long is given up', () => {
  socket().open();
  mock.timers.tick(900);
  socket().say({ channel: 'alive' });
  mock.timers.tick(900);
  assert.equal(hub.connected, true);
  mock.timers.tick(101);
  assert.deepEqual([hub.connected, sockets[0].closed], [false, true]);
});

test('a new run clears what was of the old one', async () => {
  socket().open();
  const model = hub.task('digits');
  model.subscribe(['logs', 'traffic']);
  await microtasks();
  const changes: string[] = [];
  model.logs.changed.connect((_, change) => changes.push(change.type));
  socket().say(logs('r1', line(7)));
  socket().say({ channel: 'traffic', task: 'digits', run: 'r1', data: [{ party: 'a', round: 1, sent: 5, received: 6 }] });
  socket().say(logs('r2', line(1, 'anew')));
  assert.deepEqual(texts(), ['anew']);
  assert.deepEqual(changes, ['append', 'clear', 'append']);
  assert.deepEqual([model.traffic.items.length, model.run], [0, 'r2']);
});

test('a later value of the same party and round replaces the earlier one', async () => {
  socket().open();
  hub.task('digits').subscribe(['traffic']);
  await microtasks();
  for (const sent of [5, 8]) {
    socket().say({ channel: 'traffic', task: 'digits', run: 'r1', data: [{ party: 'a', round: 1, sent, received: 0 }] });
  }
  assert.deepEqual(hub.task('digits').traffic.items, [{ party: 'a', round: 1, sent: 8, received: 0 }]);
});

test('older lines come in front, and not twice', async () => {
  socket().open();
  const model = hub.task('digits');
  model.subscribe(['logs']);
  await microtasks();
  socket().say(logs('r1', line(11)));
  olderLogs = [8, 9, 10].map(seq => line(seq));
  assert.equal(await model.loadOlderLogs(2), true);
  assert.equal(await model.loadOlderLogs(2), false);
  assert.deepEqual(texts(), ['line 8', 'line 9', 'line 10', 'line 11']);
  assert.deepEqual(model.after, { logs: 11 });
});

test('parties are in the order of their roles, and numbers count as numbers', async () => {
  socket().open();
  hub.task('digits').subscribe(['parties']);
  await microtasks();
  const parties = [party('aggregator', 'aggregator'), ...['collaborator-10', 'collaborator-2'].map(name => party(name))];
  socket().say({ channel: 'parties', task: 'digits', run: 'r1', data: state(parties) });
  const names = hub.task('digits').state?.parties.map(party => party.party);
  assert.deepEqual(names, ['aggregator', 'collaborator-2', 'collaborator-10']);
});

test('a task that was unknown is asked for again when it is there', async () => {
  socket().open();
  const model = hub.task('digits');
  model.subscribe(['parties']);
  await microtasks();
  socket().say({ channel: 'error', task: 'digits', message: 'there is no task digits', next_step: null });
  assert.equal(model.error, 'there is no task digits');
  socket().say({ channel: 'tasks', data: [summary('digits')] });
  assert.equal(socket().sent.length, 3); // tasks, digits, digits again
  socket().say({ channel: 'parties', task: 'digits', run: 'r1', data: state([]) });
  assert.equal(model.error, null);
});

test('a frame that is not JSON is left out, and the next one is taken', () => {
  const complain = mock.method(console, 'error', () => undefined);
  socket().open();
  socket().onmessage?.({ data: '{' });
  socket().say({ channel: 'tasks', data: [summary('digits')] });
  assert.deepEqual([hub.tasks.length, complain.mock.callCount()], [1, 1]);
  complain.mock.restore();
});
