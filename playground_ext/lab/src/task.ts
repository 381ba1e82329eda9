/** What the page knows of one task, fed by the frames of the live connection. */
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { Messages, Sequence, Table } from './items';
import { TaskFrame } from './live';
import { inOrder } from './parties';
import { Channel, ILogRecord, IPhase, IPoint, ITask, ITaskModel, ITraffic } from './tokens';

/** How many items of a kind are kept. A log line is about 200 bytes. */
const LIMITS = { logs: 100_000, metrics: 200_000, messages: 50_000 };

export interface ITaskOptions {
  /** Called when the channels that somebody holds have changed; `channels` may be empty. */
  resubscribe: (model: TaskModel) => void;
  /** Log lines with a smaller sequence number than `before`, oldest first; the newest `limit` of those. */
  olderLogs: (task: string, before: number, limit: number) => Promise<ILogRecord[]>;
}

export class TaskModel implements ITaskModel {
  readonly task: string;
  readonly logs = new Sequence<ILogRecord>(LIMITS.logs);
  readonly metrics = new Sequence<IPoint>(LIMITS.metrics);
  readonly messages = new Messages(LIMITS.messages);
  readonly timeline = new Table<IPhase>();
  readonly traffic = new Table<ITraffic>();

  constructor(task: string, options: ITaskOptions) {
    this.task = task;
    this._options = options;
  }

  get run(): string | null {
    return this._run;
  }

  get state(): ITask | null {
    return this._state;
  }

  get stateChanged(): ISignal<this, void> {
    return this._stateChanged;
  }

  get runChanged(): ISignal<this, string> {
    return this._runChanged;
  }

  get error(): string | null {
    return this._error;
  }

  /** The channels that somebody holds, in the order of their first subscription. */
  get channels(): Channel[] {
    return [...this._held.keys()];
  }

  /** Where a subscription continues: the last sequence number of each numbered channel. */
  get after(): { [channel: string]: number } {
    const after: { [channel: string]: number } = {};
    for (const name of ['logs', 'metrics', 'messages'] as const) {
      if (this[name].last >= 0) {
        after[name] = this[name].last;
      }
    }
    if (this.messages.lastLatency >= 0) {
      after['latencies'] = this.messages.lastLatency;
    }
    return after;
  }

  subscribe(channels: readonly Channel[]): IDisposable {
    const before = this._held.size;
    for (const channel of channels) {
      this._held.set(channel, (this._held.get(channel) ?? 0) + 1);
    }
    if (this._held.size !== before) {
      this._announce();
    }
    return new DisposableDelegate(() => {
      const size = this._held.size;
      for (const channel of channels) {
        const holders = (this._held.get(channel) ?? 0) - 1;
        if (holders > 0) {
          this._held.set(channel, holders);
        } else {
          this._held.delete(channel);
        }
      }
      if (this._held.size !== size) {
        this._announce();
      }
    });
  }

  async loadOlderLogs(limit = 500): Promise<boolean> {
    const before = this.logs.first;
    if (before === null) {
      return false;
    }
    const run = this._run;
    const records = await this._options.olderLogs(this.task, before, limit);
    if (run !== this._run) {
      return false; // run anew meanwhile: these lines are of the old run
    }
    this.logs.prepend(records);
    return records.length >= limit;
  }

  /** Take what a frame brings. */
  receive(frame: TaskFrame): void {
    if (frame.run !== null && frame.run !== undefined && frame.run !== this._run) {
      this._startRun(frame.run);
    }
    this._error = null;
    switch (frame.channel) {
      case 'parties':
        this._state = { ...frame.data, parties: inOrder(frame.data.parties) };
        this._stateChanged.emit();
        break;
      case 'logs':
        this.logs.add(frame.data);
        break;
      case 'metrics':
        this.metrics.add(frame.data);
        break;
      case 'messages':
        this.messages.add(frame.data);
        break;
      case 'latencies':
        this.messages.setLatencies(frame.data);
        break;
      case 'timeline':
        this.timeline.add(frame.data);
        break;
      case 'traffic':
        this.traffic.add(frame.data);
        break;
    }
  }

  /** The server complains about this task. */
  fail(message: string): void {
    this._error = message;
    this._stateChanged.emit();
  }

  private _startRun(run: string): void {
    const first = this._run === null;
    this._run = run;
    if (first) {
      return;
    }
    for (const store of [this.logs, this.metrics, this.messages, this.timeline, this.traffic]) {
      store.clear();
    }
    this._runChanged.emit(run);
  }

  /** Views come and go several at a time; one frame tells of all of them. */
  private _announce(): void {
    if (this._announcing) {
      return;
    }
    this._announcing = true;
    queueMicrotask(() => {
      this._announcing = false;
      this._options.resubscribe(this);
    });
  }

  private readonly _options: ITaskOptions;
  private readonly _held = new Map<Channel, number>();
  private _announcing = false;
  private _run: string | null = null;
  private _state: ITask | null = null;
  private _error: string | null = null;
  private readonly _stateChanged = new Signal<this, void>(this);
  private readonly _runChanged = new Signal<this, string>(this);
}
