/** Stores of what comes over the live connection: ordered, without duplicates, bounded. */
import { ISignal, Signal } from '@lumino/signaling';
import { IItems, IItemsChange, ILatency, IMessage } from './tokens';

/** Past the limit a tenth more may gather before the oldest are dropped, so that not every batch moves the whole array. */
const SLACK = 0.1;

abstract class Items<T> implements IItems<T> {
  get items(): readonly T[] {
    return this.array;
  }

  get forgotten(): number {
    return this._forgotten;
  }

  get changed(): ISignal<IItems<T>, IItemsChange<T>> {
    return this._changed;
  }

  abstract add(items: readonly T[]): void;

  clear(): void {
    this.array.length = 0;
    this._forgotten = 0;
    this.emit('clear', []);
  }

  protected emit(type: IItemsChange<T>['type'], items: readonly T[], forgotten = 0): void {
    this._forgotten += forgotten;
    this._changed.emit({ type, items, forgotten });
  }

  protected readonly array: T[] = [];
  private _forgotten = 0;
  private readonly _changed = new Signal<this, IItemsChange<T>>(this);
}

/** Items that carry sequence numbers. What is already here is not taken twice. */
export class Sequence<T extends { seq: number }> extends Items<T> {
  /** @param limit - how many items to keep; the oldest go first. */
  constructor(limit: number) {
    super();
    this._limit = limit;
  }

  /** Sequence number of the newest item; -1 where there is none. */
  get last(): number {
    return this._last;
  }

  /** Sequence number of the oldest item that is here; null where there is none. */
  get first(): number | null {
    return this.array.length > 0 ? this.array[0].seq : null;
  }

  add(items: readonly T[]): void {
    const fresh = items.length > 0 && items[0].seq > this._last ? items : items.filter(item => item.seq > this._last);
    if (fresh.length === 0) {
      return;
    }
    for (const item of fresh) {
      this.array.push(item);
    }
    this._last = fresh[fresh.length - 1].seq;
    const forgotten = this.array.length > this._limit * (1 + SLACK) ? this.array.length - this._limit : 0;
    if (forgotten > 0) {
      this.array.splice(0, forgotten);
    }
    this.emit('append', fresh, forgotten);
  }

  /** Put older items in front. Asked for by the user, so the limit does not apply to them. */
  prepend(items: readonly T[]): void {
    const first = this.first;
    const older = first === null ? items : items.filter(item => item.seq < first);
    if (older.length === 0) {
      return;
    }
    this.array.unshift(...older);
    this._last = Math.max(this._last, this.array[this.array.length - 1].seq);
    this._limit = Math.max(this._limit, this.array.length);
    this.emit('prepend', older);
  }

  override clear(): void {
    this._last = -1;
    super.clear();
  }

  private _limit: number;
  private _last = -1;
}

/** Messages, of which the time that they took becomes known later. */
export class Messages extends Sequence<IMessage> {
  /** Number of the newest latency that is here; -1 where there is none. */
  get lastLatency(): number {
    return this._lastLatency;
  }

  /** Messages that are not here (any more) are left out. */
  setLatencies(latencies: readonly ILatency[]): void {
    const first = this.array[0]?.seq ?? 0; // without gaps from here on
    const known: IMessage[] = [];
    for (const { seq, message, latency } of latencies) {
      const old = this.array[message - first];
      if (seq > this._lastLatency && old?.seq === message) {
        known.push((this.array[message - first] = { ...old, latency }));
      }
      this._lastLatency = Math.max(this._lastLatency, seq);
    }
    if (known.length > 0) {
      this.emit('update', known);
    }
  }

  override clear(): void {
    this._lastLatency = -1;
    super.clear();
  }

  private _lastLatency = -1;
}

/** Items that always come all together. */
export class Table<T> extends Items<T> {
  add(items: readonly T[]): void {
    this.array.length = 0;
    for (const item of items) {
      this.array.push(item);
    }
    this.emit('update', items);
  }
}
