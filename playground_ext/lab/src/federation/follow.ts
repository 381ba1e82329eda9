/** Keeps the cell that takes long in view while a notebook runs, until the user looks elsewhere. */
import { ICellModel } from '@jupyterlab/cells';
import { IChangedArgs } from '@jupyterlab/coreutils';
import { Notebook } from '@jupyterlab/notebook';
import { IDisposable } from '@lumino/disposable';

/** Milliseconds that a cell has to run before the notebook is scrolled to it: quick cells would make it jump. */
const LONG = 600;

const LOOKS = ['wheel', 'pointerdown', 'keydown'] as const;

export class RunFollower implements IDisposable {
  constructor(notebook: Notebook) {
    this._notebook = notebook;
    for (const cell of notebook.widgets) {
      cell.model.stateChanged.connect(this._onState, this);
    }
    for (const type of LOOKS) {
      notebook.node.addEventListener(type, this, { passive: true, capture: true });
    }
    this._wait();
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    clearTimeout(this._timer);
    for (const cell of this._notebook.widgets) {
      cell.model?.stateChanged.disconnect(this._onState, this);
    }
    for (const type of LOOKS) {
      this._notebook.node.removeEventListener(type, this, { capture: true });
    }
  }

  /** The user looks elsewhere. */
  handleEvent(): void {
    this.dispose();
  }

  private _onState(_: ICellModel, change: IChangedArgs<unknown>): void {
    if (change.name === 'executionState') {
      this._wait();
    }
  }

  private _wait(): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._reveal(), LONG);
  }

  private _reveal(): void {
    if (this._disposed || this._notebook.isDisposed) {
      return;
    }
    const index = runningCell(this._notebook);
    if (index >= 0) {
      void this._notebook
        .scrollToItem(index, 'start')
        .then(() => this._notebook.scrollToItem(index, 'start')) // heights above it were guesses until they were drawn
        .catch(() => undefined); // was closed meanwhile
    }
  }

  private readonly _notebook: Notebook;
  private _disposed = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** Index of the cell that runs; -1 where none does. Cells that wait in the queue say the same: it is the first of them. */
export function runningCell(notebook: Notebook): number {
  return notebook.widgets.findIndex(
    ({ model }) => model.type === 'code' && (model.sharedModel as { executionState?: string }).executionState === 'running'
  );
}
