/** Which federation a command acts on. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { PathExt } from '@jupyterlab/coreutils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { request, route } from '../request';
import { IFederation, IFederations, ISelection, ITask, ITaskHub } from '../tokens';
import { partyMetadata } from './model';

/** `path` (a party's notebook) or `task` in the arguments decides; then the notebook in front; then the selected task. */
export class Target {
  constructor(options: Target.IOptions) {
    this._options = options;
  }

  /** Whether there is a federation to act on whose notebooks can be open in this page. */
  exists(args: ReadonlyPartialJSONObject): boolean {
    if (typeof args['path'] === 'string') {
      return true;
    }
    if (args['task'] === undefined && this._notebook() !== null) {
      return true;
    }
    const task = this.task(args);
    if (task === null) {
      return false;
    }
    const { hub, federations } = this._options;
    return federations.byTask(task) !== null || hub.tasks.some(known => known.task === task && known.source === 'notebooks');
  }

  /** Id of the task that is meant; null where none is. */
  task(args: ReadonlyPartialJSONObject): string | null {
    if (typeof args['task'] === 'string') {
      return args['task'];
    }
    const path = typeof args['path'] === 'string' ? args['path'] : this._notebook();
    const federation = path === null ? null : this._options.federations.known(path);
    return federation?.task ?? this._options.selection.current;
  }

  /**
   * The federation that is meant; null where none is.
   *
   * @throws RequestError - if the server has to be asked and refuses.
   */
  async federation(args: ReadonlyPartialJSONObject): Promise<IFederation | null> {
    const { federations } = this._options;
    const path = typeof args['path'] === 'string' ? args['path'] : args['task'] === undefined ? this._notebook() : null;
    if (path !== null) {
      return federations.of(path);
    }
    const task = this.task(args);
    if (task === null) {
      return null;
    }
    const open = federations.byTask(task);
    if (open !== null) {
      return open;
    }
    const state = this._options.hub.task(task).state ?? (await request<ITask>(route('tasks', task)));
    const paths = Object.values(state.notebooks);
    return paths.length === 0 ? null : ((await federations.of(paths[0])) ?? assembled(state));
  }

  /** Path of the party's notebook in front of the user. */
  private _notebook(): string | null {
    const { shell, tracker } = this._options;
    const panel = tracker.currentWidget;
    return panel !== null && panel === shell.currentWidget && partyMetadata(panel) !== null ? panel.context.path : null;
  }

  private readonly _options: Target.IOptions;
}

export namespace Target {
  export interface IOptions {
    shell: JupyterFrontEnd.IShell;
    tracker: INotebookTracker;
    federations: IFederations;
    selection: ISelection;
    hub: ITaskHub;
  }
}

/** A federation from what a task knows of its notebooks, which need not lie in one folder. */
function assembled(state: ITask): IFederation {
  const parties = state.parties.flatMap(({ party, role }) => {
    const path = state.notebooks[party];
    return path === undefined ? [] : [{ party, role, path, kernel: '' }];
  });
  return {
    task: state.task,
    template: '',
    title: state.title ?? state.task,
    folder: parties.length > 0 ? PathExt.dirname(parties[0].path) : '',
    parties
  };
}
