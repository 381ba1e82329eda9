/** Which task the views show. */
import { ISignal, Signal } from '@lumino/signaling';
import { ISelection } from './tokens';

export class Selection implements ISelection {
  get current(): string | null {
    return this._current;
  }

  get changed(): ISignal<this, string | null> {
    return this._changed;
  }

  select(task: string | null): void {
    if (task !== this._current) {
      this._current = task;
      this._changed.emit(task);
    }
  }

  private _current: string | null = null;
  private readonly _changed = new Signal<this, string | null>(this);
}
