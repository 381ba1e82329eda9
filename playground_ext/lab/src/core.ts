/** Plugins: the models that all views share. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import { Federations } from './federation/model';
import { TaskHub } from './hub';
import { LiveConnection } from './live';
import { openLive, request, route } from './request';
import { Selection } from './selection';
import { IFederation, IFederations, ILogRecord, ISelection, ITaskHub } from './tokens';

export const hubPlugin: JupyterFrontEndPlugin<ITaskHub> = {
  id: 'playground-ext:hub',
  description: 'The one live connection to the server, and the models of all tasks that it feeds.',
  autoStart: true,
  provides: ITaskHub,
  activate: (): ITaskHub =>
    new TaskHub({
      live: new LiveConnection({ open: openLive }),
      olderLogs: async (task, before, limit) => {
        const answer = await request<{ records: ILogRecord[] }>(route('tasks', task, 'logs'), { query: { before, limit } });
        return answer.records;
      }
    })
};

export const federationsPlugin: JupyterFrontEndPlugin<IFederations> = {
  id: 'playground-ext:federations',
  description: 'Knows which open notebooks belong to one federation.',
  autoStart: true,
  requires: [INotebookTracker],
  provides: IFederations,
  activate: (_: JupyterFrontEnd, tracker: INotebookTracker): IFederations =>
    new Federations(tracker, path => request<IFederation>('federations', { query: { path } }))
};

/** Under which the selected task survives a reload. */
const SELECTED = 'playground-ext:selected';

export const selectionPlugin: JupyterFrontEndPlugin<ISelection> = {
  id: 'playground-ext:selection',
  description: 'The task that the views show; kept over a reload.',
  autoStart: true,
  requires: [ITaskHub],
  optional: [IStateDB],
  provides: ISelection,
  activate: (_: JupyterFrontEnd, hub: ITaskHub, state: IStateDB | null): ISelection => {
    const selection = new Selection();
    const restored = Promise.resolve(state?.fetch(SELECTED)).then(task => {
      if (selection.current === null && typeof task === 'string') {
        selection.select(task);
      }
    });
    void restored.finally(() => {
      selection.changed.connect((_, task) => void state?.save(SELECTED, task));
      const first = (): void => {
        if (selection.current === null && hub.tasks.length > 0) {
          selection.select(hub.tasks[0].task);
        }
      };
      hub.tasksChanged.connect(first);
      first();
    });
    return selection;
  }
};
