/** The models of all tasks, and the one live connection that feeds them. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { LiveConnection, ServerFrame } from './live';
import { ITaskOptions, TaskModel } from './task';
import { ITaskHub, ITaskSummary } from './tokens';

export interface IHubOptions {
  live: LiveConnection;
  olderLogs: ITaskOptions['olderLogs'];
}

export class TaskHub implements ITaskHub, IDisposable {
  constructor(options: IHubOptions) {
    this._live = options.live;
    this._olderLogs = options.olderLogs;
    this._live.received.connect(this._receive, this);
    this._live.connectedChanged.connect(this._onConnected, this);
    if (this._live.connected) {
      this._onConnected(this._live, true);
    }
  }

  get tasks(): readonly ITaskSummary[] {
    return this._tasks;
  }

  get tasksChanged(): ISignal<this, void> {
    return this._tasksChanged;
  }

  get ready(): boolean {
    return this._ready;
  }

  get connected(): boolean {
    return this._live.connected;
  }

  get connectedChanged(): ISignal<this, boolean> {
    return this._connectedChanged;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  task(id: string): TaskModel {
    let model = this._models.get(id);
    if (model === undefined) {
      model = new TaskModel(id, { resubscribe: changed => this._subscribe(changed), olderLogs: this._olderLogs });
      this._models.set(id, model);
    }
    return model;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    this._live.dispose();
    Signal.clearData(this);
  }

  private _onConnected(_: LiveConnection, connected: boolean): void {
    if (connected) {
      this._live.send({ subscribe: 'tasks' });
      for (const model of this._models.values()) {
        if (model.channels.length > 0) {
          this._subscribe(model);
        }
      }
    }
    this._connectedChanged.emit(connected);
  }

  private _subscribe(model: TaskModel): void {
    this._models.set(model.task, model); // a view may have kept the model of a task that was deleted and came back
    const channels = model.channels;
    this._live.send(
      channels.length > 0
        ? { subscribe: 'task', task: model.task, channels, ...(model.run !== null && { run: model.run }), after: model.after }
        : { unsubscribe: 'task', task: model.task }
    );
  }

  private _receive(_: LiveConnection, frame: ServerFrame): void {
    switch (frame.channel) {
      case 'alive':
        break;
      case 'tasks':
        this._tasks = frame.data;
        this._ready = true;
        this._retry();
        this._forget();
        this._tasksChanged.emit();
        break;
      case 'error':
        if (frame.task === null) {
          console.error(`playground-ext: ${frame.message}`);
        } else {
          this._models.get(frame.task)?.fail(frame.message);
        }
        break;
      default:
        this._models.get(frame.task)?.receive(frame);
    }
  }

  /** A task that was unknown when somebody subscribed may be there by now. */
  private _retry(): void {
    for (const { task } of this._tasks) {
      const model = this._models.get(task);
      if (model !== undefined && model.error !== null && model.channels.length > 0) {
        this._subscribe(model);
      }
    }
  }

  /** Models of deleted tasks that nobody looks at. */
  private _forget(): void {
    const known = new Set(this._tasks.map(task => task.task));
    for (const [id, model] of this._models) {
      if (!known.has(id) && model.channels.length === 0) {
        this._models.delete(id);
      }
    }
  }

  private readonly _live: LiveConnection;
  private readonly _olderLogs: ITaskOptions['olderLogs'];
  private readonly _models = new Map<string, TaskModel>();
  private _tasks: ITaskSummary[] = [];
  private _ready = false;
  private _disposed = false;
  private readonly _tasksChanged = new Signal<this, void>(this);
  private readonly _connectedChanged = new Signal<this, boolean>(this);
}
