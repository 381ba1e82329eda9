/** Commands on one task: open its notebooks, see why it failed, stop it, run it again, delete it. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, Notification, showDialog } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { NotebookPanel } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';
import { deleteIcon, folderIcon, jumpForwardIcon, LabIcon, refreshIcon, stopIcon } from '@jupyterlab/ui-components';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { report } from '../report';
import { request, route } from '../request';
import { CommandIDs, IFailure, IFederations, ISelection, ITask, ITaskHub, ITaskSummary } from '../tokens';
import { goToCell } from './jump';
import { failureOf } from './rows';
import { showTraceback } from './traceback';

export interface ICommandOptions {
  app: JupyterFrontEnd;
  documents: IDocumentManager;
  hub: ITaskHub;
  federations: IFederations;
  selection: ISelection;
  trans: TranslationBundle;
}

type Arguments = ReadonlyPartialJSONObject;

const TASK_ARGUMENT = { type: 'object' as const, properties: { task: { type: 'string' as const, description: 'Id of the task; without it, the selected one' } } };

export function addTaskCommands(options: ICommandOptions): string[] {
  const { app, documents, hub, federations, selection, trans } = options;
  const { commands } = app;
  const added: string[] = [];

  const taskOf = (args: Arguments): string | null => (typeof args['task'] === 'string' ? args['task'] : selection.current);
  const summaryOf = (args: Arguments): ITaskSummary | undefined => hub.tasks.find(task => task.task === taskOf(args));
  const stateOf = async (task: string): Promise<ITask> => hub.task(task).state ?? request<ITask>(route('tasks', task));
  const going = (task?: ITaskSummary): boolean => task?.status === 'running' || task?.status === 'waiting';

  function add(
    id: string,
    look: { label: string; caption: string; icon?: LabIcon; enabled: (args: Arguments) => boolean },
    execute: (args: Arguments) => Promise<unknown>
  ): void {
    added.push(id);
    commands.addCommand(id, {
      label: look.label,
      caption: look.caption,
      icon: args => (args['isPalette'] ? undefined : look.icon),
      isEnabled: look.enabled,
      describedBy: { args: TASK_ARGUMENT },
      execute: async args => {
        try {
          return await execute(args);
        } catch (error) {
          await report(look.label, error);
        }
      }
    });
  }

  add(
    CommandIDs.stop,
    {
      label: trans.__('Stop Task'),
      caption: trans.__('Stop all parties of the task'),
      icon: stopIcon,
      enabled: args => going(summaryOf(args))
    },
    async args => {
      const task = summaryOf(args);
      if (task?.source === 'notebooks') {
        await commands.execute(CommandIDs.interruptAll, { task: task.task });
      } else if (task !== undefined) {
        await request(route('tasks', task.task, 'stop'), { method: 'POST' });
      }
    }
  );
  for (const { id, name, label, caption, icon, enabled } of [
    {
      id: CommandIDs.rerun,
      name: 'rerun',
      label: trans.__('Run Task Again'),
      caption: trans.__('Run the task again from the beginning'),
      icon: refreshIcon,
      enabled: (task?: ITaskSummary) => task !== undefined && !going(task)
    },
    {
      id: CommandIDs.resume,
      name: 'resume',
      label: trans.__('Resume Task'),
      caption: trans.__('Continue the task after its last finished round'),
      icon: jumpForwardIcon,
      enabled: (task?: ITaskSummary) =>
        task?.source === 'background' && ['failed', 'interrupted', 'abandoned'].includes(task.status)
    }
  ]) {
    add(id, { label, caption, icon, enabled: args => enabled(summaryOf(args)) }, async args => {
      const task = summaryOf(args);
      if (task?.source === 'notebooks') {
        await commands.execute(CommandIDs.restartAndRunAll, { task: task.task });
      } else if (task !== undefined) {
        const started = await request<{ task: string }>(route('tasks', task.task, name), { method: 'POST' });
        selection.select(started.task);
      }
    });
  }
  add(
    CommandIDs.replay,
    {
      label: trans.__('Replay a Round…'),
      caption: trans.__('Open a notebook in which one round of one party runs again from its recorded messages alone'),
      enabled: args => summaryOf(args) !== undefined && !going(summaryOf(args))
    },
    async args => {
      const task = summaryOf(args);
      if (task === undefined) {
        return;
      }
      const { parties } = await stateOf(task.task);
      const title = trans.__('Replay a round of %1', task.task);
      const party =
        typeof args['party'] === 'string'
          ? args['party']
          : (await InputDialog.getItem({ title, label: trans.__('Party'), items: parties.map(one => one.party) })).value;
      if (party === null) {
        return;
      }
      const last = parties.find(one => one.party === party)?.round ?? task.round ?? 1;
      const label = trans.__('Round (the last one is kept; keep_rounds = "all" keeps every one)');
      const round = typeof args['round'] === 'number' ? args['round'] : (await InputDialog.getNumber({ title, label, value: last })).value;
      if (round === null) {
        return;
      }
      const { path } = await request<{ path: string }>(route('tasks', task.task, 'replay'), {
        method: 'POST',
        body: { party, round }
      });
      await commands.execute('docmanager:open', { path });
    }
  );
  add(
    CommandIDs.remove,
    {
      label: trans.__('Delete Task…'),
      caption: trans.__('Delete the task: its logs, metrics, checkpoints and run folder'),
      icon: deleteIcon,
      enabled: args => summaryOf(args) !== undefined && !going(summaryOf(args))
    },
    async args => {
      const task = summaryOf(args);
      if (task === undefined) {
        return;
      }
      const { button } = await showDialog({
        title: trans.__('Delete %1?', task.task),
        body: trans.__('Its logs, metrics, checkpoints and run folder are lost. The notebooks of the federation stay.'),
        buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })]
      });
      if (button.accept) {
        await request(route('tasks', task.task), { method: 'DELETE' });
        if (selection.current === task.task) {
          selection.select(hub.tasks.find(other => other.task !== task.task)?.task ?? null);
        }
      }
    }
  );
  add(
    CommandIDs.openFolder,
    {
      label: trans.__('Open Folder of Task'),
      caption: trans.__('Show the folder of the task in the file browser'),
      icon: folderIcon,
      enabled: args => {
        const task = taskOf(args);
        return task !== null && (summaryOf(args)?.folder != null || federations.byTask(task) !== null);
      }
    },
    async args => {
      const task = taskOf(args);
      const folder = summaryOf(args)?.folder ?? (task === null ? undefined : federations.byTask(task)?.folder);
      if (folder !== undefined) {
        await commands.execute('filebrowser:open-path', { path: folder });
        await commands.execute('filebrowser:activate');
      }
    }
  );
  add(
    CommandIDs.openNotebook,
    {
      label: trans.__('Open Notebook of Party'),
      caption: trans.__('Open the notebook of a party'),
      enabled: args => typeof args['path'] === 'string' || typeof args['party'] === 'string'
    },
    async args => {
      const path = args['path'] ?? (await stateOf(taskOf(args) ?? '')).notebooks[String(args['party'])];
      if (typeof path === 'string') {
        open(path, hub.tasks.find(task => task.task === taskOf(args)));
      }
    }
  );
  add(
    CommandIDs.openAll,
    {
      label: trans.__('Open Notebooks of Task'),
      caption: trans.__('Open the notebooks of all parties'),
      enabled: args => taskOf(args) !== null
    },
    async args => {
      const id = taskOf(args) ?? '';
      const paths =
        federations.byTask(id)?.parties.map(party => party.path) ?? Object.values((await stateOf(id)).notebooks);
      if (paths.length === 0) {
        Notification.info(trans.__('The notebooks of %1 are not below the folder where JupyterLab was started.', id));
      }
      for (const path of paths) {
        open(path, summaryOf(args));
      }
    }
  );
  add(
    CommandIDs.showTraceback,
    {
      label: trans.__('Show Traceback'),
      caption: trans.__('Show why a party failed'),
      enabled: args => taskOf(args) !== null
    },
    async args => {
      const state = await stateOf(taskOf(args) ?? '');
      const failure: IFailure | null =
        state.parties.find(party => party.party === args['party'])?.error ?? failureOf(state);
      if (failure === null) {
        Notification.info(trans.__('No party of %1 has failed.', state.task), { autoClose: 4000 });
      } else if (await showTraceback(failure, trans)) {
        await commands.execute(CommandIDs.goToCell, {
          notebook: failure.notebook,
          cell: failure.cell,
          line: failure.line,
          execution_count: failure.execution_count ?? null
        });
      }
    }
  );
  add(
    CommandIDs.goToCell,
    {
      label: trans.__('Go to Cell'),
      caption: trans.__('Open a notebook and select one of its cells'),
      enabled: args => typeof args['notebook'] === 'string'
    },
    async args => {
      const panel = open(String(args['notebook']));
      await panel.context.ready;
      await panel.revealed;
      app.shell.activateById(panel.id);
      await goToCell(panel.content, {
        index: typeof args['cell'] === 'number' ? args['cell'] : null,
        executionCount: typeof args['execution_count'] === 'number' ? args['execution_count'] : null,
        line: typeof args['line'] === 'number' ? args['line'] : null
      });
    }
  );

  /** Open a notebook. Those that a background run executed get no kernel: they are there to be read. */
  function open(path: string, task?: ITaskSummary): NotebookPanel {
    const preference = task?.source === 'background' ? { shouldStart: false } : undefined;
    const panel = documents.openOrReveal(path, 'Notebook', undefined, {}, preference);
    if (panel === undefined) {
      throw new Error(trans.__('%1 cannot be opened.', PathExt.basename(path)));
    }
    return panel as NotebookPanel;
  }

  return added;
}
