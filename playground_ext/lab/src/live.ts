/** One websocket that comes back by itself. It knows nothing of what is sent over it. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { Channel, ILatency, ILogRecord, IMessage, IPhase, IPoint, ITask, ITaskSummary, ITraffic } from './tokens';

export type ClientFrame =
  | { subscribe: 'tasks' }
  | { subscribe: 'task'; task: string; channels: Channel[]; run?: string; after: { [channel: string]: number } }
  | { unsubscribe: 'tasks' }
  | { unsubscribe: 'task'; task: string };

interface ITaskFrame<C extends Channel | 'latencies', D> {
  channel: C;
  task: string;
  run: string | null;
  data: D;
}

export type TaskFrame =
  | ITaskFrame<'parties', ITask>
  | ITaskFrame<'logs', ILogRecord[]>
  | ITaskFrame<'metrics', IPoint[]>
  | ITaskFrame<'messages', IMessage[]>
  | ITaskFrame<'latencies', ILatency[]>
  | ITaskFrame<'timeline', IPhase[]>
  | ITaskFrame<'traffic', ITraffic[]>;

export interface IErrorFrame {
  channel: 'error';
  task: string | null;
  message: string;
  next_step: string | null;
}

export type ServerFrame = TaskFrame | { channel: 'tasks'; data: ITaskSummary[] } | IErrorFrame | { channel: 'alive' };

export interface ILiveOptions {
  open: () => WebSocket;
  /** Milliseconds before the first attempt to reconnect; doubled with each that fails. */
  delay?: number;
  maximumDelay?: number;
  /** Milliseconds without any frame after which the connection counts as dead. The server says "alive" every 15 s. */
  silence?: number;
}

/** Opens the websocket at once and again whenever it is lost, until disposed. */
export class LiveConnection implements IDisposable {
  constructor(options: ILiveOptions) {
    this._open = options.open;
    this._first = options.delay ?? 500;
    this._maximum = options.maximumDelay ?? 15_000;
    this._silence = options.silence ?? 40_000;
    this._delay = this._first;
    this._connect();
  }

  get connected(): boolean {
    return this._connected;
  }

  /** Emitted with true when frames can be sent (subscribe again now), with false when the connection is lost. */
  get connectedChanged(): ISignal<this, boolean> {
    return this._connectedChanged;
  }

  get received(): ISignal<this, ServerFrame> {
    return this._received;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  /** Send a frame; without a connection it is dropped, for all subscriptions are sent again when there is one. */
  send(frame: ClientFrame): void {
    if (this._connected && this._socket !== null) {
      this._socket.send(JSON.stringify(frame));
    }
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    clearTimeout(this._retry);
    clearTimeout(this._watch);
    this._drop();
    Signal.clearData(this);
  }

  private _connect(): void {
    let socket: WebSocket;
    try {
      socket = this._socket = this._open();
    } catch (error) {
      console.error('playground-ext: the live connection cannot be opened', error);
      this._again();
      return;
    }
    socket.onopen = () => {
      this._delay = this._first;
      this._listen();
      this._setConnected(true);
    };
    socket.onmessage = event => {
      this._listen();
      let frame: ServerFrame;
      try {
        frame = JSON.parse(String(event.data)) as ServerFrame;
      } catch {
        console.error('playground-ext: a frame of the live connection is not JSON and was left out');
        return;
      }
      this._received.emit(frame);
    };
    socket.onclose = () => this._lost();
  }

  /** The connection is worth keeping for another while. */
  private _listen(): void {
    clearTimeout(this._watch);
    this._watch = setTimeout(() => this._lost(), this._silence);
  }

  private _lost(): void {
    clearTimeout(this._watch);
    this._drop();
    this._setConnected(false);
    this._again();
  }

  private _drop(): void {
    const socket = this._socket;
    this._socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private _again(): void {
    if (this._disposed) {
      return;
    }
    // Up to a fifth more, so that the pages of a class do not all come back in the same moment.
    this._retry = setTimeout(() => this._connect(), this._delay * (1 + Math.random() / 5));
    this._delay = Math.min(this._delay * 2, this._maximum);
  }

  private _setConnected(connected: boolean): void {
    if (this._connected !== connected) {
      this._connected = connected;
      this._connectedChanged.emit(connected);
    }
  }

  private readonly _open: () => WebSocket;
  private readonly _first: number;
  private readonly _maximum: number;
  private readonly _silence: number;
  private _delay: number;
  private _socket: WebSocket | null = null;
  private _connected = false;
  private _disposed = false;
  private _retry: ReturnType<typeof setTimeout> | undefined;
  private _watch: ReturnType<typeof setTimeout> | undefined;
  private readonly _connectedChanged = new Signal<this, boolean>(this);
  private readonly _received = new Signal<this, ServerFrame>(this);
}
