/** Brings a task's log lines into a view, or holds the view still while somebody reads. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import type { IItems, IItemsChange, ILogRecord } from '../tokens';
import type { ILogFilter } from './filter';
import { LIMITS, LogLines } from './lines';

const OLDER = 100_000; // lines that may be fetched beyond the limit

/** What happened to the lines. `prepend`: older ones came, and those that follow moved down by `rows`. */
export interface IFeedChange {
  readonly type: 'append' | 'prepend' | 'reset' | 'waiting';
  readonly rows: number;
  /** Lines that came last and pass the filter, for whoever announces them. */
  readonly fresh: readonly ILogRecord[];
}

export class LogFeed implements IDisposable {
  constructor(
    private readonly store: IItems<ILogRecord>,
    readonly lines = new LogLines()
  ) {
    this.lines.append(store.items);
    store.changed.connect(this.onChange, this);
  }

  get changed(): ISignal<LogFeed, IFeedChange> {
    return this.signal;
  }

  /** Whether new lines stay outside. */
  get paused(): boolean {
    return this.held;
  }

  /** How many lines that pass the filter came since the pause began. */
  get waiting(): number {
    return this.outside;
  }

  /** Whether older lines may still be fetched into the view. */
  get hasRoom(): boolean {
    return this.lines.total < LIMITS.lines + OLDER;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    if (!this.disposed) {
      this.disposed = true;
      this.store.changed.disconnect(this.onChange, this);
      Signal.clearData(this);
    }
  }

  /** Keep what is shown as it is; new lines wait. */
  pause(): void {
    this.held = true;
  }

  /** Take in what came meanwhile, and whatever comes. */
  follow(): void {
    if (!this.held) {
      return;
    }
    this.held = false;
    this.outside = 0;
    const first = this.store.items[0];
    if (first && first.seq > this.lines.lastSeq && this.store.forgotten > 0) {
      this.lines.clear(); // the store forgot lines while the view stood still: no gap without anybody knowing
    }
    this.lines.append(this.store.items);
    this.signal.emit({ type: 'reset', rows: 0, fresh: [] });
  }

  setFilter(filter: ILogFilter): void {
    this.lines.setFilter(filter);
    if (this.held) {
      this.outside = this.lines.matching(this.store.items.filter(record => record.seq > this.lines.lastSeq));
    }
    this.signal.emit({ type: 'reset', rows: 0, fresh: [] });
  }

  private onChange(_: IItems<ILogRecord>, change: IItemsChange<ILogRecord>): void {
    if (change.type === 'clear') {
      this.lines.clear();
      this.held = false;
      this.outside = 0;
      this.signal.emit({ type: 'reset', rows: 0, fresh: [] });
    } else if (change.type === 'prepend') {
      const rows = this.lines.prepend(change.items);
      this.signal.emit({ type: 'prepend', rows, fresh: [] });
    } else if (this.held) {
      this.outside += this.lines.matching(change.items);
      this.signal.emit({ type: 'waiting', rows: 0, fresh: change.items });
    } else {
      this.lines.append(change.items);
      this.signal.emit({ type: 'append', rows: 0, fresh: change.items });
    }
  }

  private held = false;
  private outside = 0;
  private disposed = false;
  private readonly signal = new Signal<this, IFeedChange>(this);
}
